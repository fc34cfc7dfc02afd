"""The order of the writes over several shards: every document has a place of its own, and pages lose none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quidditch.cluster.write_order import answered_by, asked_of
from quidditch.interface import CollectionStats, QueryRequest, QueryResult, ShardHit, SortKey
from quidditch.query.primitive import Everything
from quidditch.search.collector import reduce
from quidditch.types import DocAddress, Json

Shards = list[list[int]]
"""The sequence numbers in each shard, ascending."""


def page(shards: Shards, size: int, after: tuple[Json, ...] | None, descending: bool) -> list[ShardHit]:
    """What a search over these shards shows."""
    sort = (SortKey("_doc", descending),)
    request = QueryRequest(Everything(), CollectionStats(), size=size, sort=sort, search_after=after)
    parts = []
    for number, own in enumerate(shards):
        asked = asked_of(request, number, len(shards))
        beyond = None if asked.search_after is None else asked.search_after[0]
        assert beyond is None or isinstance(beyond, int)
        there = [each for each in own if beyond is None or (each < beyond if descending else each > beyond)]
        there.sort(reverse=descending)
        hits = [ShardHit(DocAddress(number, 0, each), 0.0, (each,)) for each in there[:size]]
        parts.append(answered_by(QueryResult(hits, len(own)), sort, number, len(shards)))
    return list(reduce(parts, size, sort).hits)


@given(
    st.lists(st.lists(st.integers(0, 30), unique=True).map(sorted), min_size=1, max_size=5),
    st.integers(1, 7),
    st.booleans(),
)
def test_page_after_page_shows_every_document_once(shards: Shards, size: int, descending: bool) -> None:
    seen: list[DocAddress] = []
    after: tuple[Json, ...] | None = None
    while hits := page(shards, size, after, descending):
        seen += [hit.address for hit in hits]
        after = hits[-1].sort
    every = [DocAddress(number, 0, each) for number, own in enumerate(shards) for each in own]
    assert sorted(seen) == sorted(every)


def test_of_one_shard_the_numbers_are_its_sequence_numbers() -> None:
    assert [hit.sort for hit in page([[3, 5, 8]], 2, (3,), False)] == [(5,), (8,)]
