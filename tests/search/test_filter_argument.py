"""`filter` beside a query: one clause or several, in every form a query has, and named where it is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import quidditch
from quidditch import query as q
from quidditch.errors import QueryError
from quidditch.interface import Index


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    with quidditch.connect(":memory:") as database:
        books = database.create_index("books")
        books.add_many([{"_id": str(year), "title": "dune", "year": year} for year in range(1960, 1970)])
        yield books


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ([{"range": {"year": {"gte": 1963}}}, {"range": {"year": {"lt": 1965}}}], {"1963", "1964"}),
        ((q.Range("year", gte=1968), "year:1969"), {"1969"}),
        ([{"term": {"year": 1960}}], {"1960"}),
        ([q.MatchNone()], set()),
    ],
)
def test_several_filters_must_all_match_and_score_nothing(index: Index, filter: Any, found: set[str]) -> None:
    result = index.search("dune", filter=filter)
    assert {hit.id for hit in result.hits} == found
    assert {hit.score for hit in result.hits} <= {hit.score for hit in index.search("dune").hits}


def test_no_filter_is_in_the_way(index: Index) -> None:
    nothing: Any = []
    assert index.search("dune", filter=nothing).total == 10


@pytest.mark.parametrize(
    ("filter", "path"),
    [
        ({"trem": {"year": 1}}, r"^filter\.trem"),
        (5, "^filter: an object"),
        ([{"term": {"year": 1960}}, {"trem": {}}], r"^filter\[1\]\.trem"),
        ([[{"term": {"year": 1960}}]], r"^filter\[0\]: an object"),
    ],
)
def test_a_filter_that_is_wrong_is_named(index: Index, filter: Any, path: str) -> None:
    with pytest.raises(QueryError, match=path):
        index.search("dune", filter=filter)
