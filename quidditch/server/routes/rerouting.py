"""`_cluster/reroute` and `_cluster/allocation/explain`: other places for copies, and why they are where they are."""

from __future__ import annotations

from typing import Any

from quidditch.server.body_values import list_of, object_of
from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError
from quidditch.server.overview import Overview, overview, placed
from quidditch.server.rendering.settings import date_text
from quidditch.server.routes.cluster import METRICS, state_body
from quidditch.server.routes.indices import WAITS
from quidditch.server.routing import Routes
from quidditch.server.security.guarding import without_guard
from quidditch.topology import CopyView, Order, Placement, Reroutes, ShardView, Verdict

routes = Routes(reads="cluster read", changes="cluster admin")

REROUTE_S = 30.0

_KINDS = {
    "move": ("move", "from_node", "to_node"),
    "cancel": ("cancel", "node", ""),
    "allocate_replica": ("allocate", "node", ""),
}

ALONE = "this database is one node: its copies have no other place"


@routes("POST", "/_cluster/reroute", takes=f"dry_run explain metric retry_failed {WAITS}")
def reroute(call: Call) -> Reply:
    """Without `explain` either all commands are carried out, or none and 400 says why."""
    seen = overview(call, ())
    commands = list_of(call.object().get("commands") or [], "commands")
    orders = [_order(seen, command) for command in commands]
    known = call.database.describe()
    for order in orders:
        if order.index not in known:
            raise RestError(f"no such index [{order.index}]", 404, "index_not_found_exception")
    explain, dry_run = call.parameters.flag("explain"), call.parameters.flag("dry_run")
    verdicts = _carried_out(call, orders, dry_run=True)
    refused = [verdict.reason for verdict in verdicts if not verdict.accepted]
    if refused and not explain:
        raise RestError("; ".join(refused))
    if orders and not dry_run:
        _carried_out(call, orders, dry_run=False)
    metrics = call.parameters.names("metric") or [
        name for name in METRICS if name not in ("metadata", "_all")
    ]
    body: dict[str, Any] = {"acknowledged": True, "state": state_body(call, metrics, sorted(known))}
    if explain:
        body["explanations"] = [
            _explained(command, verdict) for command, verdict in zip(commands, verdicts, strict=True)
        ]
    return Reply(body)


def _carried_out(call: Call, orders: list[Order], *, dry_run: bool) -> list[Verdict]:
    below = without_guard(call.database)
    if not isinstance(below, Reroutes):
        return [Verdict(order, False, ALONE) for order in orders]
    wait_s = call.parameters.seconds("timeout")
    return below.reroute(orders, dry_run=dry_run, timeout_s=REROUTE_S if wait_s is None else wait_s)


def _order(seen: Overview, command: Any) -> Order:
    """raises: RestError   the command is none that can be given"""
    if not isinstance(command, dict) or len(command) != 1:
        raise RestError(f"commands: an object with one command expected, not {str(command)[:100]}")
    ((name, body),) = command.items()
    if name not in _KINDS:
        raise RestError(f"unknown command [{name}]; one of [{', '.join(_KINDS)}] expected")
    kind, source, target = _KINDS[name]
    given = object_of(body, name)
    wanted = {"index", "shard", source, *([target] if target else [])}
    if missing := sorted(wanted - given.keys()):
        raise RestError(f"[{name}] command missing the {missing[0]} parameter")
    if unknown := sorted(given.keys() - wanted - {"allow_primary"}):
        raise RestError(f"[{name}] unknown field [{unknown[0]}]")
    shard = given["shard"]
    if isinstance(shard, bool) or not str(shard).isdecimal():
        raise RestError(f"[{name}] shard: a number expected, not [{str(shard)[:100]}]")
    named = {part: str(given[part]) for part in (source, target) if part}
    return Order(
        kind,  # type: ignore[arg-type]
        str(given["index"]),
        int(shard),
        seen.name(named[source]),
        seen.name(named[target]) if target else "",
    )


def _explained(command: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    ((name, body),) = command.items()
    parameters = {**body, "allow_primary": False} if name == "cancel" else dict(body)
    decision = {
        "decider": f"{name}_allocation_command",
        "decision": "YES" if verdict.accepted else "NO",
        "explanation": verdict.reason or "it can be carried out",
    }
    return {"command": name, "parameters": parameters, "decisions": [decision]}


# ------------------------------------------------------------------------------------------------- explaining


@routes(
    "GET POST",
    "/_cluster/allocation/explain",
    takes="include_disk_info include_yes_decisions",
    needs="cluster read",
)
def explain(call: Call) -> Reply:
    """Of the copy that is asked about; without a body, of the first that has no place."""
    body = call.object()
    seen = overview(call)
    shard, primary = _asked(seen, body) if body else _first_unassigned(seen)
    copy = _copy_of(seen, shard, primary, str(body.get("current_node", "")))
    told: dict[str, Any] = {"index": shard.index, "shard": shard.number, "primary": primary}
    told |= _without_place(call, shard) if copy is None else _with_place(seen, copy)
    if call.parameters.flag("include_disk_info"):
        told["cluster_info"] = {
            "nodes": {seen.id(node.name): {"node_name": node.name} for node in seen.data_nodes}
        }
    held = {copy.node for copy in shard.copies}
    told["node_allocation_decisions"] = [
        _decision(seen, placement)
        for placement in _placements(call, seen, shard)
        if placement.node not in held or copy is None
    ]
    return Reply(told)


def _asked(seen: Overview, body: dict[str, Any]) -> tuple[ShardView, bool]:
    if missing := [name for name in ("index", "shard", "primary") if name not in body]:
        raise RestError(f"{missing[0]} must be specified", 400, "action_request_validation_exception")
    shards = seen.topology.of_index(str(body["index"]))
    if not shards:
        raise RestError(f"no such index [{body['index']}]", 404, "index_not_found_exception")
    for shard in shards:
        if str(body["shard"]) == str(shard.number):
            return shard, body["primary"] in (True, "true")
    raise RestError(f"No shard was specified that is there: [{body['shard']}] of {len(shards)}")


def _first_unassigned(seen: Overview) -> tuple[ShardView, bool]:
    for shard in seen.topology.shards:
        if shard.unassigned:
            return shard, not shard.active
    raise RestError(
        "unable to find any unassigned shards to explain [ClusterAllocationExplainRequest[useAnyUnassignedShard=true]"
    )


def _copy_of(seen: Overview, shard: ShardView, primary: bool, node: str) -> CopyView | None:
    """The copy that is meant: on a node, or as the primary, or of the others one without a place, if there is one."""
    copies = [
        (copy, first) for copy, first in placed(seen, shard) if not node or copy.node == seen.name(node)
    ]
    if node and not copies:
        raise RestError(
            f"unable to find a copy of shard [{shard.number}] of [{shard.index}] on node [{node}]"
        )
    if not primary and not node and shard.unassigned:
        return None
    return next((copy for copy, first in copies if first == primary or node), None)


def _with_place(seen: Overview, copy: CopyView) -> dict[str, Any]:
    told: dict[str, Any] = {
        "current_state": copy.state.lower(),
        "current_node": {"id": seen.id(copy.node), "name": copy.node},
        "can_remain_on_current_node": "no" if _drains(seen, copy.node) else "yes",
        "can_rebalance_cluster": "yes",
        "can_rebalance_to_other_node": "no",
        "rebalance_explanation": "it is where it is to be: no move would even out the nodes",
    }
    if copy.partner:
        told["relocating_node" if copy.state == "RELOCATING" else "comes_from"] = copy.partner
        told["rebalance_explanation"] = "it is on its way"
    if copy.failed:
        told["explanation"] = copy.failed
    return told


def _drains(seen: Overview, name: str) -> bool:
    return any(node.draining for node in seen.topology.nodes if node.name == name)


def _without_place(call: Call, shard: ShardView) -> dict[str, Any]:
    if any(copy.state == "UNASSIGNED" for copy in shard.copies):
        return {
            "current_state": "unassigned",
            "unassigned_info": {"reason": "NODE_LEFT"},
            "can_allocate": "allocation_delayed",
            "allocate_explanation": "its node is silent, and may come back",
        }
    created = date_text(call.database.describe()[shard.index].created_ms)
    return {
        "current_state": "unassigned",
        "unassigned_info": {"reason": "INDEX_CREATED", "at": created},
        "can_allocate": "no",
        "allocate_explanation": "no node may hold it: each has a copy already, or is excluded",
    }


def _placements(call: Call, seen: Overview, shard: ShardView) -> list[Placement]:
    below = without_guard(call.database)
    if isinstance(below, Reroutes):
        return below.placements(shard.index, shard.number)
    return [Placement(seen.state.node_name, True, {"same_shard": ALONE})]


def _decision(seen: Overview, placement: Placement) -> dict[str, Any]:
    found: dict[str, Any] = {
        "node_id": seen.id(placement.node),
        "node_name": placement.node,
        "node_decision": "no" if placement.against else "yes",
    }
    if placement.against:
        found["deciders"] = [
            {"decider": rule, "decision": "NO", "explanation": words}
            for rule, words in sorted(placement.against.items())
        ]
    return found
