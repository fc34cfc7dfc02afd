"""A write log in memory: what a replica needs, without a network."""

from __future__ import annotations

import threading

from quidditch.cluster.log import Beginning, Bounds, Entry, LogLost, LogTrimmed


class MemoryLog:
    """`WriteLog` over a list. `rename` makes it another log of the same content."""

    def __init__(self, name: str = "memory", made_of: Beginning | None = None) -> None:
        self._name = name
        self._entries: list[Entry] = []
        self._made_of = made_of
        self._before = made_of.first - 1 if made_of else 0
        self._first = self._before + 1
        self._known: dict[str, int] = {}
        self._grown = threading.Condition()

    def append(self, data: bytes, batch_id: str, timeout_s: float = 1.0) -> int:
        with self._grown:
            if batch_id not in self._known:
                self._known[batch_id] = self._last + 1
                self._entries.append(Entry(self._last + 1, data))
                self._grown.notify_all()
            return self._known[batch_id]

    @property
    def _last(self) -> int:
        return self._before + len(self._entries)

    def read_from(self, sequence: int) -> MemoryReader:
        return MemoryReader(self, sequence)

    def after(self, sequence: int, limit: int, wait_s: float) -> list[Entry]:
        with self._grown:
            if sequence < self._first:
                raise LogTrimmed(f"entry {sequence} is needed; the log begins at {self._first}")
            if sequence > self._last + 1:
                raise LogLost(f"entry {sequence} is needed; the log ends at {self._last}")
            self._grown.wait_for(lambda: self._last >= sequence, wait_s)
            start = sequence - 1 - self._before
            return self._entries[start : start + limit]

    def bounds(self) -> Bounds:
        return Bounds(self._first, self._last)

    def identity(self) -> str:
        return self._name

    def beginning(self) -> Beginning | None:
        return self._made_of

    def rename(self, name: str) -> None:
        self._name = name

    def trim(self, upto: int) -> None:
        self._first = upto + 1


class MemoryReader:
    def __init__(self, log: MemoryLog, sequence: int) -> None:
        self._log = log
        self._next = sequence

    def read(self, limit: int, wait_s: float) -> list[Entry]:
        found = self._log.after(self._next, limit, wait_s)
        self._next += len(found)
        return found

    def close(self) -> None:
        pass
