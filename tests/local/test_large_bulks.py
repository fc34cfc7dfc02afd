"""A bulk that is large enough to become a segment at once does what its actions do one by one."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import quidditch
from quidditch.index.single_writes import BUFFER_DOCS
from quidditch.interface import BulkItem, Index

MAPPINGS = {"properties": {"title": {"type": "text"}, "year": {"type": "integer"}}}


def lines(docs: list[dict[str, Any]]) -> list[Any]:
    return [
        line
        for doc in docs
        for line in ({"index": {"_id": doc["_id"]}}, {key: doc[key] for key in ("title", "year")})
    ]


def outcome(item: BulkItem) -> tuple[object, ...]:
    return item.id, item.status, item.result, item.version, item.seq_no, item.error, item.error_type


def settled(index: Index) -> dict[str, tuple[Any, int, int]]:
    found = {}
    for hit in index.scan({"match_all": {}}):
        document = index.get(hit.id)
        found[hit.id] = (document.source, document.version, document.seq_no)
    return found


@pytest.mark.parametrize("durability", ["request", "async"])
def test_versions_results_and_errors_are_those_of_single_actions(tmp_path: Path, durability: str) -> None:
    dice = random.Random(7)
    count = BUFFER_DOCS + 300
    docs = [
        {"_id": f"d{dice.randrange(700)}", "title": f"word{dice.randrange(50)}", "year": dice.randrange(3000)}
        for _ in range(count)
    ]
    for place in (3, 500, count - 1):
        docs[place]["year"] = "no number"
    with quidditch.connect(tmp_path) as database:
        at_once, by_one = (
            database.create_index(name, MAPPINGS, {"durability": durability})
            for name in ("at_once", "by_one")
        )
        for index in (at_once, by_one):
            index.bulk(
                lines([{"_id": f"d{number}", "title": "old", "year": 1} for number in range(0, 700, 5)])
            )
            for number in range(0, 700, 10):
                index.delete(f"d{number}")
        together = at_once.bulk(lines(docs))
        single = [by_one.bulk(lines([doc])).items[0] for doc in docs]
        assert [outcome(item) for item in together.items] == [outcome(item) for item in single]
        assert len(together.errors) == 3
        assert len({item.result for item in together.items}) == 3  # created, updated, None
        assert settled(at_once) == settled(by_one)
        assert at_once.stats().segments >= 1
        assert at_once.stats().buffered == 0
        for word in ("word7", "old"):
            assert at_once.count(word) == by_one.count(word)


def test_what_comes_after_a_large_bulk_counts_on(tmp_path: Path) -> None:
    docs = [{"_id": str(number), "title": "one", "year": number} for number in range(BUFFER_DOCS)]
    with quidditch.connect(tmp_path) as database:
        index = database.create_index("docs", MAPPINGS)
        first = index.bulk(lines(docs)).items
        assert [item.seq_no for item in first] == list(range(BUFFER_DOCS))
        written = index.add({"title": "two", "year": 0}, id="5")
        assert (written.version, written.seq_no, written.result) == (2, BUFFER_DOCS, "updated")
        assert index.count("one") == BUFFER_DOCS - 1
    with quidditch.connect(tmp_path) as database:
        assert database["docs"].check().ok
        assert database["docs"].get("5")["title"] == "two"


def test_a_large_bulk_of_bad_documents_alone_writes_nothing(tmp_path: Path) -> None:
    docs = [{"_id": str(number), "title": "one", "year": "none"} for number in range(BUFFER_DOCS)]
    with quidditch.connect(tmp_path) as database:
        index = database.create_index("docs", MAPPINGS)
        result = index.bulk(lines(docs))
        assert result.ok == 0
        assert len(result.errors) == BUFFER_DOCS
        assert len(index) == 0
        assert index.add({"title": "x"}).seq_no == 0


def created(ids: list[str]) -> list[Any]:
    return [line for id in ids for line in ({"create": {"_id": id}}, {"title": "one", "year": 1})]


def test_creating_many_settles_each_for_itself_where_some_are_there(tmp_path: Path) -> None:
    ids = [str(number) for number in range(BUFFER_DOCS)]
    with quidditch.connect(tmp_path) as database:
        new = database.create_index("new", MAPPINGS).bulk(created(ids))
        assert {(item.status, item.version) for item in new.items} == {(201, 1)}
        assert database["new"].stats().buffered == 0
        some = database.create_index("some", MAPPINGS)
        some.add({"title": "old", "year": 1}, id="7")
        some.add({"title": "old", "year": 1}, id="8")
        some.delete("8")
        result = some.bulk(created([*ids, "9"]))
        assert [(item.id, item.status) for item in result.errors] == [("7", 409), ("9", 409)]
        assert result.ok == BUFFER_DOCS - 1
        assert some.get("7")["title"] == "old"
        assert (some.get("8")["title"], some.get("8").version) == ("one", 3)
        assert len(some) == BUFFER_DOCS
        assert some.check().ok
