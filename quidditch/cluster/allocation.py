"""Where the copies of shards go: one routing table made of another. Pure: the master calls it, and tests do.

What is wanted comes in (how many copies of which shards, which nodes there are, which copies serve) and the next
table comes out. Called again once its copies serve, it comes to a rest, and then gives the table it was given.

laws:
  - no two copies of a shard are on one node
  - a copy that serves is taken away only while others that serve are as many as are wanted, or its node is gone
  - no copy is taken away while no other serves: it may be the last that has anything
  - nothing moves without a reason: a copy is missing or surplus, a node is to hold none, or one has two more than
    another, of all copies or of those of one index
  - copies of a shard spread over as many zones as there are, and those of an index over as many nodes
  - the same input gives the same table
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from quidditch.cluster.state import Copy, RoutingTable, ShardId

MOVES_AT_ONCE = 2
"""Copies on their way for balance alone: each costs the network a shard."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an index wants: so many shards, and copies of each, none of them on the nodes that are excluded."""

    shards: int
    copies: int = 1
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """A node that may hold copies. One that drains keeps what it has until others serve it."""

    zone: str = ""
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """What there is: nodes that are not gone, by name, and the copies that serve, as (shard, node).

    awaited:  nodes that have not been heard of yet, and may still come: they get nothing, and keep what they have
    """

    nodes: Mapping[str, Node]
    serving: Collection[tuple[ShardId, str]] = field(default_factory=frozenset)
    awaited: frozenset[str] = frozenset()

    def serves(self, shard: ShardId, node: str) -> bool:
        return (shard, node) in self.serving


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator lets be done.

    enable:     place `all` copies that are missing, `primaries` (the first copy of each shard), or `none`
    rebalance:  copies move for the sake of balance
    """

    enable: Literal["all", "primaries", "none"] = "all"
    rebalance: bool = True
    moves_at_once: int = MOVES_AT_ONCE

    def most(self, copies: int) -> int:
        """How many copies of a shard are placed of so many that are wanted."""
        return copies if self.enable == "all" else min(copies, 1) if self.enable == "primaries" else 0


def allocate(
    table: RoutingTable, wanted: Mapping[str, Wanted], situation: Situation, rules: Rules | None = None
) -> RoutingTable:
    """The next table; `table` itself if nothing is to be changed.

    wanted:  by the uuid of the index; an index that is not in it is taken out of the table
    cost:    of what is missing or moves, the number of copies times the number of nodes
    """
    plan = _Plan(table, wanted, situation, rules or Rules())
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
    """A table that is being changed. `load` counts, by node, copies that are to stay; `own` those of each index."""

    def __init__(
        self, table: RoutingTable, wanted: Mapping[str, Wanted], situation: Situation, rules: Rules
    ) -> None:
        self._wanted = wanted
        self._situation = situation
        self._rules = rules
        self._open = [name for name, node in sorted(situation.nodes.items()) if not node.draining]
        self.shards = [
            ShardId(index, number) for index in sorted(wanted) for number in range(wanted[index].shards)
        ]
        self._copies: dict[ShardId, list[Copy]] = {}
        self._load = Counter(dict.fromkeys(situation.nodes, 0))
        self._own: dict[str, Counter[str]] = {index: Counter() for index in wanted}
        for shard in self.shards:
            self._replace(shard, list(table.copies(shard)))

    def table(self) -> dict[str, tuple[tuple[Copy, ...], ...]]:
        indices: dict[str, list[tuple[Copy, ...]]] = {}
        for shard in self.shards:
            indices.setdefault(shard.uuid, []).append(tuple(sorted(self._copies[shard])))
        return {index: tuple(shards) for index, shards in indices.items()}

    def _may_hold(self, index: str, name: str) -> bool:
        """Whether copies of an index may stay on a node that is there."""
        return not self._situation.nodes[name].draining and name not in self._wanted[index].excluded

    # ------------------------------------------------------------------------------------------- one shard

    def forget_gone(self, shard: ShardId) -> None:
        """Take away the copies whose node is gone, unless none that is left serves: its disk may come back."""
        nodes, awaited = self._situation.nodes, self._situation.awaited
        there = [copy for copy in self._copies[shard] if copy.node in nodes or copy.node in awaited]
        if len(there) < len(self._copies[shard]) and any(
            self._situation.serves(shard, copy.node) for copy in there
        ):
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
            enough = len([copy for copy in rest if not copy.leaving]) >= min(wanted, self._room(shard.uuid))
            # One that does not serve may be the only one that has anything: its node is being started again, and what
            # is to come in its place has not copied it yet.
            if not serving or not (enough and (idle or serving >= min(wanted, len(rest)))):
                return
            self._replace(shard, rest)

    def leave_draining(self, shard: ShardId) -> None:
        """Mark the copies on nodes that are to hold none, where another node can take one."""
        for copy in list(self._copies[shard]):
            there = copy.node in self._situation.nodes
            if not there or copy.leaving or self._may_hold(shard.uuid, copy.node):
                continue
            if self._rules.enable == "all" and self._best_node(shard) is not None:
                rest = [one for one in self._copies[shard] if one is not copy]
                self._replace(shard, [*rest, Copy(copy.node, True)])
                self.fill(shard)

    def fill(self, shard: ShardId) -> None:
        """Add the copies that are missing, as far as there are nodes for them."""
        most = self._rules.most(self._wanted[shard.uuid].copies)
        while sum(not copy.leaving for copy in self._copies[shard]) < most:
            if self._stays_after_all(shard):
                continue
            node = self._best_node(shard)
            if node is None:
                return
            self._replace(shard, [*self._copies[shard], Copy(node)])

    def _stays_after_all(self, shard: ShardId) -> bool:
        """A copy that was leaving stays, where it serves and its node may hold it: whether there was one."""
        for copy in self._copies[shard]:
            there = copy.node in self._situation.nodes
            if copy.leaving and there and self._may_hold(shard.uuid, copy.node):
                rest = [one for one in self._copies[shard] if one is not copy]
                self._replace(shard, [*rest, Copy(copy.node)])
                return True
        return False

    def _best_node(self, shard: ShardId) -> str | None:
        """Where the next copy goes: the zone that has fewest of this shard, then the node that has least of its
        index, and then of all. By what it has of all alone, a node that has just joined would get every copy of the
        next index, and all of its searches and writes."""
        taken = {copy.node for copy in self._copies[shard]}
        excluded = self._wanted[shard.uuid].excluded
        zones, own, load, nodes = (
            self._zones(shard),
            self._own[shard.uuid],
            self._load,
            self._situation.nodes,
        )
        return min(
            (name for name in self._open if name not in taken and name not in excluded),
            key=lambda name: (zones[nodes[name].zone], own[name], load[name], name),
            default=None,
        )

    # ------------------------------------------------------------------------------------------- all shards

    def balance(self) -> None:
        """Send copies from full nodes to empty ones, a few at a time."""
        if not self._rules.rebalance:
            return
        under_way = sum(copy.leaving for copies in self._copies.values() for copy in copies)
        while under_way < self._rules.moves_at_once and (self._even_out() or self._spread_one()):
            under_way += 1

    def _even_out(self) -> bool:
        """Start the move that evens out most, if a node has two more than another: whether there was one."""
        load = self._load
        if (
            not self._open
            or max(load[name] for name in self._open) - min(load[name] for name in self._open) < 2
        ):
            return False
        held = self._held()
        targets = sorted(self._open, key=lambda name: (load[name], name))
        for source in reversed(targets):
            # What is moved from here can only go to these, whatever the zones.
            for target in targets:
                if load[source] - load[target] < 2:
                    break
                movable = [shard for shard in held[source] if self._may_move(shard, source, target)]
                if movable:
                    self._move(
                        max(movable, key=lambda shard: self._spreads(shard, source, target)), source, target
                    )
                    return True
        return False

    def _spread_one(self) -> bool:
        """Start a move within an index of which a node has two more than another, and no less of all: whether there
        was one. So what is evened out stays so, and the copies of an index only spread: there is an end to it."""
        for index, own in self._own.items():
            counts = [own[name] for name in self._open]
            if not counts or max(counts) - min(counts) < 2:
                continue
            targets = sorted(self._open, key=lambda name: (own[name], name))
            for source in reversed(targets):
                shards = [shard for shard in self._shards_of(index) if self._holds(shard, source)]
                for target in targets:
                    if own[source] - own[target] < 2:
                        break
                    if self._load[source] <= self._load[target]:
                        continue
                    for shard in shards:
                        if self._may_move(shard, source, target):
                            self._move(shard, source, target)
                            return True
        return False

    def _move(self, shard: ShardId, source: str, target: str) -> None:
        copies = [copy for copy in self._copies[shard] if copy.node != source]
        self._replace(shard, [*copies, Copy(source, True), Copy(target)])

    def _may_move(self, shard: ShardId, source: str, target: str) -> bool:
        """A copy that serves stays on the source, none is on the target, and zones do not come out worse."""
        copies = self._copies[shard]
        nodes = {copy.node for copy in copies}
        if source not in nodes or target in nodes or any(copy.leaving for copy in copies):
            return False
        if target in self._wanted[shard.uuid].excluded or not self._situation.serves(shard, source):
            return False
        zones = self._zones(shard)
        zones[self._zone(source)] -= 1
        return zones[self._zone(target)] <= zones[self._zone(source)]

    def _spreads(self, shard: ShardId, source: str, target: str) -> int:
        own = self._own[shard.uuid]
        return own[source] - own[target]

    # ----------------------------------------------------------------------------------------------- counts

    def _replace(self, shard: ShardId, copies: list[Copy]) -> None:
        before = [copy.node for copy in self._copies.get(shard, ()) if not copy.leaving]
        after = [copy.node for copy in copies if not copy.leaving]
        for counter in (self._load, self._own[shard.uuid]):
            counter.subtract(before)
            counter.update(after)
        self._copies[shard] = copies

    def _held(self) -> dict[str, list[ShardId]]:
        """The shards of which each node has a copy that is to stay."""
        held: dict[str, list[ShardId]] = {name: [] for name in self._open}
        for shard in self.shards:
            for copy in self._copies[shard]:
                if not copy.leaving and copy.node in held:
                    held[copy.node].append(shard)
        return held

    def _holds(self, shard: ShardId, name: str) -> bool:
        return any(copy.node == name and not copy.leaving for copy in self._copies[shard])

    def _shards_of(self, index: str) -> list[ShardId]:
        return [ShardId(index, number) for number in range(self._wanted[index].shards)]

    def _dispensable(self, shard: ShardId, copy: Copy) -> tuple[bool, int, int, int, str]:
        """What is taken away first: what does not serve, then from the fullest zone and node."""
        return (
            not self._situation.serves(shard, copy.node),
            self._zones(shard)[self._zone(copy.node)],
            self._own[shard.uuid][copy.node],
            self._load[copy.node],
            copy.node,
        )

    def _zones(self, shard: ShardId) -> Counter[str]:
        return Counter(self._zone(copy.node) for copy in self._copies[shard] if not copy.leaving)

    def _zone(self, name: str) -> str:
        """The zone of a node; one that is gone has one of its own, which no node is in."""
        node = self._situation.nodes.get(name)
        return "\0gone" if node is None else node.zone

    def _room(self, index: str) -> int:
        """How many copies of a shard there can be."""
        excluded = self._wanted[index].excluded
        return sum(name not in excluded for name in self._open) if excluded else len(self._open)
