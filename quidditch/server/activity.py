"""What was asked of each index since the server started."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quidditch.types import I64s

COUNTED = (
    "index",
    "delete",
    "index_failed",
    "get",
    "get_missing",
    "query",
    "query_ms",
    "scroll",
    "refresh",
    "flush",
)
"""Writes, reads, searches and the milliseconds they took; `index` counts updates, too."""

MOST_INDICES = 1 << 16
"""Names of indices that are counted; what is asked of further ones is not. Only rows in use take memory."""

_COLUMNS = {name: place for place, name in enumerate(COUNTED)}


class Activity:
    """Counters by index. Of one worker; runtime/anywhere.py adds those of all.

    They are kept in files of the server's, of which the worker that takes a dead one's place goes on: the names of
    indices, a line each, and the counters of each line's index.
    """

    def __init__(self, path: Path | None = None) -> None:
        """`path` without a suffix; None where no process will take this one's place."""
        self._lock = threading.Lock()
        self._path = path
        self._rows: dict[str, int] = {}
        shape = (MOST_INDICES, len(COUNTED))
        self._counters: I64s = np.zeros(shape, np.int64) if path is None else self._kept(path, shape)

    def add(self, indices: Iterable[str], **amounts: int) -> None:
        with self._lock:
            for index in indices:
                row = self._row(index)
                if row is not None:
                    for name, amount in amounts.items():
                        self._counters[row, _COLUMNS[name]] += amount

    def of(self, indices: Iterable[str]) -> dict[str, dict[str, int]]:
        """Every counter of each index."""
        with self._lock:
            return {index: dict(zip(COUNTED, self._numbers(index), strict=True)) for index in indices}

    def forget(self, index: str) -> None:
        """An index of the same name begins at 0."""
        with self._lock:
            if index in self._rows:
                self._counters[self._rows[index]] = 0

    def _numbers(self, index: str) -> list[int]:
        row = self._rows.get(index)
        numbers: list[int] = [0] * len(COUNTED) if row is None else self._counters[row].tolist()
        return numbers

    def _row(self, index: str) -> int | None:
        """The row of an index, a new one if it has none yet; None where there are no more."""
        row = self._rows.get(index)
        if row is None and len(self._rows) < MOST_INDICES:
            if self._path is not None:
                with self._path.with_suffix(".names").open("a", encoding="utf-8") as names:
                    names.write(f"{index}\n")
            row = self._rows[index] = len(self._rows)
        return row

    def _kept(self, path: Path, shape: tuple[int, int]) -> NDArray[np.int64]:
        """The counters of the file, which is made where there is none, with the names that it has by now."""
        names = path.with_suffix(".names")
        names.touch()
        # A worker that was killed in the middle of a line had counted nothing of it yet.
        lines, end, _ = names.read_bytes().rpartition(b"\n")
        names.write_bytes(lines + end)
        self._rows = {name: row for row, name in enumerate(lines.decode().split("\n")) if name}
        numbers = path.with_suffix(".numbers")
        return np.memmap(numbers, np.int64, "r+" if numbers.exists() else "w+", shape=shape)
