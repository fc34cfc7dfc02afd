"""`fields`, `docvalue_fields`, `version` and `seq_no_primary_term` of hits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import quidditch
from quidditch.errors import LimitExceeded, QueryError
from quidditch.interface import Database, Hit

MAPPINGS = {
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword", "ignore_above": 8}}},
        "day": {"type": "date", "format": "yyyy-MM-dd||epoch_millis"},
        "tags": {"type": "keyword"},
        "sizes": {"type": "long"},
        "sold": {"type": "boolean"},
        "hidden": {"type": "long", "doc_values": False},
        "writer": {"properties": {"name": {"type": "keyword"}, "born": {"type": "integer"}}},
    }
}
BOOK = {
    "title": "Dune",
    "day": "1965-08-01",
    "tags": ["sand", "desert", "sand"],
    "sizes": [30, "4", 30],
    "sold": "true",
    "hidden": 1,
    "writer": [{"name": "Frank", "born": 1920}, {"name": "Brian"}],
    "unmapped": {},
}


@pytest.fixture
def database() -> Iterator[Database]:
    with quidditch.connect(":memory:") as database:
        database.create_index("books", MAPPINGS).add(BOOK, "dune")
        yield database


def first(database: Database, **body: Any) -> Hit:
    return database.search("books", body)[0]


def test_fields_are_read_as_the_mapping_says_in_the_order_of_the_document(database: Database) -> None:
    hit = first(
        database, fields=["title*", "tags", "sizes", "sold", "day", "writer.*", "nowhere"], _source=False
    )
    assert hit.fields == {
        "title": ["Dune"],
        "title.raw": ["Dune"],
        "tags": ["sand", "desert", "sand"],
        "sizes": [30, 4, 30],
        "sold": [True],
        "day": ["1965-08-01"],
        "writer.name": ["Frank", "Brian"],
        "writer.born": [1920],
    }
    assert "_source" not in hit.to_dict()


def test_doc_values_are_sorted_and_terms_are_given_once(database: Database) -> None:
    fields = ["tags", "sizes", {"field": "day", "format": "epoch_millis"}]
    hit = first(database, docvalue_fields=fields)
    assert hit.fields == {"tags": ["desert", "sand"], "sizes": [4, 30, 30], "day": ["-139449600000"]}
    assert hit.source == BOOK


def test_a_keyword_that_was_too_long_to_index_is_not_shown(database: Database) -> None:
    database["books"].add({"title": "The Left Hand of Darkness"}, "left")
    body = {"query": {"ids": {"values": ["left"]}}, "fields": ["title.raw"]}
    assert database.search("books", body)[0].fields == {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"docvalue_fields": ["title"]}, "title"),
        ({"docvalue_fields": ["hidden"]}, "doc_values: false"),
        ({"docvalue_fields": "tags"}, "array"),
        ({"fields": [{"path": "tags"}]}, "field"),
        ({"fields": [{"field": "tags", "formt": "x"}]}, "format"),
        ({"fields": [{"field": "tags", "format": "yyyy"}]}, "only dates"),
        ({"fields": [{"field": "day", "format": "qqq"}]}, "qqq"),
        ({"version": "yes"}, "version"),
    ],
)
def test_what_cannot_be_shown_is_refused(database: Database, body: dict[str, Any], words: str) -> None:
    with pytest.raises(QueryError, match=words):
        database.search("books", body)


def test_the_number_of_fields_has_a_limit(database: Database) -> None:
    assert database.search("books", {"docvalue_fields": ["tags"] * 100}).total == 1
    with pytest.raises(LimitExceeded, match="101"):
        database.search("books", {"docvalue_fields": ["tags"] * 101})


def test_versions_and_sequence_numbers_are_those_of_the_last_write(database: Database) -> None:
    books = database["books"]
    for _ in range(3):
        written = books.add(BOOK, "dune")
    hit = first(database, version=True, seq_no_primary_term=True)
    assert (hit.version, hit.seq_no, hit.primary_term) == (written.version, written.seq_no, 1) == (4, 3, 1)
    shown = hit.to_dict()
    assert (shown["_version"], shown["_seq_no"], shown["_primary_term"]) == (4, 3, 1)
    bare = first(database).to_dict()
    assert not {"_version", "_seq_no", "_primary_term"} & bare.keys()


def test_a_point_in_time_shows_the_versions_of_then(database: Database) -> None:
    view = database["books"].point_in_time()
    database["books"].add({"sizes": 1}, "dune")
    hit = view.search_body({"version": True, "fields": ["sizes"]})[0]
    view.close()
    assert (hit.version, hit.fields) == (1, {"sizes": [30, 4, 30]})
