"""A search leaves nothing for the garbage collector, which an application may have put off: what it holds, a reader's
slot of the file above all, is given back at its end."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

import quidditch
from quidditch.interface import Index

SEARCHES: dict[str, dict[str, Any]] = {
    "words": {"query": {"match": {"text": "snow hat"}}},
    "plain string": {"query": 'snow "white hat" -rain', "highlight": {"fields": {"text": {}}}},
    "phrase, explained": {"query": {"match_phrase": {"text": "white hat"}}, "explain": True},
    "filters and ids": {
        "query": {
            "bool": {
                "should": [
                    {"match": {"text": "snow"}},
                    {"multi_match": {"query": "hat", "fields": ["text", "tag"]}},
                ],
                "filter": [{"ids": {"values": ["1-1", "2-2"]}}, {"range": {"n": {"gte": 0}}}],
            }
        }
    },
    "sorted": {"query": None, "sort": [{"n": "desc"}, "_doc"]},
}


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    with quidditch.connect(":memory:") as db:
        index = db.create_index("things", mappings={"properties": {"tag": {"type": "keyword"}}})
        for part in range(3):
            index.add_many(
                {"_id": f"{part}-{n}", "text": "snow white hat" if n % 3 else "rain", "tag": "t", "n": n}
                for n in range(40)
            )
            index.flush()
        index.add({"text": "snow in the buffer", "n": 7})
        yield index


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_leaves_no_garbage(name: str, index: Index, no_collector: None) -> None:
    index.search(**SEARCHES[name])
    gc.collect()
    assert index.search(**SEARCHES[name]).hits
    assert gc.collect() == 0


def test_readers_do_not_run_out_without_the_collector(index: Index, no_collector: None) -> None:
    for _ in range(1100):
        index.search({"match": {"text": "snow"}}, size=1)
