"""What an index does for itself beside the writes: flush, merge, forget, and clear away after the dead."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from other_processes import companion, run

import quidditch
from quidditch import StoreFull
from quidditch.index import single_writes, writer
from quidditch.index.storage import Table
from quidditch.index.writer import IndexWriter
from quidditch.interface import Index
from quidditch.local import LocalIndex


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def index(folder: Path) -> Iterator[Index]:
    with quidditch.connect(folder) as database:
        yield database.create_index("books", {"properties": {"title": {"type": "text"}}})


def wait_for_merges(index: Index) -> None:
    assert isinstance(index, LocalIndex)
    with index._reading() as shard:
        shard.writer._merges.wait()


def rows(index: Index, table: Table) -> int:
    assert isinstance(index, LocalIndex)
    with index._reading() as shard, shard.environment.read() as transaction:
        return transaction.count(table)


def test_a_write_is_done_though_the_flush_after_it_fails(
    index: Index, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(single_writes, "BUFFER_DOCS", 5)

    def no_room(self: IndexWriter) -> None:
        raise StoreFull("no room for a segment")

    with monkeypatch.context() as full, caplog.at_level(logging.WARNING, "quidditch"):
        full.setattr(IndexWriter, "_flush_buffer", no_room)
        for number in range(8):
            assert index.add({"title": "dune"}, id=str(number)).version == 1
        assert index.delete("7").result == "deleted"
    assert "no room for a segment" in caplog.text
    assert len(index) == index.count({"match": {"title": "dune"}}) == 7
    assert index.add({"title": "dune"}, id="next").version == 1
    assert index.stats().buffered == 0
    assert index.count({"match": {"title": "dune"}}) == 8


def test_a_buffer_that_cannot_be_flushed_takes_deletes_only(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_writes, "BUFFER_DOCS", 2)

    def no_room(self: IndexWriter) -> None:
        raise StoreFull("no room for a segment")

    monkeypatch.setattr(IndexWriter, "_flush_buffer", no_room)
    limit = 2 * single_writes.BUFFER_LIMIT
    for number in range(limit):
        index.add({"title": "dune"}, id=str(number))
    with pytest.raises(StoreFull):
        index.add({"title": "dune"}, id="too much")
    assert len(index) == limit
    assert index.delete("0").result == "deleted"
    assert index.add({"title": "dune"}, id="again").result == "created"


def test_deletes_alone_bring_a_merge(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BURIED_DOCS", 50)
    index.add_many({"_id": str(number), "title": f"dune {number}"} for number in range(200))
    index.flush()
    for number in range(100):
        index.delete(str(number))
    index.bulk({"delete": {"_id": str(number)}} for number in range(100, 190))
    wait_for_merges(index)
    assert index.stats().deleted < 50
    assert {hit.id for hit in index.scan({"match": {"title": "dune"}})} == {str(n) for n in range(190, 200)}


def test_deleted_ids_are_forgotten_after_a_while(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.add({"title": "dune"}, id="a")
    index.delete("a")
    assert index.add({"title": "dune"}, id="a").version == 3
    index.delete("a")
    for start in range(0, 1_200, 400):
        index.bulk({"delete": {"_id": str(number)}} for number in range(start, start + 400))
    assert rows(index, Table.IDS) == 1_201
    monkeypatch.setattr(single_writes, "DELETE_MEMORY_MS", -1)
    for start in range(0, 1_200, 400):
        index.bulk({"delete": {"_id": f"later-{number}"}} for number in range(start, start + 400))
    index.delete("last")
    assert rows(index, Table.IDS) == rows(index, Table.DELETES) == 0
    assert index.add({"title": "dune"}, id="a").version == 1


BEGIN_A_MERGE_AND_WAIT = """
    import sys, quidditch
    from quidditch.index import merge, merging
    merge.FANOUT, merging.SLICE_BYTES = 2, 64
    with quidditch.connect(sys.argv[1]) as database:
        index = database["books"]
        with index._reading() as shard:
            merger = shard.writer._merger
        merger.run_due(1)
        print("begun" if merger._task is not None else "nothing to do", flush=True)
        sys.stdin.readline()
        merger.run_due(1 << 30)
        print(len(index), index.count({"match": {"title": "dune"}}), flush=True)
        index.add({"title": "dune"}, id="theirs")
        index.force_merge()
        print(index.stats().segments, flush=True)
"""


def test_force_merge_takes_over_a_merge_that_lies_idle(folder: Path, index: Index) -> None:
    index.add_many(({"_id": str(n), "title": f"dune {n}"} for n in range(4_500)), chunk=1_500)
    assert index.stats().segments == 3
    with companion(BEGIN_A_MERGE_AND_WAIT, folder) as other:
        assert other.says() == "begun"
        index.delete("7")
        index.force_merge(1)
        assert index.stats().segments == 1
        assert index.count({"match": {"title": "dune"}}) == len(index) == 4_499


def test_a_merge_that_was_taken_over_gives_way(folder: Path, index: Index) -> None:
    index.add_many(({"_id": str(n), "title": f"dune {n}"} for n in range(4_500)), chunk=1_500)
    with companion(BEGIN_A_MERGE_AND_WAIT, folder) as other:
        assert other.says() == "begun"
        index.force_merge(1)
        other.go_on()
        assert other.says() == "4500 4500"
        assert other.says() == "1"
    assert index.count({"match": {"title": "dune"}}) == len(index) == 4_501


def test_writing_goes_on_beside_a_merge_that_lies_idle(folder: Path, index: Index) -> None:
    index.add_many(({"_id": str(n), "title": f"dune {n}"} for n in range(4_500)), chunk=1_500)
    with companion(BEGIN_A_MERGE_AND_WAIT, folder) as other:
        assert other.says() == "begun"
        for _ in range(10):
            for turn in range(2):
                index.add({"title": "dune"}, id=f"more-{turn}")
            index.flush()
        assert index.stats().segments < 10
        other.go_on()
        assert other.says() == "4502 4502"


def test_what_a_killed_writer_left_is_swept_by_the_next_stream(folder: Path, index: Index) -> None:
    run(
        """
        import os, signal, sys, quidditch
        from quidditch.index import single_writes, writer
        write_piece = writer.write_piece
        def killed(*arguments):
            write_piece(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        writer.write_piece = killed
        index = quidditch.connect(sys.argv[1])["books"]
        index.add_many({"_id": str(n), "title": "lost"} for n in range(1_500))
        """,
        folder,
        killed=True,
    )
    assert len(index) == 0
    assert rows(index, Table.PENDING) == 1
    assert rows(index, Table.STORED) > 0
    index.add_many({"_id": str(n), "title": "dune"} for n in range(1_500))
    assert rows(index, Table.PENDING) == 0
    assert index.count({"match": {"title": "lost"}}) == 0
    assert index.count({"match": {"title": "dune"}}) == 1_500
    index.bulk({"delete": {"_id": str(n)}} for n in range(1_500))
    index.force_merge()
    assert rows(index, Table.STORED) == rows(index, Table.POSTINGS) == 0
    assert not list(folder.rglob("writer-*.lock"))[1:], "the dead writer's lock file is still there"
