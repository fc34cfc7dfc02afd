"""When a write is on disk: at once, or within the interval; and what a kill, a full disk and an exit make of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from other_processes import companion, run

import quidditch
from quidditch import RequestError, StoreFull, VersionConflict
from quidditch.index import single_writes
from quidditch.index.single_writes import SingleWrites
from quidditch.index.writer import IndexWriter
from quidditch.local import LocalDatabase, LocalIndex
from quidditch.local.bulk import BULK_CHUNK

NEVER = {"durability": "async", "sync_interval": "1h"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def database(folder: Path) -> Iterator[LocalDatabase]:
    with quidditch.connect(folder, write_timeout_s=20) as opened:
        yield opened


@pytest.fixture
def index(database: LocalDatabase) -> LocalIndex:
    return database.create_index("books", settings=NEVER)


def on_disk(folder: Path) -> str:
    """The ids that a process sees that shares nothing with this one; it takes no lock."""
    return run(
        """
        import sys, quidditch
        with quidditch.connect(sys.argv[1], readonly=True) as database:
            print(*sorted(hit.id for hit in database["books"].scan()))
        """,
        folder,
    )


def pending(index: LocalIndex) -> int:
    with index._database.directory.use("books") as shard:
        changes = shard.writer._singles._pending
        return 0 if changes is None else len(changes.entries)


# --------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "settings",
    [
        {"durability": "sometimes"},
        {"durability": 1},
        {"sync_interval": "soon"},
        {"sync_interval": "1"},
        {"sync_interval": 5},
        {"sync_interval": "0s"},
        {"sync_interval": "2h"},
        {"sync_intervall": "1s"},
    ],
)
def test_a_bad_setting_is_refused_by_name(database: LocalDatabase, settings: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=next(iter(settings))):
        database.create_index("books", settings=settings)
    assert database.indices() == []


def test_the_names_of_opensearch_are_taken(database: LocalDatabase) -> None:
    settings = {"index": {"translog.durability": "async", "translog.sync_interval": "100ms"}}
    index = database.create_index("books", settings=settings)
    assert index.settings == {"durability": "async", "sync_interval": "100ms"}


# ---------------------------------------------------------------------------------------- acknowledged early


def test_async_acknowledges_from_memory_and_reads_see_it_at_once(folder: Path, index: LocalIndex) -> None:
    assert index.add({"title": "dune"}, id="1").version == 1
    assert index.add({"title": "dune two"}, id="1").version == 2
    assert index.delete("1").version == 3
    assert index.add({"title": "emma"}, id="2").seq_no == 3
    assert pending(index) == 2
    assert on_disk(folder) == ""
    assert index["2"]["title"] == "emma"
    assert pending(index) == 0, "a read commits first, so that it may see everything"
    assert on_disk(folder) == "2"
    assert index.add({"title": "dune"}, id="1").version == 4


def test_async_settles_conflicts_at_once(index: LocalIndex) -> None:
    first = index.add({"n": 1}, id="1")
    with pytest.raises(VersionConflict):
        index.add({"n": 2}, id="1", op="create")
    with pytest.raises(VersionConflict):
        index.add({"n": 2}, id="1", if_seq_no=first.seq_no + 1, if_primary_term=1)
    assert index.update("1", {"m": 2}).version == 2
    assert index.update("1", {"m": 2}).result == "noop"
    assert pending(index) == 1
    assert index["1"].source == {"n": 1, "m": 2}


def test_async_is_on_disk_within_the_interval(folder: Path, database: LocalDatabase) -> None:
    index = database.create_index("books", settings={"durability": "async", "sync_interval": "50ms"})
    for number in range(3):
        index.add({"n": number}, id=str(number))
    deadline = time.monotonic() + 30
    while on_disk(folder) != "0 1 2":
        assert time.monotonic() < deadline, "nobody synced"
    assert pending(index) == 0


def test_a_flush_has_everything_on_disk(folder: Path, index: LocalIndex) -> None:
    index.add({"n": 1}, id="1")
    index.flush()
    assert pending(index) == 0
    assert on_disk(folder) == "1"


@pytest.mark.parametrize("last", ["stream", "put_mappings", "force_merge", "backup", "compact", "close"])
def test_whatever_else_is_done_comes_after(folder: Path, index: LocalIndex, last: str) -> None:
    index.add({"title": "dune"}, id="1")
    if last == "stream":
        index.add_many({"_id": "1", "title": "emma"} for _ in range(1_200))
        assert index["1"].version == 1_201
    elif last == "put_mappings":
        index.put_mappings({"properties": {"more": {"type": "keyword"}}})
    elif last == "force_merge":
        index.force_merge()
    elif last == "backup":
        index.backup(folder.parent / "copy")
        with quidditch.connect(folder.parent / "copy", readonly=True) as copy:
            assert len(copy["books"]) == 1
    elif last == "compact":
        index.compact()
    else:
        index._database.close()
    assert on_disk(folder) == "1"


def test_many_writes_do_not_wait_for_the_interval(
    folder: Path, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_writes, "PENDING_OPERATIONS", 10)
    for number in range(25):
        index.add({"n": number}, id=str(number))
    assert len(on_disk(folder).split()) == 20


@pytest.mark.parametrize("busy", [False, True])
def test_another_writer_need_not_wait_for_the_interval(folder: Path, index: LocalIndex, busy: bool) -> None:
    writer = """
        import sys, quidditch
        with quidditch.connect(sys.argv[1], write_timeout_s=20) as database:
            print("ready", flush=True)
            sys.stdin.readline()
            print(database["books"].add({"n": 0}, id="theirs").version, flush=True)
        print("closed", flush=True)
        sys.stdin.readline()
    """
    with companion(writer, folder) as other:
        assert other.says() == "ready"
        index.add({"n": 1}, id="theirs")
        other.go_on()
        # It waits for us to commit, and we see that, busy or not.
        deadline = time.monotonic() + 15
        number = 0
        while busy and number < 50:
            assert time.monotonic() < deadline, "the other keeps us waiting"
            index.add({"n": number}, id="ours")
            number += 1
        assert other.says() == "2"
        assert other.says() == "closed"
    assert index["theirs"].version == 2
    assert not busy or index["ours"].version == 50


# ------------------------------------------------------------------------------------------------ what goes wrong


def test_a_kill_takes_what_was_not_synced_and_nothing_else(folder: Path, database: LocalDatabase) -> None:
    database.create_index("books", settings=NEVER)
    run(
        """
        import os, signal, sys, quidditch
        index = quidditch.connect(sys.argv[1])["books"]
        for number in range(50):
            index.add({"title": "dune"}, id=str(number))
        index.flush()
        for number in range(50, 100):
            index.add({"title": "dune"}, id=str(number))
            index.delete("0")
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        folder,
        killed=True,
    )
    index = database["books"]
    assert len(index) == index.count("dune") == 50
    assert index.check().problems == ()
    assert index.add({"title": "dune"}, id="50").version == 1


def test_a_program_that_ends_without_closing_loses_nothing(folder: Path, database: LocalDatabase) -> None:
    database.create_index("books", settings=NEVER)
    run(
        """
        import sys, quidditch
        index = quidditch.connect(sys.argv[1])["books"]
        index.add({"n": 1}, id="1")
        """,
        folder,
    )
    assert on_disk(folder) == "1"


def test_a_sync_that_fails_keeps_what_was_acknowledged_and_says_so(
    folder: Path, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add({"n": 1}, id="1")

    def no_room(*_: object) -> None:
        raise StoreFull("no room to commit")

    with monkeypatch.context() as full:
        full.setattr(SingleWrites, "_write", no_room)
        for refused in (lambda: index["1"], lambda: index.add({"n": 2}, id="2"), index.flush):
            with pytest.raises(StoreFull, match="no room to commit"):
                refused()
        assert on_disk(folder) == ""
    assert index["1"]["n"] == 1
    assert index.add({"n": 2}, id="2").version == 1
    assert index.add({"n": 2}, id="1").version == 2
    assert len(index) == 2


def test_closing_says_what_could_not_be_saved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = quidditch.connect(folder)
    database.create_index("books", settings=NEVER).add({"n": 1}, id="1")

    def no_room(*_: object) -> None:
        raise StoreFull("no room to commit")

    with monkeypatch.context() as full:
        full.setattr(SingleWrites, "_write", no_room)
        with pytest.raises(StoreFull):
            database.close()
    with quidditch.connect(folder) as again:
        assert len(again["books"]) == 0
        assert again["books"].add({"n": 1}, id="1").version == 1


# ---------------------------------------------------------------------------------------------- stopped halfway


def test_a_bulk_that_stops_halfway_says_what_is_in(
    index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = IndexWriter.apply
    chunks = iter([apply, apply])

    def full_after_two(self: IndexWriter, operations: Any) -> Any:
        chunk = next(chunks, None)
        if chunk is None:
            raise StoreFull("no room")
        return chunk(self, operations)

    with monkeypatch.context() as full:
        full.setattr(IndexWriter, "apply", full_after_two)
        with pytest.raises(StoreFull) as raised:
            index.bulk({"_id": str(n), "n": "x" if n == 5 else n} for n in range(3 * BULK_CHUNK))
    partial = raised.value.partial
    there = 2 * BULK_CHUNK - 1
    assert (partial.ok, [item.id for item in partial.errors]) == (there, ["5"])
    assert len(index) == there
    assert f"{there} actions" in raised.value.__notes__[0]


def test_a_bulk_whose_source_fails_carries_out_what_came_before(index: LocalIndex) -> None:
    def actions() -> Iterator[dict[str, Any]]:
        yield from ({"_id": str(n), "n": n} for n in range(1_200))
        raise ConnectionError("the source is gone")

    with pytest.raises(ConnectionError) as raised:
        index.bulk(actions())
    assert len(index) == 1_200
    assert "1200 actions" in raised.value.__notes__[0]
