"""A stream or a bulk in which something goes wrong: what is listed is whole, and the next write works."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from other_processes import TIMEOUT_S, in_thread

import quidditch
from quidditch import StoreFull
from quidditch.index import loading
from quidditch.index.segment import SegmentBuilder
from quidditch.index.text_inversion import TextInversion
from quidditch.index.writer import IndexWriter
from quidditch.interface import Database, Index
from quidditch.local import bulk

FIELDS = {"properties": {"text": {"type": "text"}, "n": {"type": "long"}}}


@pytest.fixture
def database() -> Iterator[Database]:
    with quidditch.connect(":memory:") as opened:
        yield opened


@pytest.fixture
def index(database: Database) -> Index:
    return database.create_index("books", FIELDS)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "BATCH_DOCS", 50)
    monkeypatch.setattr(loading, "BUFFER_DOCS", 10)


def document(number: int) -> dict[str, Any]:
    return {"_id": str(number), "text": f"own{number} of all", "n": number}


def check_whole(index: Index) -> set[int]:
    """The documents that are there, each of which has its own source and is found by its own words."""
    hits = list(index.scan())
    assert len(hits) == len(index) == index.count({"match": {"text": "all"}})
    for hit in hits:
        assert hit.source == {"text": f"own{hit.id} of all", "n": int(hit.id)}
        assert [found.id for found in index.search({"match": {"text": f"own{hit.id}"}})] == [hit.id]
    return {int(hit.id) for hit in hits}


def fails_at(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int, error: type[BaseException]
) -> None:
    """Have the `call`-th call of a method raise, after it did its work."""
    original = getattr(owner, name)
    calls = iter(range(1, 1_000_000))

    def method(self: Any, *arguments: Any) -> Any:
        result = original(self, *arguments)
        if next(calls) == call:
            raise error("while the stream was under way")
        return result

    monkeypatch.setattr(owner, name, method)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(
    ("owner", "name", "error", "call", "chunk"),
    [
        (TextInversion, "look_up", MemoryError, 1, None),
        (TextInversion, "sort", MemoryError, 4, None),
        (TextInversion, "sort", MemoryError, 4, 100),
        (SegmentBuilder, "add_sources", KeyboardInterrupt, 2, None),
        (SegmentBuilder, "add_sources", KeyboardInterrupt, 3, 100),
        (IndexWriter, "publish", MemoryError, 1, None),
        (IndexWriter, "publish", MemoryError, 2, 100),
    ],
)
def test_a_stream_that_breaks_down_leaves_whole_documents(
    index: Index,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    error: type[BaseException],
    call: int,
    chunk: int | None,
) -> None:
    index.add(document(1_000))
    with monkeypatch.context() as broken:
        fails_at(broken, owner, name, call, error)
        with pytest.raises(error, match="under way"):
            index.add_many((document(number) for number in range(400)), chunk=chunk)
    there = check_whole(index)
    assert there - {1_000} == set(range(len(there) - 1))
    assert index.add_many(map(document, range(350, 450))).ok == 100
    index.add(document(2_000))
    index.force_merge()
    assert check_whole(index) == there | set(range(350, 450)) | {2_000}


@pytest.mark.usefixtures("small_batches")
def test_what_a_source_gave_before_it_raised_is_kept(index: Index) -> None:
    def documents() -> Iterator[dict[str, Any]]:
        yield from map(document, range(120))
        raise KeyError("line 121")

    with pytest.raises(KeyError, match="line 121"):
        index.add_many(documents())
    assert check_whole(index) == set(range(120))


@pytest.mark.usefixtures("small_batches")
def test_no_room_for_a_chunk_is_said_with_how_much_went_in(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = IndexWriter.publish
    chunks = iter([publish, publish])

    def full_after_two(self: IndexWriter, builder: SegmentBuilder) -> Any:
        chunk = next(chunks, None)
        if chunk is None:
            raise StoreFull("no room")
        return chunk(self, builder)

    with monkeypatch.context() as full:
        full.setattr(IndexWriter, "publish", full_after_two)
        with pytest.raises(StoreFull, match="no room") as raised:
            index.add_many(map(document, range(600)), chunk=100)
    (note,) = raised.value.__notes__
    assert note.startswith(
        "add_many: of the first 200 documents of the stream 200 are in index [books] and 0 were"
    )
    assert raised.value.partial.ok == 200
    assert not raised.value.partial.errors
    assert check_whole(index) == set(range(200))


@pytest.mark.usefixtures("small_batches")
def test_a_stream_into_a_full_map_says_so_and_leaves_its_chunks(tmp_path: Path) -> None:
    with quidditch.connect(tmp_path, map_size_bytes=2 << 20) as database:
        index = database.create_index("books", {"properties": {"noise": {"type": "text", "index": False}}})
        noise = ({"_id": str(number), "noise": os.urandom(500).hex()} for number in range(20_000))
        with pytest.raises(StoreFull) as raised:
            index.add_many(noise, chunk=100)
        assert 0 < len(index) == index.count() < 20_000
        assert raised.value.partial.ok == len(index)
        assert {hit.id for hit in index.scan()} == {str(number) for number in range(len(index))}


@pytest.mark.parametrize("documents", [3, 1_500])
def test_a_stream_may_write_to_its_own_index(index: Index, documents: int) -> None:
    def parents() -> Iterator[dict[str, Any]]:
        for number in range(documents):
            if number % 500 == 0:
                index.add_many(document(10_000 + number + child) for child in range(2))
            yield document(number)

    assert in_thread(lambda: index.add_many(parents())).result(TIMEOUT_S).ok == documents
    assert len(check_whole(index)) == documents + 2 * len(range(0, documents, 500))


class Weighed(dict[str, Any]):
    """A document that tells whether it is still held."""


def test_documents_that_are_refused_are_not_kept(index: Index) -> None:
    held: list[weakref.ref[Weighed]] = []

    def documents() -> Iterator[dict[str, Any]]:
        for number in range(30):
            bad = (
                Weighed(_id="y" * 600, n=number),
                Weighed(_id=f"surrogate-{number}", text="\ud800"),
                Weighed(_id=f"type-{number}", n="no number"),
            )
            held.extend(map(weakref.ref, bad))
            yield from bad
            del bad
            yield document(number)

    result = index.add_many(documents())
    gc.collect()
    assert result.ok == 30
    assert [item.position for item in result.items] == [n for n in range(120) if n % 4 != 3]
    assert [one for one in held if one() is not None] == []
    for item in result.items:
        values = [getattr(item, name) for name in item.__slots__]
        assert all(value is None or isinstance(value, str | int) for value in values)


def test_a_bulk_holds_bytes_not_documents(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BULK_CHUNK_BYTES", 1_000)
    apply = IndexWriter.apply
    written: list[int] = []
    given = 0

    def counted(self: IndexWriter, operations: Any) -> Any:
        assert given - sum(written) <= 4
        written.append(len(operations))
        return apply(self, operations)

    def actions() -> Iterator[dict[str, Any]]:
        nonlocal given
        for number in range(40):
            given += 1
            yield {"_id": str(number), "text": "x" * 400}

    monkeypatch.setattr(IndexWriter, "apply", counted)
    assert index.bulk(actions()).ok == 40
    assert sum(written) == 40
    assert max(written) <= 3


def test_a_document_of_one_object_swallows_no_neighbour(index: Index) -> None:
    documents: list[dict[str, Any]] = [
        {"author": {}},
        {"n": 1},
        {"meta": {"language": "en"}},
        {"_id": "kept", "n": 2},
    ]
    result = index.bulk(documents)
    assert result.ok == len(index) == 4
    assert index["kept"]["n"] == 2
