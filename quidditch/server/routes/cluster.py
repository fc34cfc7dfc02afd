"""The cluster that a directory looks like: one node, one shard for each index."""

from __future__ import annotations

import re
from typing import Any

from quidditch.interface import IndexInfo
from quidditch.patterns import matches
from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError
from quidditch.server.parameters import seconds_of
from quidditch.server.rendering.settings import COMPATIBLE, flat, nested, settings_body
from quidditch.server.resolving import OPTIONS, resolve
from quidditch.server.routes.indices import WAITS
from quidditch.server.routing import Routes
from quidditch.server.state import MAX_KEEP_ALIVE

routes = Routes(reads="cluster read", changes="cluster admin")

_ORDER = ("green", "yellow", "red")


def health_of(info: IndexInfo) -> str:
    """Yellow where replicas are wanted: a directory has none."""
    return "green" if int(info.settings.get("number_of_replicas", 1)) == 0 else "yellow"


def health_body(call: Call, infos: list[IndexInfo]) -> dict[str, Any]:
    active = len(infos)
    unassigned = sum(int(info.settings.get("number_of_replicas", 1)) for info in infos)
    status = max((health_of(info) for info in infos), key=_ORDER.index, default="green")
    return {
        "cluster_name": call.state.cluster_name,
        "status": status,
        "timed_out": False,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "discovered_master": True,
        "discovered_cluster_manager": True,
        "active_primary_shards": active,
        "active_shards": active,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": unassigned,
        "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0 * active / (active + unassigned)
        if active + unassigned
        else 100.0,
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
    """What is waited for is there or never will be: one that cannot be is answered as timed out at once."""
    level = call.parameters.choice("level", ("cluster", "indices", "shards"), "cluster")
    found = resolve(call, closed=True, expand="all")
    infos = [found.infos[name] for name in found.indices]
    body = health_body(call, infos)
    if level != "cluster":
        body["indices"] = {info.name: _index_health(info, level) for info in infos}
    wanted = call.parameters.text("wait_for_status")
    shards = call.parameters.text("wait_for_active_shards")
    late = wanted in _ORDER and _ORDER.index(body["status"]) > _ORDER.index(wanted)
    late = late or (shards == "all" and body["unassigned_shards"] > 0)
    late = late or (re.fullmatch(r"[0-9]{1,9}", shards) is not None and int(shards) > body["active_shards"])
    late = late or not _enough_nodes(call.parameters.text("wait_for_nodes"))
    body["timed_out"] = late
    return Reply(body, 408 if late else 200)


def _enough_nodes(wanted: str) -> bool:
    """Whether one node is what `3`, `>=1` or `ge(1)` ask for."""
    if wanted[:2] in ("ge", "gt", "le", "lt") and wanted.endswith(")"):
        wanted = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}[wanted[:2]] + wanted[2:].strip("()")
    if wanted.startswith(">"):
        return _number(wanted.lstrip(">=")) + (not wanted.startswith(">=")) <= 1
    if wanted.startswith("<"):
        return _number(wanted.lstrip("<=")) - (not wanted.startswith("<=")) >= 1
    return not wanted or _number(wanted) == 1


def _number(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text) is None:
        raise RestError(f"wait_for_nodes: a number expected, not [{text}]")
    return int(text)


def _index_health(info: IndexInfo, level: str) -> dict[str, Any]:
    replicas = int(info.settings.get("number_of_replicas", 1))
    body: dict[str, Any] = {
        "status": health_of(info),
        "number_of_shards": 1,
        "number_of_replicas": replicas,
        "active_primary_shards": 1,
        "active_shards": 1,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": replicas,
    }
    if level == "shards":
        shard = {
            key: body[key]
            for key in (
                "status",
                "active_shards",
                "relocating_shards",
                "initializing_shards",
                "unassigned_shards",
            )
        }
        body["shards"] = {"0": {**shard, "primary_active": True}}
    return body


# ----------------------------------------------------------------------------------------------- settings


@routes("GET", "/_cluster/settings", takes=f"flat_settings include_defaults {WAITS}")
def get_settings(call: Call) -> Reply:
    shape = dict if call.parameters.flag("flat_settings") else nested
    body: dict[str, Any] = {
        "persistent": shape(call.state.persistent),
        "transient": shape(call.state.transient),
    }
    return Reply({**body, "defaults": {}} if call.parameters.flag("include_defaults") else body)


@routes("PUT", "/_cluster/settings", takes=f"flat_settings {WAITS}")
def put_settings(call: Call) -> Reply:
    """They are kept as long as the server runs; but for `search.max_keep_alive` they change nothing here."""
    body = call.required()
    if unknown := sorted(body.keys() - {"persistent", "transient"}):
        raise RestError(
            f"unknown key [{unknown[0]}]; persistent and transient expected", 400, "parse_exception"
        )
    answer: dict[str, Any] = {"acknowledged": True}
    shape = dict if call.parameters.flag("flat_settings") else nested
    for name, kept in (("persistent", call.state.persistent), ("transient", call.state.transient)):
        changes = _named(flat(body.get(name) or {}), kept)
        if changes.get(MAX_KEEP_ALIVE) is not None:
            seconds_of(changes[MAX_KEEP_ALIVE], MAX_KEEP_ALIVE)
        call.state.peers.everyone("settings.put", name, changes)
        answer[name] = shape({key: kept[key] for key in changes if key in kept})
    return Reply(answer)


def _named(changes: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """The changes, with a pattern that is to be removed (`"search.*": null`) standing for the names it fits."""
    found: dict[str, Any] = {}
    for key, value in changes.items():
        fitting = [name for name in kept if matches(name, key)] if value is None and "*" in key else [key]
        found |= dict.fromkeys(fitting, value)
    return found


# -------------------------------------------------------------------------------------------------- state

_METRICS = (
    "cluster_manager_node",
    "master_node",
    "nodes",
    "metadata",
    "routing_table",
    "version",
    "blocks",
    "_all",
)


@routes(
    "GET",
    "/_cluster/state",
    "/_cluster/state/{metric}",
    "/_cluster/state/{metric}/{index}",
    takes=f"{OPTIONS} flat_settings local wait_for_metadata_version wait_for_timeout {WAITS}",
)
def state(call: Call) -> Reply:
    metrics = call.parts.get("metric", "_all").split(",")
    for metric in metrics:
        if metric not in _METRICS:
            raise RestError(f"request [{call.path}] contains unrecognized metric: [{metric}]")
    found = resolve(call, closed=True, expand="all")
    node = call.state.node_id
    parts: dict[str, Any] = {
        "cluster_manager_node": node,
        "master_node": node,
        "blocks": _blocks([found.infos[name] for name in found.indices]),
        "nodes": {node: {"name": call.state.node_name, "transport_address": call.state.http_address}},
        "metadata": {
            "cluster_uuid": call.state.cluster_uuid,
            "indices": {name: _metadata(call, found.infos[name]) for name in found.indices},
        },
        "routing_table": {
            "indices": {name: {"shards": {"0": [_routing(call, name)]}} for name in found.indices}
        },
    }
    chosen = {name: part for name, part in parts.items() if "_all" in metrics or name in metrics}
    return Reply({"cluster_name": call.state.cluster_name, "cluster_uuid": call.state.cluster_uuid, **chosen})


_BLOCKS = {
    "blocks.read_only": ("5", "index read-only (api)", ["write", "metadata_write"]),
    "blocks.write": ("8", "index write (api)", ["write"]),
}


def _blocks(infos: list[IndexInfo]) -> dict[str, Any]:
    """What refuses writes to which index."""
    blocked: dict[str, Any] = {}
    for info in infos:
        for setting, (number, words, levels) in _BLOCKS.items():
            if info.settings.get(setting) in (True, "true"):
                block = {"description": words, "retryable": False, "levels": levels}
                blocked.setdefault(info.name, {})[number] = block
    return {"indices": blocked} if blocked else {}


def _metadata(call: Call, info: IndexInfo) -> dict[str, Any]:
    return {
        "state": "close" if info.closed else "open",
        "settings": settings_body(info, as_flat=call.parameters.flag("flat_settings")),
        "mappings": {"_doc": call.database.index(info.name).mappings},
        "aliases": list(info.aliases),
    }


def _routing(call: Call, name: str) -> dict[str, Any]:
    return {"state": "STARTED", "primary": True, "node": call.state.node_id, "shard": 0, "index": name}


@routes("GET", "/_cluster/pending_tasks", takes=f"local {WAITS}")
def pending_tasks(call: Call) -> Reply:
    return Reply({"tasks": []})


# --------------------------------------------------------------------------------------------------- stats


@routes("GET", "/_cluster/stats", takes="flat_settings timeout")
def cluster_stats(call: Call) -> Reply:
    infos = call.database.describe()
    stats = [call.database.index(name).stats() for name, info in infos.items() if not info.closed]
    return Reply(
        {
            "_nodes": {"total": 1, "successful": 1, "failed": 0},
            "cluster_name": call.state.cluster_name,
            "cluster_uuid": call.state.cluster_uuid,
            "status": health_body(call, list(infos.values()))["status"],
            "indices": {
                "count": len(infos),
                "shards": {"total": len(infos), "primaries": len(infos)},
                "docs": {
                    "count": sum(each.documents for each in stats),
                    "deleted": sum(each.deleted for each in stats),
                },
                "store": {"size_in_bytes": sum(each.size_bytes for each in stats)},
                "segments": {"count": sum(each.segments for each in stats)},
            },
            "nodes": {"count": {"total": 1, "data": 1, "cluster_manager": 1}, "versions": [COMPATIBLE]},
        }
    )


# --------------------------------------------------------------------------------------------------- nodes


@routes("GET", "/_nodes", "/_nodes/{node_id}", takes="flat_settings timeout")
def nodes_info(call: Call) -> Reply:
    host = call.state.http_address.rpartition(":")[0]
    node = {
        "name": call.state.node_name,
        "host": host,
        "ip": host,
        "version": COMPATIBLE,
        "roles": ["data", "cluster_manager"],
        "attributes": {},
        "http": {"publish_address": call.state.http_address, "bound_address": [call.state.http_address]},
        "transport_address": call.state.http_address,
    }
    return Reply(
        {
            "_nodes": {"total": 1, "successful": 1, "failed": 0},
            "cluster_name": call.state.cluster_name,
            "nodes": {call.state.node_id: node},
        }
    )
