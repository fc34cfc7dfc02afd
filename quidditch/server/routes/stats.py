"""`_stats`: how large indices are, and what was asked of them."""

from __future__ import annotations

from typing import Any

from quidditch.interface import IndexStats
from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError
from quidditch.server.overview import Overview, overview, placed
from quidditch.server.rendering.settings import uuid_of
from quidditch.server.resolving import OPTIONS, resolve
from quidditch.server.routes.indices import broadcast
from quidditch.server.routes.nodes import node_body
from quidditch.server.routing import Routes
from quidditch.server.runtime.anywhere import activity_of
from quidditch.topology import Size

routes = Routes()

KNOWN = ("docs", "store", "segments", "indexing", "get", "search", "refresh", "flush")
_OTHERS = (
    "merge",
    "completion",
    "fielddata",
    "query_cache",
    "request_cache",
    "recovery",
    "suggest",
    "translog",
    "warmer",
)
"""Metrics of OpenSearch that are taken, and that nothing is counted for."""


def stats_of(stats: IndexStats, counted: dict[str, int]) -> dict[str, dict[str, int]]:
    """The metrics of one index; what is not measured is left out."""
    return {
        "docs": {"count": stats.documents, "deleted": stats.deleted},
        "store": {"size_in_bytes": stats.size_bytes, "reserved_in_bytes": 0},
        "indexing": {
            "index_total": counted["index"],
            "index_failed": counted["index_failed"],
            "delete_total": counted["delete"],
        },
        "get": {
            "total": counted["get"] + counted["get_missing"],
            "exists_total": counted["get"],
            "missing_total": counted["get_missing"],
        },
        "search": {
            "query_total": counted["query"],
            "query_time_in_millis": counted["query_ms"],
            "scroll_total": counted["scroll"],
        },
        "refresh": {"total": counted["refresh"]},
        "flush": {"total": counted["flush"]},
        "segments": {"count": stats.segments},
    }


def summed(parts: list[dict[str, dict[str, int]]], metrics: list[str]) -> dict[str, dict[str, int]]:
    """The chosen metrics of several indices as one."""
    total: dict[str, dict[str, int]] = {}
    for part in parts:
        for metric in _chosen(part, metrics):
            into = total.setdefault(metric, dict.fromkeys(part[metric], 0))
            for name, value in part[metric].items():
                into[name] += value
    return total


def _chosen(part: dict[str, dict[str, int]], metrics: list[str]) -> list[str]:
    return [metric for metric in part if "_all" in metrics or metric in metrics]


@routes(
    "GET",
    "/_stats",
    "/_stats/{metric}",
    "/{index}/_stats",
    "/{index}/_stats/{metric}",
    takes=f"{OPTIONS} completion_fields fielddata_fields fields forbid_closed_indices groups "
    "include_segment_file_sizes include_unloaded_segments level types",
)
def index_stats(call: Call) -> Reply:
    """A closed index is passed by, unless `forbid_closed_indices=false` has it shown as empty."""
    metrics = call.parts.get("metric", "_all").split(",")
    for metric in metrics:
        if metric not in ("_all", *KNOWN, *_OTHERS):
            raise RestError(f"request [{call.path}] contains unrecognized metric: [{metric}]")
    level = call.parameters.choice("level", ("cluster", "indices", "shards"), "indices")
    shows_closed = not call.parameters.flag("forbid_closed_indices", True)
    found = resolve(call, closed=shows_closed, expand="open,closed" if shows_closed else "open")
    counted = activity_of(call.state, found.indices)
    parts: dict[str, dict[str, dict[str, int]]] = {}
    for name in found.indices:
        closed = found.infos[name].closed
        stats = IndexStats(0, 0, 0, 0, 0, {}) if closed else call.database.index(name).stats()
        parts[name] = stats_of(stats, counted[name])
    whole = summed(list(parts.values()), metrics)
    body: dict[str, Any] = {"_shards": broadcast(found), "_all": {"primaries": whole, "total": whole}}
    if level == "cluster":
        return Reply(body)
    body["indices"] = {}
    seen = overview(call, found.indices, sizes=level == "shards")
    for name, part in parts.items():
        own = summed([part], metrics)
        told: dict[str, Any] = {"uuid": uuid_of(found.infos[name]), "primaries": own, "total": own}
        if level == "shards":
            told["shards"] = _by_shard(seen, name, own)
        body["indices"][name] = told
    return Reply(body)


@routes(
    "GET",
    "/_nodes/stats",
    "/_nodes/stats/{metric}",
    "/_nodes/stats/{metric}/{index_metric}",
    "/_nodes/{node_id}/stats",
    takes="level timeout types",
    needs="cluster read",
)
def nodes_stats(call: Call) -> Reply:
    """Of each data node how much it holds; of the one that is this server what was asked of it, too."""
    metrics = call.parts.get("index_metric", "_all").split(",")
    for metric in metrics:
        if metric not in ("_all", *KNOWN, *_OTHERS):
            raise RestError(f"request [{call.path}] contains unrecognized index metric: [{metric}]")
    names = [name for name, info in call.database.describe().items() if not info.closed]
    seen = overview(call, names, sizes=True)
    nodes = seen.chosen(call.parts.get("node_id", "_all"))
    told = {
        seen.id(node.name): {
            **node_body(seen, node),
            "indices": _of_node(call, seen, node.name, names, metrics),
        }
        for node in nodes
    }
    return Reply(
        {
            "_nodes": {"total": len(nodes), "successful": len(nodes), "failed": 0},
            "cluster_name": call.state.cluster_name,
            "nodes": told,
        }
    )


def _of_node(
    call: Call, seen: Overview, node: str, names: list[str], metrics: list[str]
) -> dict[str, dict[str, int]]:
    held = [copy.size for shard in seen.topology.shards for copy in shard.copies if copy.node == node]
    parts = [_held(size) for size in held if size is not None]
    if node == call.state.node_name:
        counted = activity_of(call.state, names)
        nothing = IndexStats(0, 0, 0, 0, 0, {})
        parts += [stats_of(nothing, counted[name]) for name in names]
    return summed(parts, metrics)


def _held(size: Size) -> dict[str, dict[str, int]]:
    return {
        "docs": {"count": size.documents, "deleted": size.deleted},
        "store": {"size_in_bytes": size.size_bytes, "reserved_in_bytes": 0},
        "segments": {"count": size.segments},
    }


def _by_shard(seen: Overview, name: str, own: dict[str, dict[str, int]]) -> dict[str, list[dict[str, Any]]]:
    """Each copy; of a directory's only one all that is known of the index."""
    found: dict[str, list[dict[str, Any]]] = {}
    for shard in seen.topology.of_index(name):
        for copy, primary in placed(seen, shard):
            routing = {
                "state": copy.state,
                "primary": primary,
                "node": seen.id(copy.node),
                "relocating_node": seen.id(copy.partner) if copy.partner else None,
            }
            parts = own if seen.topology.alone else _held(copy.size) if copy.size is not None else {}
            shown = {metric: part for metric, part in parts.items() if metric in own}
            found.setdefault(str(shard.number), []).append({"routing": routing, **shown})
    return found
