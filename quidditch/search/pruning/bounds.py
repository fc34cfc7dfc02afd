"""Bounds by document: the impacts of all terms added up as 16-bit integers, and who may be among the best.

The sum is an upper bound of the score, and misses it by no more than a known slack: so the count-th highest sum
gives a threshold that the count-th highest score reaches, and what lies below it need not be scored. Terms come
rarest first; frequent ones, where the rest leaves few candidates, are looked up for those alone (MaxScore: Turtle
and Flood, 1995).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pyroaring import BitMap

from quidditch.index.codecs import bitmap_of, ids_of
from quidditch.search.pruning.impacts import UNITS, Impacts
from quidditch.search.pruning.sums import MOST, SPAN, Sums, take_sums
from quidditch.types import Ints, U16s

ROUNDING = 2e-6
"""More than float32 can lose of a score, relatively."""

FEW_SHARE = 8
"""Fewer candidates than one document in so many are looked up in a frequent term's array; more, and it is added."""

SURE = 3.0
"""Standard deviations between what is looked at and what is wanted: a second look costs as much as the first."""

LEAST_LEVELS = 1 << 15
"""Sums keep at least so many levels, or queries of very many terms would be told apart too coarsely."""


class Part(NamedTuple):
    """A term of the query in this segment, and the most that a whole impact adds to a score."""

    held: Impacts
    value: float


class Scale:
    """Scores as integers: `weights` for each part, and how sums and scores bound each other."""

    def __init__(self, parts: Sequence[Part], ratio: float) -> None:
        """`ratio`: the least share of its stretched impact that a posting may really have."""
        largest = [part.held.largest for part in parts]
        room = MOST - sum(largest)
        self.fits = room >= LEAST_LEVELS
        self._levels = max(1, room) / sum(
            most * part.value for most, part in zip(largest, parts, strict=True)
        )
        exact = [part.value * self._levels for part in parts]
        self.weights = [math.ceil(each) for each in exact]
        self._slack = sum(
            (weight - each) * most + 1.01 * each
            for weight, each, most in zip(self.weights, exact, largest, strict=True)
        )
        self._ratio = ratio

    def least_sum(self, score: float) -> int:
        """The lowest sum that a document of this score or a higher one can have."""
        return max(1, math.floor(score * UNITS * self._levels * (1 - ROUNDING)))

    def least_beside(self, highest: int) -> int:
        """The lowest sum of a document that can score as high as one whose sum is `highest`."""
        return max(1, math.floor((highest - self._slack) * self._ratio * (1 - ROUNDING)))


class Narrowing(NamedTuple):
    """Which documents count: those in `allowed` (None: all) that are not in `denied`."""

    allowed: BitMap | None
    denied: BitMap

    @property
    def leaves_all(self) -> bool:
        return self.allowed is None and not self.denied

    def of(self, docs: BitMap) -> BitMap:
        if self.allowed is not None:
            docs = docs & self.allowed
        return docs - self.denied if self.denied else docs

    def kept(self, docs: Ints) -> Ints:
        """Those of ascending documents that count."""
        return docs if self.leaves_all or not len(docs) else ids_of(self.of(bitmap_of(docs)))

    def wanted(self, count: int, doc_count: int) -> float:
        """Of how many of the highest of `doc_count` documents `count` nearly always count."""
        allowed = doc_count if self.allowed is None else len(self.allowed)
        share = min(1.0, max(1, allowed - len(self.denied)) / doc_count)
        return (count + SURE * math.sqrt(count * (1 - share))) / share


class Candidates:
    """The search for the documents of one segment that may be among the best `count`."""

    def __init__(
        self, parts: Sequence[Part], scale: Scale, doc_count: int, narrowing: Narrowing, count: int
    ) -> None:
        order = sorted(range(len(parts)), key=lambda place: parts[place].held.doc_freq)
        self._lists = [Weighted(parts[place].held, scale.weights[place]) for place in order]
        self._scale = scale
        self._doc_count = doc_count
        self._narrowing = narrowing
        self._count = count
        self._least = 1

    def find(self, floor: float) -> Ints:
        """Ascending documents: every one that may be among the best with a score of at least `floor`."""
        self._least = self._scale.least_sum(floor)
        spans = [
            self._of_span(start, min(SPAN, self._doc_count - start))
            for start in range(0, self._doc_count, SPAN)
        ]
        return spans[0] if len(spans) == 1 else np.concatenate(spans)

    def _of_span(self, start: int, size: int) -> Ints:
        """Those of a span of documents; what is found there raises `_least` for the next."""
        sums = take_sums(start, size)
        for place, each in enumerate(self._lists):
            if each.held.dense and place:
                rest = self._lists[place:]
                docs = self._open(sums, rest)
                if docs is not None:
                    return self._looked_up(sums, docs, rest)
            each.add(sums)
        return self._best(sums)

    def _open(self, sums: Sums, rest: Sequence[Weighted]) -> Ints | None:
        """The documents that may still reach the best with what the rest adds; None where these are many."""
        reach = sum(each.weight * each.held.largest for each in rest)
        self._best(sums)
        if self._least <= reach:
            return None
        docs = sums.reaching(self._least - reach)
        return docs if len(docs) * FEW_SHARE < sums.size else None

    def _looked_up(self, sums: Sums, docs: Ints, rest: Sequence[Weighted]) -> Ints:
        values = sums.of(docs)
        for each in rest:
            values += each.look_up(docs)
        reached = np.flatnonzero(values >= self._least)
        docs, values = docs.take(reached), values.take(reached)
        sums.put(docs, values)
        kept = self._narrowing.kept(docs)
        return self._cut(kept, sums.of(kept))

    def _best(self, sums: Sums) -> Ints:
        """Every document that counts and may be among the best by its sum; raises `_least` to what that takes."""
        wanted = self._narrowing.wanted(self._count, self._doc_count)
        while True:
            least = self._least
            bound = max(least, self._scale.least_beside(sums.reached_by(math.ceil(wanted))))
            kept = self._narrowing.kept(sums.reaching(bound))
            if len(kept) >= self._count or bound == least:
                kept = self._cut(kept, sums.of(kept))
                if bound <= self._least:
                    return kept
            # Of those that count, fewer than thought are among the highest: look further down.
            wanted *= 4

    def _cut(self, docs: Ints, values: U16s) -> Ints:
        """Those that may be among the best, of all with such sums; raises `_least` to what that takes."""
        if len(docs) >= self._count:
            place = len(values) - self._count
            highest = int(np.partition(values, place)[place])
            self._least = max(self._least, self._scale.least_beside(highest))
        return docs[values >= self._least]


class Weighted(NamedTuple):
    """A list, and what one unit of its impacts is worth in the sums."""

    held: Impacts
    weight: int

    def add(self, sums: Sums) -> None:
        """Add the list's part of the span to its sums."""
        impacts = self.held.impacts
        if self.held.dense:
            sums.add_to_all(impacts, self.weight)
            return
        docs = self.held.docs
        if sums.start or sums.stop <= int(docs[-1]):
            part = slice(*docs.searchsorted((sums.start, sums.stop)).tolist())
            docs, impacts = docs[part], impacts[part]
        sums.add(docs, impacts, self.weight)

    def look_up(self, docs: Ints) -> U16s:
        return np.multiply(self.held.impacts.take(docs), np.uint16(self.weight), dtype=np.uint16)
