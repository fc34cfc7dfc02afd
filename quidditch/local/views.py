"""Snapshots that outlive a call, of scans and points in time: limited in number and in the time they lie unused.

While one is open the pages that it sees are not reused, and the file grows with what is replaced meanwhile.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from quidditch.errors import LimitExceeded, SnapshotExpired, StorageError
from quidditch.index.background import Background
from quidditch.index.snapshot import Snapshot
from quidditch.interface import (
    CollectionStats,
    Fetched,
    FetchRequest,
    QueryRequest,
    QueryResult,
    ShardSnapshot,
)
from quidditch.search.searcher import SnapshotSearcher
from quidditch.types import DocAddress

MAX_VIEWS = 500
"""Scans and points in time of one index that a process may have open."""

DEFAULT_KEEP_ALIVE_S = 300.0
"""How long one may lie unused."""


class LastingView(ShardSnapshot):
    """A view that may lie idle, so closing the shard ends it rather than wait for it. One call at a time."""

    def __init__(self, snapshot: Snapshot, searcher: SnapshotSearcher, keep_alive_s: float) -> None:
        self._snapshot = snapshot
        self._searcher = searcher
        self._keep_alive_s = keep_alive_s
        self._end: Callable[[], Exception] | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self.opened = self._used = time.monotonic()

    def end(self, reason: Callable[[], Exception]) -> None:
        """Let go of the snapshot; whoever uses the view again gets the reason."""
        with self._lock:
            self._end = self._end or reason
            self._snapshot.close()

    def idle_left_s(self) -> float:
        """Seconds until it has lain unused for too long; it is ended if that is now."""
        with self._lock:
            left_s = self._used + self._keep_alive_s - time.monotonic()
        if left_s <= 0:
            self.end(self._expired)
        return left_s

    def _expired(self) -> Exception:
        return SnapshotExpired(
            f"a scan or point in time lay unused for more than its {self._keep_alive_s:g} s and was ended, so that "
            "the disk space it kept can be reused; begin it again"
        )

    @contextmanager
    def _at_work(self) -> Iterator[SnapshotSearcher]:
        if self._pid != os.getpid():
            raise StorageError(
                f"a scan or point in time of process {self._pid} cannot be read in a process that it forked"
            )
        with self._lock:
            if self._end is not None:
                raise self._end()
            try:
                yield self._searcher
            finally:
                self._used = time.monotonic()

    def statistics(self, fields: Iterable[str], terms: Iterable[tuple[str, bytes]]) -> CollectionStats:
        with self._at_work() as searcher:
            return searcher.statistics(fields, terms)

    def query(self, request: QueryRequest) -> QueryResult:
        with self._at_work() as searcher:
            return searcher.query(request)

    def fetch(self, addresses: Sequence[DocAddress], request: FetchRequest) -> list[Fetched]:
        with self._at_work() as searcher:
            return searcher.fetch(addresses, request)


class Views:
    """The lasting views of one shard that this process has open."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may close an abandoned scan while this thread holds it.
        self._lock = threading.RLock()
        self._open: set[LastingView] = set()
        self._closing = False
        self._pid = os.getpid()
        self._expiry = Background("expiry")

    @contextmanager
    def registered(
        self, snapshot: Snapshot, searcher: SnapshotSearcher, keep_alive_s: float
    ) -> Iterator[LastingView]:
        """raises: LimitExceeded"""
        view = LastingView(snapshot, searcher, keep_alive_s)
        with self._lock:
            if len(self._open) >= MAX_VIEWS:
                raise LimitExceeded(
                    f"{MAX_VIEWS} scans and points in time of this index are open already: close some"
                )
            self._open.add(view)
            closing = self._closing
        if closing:
            view.end(_closed)
        try:
            self._watch(view, keep_alive_s)
            yield view
        finally:
            if self._pid == os.getpid():
                self._expiry.forget(view)
                with self._lock:
                    self._open.discard(view)

    def _watch(self, view: LastingView, delay_s: float) -> None:
        def look() -> None:
            left_s = view.idle_left_s()
            if left_s > 0:
                self._watch(view, left_s)
                return
            # Whoever forgot it shall not be locked out by it.
            with self._lock:
                self._open.discard(view)

        self._expiry.ask(view, look, delay_s)

    def ages_s(self) -> list[float]:
        """How long each has been open, the oldest first."""
        now = time.monotonic()
        with self._lock:
            return sorted((now - view.opened for view in list(self._open)), reverse=True)

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            self._closing = True
            views = list(self._open)
        self._expiry.close()
        for view in views:
            view.end(_closed)


def _closed() -> Exception:
    return StorageError("the database was closed while this scan or point in time was open")
