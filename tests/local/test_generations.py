"""What makes an index anew as a whole: compaction, upgrade, backup, restore; readers and writers meanwhile."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from other_processes import run

import quidditch
from quidditch import CorruptIndex, IndexExists, IndexNotFound, RequestError, StorageError, StoreLocked
from quidditch.index import copying
from quidditch.index.datafile import _newest_meta
from quidditch.interface import Index
from quidditch.local import LocalDatabase, LocalIndex


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def database(folder: Path) -> Iterator[LocalDatabase]:
    with quidditch.connect(folder) as opened:
        yield opened


def document(number: int, text: str = "dune") -> dict[str, Any]:
    return {"_id": str(number), "title": f"{text} of {number % 7} sands", "n": number}


@pytest.fixture
def index(database: LocalDatabase) -> LocalIndex:
    """Segments, tombstones, a buffer, and remembered deletes."""
    made = database.create_index("books")
    made.add_many(map(document, range(1_500)), chunk=500)
    made.add_many(document(number, "emma") for number in range(0, 300, 3))
    made.flush()
    for number in range(0, 60, 2):
        made.delete(str(number))
    made.add({"title": "dune again", "n": 9_000}, id="last")
    return made


def seen(index: Index) -> dict[str, Any]:
    """What a reader can see, order and scores included."""
    hits = index.search("dune sands", size=5_000)
    return {
        "hits": [(hit.id, hit.score) for hit in hits],
        "documents": [(hit.id, hit.source) for hit in index.scan()],
        "versions": [(doc.version, doc.seq_no) for doc in index.mget(["1", "3", "last"]) if doc is not None],
    }


def folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "catalog")


# -------------------------------------------------------------------------------------------------- compaction


def test_compaction_changes_nothing_a_reader_sees_and_gives_space_back(
    folder: Path, index: LocalIndex
) -> None:
    index.force_merge()
    for _ in range(3):
        index.add_many(map(document, range(1_500)))
    index.force_merge()
    remembered = index.delete("0").version
    size, before, old = index.stats().size_bytes, seen(index), folders(folder)
    index.compact()
    assert index.stats().size_bytes < size
    assert seen(index) == before
    assert index.delete("0").version == remembered + 1, "what was deleted a moment ago is remembered"
    assert len(folders(folder)) == 1
    assert folders(folder) != old
    index.add(document(1), id="1")
    assert index["1"].version == before["versions"][0][0] + 1


def test_deletes_after_a_compaction_count_in_scores_at_once(index: LocalIndex) -> None:
    """What is cached goes by the commit of the last delete, and a copy counts its commits anew."""
    index.force_merge()
    index.add_many(map(document, range(100_000, 170_000)))
    index.force_merge()
    for number in range(100, 140):
        index.delete(str(number))
    index.compact()
    for number in range(169_000, 169_003):
        scores = {hit.score for hit in index.search("dune", size=1)}
        index.delete(str(number))
        assert {hit.score for hit in index.search("dune", size=1)} != scores
    assert index.check(deep=False).problems == ()


def test_a_scan_that_began_before_a_compaction_goes_on_with_what_it_saw(index: LocalIndex) -> None:
    whole = [hit.id for hit in index.scan()]
    scan = index.scan()
    begun = [next(scan).id for _ in range(10)]
    index.compact()
    index.delete(whole[500])
    index.compact()
    assert begun + [hit.id for hit in scan] == whole
    assert len(index) == len(whole) - 1


def test_closing_ends_a_scan_of_a_generation_that_is_past(index: LocalIndex) -> None:
    scan = index.scan()
    next(scan)
    index.compact()
    index._database.close()
    with pytest.raises(StorageError, match="closed"):
        list(scan)


def test_writers_go_on_over_compactions(index: LocalIndex) -> None:
    """Single writes, streams and bulks of other threads lose nothing and are never refused."""
    done, errors = threading.Event(), []
    written: dict[str, set[str]] = {"single": set(), "stream": set(), "bulk": set()}

    def until_done(kind: str) -> None:
        number = 0
        try:
            while not done.is_set() or number < 3:
                ids = {f"{kind}-{number}-{n}" for n in range(1 if kind == "single" else 1_200)}
                if kind == "single":
                    index.add({"title": "late", "kind": kind}, id=next(iter(ids)))
                elif kind == "stream":
                    index.add_many(({"_id": id, "title": "late", "kind": kind} for id in ids), chunk=400)
                else:
                    index.bulk({"_id": id, "title": "late", "kind": kind} for id in ids)
                written[kind] |= ids
                number += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=until_done, args=(kind,)) for kind in written]
    for thread in threads:
        thread.start()
    for _ in range(4):
        index.compact()
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    found: dict[str, set[str]] = {kind: set() for kind in written}
    for hit in index.scan({"match": {"title": "late"}}):
        found[hit["kind"]].add(hit.id)
    assert found == written


def test_another_process_follows_a_compaction(folder: Path, index: LocalIndex) -> None:
    index.compact()
    run(
        """
        import sys, quidditch
        with quidditch.connect(sys.argv[1]) as database:
            index = database["books"]
            index.compact()
            index.add({"title": "theirs"}, id="theirs")
            index.compact()
        """,
        folder,
    )
    assert index["theirs"]["title"] == "theirs"
    assert index.add({"title": "ours"}, id="theirs").version == 2
    assert len(folders(folder)) == 1


def test_a_stream_under_way_in_another_thread_is_waited_for(folder: Path, index: LocalIndex) -> None:
    with index._reading() as shard, shard.environment.write() as transaction:
        segment = shard.writer._leases.take(transaction)
    shard.environment.write_timeout_s = 0.2
    with pytest.raises(StoreLocked, match="stream"):
        index.compact()
    assert len(folders(folder)) == 1
    shard.writer._discard(segment)
    index.compact()
    assert index.count("dune") > 0


def test_a_compaction_that_fails_leaves_the_index_and_no_rubbish(
    folder: Path, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, old = seen(index), folders(folder)

    def broken(self: copying.ShardCopy, *_: Any) -> None:
        raise quidditch.StoreFull("no room")

    with monkeypatch.context() as full:
        full.setattr(copying.ShardCopy, "finish", broken)
        with pytest.raises(quidditch.StoreFull):
            index.compact()
    assert folders(folder) == old
    assert seen(index) == before
    index.add_many(map(document, range(2_000)))


@pytest.mark.parametrize("moment", ["copied", "moved"])
def test_a_killed_compaction_leaves_one_whole_index(folder: Path, index: LocalIndex, moment: str) -> None:
    before = [hit.id for hit in index.scan()]
    run(
        """
        import os, signal, sys, quidditch
        from quidditch.index.catalog import Catalog
        move = Catalog.move
        def killed(*arguments):
            if sys.argv[2] == "moved":
                move(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        Catalog.move = killed
        with quidditch.connect(sys.argv[1]) as database:
            database["books"].compact()
        """,
        folder,
        moment,
        killed=True,
    )
    assert len(folders(folder)) == 3  # two generations, and the lock of the one being made
    index.add_many(map(document, range(3_000, 5_000)))
    with quidditch.connect(folder) as database:
        assert [hit.id for hit in database["books"].scan()][: len(before)] == before
    run("import sys, quidditch; quidditch.connect(sys.argv[1]).close()", folder)
    assert len(folders(folder)) == 1


def test_an_index_whose_files_are_gone_says_so(folder: Path, index: LocalIndex) -> None:
    index._database.close()
    (data,) = folder.glob("*/0")
    shutil.rmtree(data)
    for readonly in (True, False):
        with (
            quidditch.connect(folder, readonly=readonly) as database,
            pytest.raises(CorruptIndex, match="missing"),
        ):
            len(database["books"])


# ------------------------------------------------------------------------------------------- backup and restore


def test_a_backup_is_a_directory_like_any_other(
    folder: Path, database: LocalDatabase, index: LocalIndex
) -> None:
    database.create_index("authors", {"properties": {"name": {"type": "keyword"}}}).add({"name": "Herbert"})
    target = folder.parent / "backup"
    database.backup(target)
    ids = [hit.id for hit in index.scan()]
    index.delete(ids[0])
    for readonly in (True, False):
        with quidditch.connect(target, readonly=readonly) as copy:
            assert copy.indices() == ["authors", "books"]
            assert copy["authors"].mappings == database["authors"].mappings
            assert [hit.id for hit in copy["books"].scan()] == ids
            assert [hit.score for hit in copy["books"].search("dune")]
    with quidditch.connect(target) as copy:
        assert copy["books"].delete(ids[0]).result == "deleted"
    assert index.delete(ids[0]).result == "not_found"


def test_a_backup_of_one_index(folder: Path, database: LocalDatabase, index: LocalIndex) -> None:
    database.create_index("authors")
    index.backup(folder.parent / "one")
    with quidditch.connect(folder.parent / "one", readonly=True) as copy:
        assert copy.indices() == ["books"]


def test_a_backup_overwrites_nothing(folder: Path, database: LocalDatabase, index: LocalIndex) -> None:
    taken = folder.parent / "taken"
    taken.mkdir()
    (taken / "letter").write_text("keep")
    for path in (taken, taken / "letter", folder):
        with pytest.raises(StorageError, match="is there already"):
            database.backup(path)
    assert (taken / "letter").read_text() == "keep"


@pytest.mark.parametrize("readonly", [False, True])
def test_a_backup_is_of_one_moment_while_writes_go_on(
    database: LocalDatabase, folder: Path, readonly: bool
) -> None:
    """Each number goes to the first index, then to the second: no copy may hold one in the second alone."""
    first, second = database.create_index("first"), database.create_index("second")
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            for index in (first, second):
                index.add({"n": number}, id=str(number))
                time.sleep(0.002)
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for turn in range(5):
            with quidditch.connect(folder, readonly=readonly) as handle:
                handle.backup(folder.parent / f"copy-{turn}")
    finally:
        done.set()
        thread.join()
    for turn in range(5):
        with quidditch.connect(folder.parent / f"copy-{turn}", readonly=True) as copy:
            assert 0 <= len(copy["first"]) - len(copy["second"]) <= 1


def test_a_backup_cut_short_is_no_directory(
    folder: Path, database: LocalDatabase, index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: copying.ShardCopy, *_: Any) -> None:
        raise quidditch.StoreFull("no room")

    with monkeypatch.context() as full:
        full.setattr(copying.ShardCopy, "finish", broken)
        with pytest.raises(quidditch.StoreFull):
            database.backup(folder.parent / "half")
    assert not (folder.parent / "half").exists()
    database.backup(folder.parent / "half")


def test_a_backup_inside_what_it_copies_is_refused(folder: Path, database: LocalDatabase) -> None:
    with pytest.raises(StorageError, match="inside"):
        database.backup(folder / "inner")
    with pytest.raises(RequestError, match="backup"):
        database.backup(":memory:")


def test_damage_to_one_index_of_a_backup_hinders_no_other(
    folder: Path, database: LocalDatabase, index: LocalIndex
) -> None:
    database.create_index("good").add({"n": 1}, id="1")
    target = folder.parent / "backup"
    database.backup(target)
    with quidditch.connect(target, readonly=True) as copy:
        generation = copy.directory.catalog.get("books").generation
    data = target / generation / "0" / "data.mdb"
    page_bytes, last_page, _ = _newest_meta(data)
    with data.open("r+b") as file:
        file.seek(last_page // 2 * page_bytes)
        file.write(bytes(page_bytes))
    with pytest.raises(CorruptIndex, match=r"\[books\]"):
        database.restore(target, replace=True)
    assert database.restore(target, "good", name="better") == ["better"]
    assert database["better"]["1"]["n"] == 1


def test_restoring_brings_an_index_back_as_it_was(
    folder: Path, database: LocalDatabase, index: LocalIndex
) -> None:
    before = seen(index)
    target = folder.parent / "backup"
    database.backup(target)
    index.add_many(map(document, range(5_000, 7_000)))
    database.delete_index("books")
    assert database.restore(target) == ["books"]
    assert seen(database["books"]) == before
    assert index["last"]["title"] == "dune again", "a handle by name finds the restored index"


def test_restoring_replaces_only_when_told(folder: Path, database: LocalDatabase, index: LocalIndex) -> None:
    database.backup(folder.parent / "backup")
    ids = [hit.id for hit in index.scan()]
    index.delete("last")
    index.put_mappings({"properties": {"more": {"type": "keyword"}}})
    with pytest.raises(IndexExists, match="books"):
        database.restore(folder.parent / "backup")
    scan = index.scan()
    next(scan)
    assert database.restore(folder.parent / "backup", "books", replace=True) == ["books"]
    assert len(list(scan)) == len(ids) - 2, "a reader of the old index goes on with it"
    assert [hit.id for hit in index.scan()] == ids
    assert "more" not in index.mappings["properties"]
    assert index.add({"title": "new"}, id="last").version == 2
    assert len(folders(folder)) == 1


def test_restoring_under_another_name(folder: Path, database: LocalDatabase, index: LocalIndex) -> None:
    database.backup(folder.parent / "backup")
    assert database.restore(folder.parent / "backup", "books", name="old-books") == ["old-books"]
    assert database.indices() == ["books", "old-books"]
    assert len(database["old-books"]) == len(index)
    with pytest.raises(RequestError, match="name"):
        database.restore(folder.parent / "backup", "books", name="Not A Name")
    with pytest.raises(RequestError, match="index"):
        database.restore(folder.parent / "backup", name="which")
    with pytest.raises(IndexNotFound, match="boks"):
        database.restore(folder.parent / "backup", "boks")
    with pytest.raises(StorageError, match="no Quidditch directory"):
        database.restore(folder.parent / "nowhere")


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_damaged_backup_restores_nothing(
    folder: Path, database: LocalDatabase, index: LocalIndex, place: float
) -> None:
    database.backup(folder.parent / "backup")
    (data,) = (folder.parent / "backup").glob("*/0/data.mdb")
    page_bytes, last_page, _ = _newest_meta(data)
    start = int(last_page * place) * page_bytes
    with data.open("r+b") as file:
        file.seek(start)
        page = file.read(page_bytes)
        file.seek(start)
        file.write(bytes(byte ^ 0x55 for byte in page))
    before = [hit.id for hit in index.scan()]
    with pytest.raises(CorruptIndex):
        database.restore(folder.parent / "backup", replace=True)
    assert [hit.id for hit in index.scan()] == before
    assert len(folders(folder)) == 1


def test_creating_leaves_no_trace_of_its_making(folder: Path, database: LocalDatabase) -> None:
    database.create_index("books")
    assert [len(name) for name in folders(folder)] == [32]
    assert os.listdir(folder / folders(folder)[0]) == ["0"]
