"""Merges that are owed when a writer is closed."""

from __future__ import annotations

from pathlib import Path

import pytest

import quidditch
from quidditch.local.database import LocalDatabase


def segments_after_closing(path: Path, *, leave: bool) -> int:
    """How many segments an index has whose merges had no time before it was closed."""
    with quidditch.connect(path) as database:
        assert isinstance(database, LocalDatabase)
        index = database.create_index("books")
        with database.directory.use("books") as shard, pytest.MonkeyPatch.context() as patch:
            # The background is kept from merging.
            patch.setattr(shard.writer._merges._background, "ask", lambda key, work: None)
            for turn in range(20):
                index.add_many([{"text": f"dune {turn}"}] * 100)
                index.flush()
            if leave:
                shard.writer.leave_merges()
    with quidditch.connect(path, readonly=True) as database:
        return database["books"].stats().segments


def test_a_writer_that_leaves_its_merges_closes_without_them(tmp_path: Path) -> None:
    merged = segments_after_closing(tmp_path / "merged", leave=False)
    left = segments_after_closing(tmp_path / "left", leave=True)
    assert merged < left == 20
