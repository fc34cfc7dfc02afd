"""Bounds by document: the impacts of all terms added up as 16-bit integers, and who may be among the best.

The sum is an upper bound of the score, and misses it by no more than a known slack: so the count-th highest sum
gives a threshold that the count-th highest score reaches, and what lies below it need not be scored. Terms come
rarest first; frequent ones, where the rest leaves few candidates, are looked up for those alone (MaxScore: Turtle
and Flood, 1995).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from quidditch.index.codecs import bitmap_of, ids_of
from quidditch.search.pruning.impacts import UNITS, Impacts
from quidditch.types import Ints

SPAN = 1 << 20
"""Documents added up at once: 2 MiB of sums, about what a core's cache holds."""

MOST = (1 << 16) - 1
ROUNDING = 2e-6
"""More than float32 can lose of a score, relatively."""

FEW_SHARE = 8
"""Fewer candidates than one document in so many are looked up in a frequent term's array; more, and it is added."""

LEAST_LEVELS = 1 << 15
"""Sums keep at least so many levels, or queries of very many terms would be told apart too coarsely."""

_scratch = threading.local()

U16s = NDArray[np.uint16]


class Part(NamedTuple):
    """A term of the query in this segment, and the most that a unit of its impact adds to a score."""

    list: Impacts
    weight: float


class Scale:
    """Scores as integers: `weights` for each part, and how sums and scores bound each other."""

    def __init__(self, parts: Sequence[Part], ratio: float) -> None:
        """`ratio`: the least share of its stretched impact that a posting may really have."""
        reserve = sum(part.list.largest for part in parts)
        reach = sum(part.list.largest * part.weight for part in parts)
        self.fits = MOST - reserve >= LEAST_LEVELS
        self._levels = max(1, MOST - reserve) / reach
        self.weights = [math.ceil(part.weight * self._levels) for part in parts]
        lost = (
            (whole - part.weight * self._levels) * part.list.largest + 1.01 * part.weight * self._levels
            for whole, part in zip(self.weights, parts, strict=True)
        )
        self._slack = sum(lost)
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

    def share(self, doc_count: int) -> float:
        """About how many of all documents count; above 0."""
        allowed = doc_count if self.allowed is None else len(self.allowed)
        return max(1, allowed - len(self.denied)) / doc_count


class Sums:
    """The sums of one segment, by document."""

    def __init__(self, parts: Sequence[Part], scale: Scale, doc_count: int, narrowing: Narrowing) -> None:
        order = sorted(range(len(parts)), key=lambda place: parts[place].list.doc_freq)
        self._lists = [(parts[place].list, scale.weights[place]) for place in order]
        self._scale = scale
        self._doc_count = doc_count
        self._narrowing = narrowing

    def candidates(self, count: int, floor: float) -> Ints:
        """Ascending documents, every one that may be among the best `count` with a score of at least `floor`."""
        least = self._scale.least_sum(floor)
        found: list[Ints] = []
        cursors = [_Cursor(each, weight) for each, weight in self._lists]
        for start in range(0, self._doc_count, SPAN):
            room = _room(min(SPAN, self._doc_count - start))
            docs, least = self._of_span(room, start, cursors, count, least)
            found.append(docs)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _of_span(
        self, room: U16s, start: int, cursors: Sequence[_Cursor], count: int, least: int
    ) -> tuple[Ints, int]:
        """Documents of the span that may be among the best, and the least sum that later ones need for it."""
        for added, cursor in enumerate(cursors):
            if cursor.list.dense and added:
                rest = cursors[added:]
                open_docs, least = self._open(room, start, rest, count, least)
                if open_docs is not None:
                    return self._looked_up(room, start, open_docs, rest, count, least)
            cursor.add(room, start)
        return self._best(room, start, count, least)

    def _open(
        self, room: U16s, start: int, rest: Sequence[_Cursor], count: int, least: int
    ) -> tuple[Ints | None, int]:
        """The documents that may still reach the best with what the rest adds, None where these are many; and the
        least sum, by what is known now."""
        reach = sum(cursor.weight * cursor.list.largest for cursor in rest)
        _, least = self._best(room, start, count, least)
        if least <= reach:
            return None, least
        docs = _reaching(room, least - reach)
        return (docs if len(docs) * FEW_SHARE < len(room) else None), least

    def _looked_up(
        self, room: U16s, start: int, docs: Ints, rest: Sequence[_Cursor], count: int, least: int
    ) -> tuple[Ints, int]:
        sums = room.take(docs)
        for cursor in rest:
            sums += cursor.look_up(docs + start)
        reached = np.flatnonzero(sums >= least)
        docs, sums = docs.take(reached), sums.take(reached)
        room[docs] = sums
        kept = self._narrowing.kept(docs + start)
        return self._cut(kept, room.take(kept - start), count, least)

    def _best(self, room: U16s, start: int, count: int, least: int) -> tuple[Ints, int]:
        """Every document that counts and may be among the best by its sum, and the least sum that it takes."""
        wanted = count / self._narrowing.share(self._doc_count)
        while True:
            bound = max(least, self._scale.least_beside(_reached_by(room, math.ceil(wanted))))
            kept = self._narrowing.kept(_reaching(room, bound) + start)
            docs, needed = self._cut(kept, room.take(kept - start), count, least)
            if bound <= max(needed, least) and (len(kept) >= count or bound == least):
                return docs, needed
            # Of those that count, fewer than thought are among the highest: look further down.
            wanted *= 4

    def _cut(self, docs: Ints, sums: U16s, count: int, least: int) -> tuple[Ints, int]:
        """Those that may be among the best when all with such sums are here, and the least sum that it takes."""
        if len(docs) < count:
            return docs, least
        highest = int(np.partition(sums, len(sums) - count)[len(sums) - count])
        needed = max(least, self._scale.least_beside(highest))
        return docs[sums >= needed], needed


class _Cursor:
    """A list on its way through the spans."""

    def __init__(self, list: Impacts, weight: int) -> None:
        self.list = list
        self.weight = weight
        self._docs: Ints | None = None
        self._place = 0

    def add(self, room: U16s, start: int) -> None:
        """Add the list's part of the span that begins at `start` to its sums."""
        weight, stop = np.uint16(self.weight), start + len(room)
        if self.list.dense:
            room += np.multiply(self.list.impacts[start:stop], weight, dtype=np.uint16)
            return
        if self._docs is None:
            self._docs = self.list.docs()
        end = len(self._docs) if len(room) < SPAN else int(self._docs.searchsorted(stop))
        docs = self._docs[self._place : end].astype(np.intp)
        if start:
            docs -= start
        shares = np.multiply(self.list.impacts[self._place : end], weight, dtype=np.uint16)
        # A document is listed once; `at` is the faster road for that too.
        np.add.at(room, docs, shares)
        self._place = end

    def look_up(self, docs: Ints) -> U16s:
        return np.multiply(self.list.impacts.take(docs), np.uint16(self.weight), dtype=np.uint16)


def _room(size: int) -> U16s:
    """uint16[size] of zeros, this thread's until the next call."""
    whole: U16s | None = getattr(_scratch, "room", None)
    if whole is None or len(whole) < size:
        whole = _scratch.room = np.empty(max(size, 1 << 16), np.uint16)
    room = whole[:size]
    room.fill(0)
    return room


def _reached_by(room: U16s, count: int) -> int:
    """A sum that at least `count` documents reach; 0 where that is not easily told.

    Each column of a two-dimensional view has its highest: as many documents reach the count-th highest of those.
    """
    columns = max(2048, 16 * count)
    rows = len(room) // columns
    if rows < 2:
        if len(room) <= count:
            return 0
        return int(np.partition(room, len(room) - count)[len(room) - count])
    highest = room[: rows * columns].reshape(rows, columns).max(axis=0)
    return int(np.partition(highest, columns - count)[columns - count])


def _reaching(room: U16s, least: int) -> Any:
    return np.flatnonzero(room >= np.uint16(min(least, MOST)))
