"""Databases that are created, opened, closed and forked at awkward moments."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from other_processes import TIMEOUT_S, in_thread, run

import quidditch
from quidditch.index.catalog import Catalog
from quidditch.local import directory
from quidditch.local.shard import LocalShard
from quidditch.search.searcher import SnapshotSearcher

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


# ------------------------------------------------------------------------------------------------------ opening


def test_an_index_may_be_opened_while_it_is_created(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread sees the name, and opens the index, before the call that creates it has returned."""
    create = Catalog.create
    with quidditch.connect(folder) as database:

        def seen_at_once(self: Catalog, name: str, *arguments: Any) -> Any:
            entry = create(self, name, *arguments)
            assert in_thread(lambda: database[name].add({"n": 1})).result(TIMEOUT_S).version == 1
            return entry

        monkeypatch.setattr(Catalog, "create", seen_at_once)
        for number in range(3):
            assert len(database.create_index(f"books-{number}")) == 1


def test_an_index_created_while_another_is_used_stays_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that looks which indices are gone may have read the list before the newest was in it."""
    generations = Catalog.generations
    with quidditch.connect(folder) as database:
        used = database.create_index("used")
        created: list[Any] = []

        def late(self: Catalog) -> frozenset[str]:
            before = generations(self)
            if not created:
                created.append(None)
                created[0] = in_thread(lambda: database.create_index("new")).result(TIMEOUT_S)
                created[0].add({"n": 1})
                with created[0]._reading() as shard:
                    opened.append(shard)
            return before

        opened: list[LocalShard] = []
        monkeypatch.setattr(Catalog, "generations", late)
        assert len(used) == 0
        assert [shard.environment.closed for shard in opened] == [False]
        assert created[0].add({"n": 2}).result == "created"
        assert len(created[0]) == 2


@pytest.mark.parametrize("files_made", [0, 1])
def test_a_database_whose_creator_was_killed_opens(folder: Path, files_made: int) -> None:
    """Killed with the catalogue, or the first index's data, made aside and not yet in place."""
    run(
        """
        import os, signal, sys, quidditch
        replace, left = os.replace, int(sys.argv[2])
        def killed(*arguments):
            global left
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            replace(*arguments)
        os.replace = killed
        quidditch.connect(sys.argv[1]).create_index("books")
        """,
        folder,
        files_made,
        killed=True,
    )
    assert list(folder.rglob("new/data.mdb"))
    with quidditch.connect(folder) as database:
        assert database.indices() == []
        index = database.create_index("books")
        assert index.add({"title": "dune"}).version == 1
        assert index.count({"match": {"title": "dune"}}) == len(index) == 1
    assert not list(folder.rglob("new"))
    assert not list(folder.rglob("*.making"))
    assert len(list(folder.glob("*/0/data.mdb"))) == 1


def test_garbage_of_a_creation_cut_short_is_no_obstacle(folder: Path) -> None:
    aside = folder / "catalog" / "new"
    aside.mkdir(parents=True)
    (aside / "data.mdb").write_bytes(b"half a page")
    with quidditch.connect(folder) as database:
        database.create_index("books").add({"n": 1})
    with quidditch.connect(folder) as database:
        assert len(database["books"]) == 1


def test_what_a_deletion_cut_short_left_is_removed(folder: Path) -> None:
    with quidditch.connect(folder) as database:
        database.create_index("books").add({"n": 1})
    orphan, foreign = folder / ("0f" * 16), folder / "notes"
    for path in (orphan / "0", foreign):
        path.mkdir(parents=True)
        (path / "data.mdb").write_bytes(b"rows")
    with quidditch.connect(folder) as database:
        assert len(database["books"]) == 1
    assert not orphan.exists()
    assert (foreign / "data.mdb").read_bytes() == b"rows"


# ------------------------------------------------------------------------------------------------------ closing


def test_connecting_again_while_the_last_search_ends_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = SnapshotSearcher.query
    searching, go_on, closing = Event(), Event(), Event()

    def slow(self: SnapshotSearcher, *arguments: Any) -> Any:
        searching.set()
        assert go_on.wait(TIMEOUT_S)
        return query(self, *arguments)

    close = directory.Directory.close

    def noticed(self: directory.Directory) -> None:
        closing.set()
        close(self)

    database = quidditch.connect(folder)
    index = database.create_index("books")
    index.add({"title": "dune"}, id="1")
    monkeypatch.setattr(SnapshotSearcher, "query", slow)
    monkeypatch.setattr(directory.Directory, "close", noticed)
    try:
        search = in_thread(lambda: index.search("dune"))
        assert searching.wait(TIMEOUT_S)
        closed = in_thread(database.close)
        assert closing.wait(TIMEOUT_S)
        again = in_thread(lambda: quidditch.connect(folder))
    finally:
        go_on.set()
    assert [hit.id for hit in search.result(TIMEOUT_S)] == ["1"]
    closed.result(TIMEOUT_S)
    with again.result(TIMEOUT_S) as reopened:
        assert reopened["books"].add({"title": "dune"}).result == "created"
        assert reopened["books"].count("dune") == 2


# ------------------------------------------------------------------------------------------------------ forking


END_OF_CHILD: dict[str, str] = {
    "exits": "sys.exit(0)",
    "closes": "database.close(); del scan, index, database; gc.collect(); sys.exit(0)",
    "ends its scan": "scan.close(); del scan; gc.collect(); os._exit(0)",
}


@needs_fork
@pytest.mark.parametrize("end", END_OF_CHILD)
@pytest.mark.parametrize("location", [str, lambda folder: ":memory:"], ids=["directory", "temporary"])
def test_a_database_outlives_a_forked_child(folder: Path, location: Callable[[Path], str], end: str) -> None:
    said = run(
        f"""
        import gc, os, sys, quidditch
        database = quidditch.connect(sys.argv[1])
        index = database.create_index("books")
        index.add_many({{"_id": str(n), "title": "dune"}} for n in range(1_200))
        scan = index.scan()
        next(scan)
        child = os.fork()
        if child == 0:
            {END_OF_CHILD[end]}
        assert os.waitpid(child, 0)[1] == 0
        for turn in range(3):
            index.add_many({{"_id": str(n), "title": f"turn {{turn}}"}} for n in range(1_200))
        assert {{hit["title"] for hit in scan}} == {{"dune"}}
        database.create_index("second").add({{"n": 1}})
        print(index.count({{"match": {{"title": "2"}}}}), os.path.isdir(database.path))
        database.close()
        """,
        location(folder),
    )
    assert said == "1200 True"


@needs_fork
def test_a_forked_child_is_refused_by_name(folder: Path) -> None:
    said = run(
        """
        import os, sys, quidditch
        database = quidditch.connect(sys.argv[1])
        index = database.create_index("books")
        index.add({"n": 1}, id="1")
        child = os.fork()
        if child == 0:
            for attempt in (
                lambda: index.count(),
                lambda: index.add({"n": 2}),
                lambda: quidditch.connect(sys.argv[1]),
            ):
                try:
                    attempt()
                    print("done")
                except quidditch.StorageError as error:
                    print("refused" if "fork" in str(error) and sys.argv[1] in str(error) else error)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        assert index.add({"n": 2}).result == "created"
        print(len(index))
        """,
        folder,
    )
    assert said.split("\n") == ["refused"] * 3 + ["2"]


@needs_fork
def test_a_child_forked_before_may_connect(folder: Path) -> None:
    with quidditch.connect(folder) as database:
        database.create_index("books").add({"n": 1})
    said = run(
        """
        import os, sys, quidditch
        quidditch.connect(sys.argv[1]).close()
        child = os.fork()
        database = quidditch.connect(sys.argv[1])
        database["books"].add({"n": 2})
        database.close()
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with quidditch.connect(sys.argv[1]) as database:
            print(len(database["books"]))
        """,
        folder,
    )
    assert said == "3"
