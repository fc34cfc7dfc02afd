"""The best documents for queries whose score is no more than the sum of their terms' scores: booleans and best-of
clauses in one another, with whatever filters.

The documents with the highest sums are scored first; what the count-th best of them scores is a threshold that only
documents with a high enough sum can reach.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import numpy as np

from quidditch.query.primitive import Primitive
from quidditch.search.pruning.bounds import Narrowing, Part, Scale, Weighted
from quidditch.search.pruning.exact import ChosenDocs
from quidditch.search.pruning.impacts import Impacts, impacts_of, stretch
from quidditch.search.pruning.plan import MOST_TERMS, has_bounds
from quidditch.search.pruning.sums import SPAN, Sums, take_sums
from quidditch.search.scorers.context import NOTHING_SCORED, Scored, SegmentContext
from quidditch.search.weight import BestOfWeight, BooleanWeight, TermWeight, Weight
from quidditch.types import Ints

MANY_SHARE = 8
"""More candidates than one document in so many: scoring the whole segment at once costs less."""

FIRST = 64
"""Documents scored at least to find the threshold."""


def terms_of(weight: Weight) -> tuple[TermWeight, ...] | None:
    """Every scored term of a query whose score their sum bounds; None for any other query."""
    if isinstance(weight, TermWeight):
        return (weight,) if has_bounds(weight) else None
    clauses: Sequence[Weight]
    if isinstance(weight, BooleanWeight):
        clauses = (*weight.must, *weight.should)
    elif isinstance(weight, BestOfWeight) and 0 <= weight.primitive.tie_breaker <= 1:
        clauses = weight.children
    else:
        return None
    found: list[TermWeight] = []
    for clause in clauses:
        terms = terms_of(clause)
        if terms is None:
            return None
        found += terms
    return tuple(found) if 0 < len(found) <= MOST_TERMS else None


class BoundedSearch:
    """One such query in one segment."""

    def __init__(self, weight: Weight, terms: Sequence[TermWeight], context: SegmentContext) -> None:
        self._weight = weight
        self._context = context
        self._lists: dict[Primitive, Impacts | None] = {}
        self._parts: list[Part] = []
        for term in terms:
            context.check_time()
            wanted = term.primitive
            if wanted not in self._lists:
                found = impacts_of(context.reader, wanted.field, wanted.term, term.similarity)
                self._lists[wanted] = found
            impacts = self._lists[wanted]
            if impacts is not None:
                most = stretch(context.reader, wanted.field, term.similarity).most
                self._parts.append(Part(impacts, term.value * most))

    def total(self) -> int:
        """How many live documents match."""
        return len(self._context.live_matches(self._weight.primitive))

    def top(self, count: int, floor: float) -> Scored | None:
        """Ascending documents and their scores: the best `count` are among them, if they score `floor` or more.

        None where bounds save nothing, or fewer documents than `count` score above 0: others may match with 0.
        """
        scale = Scale(self._parts, 1.0) if self._parts else None
        if scale is None or not scale.fits:
            return None
        lists = [Weighted(part.held, weight) for part, weight in zip(self._parts, scale.weights, strict=True)]
        best = _Best(count, floor)
        found: list[Scored] = []
        for start in range(0, self._context.doc_count, SPAN):
            sums = take_sums(start, min(SPAN, self._context.doc_count - start))
            for each in lists:
                self._context.check_time()
                each.add(sums)
            for docs in self._candidates(sums, scale, best):
                if len(docs) * MANY_SHARE > sums.size:
                    return None
                found.append(self._scored(docs))
                best.add(found[-1])
        return _joined(found) if best.bar > 0 else None

    def _candidates(self, sums: Sums, scale: Scale, best: _Best) -> Iterator[Ints]:
        """Documents that may be among the best of all: those with the highest sums, then what else may reach them."""
        narrowing = Narrowing(None, self._context.deleted)
        first = sums.reaching(max(1, scale.least_sum(best.bar), sums.reached_by(max(best.count, FIRST))))
        first = narrowing.kept(first)
        yield first
        rest = narrowing.kept(sums.reaching(scale.least_sum(best.bar)))
        yield np.setdiff1d(rest, first, assume_unique=True)

    def _scored(self, docs: Ints) -> Scored:
        self._context.check_time()
        judged = ChosenDocs(docs, self._context, self._lists).judge(self._weight)
        places = np.flatnonzero(judged.matched)
        return Scored(docs.take(places), judged.scores.take(places))


class _Best:
    """The best scores so far, rounded as scores are: `bar` is what a document must reach to be among `count`."""

    def __init__(self, count: int, floor: float) -> None:
        self.count = count
        self._floor = floor
        self._heap: list[float] = []

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def bar(self) -> float:
        return max(self._floor, self._heap[0]) if len(self._heap) == self.count else self._floor

    def add(self, scored: Scored) -> None:
        highest = np.sort(scored.scores.astype(np.float32))[-self.count :]
        self._heap = heapq.nlargest(self.count, [*self._heap, *highest.tolist()])
        self._heap.reverse()


def _joined(parts: Sequence[Scored]) -> Scored:
    if not parts:
        return NOTHING_SCORED
    docs = np.concatenate([part.docs for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    order = np.argsort(docs, kind="stable")
    return Scored(docs.take(order), scores.take(order))
