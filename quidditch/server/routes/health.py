"""`_cluster/health`: whether every copy that is wanted answers, and waiting until it does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError
from quidditch.server.overview import Overview, overview
from quidditch.server.resolving import resolve
from quidditch.server.routes.indices import WAITS
from quidditch.server.routing import Routes
from quidditch.server.security.guarding import without_guard
from quidditch.topology import WORSE, Reroutes, ShardView, Status

routes = Routes(reads="cluster read", changes="cluster admin")

WAIT_S = 30.0
"""How long a state is waited for that is asked for without a time."""


def status_of(shards: Sequence[ShardView]) -> Status:
    return max((shard.status for shard in shards), key=WORSE.index, default="green")


def _counts(shards: Sequence[ShardView]) -> dict[str, int]:
    return {
        "active_primary_shards": sum(shard.active > 0 for shard in shards),
        "active_shards": sum(shard.active for shard in shards),
        "relocating_shards": sum(shard.relocating for shard in shards),
        "initializing_shards": sum(shard.initializing for shard in shards),
        "unassigned_shards": sum(shard.unassigned for shard in shards),
    }


def health_body(call: Call, seen: Overview) -> dict[str, Any]:
    shards = seen.topology.shards
    counts = _counts(shards)
    whole = counts["active_shards"] + counts["initializing_shards"] + counts["unassigned_shards"]
    managed = seen.topology.master is not None
    return {
        "cluster_name": call.state.cluster_name,
        "status": status_of(shards),
        "timed_out": False,
        "number_of_nodes": len(seen.nodes),
        "number_of_data_nodes": len(seen.data_nodes),
        "discovered_master": managed,
        "discovered_cluster_manager": managed,
        **counts,
        "delayed_unassigned_shards": sum(shard.delayed for shard in shards),
        "number_of_pending_tasks": 0,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0 * counts["active_shards"] / whole if whole else 100.0,
    }


@routes(
    "GET",
    "/_cluster/health",
    "/_cluster/health/{index}",
    takes=f"expand_wildcards level local {WAITS} wait_for_active_shards wait_for_nodes wait_for_events "
    "wait_for_no_relocating_shards wait_for_no_initializing_shards wait_for_status "
    "return_200_for_cluster_health_timeout",
)
def health(call: Call) -> Reply:
    """A cluster is waited for. What is wanted of a directory is there or never will be: it is answered at once."""
    level = call.parameters.choice("level", ("cluster", "indices", "shards"), "cluster")
    arrived = _condition(call)
    last: list[tuple[Overview, dict[str, Any]]] = []

    def look() -> bool:
        names = resolve(call, closed=True, expand="all").indices
        seen = overview(call, names)
        last[:] = [(seen, health_body(call, seen))]
        return arrived(last[0][1])

    below = without_guard(call.database)
    if isinstance(below, Reroutes):
        wait_s = call.parameters.seconds("timeout")
        late = not below.wait_topology(look, WAIT_S if wait_s is None else wait_s)
    else:
        late = not look()
    seen, body = last[0]
    if level != "cluster":
        body["indices"] = {
            name: _index_health(shards, level) for name, shards in seen.topology.by_index().items()
        }
    body["timed_out"] = late
    shown_as_late = late and not call.parameters.flag("return_200_for_cluster_health_timeout")
    return Reply(body, 408 if shown_as_late else 200)


def _condition(call: Call) -> Callable[[dict[str, Any]], bool]:
    """What is waited for, asked of a body.

    raises: RestError   it is none
    """
    status = call.parameters.text("wait_for_status")
    active = call.parameters.text("wait_for_active_shards")
    nodes = _nodes_condition(call.parameters.text("wait_for_nodes"))
    still = [
        counted
        for flag, counted in (
            ("wait_for_no_relocating_shards", "relocating_shards"),
            ("wait_for_no_initializing_shards", "initializing_shards"),
        )
        if call.parameters.flag(flag)
    ]

    def holds(body: dict[str, Any]) -> bool:
        if status in WORSE and WORSE.index(body["status"]) > WORSE.index(status):
            return False
        if active == "all" and body["unassigned_shards"] + body["initializing_shards"]:
            return False
        if re.fullmatch(r"[0-9]{1,9}", active) and int(active) > body["active_shards"]:
            return False
        return nodes(body["number_of_nodes"]) and not any(body[counted] for counted in still)

    return holds


def _nodes_condition(wanted: str) -> Callable[[int], bool]:
    """Whether so many nodes are what `3`, `>=1` or `ge(1)` ask for."""
    if wanted[:2] in ("ge", "gt", "le", "lt") and wanted.endswith(")"):
        wanted = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}[wanted[:2]] + wanted[2:].strip("()")
    if wanted.startswith(">"):
        least = _number(wanted.lstrip(">=")) + (not wanted.startswith(">="))
        return lambda count: count >= least
    if wanted.startswith("<"):
        most = _number(wanted.lstrip("<=")) - (not wanted.startswith("<="))
        return lambda count: count <= most
    if not wanted:
        return lambda count: True
    exact = _number(wanted)
    return lambda count: count == exact


def _number(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text) is None:
        raise RestError(f"wait_for_nodes: a number expected, not [{text}]")
    return int(text)


def _index_health(shards: Sequence[ShardView], level: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "status": status_of(shards),
        "number_of_shards": len(shards),
        "number_of_replicas": shards[0].wanted - 1,
        **_counts(shards),
    }
    if level == "shards":
        body["shards"] = {str(shard.number): _shard_health(shard) for shard in shards}
    return body


def _shard_health(shard: ShardView) -> dict[str, Any]:
    counts = _counts([shard])
    del counts["active_primary_shards"]
    return {"status": shard.status, **counts, "primary_active": shard.active > 0}
