"""Routings outlive whatever is done to an index as a whole, and `check` knows them."""

from __future__ import annotations

from pathlib import Path

import pytest

import quidditch
from quidditch.index.codecs import id_key
from quidditch.index.routings import PREFIX, pack_routing
from quidditch.index.storage import Table
from quidditch.local.index import LocalIndex

LONG = "x" * 500
"""An id whose key is a hash."""


@pytest.fixture
def books(tmp_path: Path) -> LocalIndex:
    database = quidditch.connect(tmp_path / "data")
    index = database.create_index("books")
    index.add({"n": 1}, "1", routing="kim")
    index.add({"n": 2}, LONG, routing="lee")
    return index


def routings(index: quidditch.Index) -> list[str | None]:
    return [index[id].routing for id in ("1", LONG)]


def test_compaction_keeps_them(books: LocalIndex) -> None:
    books.compact()
    assert routings(books) == ["kim", "lee"]
    assert books.check().problems == ()


def test_a_backup_has_them(books: LocalIndex, tmp_path: Path) -> None:
    books.backup(tmp_path / "copy")
    with quidditch.connect(tmp_path / "copy") as copy:
        assert routings(copy["books"]) == ["kim", "lee"]


def test_a_point_in_time_has_those_of_its_moment(books: LocalIndex) -> None:
    with books.point_in_time() as then:
        books.add({"n": 1}, "1", routing="ann")
        assert {hit.routing for hit in then.search()} == {"kim", "lee"}
    assert routings(books) == ["ann", "lee"]


def test_the_row_of_a_write_that_was_replaced_says_nothing(books: LocalIndex) -> None:
    """As a release leaves it that does not know of routings."""
    with books._reading() as shard, shard.environment.write() as transaction:
        transaction.put(Table.META, PREFIX + id_key(b"1"), pack_routing(1, "kim"))
    assert routings(books) == [None, "lee"]
    assert {hit.routing for hit in books.search()} == {None, "lee"}


@pytest.mark.parametrize(
    ("value", "words"),
    [(b"12", "damaged"), (pack_routing(7, "kim"), "write 7; the next is 2")],
)
def test_check_names_a_row_that_cannot_be(books: LocalIndex, value: bytes, words: str) -> None:
    with books._reading() as shard, shard.environment.write() as transaction:
        transaction.put(Table.META, PREFIX + id_key(b"1"), value)
    (problem,) = books.check(deep=False).problems
    assert problem.what == "routing"
    assert words in problem.words
