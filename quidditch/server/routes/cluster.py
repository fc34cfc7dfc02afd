"""The cluster as a whole: its settings, its state, its size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quidditch.interface import IndexInfo
from quidditch.patterns import matches
from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError
from quidditch.server.overview import Overview, overview, routing_entries
from quidditch.server.parameters import seconds_of
from quidditch.server.rendering.settings import COMPATIBLE, flat, nested, settings_body
from quidditch.server.resolving import OPTIONS, resolve
from quidditch.server.routes.indices import WAITS
from quidditch.server.routing import Routes
from quidditch.server.security.guarding import without_guard
from quidditch.server.state import MAX_KEEP_ALIVE
from quidditch.topology import KeepsSettings, NodeView

routes = Routes(reads="cluster read", changes="cluster admin")

# ----------------------------------------------------------------------------------------------- settings


@routes("GET", "/_cluster/settings", takes=f"flat_settings include_defaults {WAITS}")
def get_settings(call: Call) -> Reply:
    shape = dict if call.parameters.flag("flat_settings") else nested
    body: dict[str, Any] = {scope: shape(kept) for scope, kept in _kept(call).items()}
    return Reply({**body, "defaults": {}} if call.parameters.flag("include_defaults") else body)


@routes("PUT", "/_cluster/settings", takes=f"flat_settings {WAITS}")
def put_settings(call: Call) -> Reply:
    """A cluster keeps them for good, and for all its servers; a server of a directory as long as it runs."""
    body = call.required()
    if unknown := sorted(body.keys() - {"persistent", "transient"}):
        raise RestError(
            f"unknown key [{unknown[0]}]; persistent and transient expected", 400, "parse_exception"
        )
    answer: dict[str, Any] = {"acknowledged": True}
    shape = dict if call.parameters.flag("flat_settings") else nested
    for name, kept in _kept(call).items():
        changes = _named(flat(body.get(name) or {}), kept)
        if changes.get(MAX_KEEP_ALIVE) is not None:
            seconds_of(changes[MAX_KEEP_ALIVE], MAX_KEEP_ALIVE)
        below = without_guard(call.database)
        if isinstance(below, KeepsSettings):
            below.change_cluster_settings(name, {key: _text(value) for key, value in changes.items()})
        call.state.peers.everyone("settings.put", name, changes)
        after = _kept(call)[name]
        answer[name] = shape({key: after[key] for key in changes if key in after})
    return Reply(answer)


def _kept(call: Call) -> dict[str, dict[str, Any]]:
    below = without_guard(call.database)
    if isinstance(below, KeepsSettings):
        return below.cluster_settings()
    return {"persistent": call.state.persistent, "transient": call.state.transient}


def _text(value: Any) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _named(changes: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """The changes, with a pattern that is to be removed (`"search.*": null`) standing for the names it fits."""
    found: dict[str, Any] = {}
    for key, value in changes.items():
        fitting = [name for name in kept if matches(name, key)] if value is None and "*" in key else [key]
        found |= dict.fromkeys(fitting, value)
    return found


# -------------------------------------------------------------------------------------------------- state

METRICS = (
    "cluster_manager_node",
    "master_node",
    "nodes",
    "metadata",
    "routing_table",
    "routing_nodes",
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
    body = state_body(call, metrics, resolve(call, closed=True, expand="all").indices)
    return Reply({"cluster_name": call.state.cluster_name, "cluster_uuid": call.state.cluster_uuid, **body})


def state_body(call: Call, metrics: list[str], names: list[str]) -> dict[str, Any]:
    """The chosen parts of the state, of some indices.

    raises: RestError   one of them is none
    """
    for metric in metrics:
        if metric not in METRICS:
            raise RestError(f"request [{call.path}] contains unrecognized metric: [{metric}]")
    seen = overview(call, names)
    infos = call.database.describe()
    # What is gone since the names were resolved is not shown.
    found = [infos[name] for name in names if name in infos]
    master = None if seen.topology.master is None else seen.id(seen.topology.master)
    version = seen.topology.version
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "cluster_manager_node": lambda: {"cluster_manager_node": master},
        "master_node": lambda: {"master_node": master},
        "version": lambda: {"version": version, "state_uuid": f"{call.state.cluster_uuid[:16]}{version:06x}"},
        "blocks": lambda: {"blocks": _blocks(found)},
        "nodes": lambda: {"nodes": {seen.id(node.name): _node(node) for node in seen.nodes}},
        "metadata": lambda: {"metadata": _all_metadata(call, found)},
        "routing_table": lambda: {"routing_table": {"indices": _routing_table(seen)}},
        "routing_nodes": lambda: {"routing_nodes": _routing_nodes(seen)},
    }
    body: dict[str, Any] = {}
    for name, part in parts.items():
        if "_all" in metrics or name in metrics:
            body |= part()
    return body


def _node(node: NodeView) -> dict[str, Any]:
    attributes = {"zone": node.zone} if node.zone else {}
    return {"name": node.name, "transport_address": node.address, "attributes": attributes}


def _all_metadata(call: Call, infos: list[IndexInfo]) -> dict[str, Any]:
    return {
        "cluster_uuid": call.state.cluster_uuid,
        "indices": {info.name: _metadata(call, info) for info in infos},
    }


def _routing_table(seen: Overview) -> dict[str, Any]:
    return {
        name: {"shards": {str(shard.number): routing_entries(seen, shard) for shard in shards}}
        for name, shards in seen.topology.by_index().items()
    }


def _routing_nodes(seen: Overview) -> dict[str, Any]:
    """The same by node."""
    entries = [entry for shard in seen.topology.shards for entry in routing_entries(seen, shard)]
    nodes: dict[str, list[dict[str, Any]]] = {seen.id(node.name): [] for node in seen.data_nodes}
    for entry in entries:
        if entry["node"] is not None:
            nodes.setdefault(entry["node"], []).append(entry)
    return {"unassigned": [entry for entry in entries if entry["node"] is None], "nodes": nodes}


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


@routes("GET", "/_cluster/pending_tasks", takes=f"local {WAITS}")
def pending_tasks(call: Call) -> Reply:
    return Reply({"tasks": []})


# --------------------------------------------------------------------------------------------------- stats


@routes("GET", "/_cluster/stats", takes="flat_settings timeout")
def cluster_stats(call: Call) -> Reply:
    """Sums over one copy of each shard, but for `store`, which is of all."""
    seen = overview(call, sizes=True)
    shards = seen.topology.shards
    stored = [copy.size for shard in shards for copy in shard.copies if copy.size is not None]
    first = [shard.size for shard in shards]
    nodes = {"total": len(seen.nodes), "data": len(seen.data_nodes)}
    managers = sum("cluster_manager" in node.roles for node in seen.nodes)
    return Reply(
        {
            "_nodes": {"total": len(seen.nodes), "successful": len(seen.nodes), "failed": 0},
            "cluster_name": call.state.cluster_name,
            "cluster_uuid": call.state.cluster_uuid,
            "status": seen.topology.status,
            "indices": {
                "count": len(seen.topology.by_index()),
                "shards": {"total": sum(shard.active for shard in shards), "primaries": len(shards)},
                "docs": {
                    "count": sum(size.documents for size in first),
                    "deleted": sum(size.deleted for size in first),
                },
                "store": {"size_in_bytes": sum(size.size_bytes for size in stored)},
                "segments": {"count": sum(size.segments for size in first)},
            },
            "nodes": {"count": {**nodes, "cluster_manager": managers}, "versions": [COMPATIBLE]},
        }
    )
