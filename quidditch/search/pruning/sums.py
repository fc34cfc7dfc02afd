"""Room to add up bounds by document, and a quick way to its highest values.

The sums of a span are also seen as a table of many columns, row after row: document d is in column d mod columns.
The highest of each column, one pass of wide instructions, tells both a value that many documents reach and where to
look for the few that are higher.
"""

from __future__ import annotations

import threading

import numpy as np

from quidditch.search.scorers.context import CHUNK, chunks
from quidditch.types import Ints, U8s, U16s, U32s

SPAN = 1 << 20
"""Documents added up at once: 2 MiB of sums, about what a core's cache holds."""

MOST = (1 << 16) - 1

COLUMNS = 2048
"""Columns at least; more where more documents are wanted, or two of those would often share one."""

_local = threading.local()


class Sums:
    """The sums of documents `start` to `stop`. All documents in and out are the segment's, ascending."""

    def __init__(self, room: U16s, start: int, scratch: Scratch) -> None:
        self._room = room
        self._places = scratch.places
        self._values = scratch.values
        self.start = start
        self.stop = start + len(room)
        self._highest: U16s | None = None

    @property
    def size(self) -> int:
        return len(self._room)

    def add(self, docs: U32s, impacts: U8s, weight: int) -> None:
        """Add `weight` times its impact to each of these documents, which are all different."""
        self._highest = None
        for part in chunks(len(docs)):
            some = docs[part]
            places, values = self._places[: len(some)], self._values[: len(some)]
            np.copyto(places, some)
            if self.start:
                places -= self.start
            np.multiply(impacts[part], np.uint16(weight), out=values)
            # `at` is the faster road although no document comes twice.
            np.add.at(self._room, places, values)

    def add_to_all(self, impacts: U8s, weight: int) -> None:
        """Add `weight` times its impact to every document; `impacts` are those of the whole segment."""
        self._highest = None
        for part in chunks(self.size):
            some = impacts[self.start + part.start : min(self.start + part.stop, self.stop)]
            values = self._values[: len(some)]
            np.multiply(some, np.uint16(weight), out=values)
            self._room[part] += values

    def of(self, docs: Ints) -> U16s:
        return self._room.take(docs - self.start if self.start else docs)

    def put(self, docs: Ints, values: U16s) -> None:
        self._highest = None
        self._room[docs - self.start] = values

    def reached_by(self, count: int) -> int:
        """A sum that at least `count` documents reach, close to the highest such; 0 if there are not so many."""
        columns = max(COLUMNS, 16 * count)
        if 2 * columns > self.size:
            if self.size <= count:
                return 0
            return int(np.partition(self._room, self.size - count)[self.size - count])
        highest = self._highest_of(columns)
        return int(np.partition(highest, columns - count)[columns - count])

    def reaching(self, least: int) -> Ints:
        """The documents whose sum is at least `least`."""
        bound = np.uint16(min(least, MOST))
        if self._highest is not None:
            columns = len(self._highest)
            some = np.flatnonzero(self._highest >= bound)
            if 16 * len(some) < columns:
                return self._in_columns(some, columns, bound)
        found = np.flatnonzero(self._room >= bound)
        return found + self.start if self.start else found

    def _in_columns(self, some: Ints, columns: int, bound: np.uint16) -> Ints:
        whole = self.size // columns * columns
        # Row after row, and columns ascending in each: the documents ascend.
        places = np.add.outer(np.arange(0, whole, columns), some).ravel()
        found = places[self._room.take(places) >= bound]
        if whole < self.size:
            found = np.concatenate((found, np.flatnonzero(self._room[whole:] >= bound) + whole))
        return found + self.start if self.start else found

    def _highest_of(self, columns: int) -> U16s:
        if self._highest is None or len(self._highest) != columns:
            rows = self.size // columns
            self._highest = self._room[: rows * columns].reshape(rows, columns).max(axis=0)
        return self._highest


class Scratch:
    """Arrays that one search after another of a thread works in: fresh memory would cost more than the arithmetic."""

    def __init__(self) -> None:
        self.room = np.empty(1 << 16, np.uint16)
        self.places = np.empty(CHUNK, np.intp)
        self.values = np.empty(CHUNK, np.uint16)


def _of_thread() -> Scratch:
    if not hasattr(_local, "scratch"):
        _local.scratch = Scratch()
    return _local.scratch  # type: ignore[no-any-return]


def take_sums(start: int, size: int) -> Sums:
    """Sums of zero for the span that begins at `start`, this thread's until it takes the next."""
    scratch = _of_thread()
    if len(scratch.room) < size:
        scratch.room = np.empty(size, np.uint16)
    room = scratch.room[:size]
    room.fill(0)
    return Sums(room, start, scratch)
