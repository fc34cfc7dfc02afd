"""What was asked of each index since the server started."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

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


class Activity:
    """Counters by index. Of one worker; runtime/anywhere.py adds those of all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, Counter[str]] = {}

    def add(self, indices: Iterable[str], **amounts: int) -> None:
        with self._lock:
            for name in indices:
                self._counters.setdefault(name, Counter()).update(amounts)

    def of(self, indices: Iterable[str]) -> dict[str, dict[str, int]]:
        """Every counter of each index."""
        with self._lock:
            found = {index: self._counters.get(index, Counter()) for index in indices}
            return {index: {name: counter[name] for name in COUNTED} for index, counter in found.items()}

    def forget(self, index: str) -> None:
        """An index of the same name begins at 0."""
        with self._lock:
            self._counters.pop(index, None)
