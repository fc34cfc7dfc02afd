"""What became of each copy that the routing table names: the table beside what nodes say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quidditch.cluster.state import Copy, NodeReport, RoutingTable, ShardId, ShardReport
from quidditch.index.catalog import IndexEntry
from quidditch.topology import CopyView, ShardView, Size, State

SILENT = "its node is not heard of"


def shard_views(
    entries: Mapping[str, IndexEntry],
    table: RoutingTable,
    alive: Mapping[str, NodeReport],
    sizes: Mapping[tuple[str, str], Size],
) -> list[ShardView]:
    """Every shard of these indices, those too that have no place yet.

    sizes:  by node and `str(ShardId)`
    """
    return [
        ShardView(
            name,
            number,
            1 + int(entry.settings.get("number_of_replicas", 1)),
            copy_views(ShardId(entry.generation, number), table, alive, sizes),
        )
        for name, entry in sorted(entries.items())
        for number in range(entry.shards)
    ]


def copy_views(
    shard: ShardId,
    table: RoutingTable,
    alive: Mapping[str, NodeReport],
    sizes: Mapping[tuple[str, str], Size],
) -> tuple[CopyView, ...]:
    """The copies of one shard; what serves comes first, and of that what stays."""
    copies = table.copies(shard)
    partners = _partners(shard, copies, alive)
    views = [
        CopyView(
            copy.node,
            _state(shard, copy, alive),
            partners.get(copy.node, ""),
            report.applied if (report := _said(shard, copy.node, alive)) else None,
            sizes.get((copy.node, str(shard))),
            SILENT if copy.node not in alive else report.failed if report else "",
        )
        for copy in copies
    ]
    return tuple(sorted(views, key=lambda view: (_ORDER[view.state], view.node)))


_ORDER: dict[State, int] = {"STARTED": 0, "RELOCATING": 1, "INITIALIZING": 2, "UNASSIGNED": 3}


def _said(shard: ShardId, node: str, alive: Mapping[str, NodeReport]) -> ShardReport | None:
    """What a node says of its copy; nothing of one that it has not heard of yet."""
    report = alive.get(node)
    return None if report is None else report.shards.get(str(shard))


def _state(shard: ShardId, copy: Copy, alive: Mapping[str, NodeReport]) -> State:
    if copy.node not in alive:
        return "UNASSIGNED"
    said = _said(shard, copy.node, alive)
    if said is None or not said.started:
        return "INITIALIZING"
    return "RELOCATING" if copy.leaving else "STARTED"


def _partners(shard: ShardId, copies: Sequence[Copy], alive: Mapping[str, NodeReport]) -> dict[str, str]:
    """Copies that leave and those that come in their place, each with the other."""
    states = {copy.node: _state(shard, copy, alive) for copy in copies}
    leaving = [copy.node for copy in copies if copy.leaving and states[copy.node] == "RELOCATING"]
    coming = [copy.node for copy in copies if not copy.leaving and states[copy.node] == "INITIALIZING"]
    pairs = list(zip(leaving, coming, strict=False))
    return dict(pairs) | {new: old for old, new in pairs}
