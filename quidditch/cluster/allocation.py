"""Where the copies of shards go: one routing table made of another. Pure: the master calls it, and tests do.

What is wanted comes in (how many copies of which shards, which nodes there are, which copies serve) and the next
table comes out. Called again once its copies serve, it comes to a rest, and then gives the table it was given.

laws:
  - no two copies of a shard are on one node
  - a copy that serves is taken away only while others that serve are as many as are wanted, or its node is gone
  - nothing moves without a reason: a copy is missing or surplus, a node drains, or one has two more than another
  - copies of a shard spread over as many zones as there are
  - the same input gives the same table
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from quidditch.cluster.state import Copy, RoutingTable, ShardId

MOVES_AT_ONCE = 2
"""Copies on their way for balance alone: each costs the network a shard."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an index wants: so many shards, and copies of each."""

    shards: int
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Node:
    """A node that may hold copies. One that drains keeps what it has until others serve it."""

    zone: str = ""
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """What there is: nodes that are not gone, by name, and the copies that serve, as (shard, node)."""

    nodes: Mapping[str, Node]
    serving: Collection[tuple[ShardId, str]] = field(default_factory=frozenset)

    def serves(self, shard: ShardId, node: str) -> bool:
        return (shard, node) in self.serving


def allocate(table: RoutingTable, wanted: Mapping[str, Wanted], situation: Situation) -> RoutingTable:
    """The next table; `table` itself if nothing is to be changed.

    wanted:  by the uuid of the index; an index that is not in it is taken out of the table
    cost:    about the number of copies times the number of nodes
    """
    plan = _Plan(table, wanted, situation)
    for shard in plan.shards:
        plan.forget_gone(shard)
        plan.drop_surplus(shard)
    for shard in plan.shards:
        plan.leave_draining(shard)
        plan.fill(shard)
    plan.balance()
    indices = plan.table()
    if indices == table.indices:
        return table
    return msgspec.structs.replace(table, epoch=table.epoch + 1, indices=indices)


def moved(table: RoutingTable, shard: ShardId, source: str, target: str) -> RoutingTable:
    """The table with a copy on its way from one node to another, as a person asked for.

    raises: ValueError   there is none on the source, or one on the target already
    """
    copies = table.copies(shard)
    nodes = {copy.node for copy in copies}
    if source not in nodes:
        raise ValueError(f"shard {shard}: no copy on node [{source}]; there are copies on {sorted(nodes)}")
    if target in nodes:
        raise ValueError(f"shard {shard}: node [{target}] has a copy already")
    changed = tuple(Copy(source, True) if copy.node == source else copy for copy in copies)
    shards = list(table.indices[shard.uuid])
    shards[shard.number] = tuple(sorted((*changed, Copy(target))))
    indices = {**table.indices, shard.uuid: tuple(shards)}
    return msgspec.structs.replace(table, epoch=table.epoch + 1, indices=indices)


class _Plan:
    """A table that is being changed. `load` counts, by node, the copies that are to stay."""

    def __init__(self, table: RoutingTable, wanted: Mapping[str, Wanted], situation: Situation) -> None:
        self._wanted = wanted
        self._situation = situation
        self.shards = [
            ShardId(index, number) for index in sorted(wanted) for number in range(wanted[index].shards)
        ]
        self._copies = {shard: list(table.copies(shard)) for shard in self.shards}
        self._load = Counter(dict.fromkeys(situation.nodes, 0))
        for copies in self._copies.values():
            self._load.update(copy.node for copy in copies if not copy.leaving)

    def table(self) -> dict[str, tuple[tuple[Copy, ...], ...]]:
        indices: dict[str, tuple[tuple[Copy, ...], ...]] = {}
        for shard in self.shards:
            copies = tuple(sorted(self._copies[shard]))
            indices[shard.uuid] = (*indices.get(shard.uuid, ()), copies)
        return indices

    # ------------------------------------------------------------------------------------------- one shard

    def forget_gone(self, shard: ShardId) -> None:
        """Take away the copies whose node is gone, unless none that is left serves: its disk may come back."""
        nodes = self._situation.nodes
        there = [copy for copy in self._copies[shard] if copy.node in nodes]
        if any(self._situation.serves(shard, copy.node) for copy in there):
            self._replace(shard, there)

    def drop_surplus(self, shard: ShardId) -> None:
        """Take away what leaves and what is too many, once as many as are wanted serve without it."""
        wanted = self._wanted[shard.uuid].copies
        while True:
            copies = self._copies[shard]
            leaving = [copy for copy in copies if copy.leaving]
            staying = [copy for copy in copies if not copy.leaving]
            if not leaving and len(staying) <= wanted:
                return
            candidate = max(leaving or staying, key=lambda copy: self._dispensable(shard, copy))
            rest = [copy for copy in copies if copy is not candidate]
            serving = sum(self._situation.serves(shard, copy.node) for copy in rest)
            idle = not self._situation.serves(shard, candidate.node)
            enough = len([copy for copy in rest if not copy.leaving]) >= min(wanted, self._room())
            if not rest or not (enough and (idle or serving >= min(wanted, len(rest)))):
                return
            self._replace(shard, rest)

    def leave_draining(self, shard: ShardId) -> None:
        """Mark the copies on nodes that drain, where another node can take one."""
        for copy in list(self._copies[shard]):
            node = self._situation.nodes.get(copy.node)
            if node is not None and node.draining and not copy.leaving and self._best_node(shard) is not None:
                rest = [one for one in self._copies[shard] if one is not copy]
                self._replace(shard, [*rest, Copy(copy.node, True)])
                self.fill(shard)

    def fill(self, shard: ShardId) -> None:
        """Add the copies that are missing, as far as there are nodes for them."""
        while sum(not copy.leaving for copy in self._copies[shard]) < self._wanted[shard.uuid].copies:
            if self._stays_after_all(shard):
                continue
            node = self._best_node(shard)
            if node is None:
                return
            self._replace(shard, [*self._copies[shard], Copy(node)])

    def _stays_after_all(self, shard: ShardId) -> bool:
        """A copy that was leaving stays, where it serves and its node does not drain: whether there was one."""
        for copy in self._copies[shard]:
            node = self._situation.nodes.get(copy.node)
            if copy.leaving and node is not None and not node.draining:
                rest = [one for one in self._copies[shard] if one is not copy]
                self._replace(shard, [*rest, Copy(copy.node)])
                return True
        return False

    def _best_node(self, shard: ShardId) -> str | None:
        """Where the next copy goes: the zone that has fewest of this shard, then the node that has least."""
        taken = {copy.node for copy in self._copies[shard]}
        free = [
            name for name, node in self._situation.nodes.items() if name not in taken and not node.draining
        ]
        zones = self._zones(shard)
        return min(
            free,
            key=lambda name: (zones[self._zone(name)], self._load[name], self._own(shard.uuid, name), name),
            default=None,
        )

    # ------------------------------------------------------------------------------------------- all shards

    def balance(self) -> None:
        """Send copies from the fullest node to the emptiest, a few at a time."""
        under_way = sum(copy.leaving for copies in self._copies.values() for copy in copies)
        while under_way < MOVES_AT_ONCE and self._move_one():
            under_way += 1

    def _move_one(self) -> bool:
        """Start the move that evens out most, if there is one: whether there was."""
        open_nodes = [name for name, node in self._situation.nodes.items() if not node.draining]
        for source in sorted(open_nodes, key=lambda name: (-self._load[name], name)):
            for target in sorted(open_nodes, key=lambda name: (self._load[name], name)):
                if self._load[source] - self._load[target] < 2:
                    break
                for shard in self.shards:
                    if self._may_move(shard, source, target):
                        copies = [copy for copy in self._copies[shard] if copy.node != source]
                        self._replace(shard, [*copies, Copy(source, True), Copy(target)])
                        return True
        return False

    def _may_move(self, shard: ShardId, source: str, target: str) -> bool:
        """A copy that serves stays on the source, none is on the target, and zones do not come out worse."""
        copies = self._copies[shard]
        nodes = {copy.node: copy for copy in copies}
        if source not in nodes or target in nodes or any(copy.leaving for copy in copies):
            return False
        if not self._situation.serves(shard, source):
            return False
        zones = self._zones(shard)
        zones[self._zone(source)] -= 1
        return zones[self._zone(target)] <= zones[self._zone(source)]

    # ----------------------------------------------------------------------------------------------- counts

    def _replace(self, shard: ShardId, copies: list[Copy]) -> None:
        self._load.subtract(copy.node for copy in self._copies[shard] if not copy.leaving)
        self._load.update(copy.node for copy in copies if not copy.leaving)
        self._copies[shard] = copies

    def _dispensable(self, shard: ShardId, copy: Copy) -> tuple[bool, int, int, str]:
        """What is taken away first: what does not serve, then from the fullest zone and node."""
        return (
            not self._situation.serves(shard, copy.node),
            self._zones(shard)[self._zone(copy.node)],
            self._load[copy.node],
            copy.node,
        )

    def _zones(self, shard: ShardId) -> Counter[str]:
        return Counter(self._zone(copy.node) for copy in self._copies[shard] if not copy.leaving)

    def _zone(self, name: str) -> str:
        """The zone of a node; one that is gone has one of its own, which no node is in."""
        node = self._situation.nodes.get(name)
        return "\0gone" if node is None else node.zone

    def _own(self, index: str, name: str) -> int:
        """Copies of this index on a node: those of one index share its load when they spread."""
        shards = range(self._wanted[index].shards)
        return sum(
            copy.node == name and not copy.leaving
            for number in shards
            for copy in self._copies[ShardId(index, number)]
        )

    def _room(self) -> int:
        """How many copies of a shard there can be."""
        return sum(not node.draining for node in self._situation.nodes.values())
