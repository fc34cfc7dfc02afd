"""Sweeping clears away what dead writers left, and nothing else, however it falls together with those who live."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import quidditch
from quidditch.index import commit
from quidditch.index.storage import Transaction
from quidditch.index.writer import IndexWriter

WAIT_S = 30.0
"""Far longer than anything here takes."""


def test_a_segment_published_while_a_sweep_looks_at_the_leases_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush has written its rows. A sweep, as every flush and merge makes one, reads that they are leased; then
    they are published; then the sweep finds that nobody holds the lease any more."""
    rows_written, leases_read, published = threading.Event(), threading.Event(), threading.Event()
    publish, read_leases = IndexWriter._publish, commit.read_leases

    def publish_late(self: IndexWriter, *arguments: Any) -> None:
        rows_written.set()
        assert leases_read.wait(WAIT_S)
        publish(self, *arguments)

    def read_early(transaction: Transaction) -> dict[Any, commit.Lease]:
        found = read_leases(transaction)
        if threading.current_thread() is sweeper and not leases_read.is_set():
            leases_read.set()
            assert published.wait(WAIT_S)
        return found

    with quidditch.connect(tmp_path) as database:
        index = database.create_index("books")
        index.bulk([line for n in range(20) for line in ({"index": {"_id": str(n)}}, {"title": "dune"})])
        with database.directory.use("books") as shard:
            leases = shard.writer._leases
            sweeper = threading.Thread(target=commit.sweep, args=(shard.environment, leases))
            monkeypatch.setattr(IndexWriter, "_publish", publish_late)
            monkeypatch.setattr(commit, "read_leases", read_early)
            flusher = threading.Thread(target=index.flush)
            flusher.start()
            assert rows_written.wait(WAIT_S)
            sweeper.start()
            flusher.join(WAIT_S)
            published.set()
            sweeper.join(WAIT_S)
        assert {hit.id for hit in index.scan()} == {str(n) for n in range(20)}
        assert index.count("dune") == 20
        assert index.check().ok
