"""Documents in: streamed, one by one, replaced, merged, and the memory that takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import MAPPINGS
from benchmarks.corpora import Doc, synthetic, write_jsonl
from benchmarks.peers.processes import run_child
from quidditch.interface import Database, Index

NAMES = itertools.count()
SINGLE_ADDS = 50
MEMORY_LIMIT_BYTES = 1 << 30


def fresh(database: Database) -> Index:
    return database.create_index(f"indexed-{next(NAMES)}", mappings=MAPPINGS)


def measured(benchmark: BenchmarkFixture, work: Callable[..., Any], **options: Any) -> Any:
    """What `work` returned, run as often as asked for and no more, because each run changes the index."""
    pedantic: Callable[..., Any] = benchmark.pedantic
    return pedantic(work, **options)


def test_add_many(benchmark: BenchmarkFixture, database: Database, docs: list[Doc]) -> None:
    def run() -> Index:
        index = fresh(database)
        assert index.add_many(docs).ok == len(docs)
        return index

    assert len(measured(benchmark, run, rounds=3)) == len(docs)


def test_add_one_by_one(benchmark: BenchmarkFixture, database: Database, docs: list[Doc]) -> None:
    """Each call is on disk, synced, when it returns."""
    index = fresh(database)

    def run() -> None:
        for doc in docs[:SINGLE_ADDS]:
            index.add(doc)

    measured(benchmark, run, rounds=2)
    assert len(index) == SINGLE_ADDS


def test_add_then_search(benchmark: BenchmarkFixture, database: Database, docs: list[Doc]) -> None:
    """What a search costs that must see the add before it."""
    index = fresh(database)
    index.add_many(docs)
    numbers = itertools.count(1)

    def run() -> bool:
        number = next(numbers)
        index.add({"title": "needle", "text": "needle"}, id=f"needle-{number}")
        return index.search({"match": {"title": "needle"}}, size=1).total == number

    assert measured(benchmark, run, rounds=10)


def test_replace_all(benchmark: BenchmarkFixture, database: Database, docs: list[Doc]) -> None:
    index = fresh(database)
    index.add_many(docs)
    measured(benchmark, lambda: index.add_many(docs), rounds=2)
    assert len(index) == len(docs)


def test_force_merge(benchmark: BenchmarkFixture, database: Database, docs: list[Doc]) -> None:
    def prepare() -> tuple[tuple[Index], dict[str, object]]:
        index = fresh(database)
        for start in range(0, len(docs), max(1, len(docs) // 8)):
            index.add_many(docs[start : start + max(1, len(docs) // 8)])
        return (index,), {}

    measured(benchmark, lambda index: index.force_merge(), setup=prepare, rounds=2)


@pytest.mark.parametrize("documents", [20_000])
def test_memory_of_indexing(tmp_path: Path, documents: int) -> None:
    """The process stays under a bound; `python -m benchmarks.peers` prints the figure for large inputs."""
    write_jsonl(tmp_path / "docs.jsonl", synthetic(documents))
    answer, private = run_child("index", "quidditch", 1, tmp_path / "docs.jsonl", tmp_path / "index")
    print(
        f"{documents} documents: peak {answer['peak_rss_bytes'] / 1e6:.0f} MB, {private / 1e6:.0f} MB private"
    )
    assert private < MEMORY_LIMIT_BYTES
