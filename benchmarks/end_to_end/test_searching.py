"""Hits out: each class of query as a user sends it, page and total included."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.corpora import Doc
from benchmarks.questions import QueryClass, as_clause
from quidditch.interface import Index

CLASSES = (
    "one word",
    "two words",
    "three words",
    "five words",
    "titles",
    "stop-word questions",
    "AND of two",
    "AND of three",
    "phrase of two",
    "phrase of three",
)
FILTERS: dict[str, dict[str, Any]] = {
    "term filter": {"filter": {"term": {"tag": "tag3"}}},
    "range filter": {"filter": {"range": {"year": {"gte": 1950, "lt": 1960}}}},
    "sorted": {"sort": [{"year": "desc"}]},
    "sorted by keyword": {"sort": [{"tag": "asc"}, "_score"]},
    "highlighted": {"highlight": {"fields": {"text": {}}}},
    "hundred hits": {"size": 100},
}


@pytest.mark.parametrize("name", CLASSES)
def test_query_class(
    benchmark: BenchmarkFixture, index: Index, classes: dict[str, QueryClass], name: str
) -> None:
    asked = classes[name]
    clauses = [as_clause(asked.kind, words) for words in asked.queries]

    def run() -> int:
        return sum(index.search(clause, source=False).total or 0 for clause in clauses)

    assert benchmark(run) > 0
    benchmark.extra_info["queries"] = len(clauses)


@pytest.mark.parametrize("name", FILTERS)
def test_options(
    benchmark: BenchmarkFixture, index: Index, classes: dict[str, QueryClass], name: str
) -> None:
    clauses = [as_clause("or", words) for words in classes["two words"].queries]

    def run() -> int:
        return sum(len(index.search(clause, **FILTERS[name])) for clause in clauses)

    assert benchmark(run) > 0


def test_plain_string(benchmark: BenchmarkFixture, index: Index, classes: dict[str, QueryClass]) -> None:
    texts = [" ".join(words) for words in classes["three words"].queries]
    assert benchmark(lambda: [index.search(text).total for text in texts])


def test_get(benchmark: BenchmarkFixture, index: Index, docs: list[Doc]) -> None:
    ids = [doc["_id"] for doc in docs[:: max(1, len(docs) // 100)]]
    assert len(benchmark(lambda: [index[id] for id in ids])) == len(ids)


def test_scan(benchmark: BenchmarkFixture, index: Index, docs: list[Doc]) -> None:
    assert benchmark(lambda: sum(1 for _ in index.scan())) == len(docs)


def test_count(benchmark: BenchmarkFixture, index: Index) -> None:
    assert benchmark(index.count, {"range": {"year": {"gte": 1950}}}) > 0
