"""Large segments are searched as one; hits still name the segment they lie in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from memory_shard import SCHEMA, MemoryShard
from pyroaring import BitMap

from quidditch.index.postings import Postings
from quidditch.index.reader import SegmentReader
from quidditch.interface import CollectionStats, QueryRequest, ShardHit
from quidditch.query.primitive import HasId, NumberInterval, Primitive, ScoredPhrase, ScoredTerm, TermSet
from quidditch.search import joined
from quidditch.search.joined import JoinedSegments, joined_count
from quidditch.search.phases import similarities_of
from quidditch.search.weight import scored_terms


def shard_of(*sizes: int, deleted: Sequence[str] = ()) -> MemoryShard:
    """Segments of so many documents; document `i` of segment `s` has the id `s-i`."""
    parts = [
        [
            (f"{place}-{at}", {"title": "snow fall " * (at % 3) + "hat", "tag": f"t{at % 4}", "n": at})
            for at in range(size)
        ]
        for place, size in enumerate(sizes)
    ]
    return MemoryShard(parts, frozenset(deleted))


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ((10,), 0),
        ((10, 10), 2),
        ((40, 40, 2), 2),
        ((40, 3, 40), 3),
        ((100, 1, 2), 0),
        ((4, 100), 2),
    ],
)
def test_the_first_segments_are_joined_up_to_the_last_large_one(sizes: tuple[int, ...], count: int) -> None:
    with shard_of(*sizes).snapshot() as searcher:
        assert joined_count(searcher._snapshot.segments) == count


def test_no_segment_of_the_buffer_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    with shard_of(10, 10, 10).snapshot() as searcher:
        segments = searcher._snapshot.segments
        monkeypatch.setattr(segments[2]._cache, "lasting", False)  # type: ignore[attr-defined]
        assert joined_count(segments) == 2


QUERIES: dict[str, Primitive] = {
    "term": ScoredTerm("title", b"snow"),
    "phrase": ScoredPhrase("title", (b"snow", b"fall"), (0, 1)),
    "keyword": TermSet("tag", (b"t1",)),
    "keywords": TermSet("tag", (b"t1", b"t2")),
    "numbers": NumberInterval("n", 3, 7),
    "ids": HasId(("1-3", "2-3", "0-2", "1-2", "9-9")),
}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("deleted", [(), ("0-1", "1-2", "2-4")])
def test_hits_are_where_they_are_without_joining(
    name: str, deleted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = hits_of(shard_of(20, 30, 25, 1, deleted=deleted), QUERIES[name])
    monkeypatch.setattr(joined, "JOIN_SHARE", 0)
    assert together == hits_of(shard_of(20, 30, 25, 1, deleted=deleted), QUERIES[name])
    assert {hit.address.segment for hit in together} >= {0, 1, 2}


def hits_of(shard: MemoryShard, query: Primitive) -> list[ShardHit]:
    similarities = similarities_of(query, SCHEMA)
    with shard.snapshot() as searcher:
        stats = CollectionStats.total(
            [searcher.statistics(similarities, list(scored_terms(query, similarities)))]
        )
        return list(searcher.query(QueryRequest(query, stats, similarities, size=50)).hits)


def test_lists_lengths_and_deletes_lie_end_to_end() -> None:
    with shard_of(5, 7, deleted=["0-4", "1-0"]).snapshot() as searcher:
        segments = searcher._snapshot.segments
    reader = JoinedSegments(segments)
    assert reader.starts == [0, 5]
    assert reader.deleted == BitMap([4, 5])
    for found in (reader.postings("title", b"snow"), reader.shared_postings("title", b"snow")):
        assert found is not None
        assert found.docs().tolist() == [1, 2, 4, 6, 7, 9, 10]
        assert found.freqs() is not None
        assert found.bitmap() == BitMap(found.docs().tolist())
        whole, some = found.positions(), found.positions_at(np.array([1, 3, 6]))
        assert whole is not None
        assert some is not None
        offsets, positions = whole
        chosen = [positions[offsets[at] : offsets[at + 1]].tolist() for at in (1, 3, 6)]
        assert some[1].tolist() == [each for own in chosen for each in own]
        assert np.diff(some[0]).tolist() == [len(own) for own in chosen]
    lengths = reader.lengths("title")
    assert lengths is not None
    assert lengths.tolist() == [1 + 2 * (at % 3) for size in (5, 7) for at in range(size)]
    assert reader.average_length("title") == lengths.sum() / 12
    assert reader.lengths("body") is None
    assert reader.doc_freq("title", b"snow") == sum(
        segment.doc_freq("title", b"snow") for segment in segments
    )
    reader.keep(("bitmap", "title", b"snow"), reader.postings("title", b"snow").bitmap(), 1)  # type: ignore[union-attr]
    assert reader.doc_freq("title", b"snow") == 6


def test_a_list_is_kept_once_and_the_segments_own_where_positions_are_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with shard_of(5, 7, 3).snapshot() as searcher:
        segments = searcher._snapshot.segments
    asked: list[SegmentReader] = []
    own = SegmentReader.shared_postings

    def shared(segment: SegmentReader, field: str, term: bytes) -> Postings | None:
        asked.append(segment)
        return own(segment, field, term)

    monkeypatch.setattr(SegmentReader, "shared_postings", shared)
    reader = JoinedSegments(segments)
    first = reader.shared_postings("title", b"snow")
    again = reader.shared_postings("title", b"snow")
    assert first is not None
    assert again is not None
    assert again.docs() is first.docs()
    expected = first.positions()
    assert expected is not None
    assert asked == []
    found = again.positions()
    assert asked == list(segments)
    assert found is not None
    assert [each.tolist() for each in found] == [each.tolist() for each in expected]
    assert reader.shared_postings("title", b"nobody") is None
