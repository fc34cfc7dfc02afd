"""What snapshots see of the write buffer, as it changes from commit to commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import quidditch
from quidditch.index.buffer import BufferFreezer
from quidditch.index.reader import SegmentReader
from quidditch.local.index import LocalIndex
from quidditch.local.shard import LocalShard


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LocalIndex]:
    with quidditch.connect(tmp_path / "data") as database:
        made = database.create_index("notes", {"properties": {"text": {"type": "text"}}})
        assert isinstance(made, LocalIndex)
        yield made


@pytest.fixture
def shard(index: LocalIndex) -> Iterator[LocalShard]:
    with index._reading() as opened:
        yield opened


def ids_of(segments: Sequence[SegmentReader]) -> list[str]:
    """The live documents, in the order of their last writes."""
    found: list[str] = []
    for segment in segments:
        docs = np.array([doc for doc in range(segment.doc_count) if doc not in segment.deleted], np.uint32)
        found += segment.ids(docs)
    return found


def seen(shard: LocalShard) -> list[str]:
    with shard.snapshots.open(shard.schema.current) as snapshot:
        return ids_of(snapshot.segments)


def test_every_commit_is_seen_as_it_is(index: LocalIndex, shard: LocalShard) -> None:
    expected: list[str] = []
    for number in range(40):
        index.add({"text": f"word{number}"}, id=str(number))
        expected.append(str(number))
        if number % 3 == 1:
            index.delete(expected.pop(0))
        if number % 4 == 2:
            again = expected.pop(number // 2 % len(expected))
            index.add({"text": "again"}, id=again)
            expected.append(again)
        if number % 13 == 12:
            index.flush()
        assert seen(shard) == expected
    index.flush()
    assert seen(shard) == expected


def test_a_buffer_that_did_not_change_is_not_frozen_again(index: LocalIndex, shard: LocalShard) -> None:
    index.add({"text": "one"}, id="1")
    with shard.snapshots.open(shard.schema.current) as first:
        with shard.snapshots.open(shard.schema.current) as second:
            assert [one.segment_id for one in first.segments] == [one.segment_id for one in second.segments]
        index.add({"text": "one, changed"}, id="1")
        with shard.snapshots.open(shard.schema.current) as third:
            assert [one.segment_id for one in first.segments] != [one.segment_id for one in third.segments]


def test_a_field_that_came_meanwhile_is_found_in_what_was_frozen(
    index: LocalIndex, shard: LocalShard
) -> None:
    index.add({"text": "one"}, id="1")
    assert seen(shard) == ["1"]
    index.add({"text": "two", "year": 1984}, id="2")
    assert index.count({"term": {"year": 1984}}) == 1
    assert index.count({"exists": {"field": "text"}}) == 2


@pytest.mark.parametrize("change", ["add", "replace", "delete", "flush"])
def test_an_older_transaction_that_freezes_late_sees_its_own_documents(
    index: LocalIndex, shard: LocalShard, change: str
) -> None:
    for number in range(5):
        index.add({"text": "word"}, id=str(number))
    freezer, mapping = BufferFreezer(), shard.schema.current()
    older = shard.environment.begin_read()
    try:
        changes = {
            "add": lambda: index.add({"text": "word"}, id="5"),
            "replace": lambda: index.add({"text": "other"}, id="2"),
            "delete": lambda: index.delete("2"),
            "flush": index.flush,
        }
        changes[change]()
        newer = {"add": "012345", "replace": "01342", "delete": "0134", "flush": ""}[change]
        with shard.environment.read() as transaction:
            for _ in range(2):
                assert ids_of(freezer.freeze(transaction, mapping)) == list(newer)
                assert ids_of(freezer.freeze(older, mapping)) == list("01234")
    finally:
        shard.environment.end_read(older)
