"""One shard in a search under way: the copy that answers, its view there, and what it has said so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from quidditch.cluster.asking import CALL_S, Answer, Asked, Asking, View
from quidditch.cluster.copies import Node
from quidditch.cluster.known_statistics import KnownStatistics
from quidditch.cluster.preference import Preference
from quidditch.cluster.state import ShardId
from quidditch.errors import FailedShard, QuidditchError
from quidditch.interface import CollectionStats, QueryRequest, QueryResult
from quidditch.types import Json


@dataclass(frozen=True, slots=True)
class ShardPlace:
    """A shard of an index: its number among `count`, and the index's name, for messages."""

    shard: ShardId
    index: str
    count: int

    def __str__(self) -> str:
        return f"[{self.index}][{self.shard.number}]"


class Part:
    """A shard's part in a search.

    place:    the shard's number among those that are searched, and in the addresses of its hits
    opening:  what a call says that has no view yet: `min_sequence`, `keep_s`
    pinned:   it is about one view of one copy, come what may: a point in time, a scan
    """

    def __init__(
        self, where: ShardPlace, place: int, preference: Preference, opening: Mapping[str, Any]
    ) -> None:
        self.where = where
        self.shard = where.shard
        self.place = place
        self.view: View | None = None
        self.pinned = False
        self.failed: FailedShard | None = None
        self.stats = CollectionStats()
        self.expected: int | None = None
        """The sequence that `stats` are of."""
        self.result = QueryResult((), 0)
        self._preference = preference
        self._opening = opening
        self._node: str | None = None

    def pin(self, view: View) -> Part:
        self.view, self.pinned = view, True
        return self

    def body(self, node: Node, body: Answer) -> Answer:
        """The body of a call as this node needs it: with the view that it holds, or with what opens one."""
        if self.view is not None and node.address == self.view.node.address:
            return {**body, "view": self.view.token}
        return {**body, **self._opening}

    async def ask(self, asking: Asking, asked: Asked, timeout_s: float = CALL_S) -> Answer:
        """What the view's copy answers, or another, whose view it is from then on.

        raises: Unavailable, SnapshotExpired   none does
        """
        held = self.view
        if self.pinned and held is not None:
            self._node = held.node.name
            return (await asking.first(self.shard, [held.node], asked, timeout_s))[1]
        nodes = asking.nodes(self.shard, self._preference, held)
        self._node = nodes[-1].name
        node, said = await asking.first(self.shard, nodes, asked, timeout_s)
        if held is not None and held.node.address != node.address:
            asking.release(self.shard, held)
        token = said.get("view")
        self.view = View(node, token, said["sequence"]) if token else None
        return said

    def release(self, asking: Asking) -> None:
        """Let go of the view."""
        if self.view is not None and not self.pinned:
            asking.release(self.shard, self.view)
            self.view = None

    def fail(self, error: QuidditchError) -> None:
        """No copy answers."""
        words = str(error)
        if self.pinned:
            words = f"the view of {self.where} was held by node {self._node}, which no longer has it: {words}"
        self.failed = FailedShard(self.where.index, self.shard.number, self._node, error.type, words)

    # ------------------------------------------------------------------------------------------ statistics

    def learn(self, known: KnownStatistics, stats: CollectionStats, sequence: int) -> None:
        """The copy has told the statistics of what its view shows."""
        self.stats, self.expected = stats, sequence
        known.note(self.shard, sequence, stats)

    def recall(
        self, known: KnownStatistics, fields: Iterable[str], terms: Sequence[tuple[str, bytes]]
    ) -> bool:
        """Whether the statistics of these are known, of the view or, where there is none yet, of what it will be."""
        sequence = None if self.view is None else self.view.sequence
        if self.expected is not None and sequence in (None, self.expected) and self._has(fields, terms):
            return True
        found = known.of(self.shard, fields, terms, sequence)
        if found is not None:
            self.expected, self.stats = found
        return found is not None

    def _has(self, fields: Iterable[str], terms: Iterable[tuple[str, bytes]]) -> bool:
        return all(field in self.stats.fields for field in fields) and all(
            term in self.stats.doc_freqs for term in terms
        )

    # ------------------------------------------------------------------------- the order of the last writes

    # `_doc` is a number that each shard counts for itself. Of several shards the numbers are spread out, so that each
    # is one document's alone, and the page after it leaves nothing out.

    def take(self, result: QueryResult, asked: QueryRequest) -> None:
        """The copy has answered the query."""
        levels = self._doc_levels(asked)
        if levels:
            hits = [
                msgspec.structs.replace(hit, sort=tuple(self._spread(hit.sort, levels)))
                for hit in result.hits
            ]
            result = replace(result, hits=hits)
        self.result = result

    def placed(self, asked: QueryRequest, wire: Answer) -> Answer | None:
        """The request with this shard's own `search_after`; None where it is that of all shards."""
        levels = self._doc_levels(asked)
        if not levels or asked.search_after is None:
            return None
        after = list(asked.search_after)
        for level in levels:
            after[level] = self._gathered(after[level], asked.sort[level].descending)
        return {**wire, "search_after": after}

    def _doc_levels(self, asked: QueryRequest) -> list[int]:
        if self.where.count == 1:
            return []
        return [level for level, key in enumerate(asked.sort) if key.field == "_doc"]

    def _spread(self, values: Sequence[Json], levels: Sequence[int]) -> list[Json]:
        spread = list(values)
        for level in levels:
            spread[level] = spread[level] * self.where.count + self.shard.number
        return spread

    def _gathered(self, value: Json, descending: bool) -> Json:
        """The number of this shard behind which its documents come after `value`."""
        if not isinstance(value, int):
            return value
        number, count = value - self.shard.number, self.where.count
        return -(-number // count) if descending else number // count
