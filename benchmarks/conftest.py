"""Documents for the benchmarks: small and made up by default, so that they run as tests in a minute.

`pytest benchmarks --benchmark-disable` runs them as tests, `pytest benchmarks` measures;
`--corpus FILE.jsonl` and `--documents N` measure with real text, and more of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

import quidditch
from benchmarks.corpora import Doc, read_jsonl, synthetic
from benchmarks.questions import QueryClass, query_classes
from quidditch.interface import Database, Index

DEFAULT_DOCUMENTS = 3000
QUERIES = 20
MAPPINGS = {
    "properties": {
        "title": {"type": "text"},
        "text": {"type": "text"},
        "tag": {"type": "keyword"},
        "year": {"type": "integer"},
    }
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("quidditch benchmarks")
    group.addoption("--corpus", type=Path, default=None, help="JSONL with _id, title and text")
    group.addoption("--documents", type=int, default=DEFAULT_DOCUMENTS, help="how many documents to take")


@pytest.fixture(scope="session")
def docs(pytestconfig: pytest.Config) -> list[Doc]:
    corpus, count = pytestconfig.getoption("corpus"), pytestconfig.getoption("documents")
    found = read_jsonl(corpus) if corpus else synthetic(count)
    return [
        {**doc, "tag": f"tag{number % 37}", "year": 1900 + number % 125}
        for number, doc in enumerate(itertools.islice(found, count))
    ]


@pytest.fixture(scope="session")
def texts(docs: list[Doc]) -> list[str]:
    return [doc["text"] for doc in docs]


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    with quidditch.connect(":memory:") as opened:
        yield opened


@pytest.fixture(scope="session")
def index(database: Database, docs: list[Doc]) -> Index:
    """The documents in one segment; nothing writes to it."""
    made = database.create_index("searched", mappings=MAPPINGS)
    made.add_many(docs)
    made.force_merge()
    return made


@pytest.fixture(scope="session")
def classes(docs: list[Doc]) -> dict[str, QueryClass]:
    return {each.name: each for each in query_classes(docs, QUERIES)}
