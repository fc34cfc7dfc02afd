"""How parts of an answer become one: segments to a shard, shards to an index, indices to a page.

Whatever a search tells of all its documents goes this way: each shard makes a part, parts are combined in the order
of their shards, and the combined part is finished once, where the search was asked. Hits and totals do, and what is
counted or summed over documents can: a part holds what can still be combined (a sum and a count, not a mean).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar

from quidditch.interface import QueryResult, ShardHit, SortKey
from quidditch.search.collector import reduce

Part = TypeVar("Part")
Finished = TypeVar("Finished", covariant=True)


class Reduction(Protocol[Part, Finished]):
    """One kind of answer.

    law: `combine` of parts that were combined in groups, in order, is that of them all; of one part, that part
    """

    def combine(self, parts: Sequence[Part]) -> Part: ...

    def finish(self, whole: Part) -> Finished: ...


class PageOfHits(NamedTuple):
    """The hits that are shown, and what is said of all of them."""

    hits: Sequence[ShardHit]
    total: int | None
    relation: Literal["eq", "gte"]
    max_score: float | None
    timed_out: bool


@dataclass(frozen=True, slots=True)
class TopHits:
    """Hits `from_` to `size`, in order; `count`: True for exact totals, a number that caps them, or False."""

    from_: int
    size: int
    sort: tuple[SortKey, ...] = ()
    count: bool | int = True

    def combine(self, parts: Sequence[QueryResult]) -> QueryResult:
        return reduce(parts, self.size, self.sort)

    def finish(self, whole: QueryResult) -> PageOfHits:
        total, relation = self._total(whole)
        return PageOfHits(whole.hits[self.from_ :], total, relation, whole.max_score, whole.timed_out)

    def _total(self, whole: QueryResult) -> tuple[int | None, Literal["eq", "gte"]]:
        if self.count is False:
            return None, "eq"
        if self.count is not True and whole.total > self.count:
            return self.count, "gte"
        return whole.total, "gte" if whole.timed_out else "eq"


def reduced(reduction: Reduction[Part, Finished], parts: Sequence[Part]) -> Finished:
    """All parts, combined and finished."""
    return reduction.finish(reduction.combine(parts))
