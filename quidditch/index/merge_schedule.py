"""Who merges, and when: a background thread while the process lives, and what is owed at its end."""

from __future__ import annotations

import threading
import time

from quidditch.index.background import Background
from quidditch.index.environment import Environment
from quidditch.index.merging import Merger
from quidditch.index.storage import Table

MERGE_FACTOR = 3
"""Bytes of due merges owed for each byte committed: what a process pays before it ends, if not before."""

MERGE_FLOOR_BYTES = 8 << 20
"""Bytes of due merges owed at the least when a segment was written."""

BACKLOG_SEGMENTS = 60
"""Segments from which on writers merge along: the background cannot keep up."""

LONGEST_PAUSE_S = 0.2
"""How long merging in the background pauses at most between two slices."""


class MergeSchedule:
    """Has due merges done in slices by a thread of its own, for half of the time at most, so that searches and
    writers have the other half; a process that ends before that pays its share, so that short runs keep an index
    healthy too."""

    def __init__(self, environment: Environment, merger: Merger) -> None:
        self._environment = environment
        self._merger = merger
        self._background = Background("merging")
        self._closing = threading.Event()
        self._owed_bytes = 0

    def owe(self, size_bytes: int = 0) -> None:
        """Some bytes were committed, or documents deleted: merges may be due."""
        self._owed_bytes += max(MERGE_FLOOR_BYTES, MERGE_FACTOR * size_bytes)
        self._background.ask(self, self._pay)

    def lend_a_hand(self) -> None:
        """Merge along where the background has fallen far behind."""
        with self._environment.read() as transaction:
            segments = transaction.count(Table.SEGMENTS)
        if segments > BACKLOG_SEGMENTS:
            self._merger.run_due(MERGE_FLOOR_BYTES)

    def wait(self) -> None:
        """Until no merge is due any more."""
        self._background.wait()

    def _pay(self) -> None:
        while not self._closing.is_set():
            began = time.monotonic()
            written = self._merger.run_due(1)
            if written is None:
                self._owed_bytes = 0
                return
            self._owed_bytes = max(0, self._owed_bytes - written)
            self._closing.wait(min(LONGEST_PAUSE_S, time.monotonic() - began))

    def stop(self) -> None:
        """End the thread with the slice it is at."""
        self._closing.set()
        self._background.close()

    def forgive(self) -> None:
        """Nothing is owed; merges that are due stay so, until `owe` is called the next time."""
        self._owed_bytes = 0

    def settle(self) -> None:
        """After `stop`: do what is owed."""
        owed, self._owed_bytes = self._owed_bytes, 0
        if owed:
            self._merger.run_due(owed)
