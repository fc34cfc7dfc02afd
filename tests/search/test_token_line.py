"""Phrases by bitmaps of all tokens in one line: the same documents and counts as by each document's positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_shard import Doc, shards_of
from pyroaring import BitMap
from test_best_phrases import weight_of

from quidditch.index.buffer import MemoryRows
from quidditch.index.codecs import ascending_bitmap, bitmap_of, ids_of
from quidditch.index.reader import SegmentReader
from quidditch.query.primitive import ScoredPhrase
from quidditch.search.scorers import SegmentContext, open_segment, phrase, token_line

WORDS = ["a", "b", "c", "d"]
texts = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
values = st.one_of(texts, st.lists(texts, max_size=4))
documents = st.lists(st.fixed_dictionaries({"title": values}), min_size=1, max_size=30)


@st.composite
def phrases(draw: st.DrawFn) -> ScoredPhrase:
    """Repeated terms, terms that nobody has, alternatives at one position, gaps as wide as between values."""
    some = draw(st.lists(st.sampled_from([*WORDS, "none"]).map(str.encode), min_size=1, max_size=4))
    positions = [draw(st.integers(0, 2))]
    for step in draw(st.lists(st.sampled_from([0, 1, 1, 2, 101]), min_size=3, max_size=3)):
        positions.append(positions[-1] + step)
    return ScoredPhrase("title", tuple(some), tuple(positions[: len(some)]))


def segment_of(docs: Sequence[Doc], deleted: frozenset[str] = frozenset()) -> SegmentReader:
    (shard,) = shards_of(docs, deleted=deleted)
    return shard._snapshot.segments[0]


def fresh(segment: SegmentReader) -> SegmentContext:
    return open_segment(segment, lambda id: None)


@contextmanager
def only_line() -> Iterator[None]:
    """Who asks for the positions of single documents fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrase, "_candidates", None)
        yield


def by_line(
    segment: SegmentReader, query: ScoredPhrase, within: BitMap | None = None
) -> list[tuple[int, float]]:
    with only_line():
        return pairs(phrase.phrase_frequencies(query, fresh(segment), within))


def by_documents(segment: SegmentReader, query: ScoredPhrase) -> list[tuple[int, float]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_line, "ROOMS", ())
        return pairs(phrase.phrase_frequencies(query, fresh(segment), None))


def pairs(found: phrase.Frequencies) -> list[tuple[int, float]]:
    return list(zip(found.docs.tolist(), found.counts.tolist(), strict=True))


@given(docs=documents, asked=st.lists(phrases(), min_size=1, max_size=4))
def test_it_finds_what_the_positions_of_each_document_tell(
    docs: list[dict[str, Any]], asked: list[ScoredPhrase]
) -> None:
    segment = segment_of(docs)
    for query in asked:
        if segment.lengths("title") is not None:
            assert by_line(segment, query) == by_documents(segment, query)


def test_a_document_ends_where_the_next_begins() -> None:
    segment = segment_of([{"title": "a b"}, {"title": "c"}, {"title": ""}, {"title": "b c b c"}])
    assert by_line(segment, ScoredPhrase("title", (b"b", b"c"), (0, 1))) == [(3, 2.0)]
    assert by_line(segment, ScoredPhrase("title", (b"a", b"b", b"c"), (0, 1, 2))) == []
    assert by_line(segment, ScoredPhrase("title", (b"c", b"b"), (0, 1))) == [(3, 1.0)]


def test_a_narrower_line_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    segment = segment_of([{"title": ["a", "a", "b c"]}, {"title": "b c"}])
    laid = []
    own = token_line._line

    def line(reader: Any, field: str, room: int) -> Any:
        laid.append(room)
        return own(reader, field, room)

    monkeypatch.setattr(token_line, "_line", line)
    query = ScoredPhrase("title", (b"a", b"b"), (0, 101))
    assert by_line(segment, query) == [(0, 1.0)]
    assert laid == [0, 1]
    assert by_line(segment, query) == [(0, 1.0)]
    assert laid == [0, 1, 1]


def test_without_room_for_its_positions_a_field_has_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_line, "ROOMS", ((1, 0),))
    segment = segment_of([{"title": ["a", "b"]}])
    query = ScoredPhrase("title", (b"a", b"b"), (0, 101))
    assert token_line.in_line(phrase.slots_of(query), "title", fresh(segment)) is None
    assert pairs(phrase.phrase_frequencies(query, fresh(segment), None)) == [(0, 1.0)]


def test_a_line_beyond_32_bits_is_not_laid(monkeypatch: pytest.MonkeyPatch) -> None:
    segment = segment_of([{"title": "a b"}] * 3)
    query = ScoredPhrase("title", (b"a", b"b"), (0, 1))
    monkeypatch.setattr(token_line, "LONGEST_LINE", 5)
    assert token_line.in_line(phrase.slots_of(query), "title", fresh(segment)) is None
    monkeypatch.setattr(token_line, "LONGEST_LINE", 6)
    assert by_line(segment, query) == [(0, 1.0), (1, 1.0), (2, 1.0)]


def test_a_phrase_that_reaches_too_far_goes_by_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    segment = segment_of([{"title": "a b c"}])
    monkeypatch.setattr(token_line, "FARTHEST", 1)
    far, near = ScoredPhrase("title", (b"a", b"c"), (0, 2)), ScoredPhrase("title", (b"a", b"b"), (3, 4))
    with pytest.raises(TypeError), only_line():
        phrase.phrase_frequencies(far, fresh(segment), None)
    assert pairs(phrase.phrase_frequencies(far, fresh(segment), None)) == [(0, 1.0)]
    assert by_line(segment, near) == [(0, 1.0)]


def test_a_long_list_is_laid_in_line_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_line, "SHORT", 4)
    segment = segment_of([{"title": "a b c"}] * 3)
    slots = phrase.slots_of(ScoredPhrase("title", (b"a", b"b"), (0, 1)))
    assert token_line.in_line(slots, "title", fresh(segment)) is None
    found = token_line.in_line(slots, "title", fresh(segment))
    assert found is not None
    assert found[0].tolist() == [0, 1, 2]
    # One list more is short by itself.
    one_more = phrase.slots_of(ScoredPhrase("title", (b"a", b"b", b"c"), (0, 1, 2)))
    assert token_line.in_line(one_more, "title", fresh(segment)) is not None


def test_deleted_and_filtered_documents_are_not_among_the_best() -> None:
    segment = segment_of(
        [{"title": "a b " * (1 + number % 3)} for number in range(20)], frozenset({"2", "5"})
    )
    query = ScoredPhrase("title", (b"a", b"b"), (0, 1))
    assert [doc for doc, _ in by_line(segment, query)] == list(range(20))
    weight = weight_of(query, segment)
    with only_line():
        top = phrase.top_phrase(weight, fresh(segment), 3, None)
        assert top.docs.tolist() == [8, 11, 14]
        top = phrase.top_phrase(weight, fresh(segment), 3, BitMap(range(10)))
        # Of equal scores the first documents.
        assert top.docs.tolist() == [1, 4, 8]
        assert len(set(top.scores.tolist())) == 2
        every = phrase.score_phrase(weight, fresh(segment), BitMap([1, 3]))
        assert every.docs.tolist() == [1, 3]


def test_lists_that_a_bitmap_will_replace_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    segment = segment_of([{"title": "a b a", "body": "a b"}] * 200)
    kept: list[bytes] = []
    own = segment.shared_postings

    def shared(field: str, term: bytes) -> Any:
        kept.append(term)
        return own(field, term)

    monkeypatch.setattr(segment, "shared_postings", shared)
    monkeypatch.setattr(token_line, "SHORT", 0)
    words, places = (b"a", b"b", b"a"), (0, 1, 2)
    found = phrase.phrase_frequencies(ScoredPhrase("title", words, places), fresh(segment), None)
    assert (len(found.docs), kept) == (200, [])
    # Slop goes by documents every time.
    phrase.phrase_frequencies(ScoredPhrase("title", words, places, 2), fresh(segment), None)
    assert set(kept) == {b"a", b"b"}


def test_what_would_not_be_kept_is_not_laid(monkeypatch: pytest.MonkeyPatch) -> None:
    segment = segment_of([{"title": "a b"}] * 3)
    assert isinstance(segment._rows, MemoryRows)
    monkeypatch.setattr(segment._cache, "lasting", False)
    slots = phrase.slots_of(ScoredPhrase("title", (b"a", b"b"), (0, 1)))
    assert token_line.in_line(slots, "title", fresh(segment)) is None


@pytest.mark.parametrize("count", [0, 1, 5, 4096, 4097, 200_000])
@pytest.mark.parametrize("span", [1 << 16, 1 << 18, 1 << 32])
def test_ascending_ids_make_the_same_bitmap(count: int, span: int) -> None:
    dice = np.random.default_rng(count)
    ids = np.unique(dice.integers(0, span, count).astype(np.uint32))
    assert ascending_bitmap(ids) == bitmap_of(ids)
    assert ids_of(ascending_bitmap(ids)).tolist() == ids.tolist()
