"""Room to add up bounds by document, and a quick way to its highest values.

The sums of a span are also seen as a table of many columns, row after row: document d is in column d mod columns.
The highest of each column, one pass of wide instructions, tells both a value that many documents reach and where to
look for the few that are higher.
"""

from __future__ import annotations

import threading

import numpy as np

from quidditch.types import Ints, U16s

SPAN = 1 << 20
"""Documents added up at once: 2 MiB of sums, about what a core's cache holds."""

MOST = (1 << 16) - 1

COLUMNS = 2048
"""Columns at least; more where more documents are wanted, or two of those would often share one."""

_scratch = threading.local()


class Sums:
    """The sums of documents `start` to `stop`. All documents in and out are the segment's, ascending."""

    def __init__(self, room: U16s, start: int) -> None:
        self._room = room
        self.start = start
        self.stop = start + len(room)
        self._highest: U16s | None = None

    @property
    def size(self) -> int:
        return len(self._room)

    def add(self, docs: Ints, values: U16s) -> None:
        """Add to documents that are listed once each."""
        self._highest = None
        places = docs.astype(np.intp)
        if self.start:
            places -= self.start
        # `at` is the faster road although no document comes twice.
        np.add.at(self._room, places, values)

    def add_all(self, values: U16s) -> None:
        """Add to every document."""
        self._highest = None
        self._room += values

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
        rows = self.size // columns
        table = self._room[: rows * columns].reshape(rows, columns)
        row, place = np.nonzero(table.take(some, axis=1) >= bound)
        last = np.flatnonzero(self._room[rows * columns :] >= bound)
        # Row after row, and columns ascending in each: the documents ascend.
        found = np.concatenate((row * columns + some.take(place), last + rows * columns))
        return found + self.start

    def _highest_of(self, columns: int) -> U16s:
        if self._highest is None or len(self._highest) != columns:
            rows = self.size // columns
            self._highest = self._room[: rows * columns].reshape(rows, columns).max(axis=0)
        return self._highest


def take_sums(start: int, size: int) -> Sums:
    """Sums of zero for the span that begins at `start`, this thread's until it takes the next."""
    whole: U16s | None = getattr(_scratch, "room", None)
    if whole is None or len(whole) < size:
        whole = _scratch.room = np.empty(max(size, 1 << 16), np.uint16)
    room = whole[:size]
    room.fill(0)
    return Sums(room, start)
