"""Writers that change the mapping, or the index itself, under each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from other_processes import companion, run

import quidditch
from quidditch import CorruptIndex, DocumentError, IndexNotFound
from quidditch.index import codecs
from quidditch.index.catalog import Catalog
from quidditch.index.single_writes import SingleWrites
from quidditch.interface import Database, Index
from quidditch.local import LocalIndex


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def database(folder: Path) -> Iterator[Database]:
    with quidditch.connect(folder) as opened:
        yield opened


def once_around(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, event: Callable[[], Any], *, after: bool
) -> None:
    """Have something happen just before, or after, the next call of a method."""
    original = getattr(owner, name)
    events = [event]

    def method(self: Any, *arguments: Any) -> Any:
        happens = events.pop() if events else None
        if happens is not None and not after:
            happens()
        result = original(self, *arguments)
        if happens is not None and after:
            happens()
        return result

    monkeypatch.setattr(owner, name, method)


# -------------------------------------------------------------------------------------------- fields that come


@pytest.mark.parametrize(("kind", "value"), [("long", 7), ("keyword", "abc")])
def test_a_field_mapped_later_leaves_documents_as_they_were_indexed(
    database: Database, kind: str, value: object
) -> None:
    index = database.create_index("books", {"dynamic": False, "properties": {"title": {"type": "text"}}})
    index.add({"title": "dune", "x": "abc"}, id="before")
    index.put_mappings({"properties": {"x": {"type": kind}}})

    def found() -> tuple[set[str], set[str]]:
        return {hit.id for hit in index.search("dune")}, {
            hit.id for hit in index.search({"exists": {"field": "x"}})
        }

    assert found() == ({"before"}, set())
    index.add({"title": "dune", "x": value}, id="after")
    assert found() == ({"before", "after"}, {"after"})
    index.flush()
    index.add_many({"title": "x"} for _ in range(1_200))
    index.force_merge()
    assert found() == ({"before", "after"}, {"after"})
    assert index["before"].source == {"title": "dune", "x": "abc"}


def test_a_field_mapped_while_a_document_is_written_loses_neither(
    folder: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = database.create_index("books", {"dynamic": False, "properties": {"title": {"type": "text"}}})
    other = "database['books'].put_mappings({'properties': {'x': {'type': 'long'}}})"
    once_around(monkeypatch, SingleWrites, "_checked", lambda: elsewhere(folder, other), after=True)
    index.add({"title": "dune", "x": "abc"}, id="meanwhile")
    assert [hit.id for hit in index.search("dune")] == ["meanwhile"]
    index.add({"title": "dune", "x": 7}, id="after")
    index.flush()
    index.force_merge()
    assert {hit.id for hit in index.search("dune")} == {"meanwhile", "after"}
    assert index.count({"range": {"x": {"gte": 0}}}) == 1


def elsewhere(folder: Path, statements: str) -> None:
    """Have another process do something with the database."""
    run(
        f"""
        import sys, quidditch
        with quidditch.connect(sys.argv[1]) as database:
            {statements}
        """,
        folder,
    )


def by_single_writes(index: Index, documents: list[dict[str, Any]]) -> list[str | None]:
    failed: list[str | None] = []
    for document in documents:
        try:
            index.add(document)
        except DocumentError:
            failed.append(document["_id"])
    return failed


def by_bulk(index: Index, documents: list[dict[str, Any]]) -> list[str | None]:
    return [item.id for item in index.bulk(documents).errors]


def by_stream(index: Index, documents: list[dict[str, Any]]) -> list[str | None]:
    return [item.id for item in index.add_many(documents).errors]


@pytest.mark.parametrize(
    ("write", "count"), [(by_single_writes, 5), (by_bulk, 50), (by_stream, 50), (by_stream, 2_000)]
)
def test_the_first_to_bring_a_field_gives_it_its_type(
    folder: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Index, list[dict[str, Any]]], list[str | None]],
    count: int,
) -> None:
    """Another process is faster with the new field: only the document that does not fit it fails."""
    index = database.create_index("books")
    other = "database['books'].add({'k': 7}, id='theirs')"
    once_around(monkeypatch, Catalog, "extend_mapping", lambda: elsewhere(folder, other), after=False)
    documents: list[dict[str, Any]] = [{"_id": str(n), "title": "dune"} for n in range(count)]
    documents[0]["m"] = 1
    documents[2]["k"] = "no number"
    documents[4]["k"] = "8"
    assert write(index, documents) == ["2"]
    assert index.mappings["properties"]["k"] == {"type": "long"}
    assert len(index) == count
    assert {hit.id for hit in index.search({"exists": {"field": "k"}})} == {"theirs", "4"}
    assert index.count({"match": {"title": "dune"}}) == count - 1


def test_a_search_that_began_before_a_field_came_spoils_no_later_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = database.create_index("books")
    index.add({"title": "dune"}, id="before")

    def brings_a_field() -> None:
        index.put_mappings({"properties": {"x": {"type": "keyword"}}})
        index.add({"x": "Foo Bar"}, id="brought")

    once_around(monkeypatch, LocalIndex, "_mapping", brings_a_field, after=True)
    index.search({"term": {"x": "Foo Bar"}})
    assert [hit.id for hit in index.search({"term": {"x": "Foo Bar"}})] == ["brought"]
    index.flush()
    assert [hit.id for hit in index.search({"term": {"x": "Foo Bar"}})] == ["brought"]


# ------------------------------------------------------------------------------------ indices that are replaced


REPLACE = "database.delete_index('books'); database.create_index('books')"


@pytest.mark.parametrize("documents", [10, 3_000])
def test_a_stream_into_an_index_that_is_replaced_ends(
    folder: Path, database: Database, documents: int
) -> None:
    def stream() -> Iterator[dict[str, Any]]:
        for number in range(documents):
            if number == documents // 2:
                elsewhere(folder, REPLACE)
            yield {"_id": str(number), "fresh": number}

    index = database.create_index("books")
    with pytest.raises(IndexNotFound, match="books"):
        index.add_many(stream())
    assert len(database["books"]) == 0
    assert database["books"].mappings.get("properties", {}) == {}


def test_a_write_under_way_misses_the_index_that_replaced_its_own(
    folder: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = database.create_index("books")
    index.add({"n": 1}, id="old")
    once_around(monkeypatch, SingleWrites, "_checked", lambda: elsewhere(folder, REPLACE), after=True)
    with pytest.raises(IndexNotFound, match="books"):
        index.add({"n": 2}, id="lost")
    assert len(database["books"]) == 0
    assert database["books"].add({"n": 3}, id="new").version == 1


def test_an_index_that_another_process_deleted_is_let_go_of(folder: Path, database: Database) -> None:
    database.create_index("kept").add({"n": 1}, id="1")
    shards = []
    for number in range(3):
        gone = database.create_index(f"gone-{number}")
        gone.add({"n": 1})
        assert isinstance(gone, LocalIndex)
        with gone._reading() as shard:
            shards.append(shard)
    elsewhere(folder, "[database.delete_index(f'gone-{n}') for n in range(3)]")
    assert len(database["kept"]) == 1
    assert [shard.environment.closed for shard in shards] == [True] * 3
    with pytest.raises(IndexNotFound):
        gone.add({"n": 2})


# ------------------------------------------------------------------------------------------------ scan and write


HOLD_THE_LOCKS = """
    import sys, quidditch
    with quidditch.connect(sys.argv[1]) as database:
        with (
            database["books"]._reading() as shard,
            shard.environment.locked(),
            database.directory._environment.locked(),
        ):
            print("held", flush=True)
            sys.stdin.readline()
        print("free", flush=True)
        sys.stdin.readline()
"""


@pytest.mark.parametrize("others_write", [False, True])
def test_a_scan_may_update_what_it_reads(folder: Path, others_write: bool) -> None:
    """Also when another process was writing at the moment this one connected."""
    with quidditch.connect(folder) as database:
        index = database.create_index("books")
        index.add_many({"_id": str(number), "n": number} for number in range(1_050))
        index.add({"n": 1_050}, id="1050")
    with companion(HOLD_THE_LOCKS, folder) as other:
        assert other.says() == "held"
        if not others_write:
            other.go_on()
            assert other.says() == "free"
        with quidditch.connect(folder, write_timeout_s=20) as database:
            index = database["books"]
            assert len(index) == 1_051
            if others_write:
                other.go_on()
                assert other.says() == "free"
            for hit in index.scan({"range": {"n": {"gte": 1_000}}}):
                index.update(hit.id, {"seen": True})
            assert index.count({"term": {"seen": True}}) == 51
            assert index["1050"].version == 2


# ----------------------------------------------------------------------------------------------------- long ids


def test_long_ids_are_told_apart_by_all_their_bytes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = "x" * 500 + "1", "x" * 500 + "2"
    index = database.create_index("books")
    index.add({"n": 1}, id=one)
    index.add_many([{"_id": two, "n": 2}])
    assert (index[one]["n"], index[two]["n"], len(index)) == (1, 2, 2)
    assert index.delete(two).result == "deleted"
    # From here on every hash is the same.
    constant = SimpleNamespace(digest=lambda: b"\0" * 16)
    monkeypatch.setattr(codecs, "hashlib", SimpleNamespace(blake2b=lambda *_, **__: constant))
    index = database.create_index("colliding")
    index.add({"n": 1}, id=one)
    for refused in (
        lambda: index.add({"n": 2}, id=two),
        lambda: index.add_many({"_id": two + str(n) if n else two, "n": 2} for n in range(1_000)),
        lambda: index.get(two),
    ):
        with pytest.raises(CorruptIndex, match="another id"):
            refused()
    assert (index[one]["n"], len(index)) == (1, 1)
