"""A filter asked again is found, not sought: the same answer, for as long as the segment lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from memory_shard import MemoryShard, all_hits, shards_of

import quidditch
from quidditch.query.primitive import (
    Boolean,
    Constant,
    HasId,
    HasValue,
    NumberInterval,
    NumberSet,
    Primitive,
    ScoredPhrase,
    ScoredTerm,
    TermInterval,
    TermPrefix,
    TermSet,
)
from quidditch.search.scorers import MATCHERS
from quidditch.search.scorers.context import Matcher

DOCS = [
    {"title": "a b" if n % 3 else "b a", "tag": [f"t{n % 7}"] * (n % 9 > 0), "n": n % 10} for n in range(40)
]
PHRASE = ScoredPhrase("title", (b"a", b"b"), (0, 1))
FILTERS: list[Primitive] = [
    NumberInterval("n", 2, 5),
    NumberSet("n", (3,)),
    NumberSet("n", tuple(range(9))),
    TermSet("tag", (b"t1", b"t2")),
    TermInterval("tag", b"t2", b"t5"),
    TermPrefix("tag", b"t"),
    HasValue("tag"),
    PHRASE,
    Constant(PHRASE, 2.0),
    Boolean(should=(PHRASE, ScoredTerm("tag", b"t1"))),
    Boolean(filter=(NumberInterval("n", 2, 5),), must_not=(TermSet("tag", (b"t1", b"t2")),)),
]


def filtered(query: Primitive) -> Boolean:
    return Boolean(must=(ScoredTerm("title", b"a"),), filter=(query,))


def excluded(query: Primitive) -> Boolean:
    return Boolean(must=(ScoredTerm("title", b"a"),), must_not=(query,))


@pytest.mark.parametrize("query", FILTERS, ids=lambda query: type(query).__name__)
@pytest.mark.parametrize("place", [filtered, excluded])
def test_a_filter_gives_the_same_at_every_time(
    query: Primitive, place: Callable[[Primitive], Boolean]
) -> None:
    shards = shards_of(DOCS, [13], frozenset({"4", "9"}))
    first = all_hits(shards, place(query))
    assert 0 < len(first) < 40
    for _ in range(3):
        assert all_hits(shards, place(query)) == first
    assert all_hits(shards, excluded(query)).keys() ^ all_hits(shards, filtered(query)).keys() == (
        all_hits(shards, ScoredTerm("title", b"a")).keys()
    )


@pytest.fixture
def sought(monkeypatch: pytest.MonkeyPatch) -> list[Primitive]:
    """The phrases and number intervals that were matched without the cache."""
    calls: list[Primitive] = []
    columns = "quidditch.search.scorers.sets._column_docs"

    def counted(matcher: Matcher) -> Matcher:
        def match(query: Any, context: Any, within: Any) -> Any:
            calls.append(query)
            return matcher(query, context, within)

        return match

    monkeypatch.setitem(MATCHERS, ScoredPhrase, counted(MATCHERS[ScoredPhrase]))
    from quidditch.search.scorers import sets

    inner = sets._column_docs

    def read(column: Any, chosen: Any) -> Any:
        calls.append(NumberInterval("n", 0, 0))
        return inner(column, chosen)

    monkeypatch.setattr(columns, read)
    return calls


@pytest.mark.parametrize("query", [PHRASE, NumberInterval("n", 2, 5), Boolean(must=(PHRASE,))])
def test_a_filter_is_sought_twice(sought: list[Primitive], query: Primitive) -> None:
    shards = shards_of(DOCS)
    for _ in range(5):
        all_hits(shards, filtered(query))
    assert len(sought) == 2


def test_a_scored_phrase_is_sought_each_time(sought: list[Primitive]) -> None:
    shards = shards_of(DOCS)
    for _ in range(4):
        all_hits(shards, Boolean(must=(PHRASE,), filter=(ScoredTerm("title", b"a"),)))
    assert len(sought) == 4


def test_which_document_has_an_id_is_not_kept() -> None:
    shards = shards_of(DOCS)
    query = filtered(Boolean(should=(HasId(("1",)), PHRASE), must=(HasId(("1", "2")),)))
    assert all_hits(shards, query).keys() == {"1", "2"}
    assert all_hits(shards, query).keys() == {"1", "2"}
    # The same segments, one document gone, as a later snapshot would have them.
    shard = shards[0]
    (segment,) = shard._snapshot.segments
    segment.deleted.add(1)
    assert all_hits([shard], query).keys() == {"2"}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Any]:
    with quidditch.connect(tmp_path) as database:
        properties = {"t": {"type": "text"}, "n": {"type": "long"}}
        yield database.create_index("i", mappings={"properties": properties})


def ids(index: Any) -> set[str]:
    query = {"bool": {"must": [{"match": {"t": "a"}}], "filter": [{"range": {"n": {"gte": 5}}}]}}
    return {hit.id for hit in index.search(query, size=100)}


def test_kept_filters_see_every_write(index: Any) -> None:
    index.add_many({"_id": str(n), "t": "a b", "n": n % 10} for n in range(60))
    index.flush()
    expected = {str(n) for n in range(60) if n % 10 >= 5}
    for _ in range(3):
        assert ids(index) == expected
    index.delete("5")
    index.add({"_id": "6", "t": "a b", "n": 1})
    index.add({"_id": "new", "t": "a b", "n": 9})
    for _ in range(3):
        assert ids(index) == (expected - {"5", "6"}) | {"new"}
    index.flush()
    index.force_merge()
    for _ in range(3):
        assert ids(index) == (expected - {"5", "6"}) | {"new"}


def test_nothing_is_kept_for_the_buffer(index: Any, sought: list[Primitive]) -> None:
    for n in range(10):
        index.add({"_id": str(n), "t": "a b", "n": n})
    for _ in range(4):
        assert len(ids(index)) == 5
    assert len(sought) >= 4


def test_shards_do_not_share_what_they_keep() -> None:
    one, other = MemoryShard([[("1", {"n": 3})]]), MemoryShard([[("2", {"n": 7})]], number=1)
    query = Constant(NumberInterval("n", 1, 5))
    for _ in range(3):
        assert all_hits([one, other], query) == {"1": 1.0}
