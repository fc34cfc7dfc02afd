"""The best phrases alone are the ones that all phrases, scored and sorted, would give: ids, order and score
bits. By the positions of single documents: `test_token_line.py` compares the other way with this one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_shard import SCHEMA, shards_of
from pyroaring import BitMap

from quidditch.index.codecs import ids_of
from quidditch.interface import CollectionStats, FieldStats
from quidditch.query.primitive import ScoredPhrase
from quidditch.search.phases import similarities_of
from quidditch.search.readers import SegmentReader
from quidditch.search.scorers import SegmentContext, open_segment, phrase, token_line
from quidditch.search.scorers.context import Scored, TimeIsUp
from quidditch.search.topk import best
from quidditch.search.weight import PhraseWeight, bind, scored_terms


@pytest.fixture(autouse=True, scope="module")
def no_line() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_line, "ROOMS", ())
        yield


WORDS = ["a", "b", "c", "d"]
texts = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
documents = st.lists(st.fixed_dictionaries({"title": texts, "body": texts}), min_size=1, max_size=30)


@st.composite
def phrases(draw: st.DrawFn) -> ScoredPhrase:
    """Repeated terms, alternatives at one position, gaps, slop, and a boost of nothing."""
    some = draw(st.lists(st.sampled_from(WORDS).map(str.encode), min_size=2, max_size=4))
    positions = [0]
    for step in draw(st.lists(st.integers(0, 2), min_size=len(some) - 1, max_size=len(some) - 1)):
        positions.append(positions[-1] + step)
    slop, boost = draw(st.sampled_from([0, 0, 1, 4])), draw(st.sampled_from([0.0, 1.0, 2.5]))
    return ScoredPhrase(draw(st.sampled_from(["title", "body"])), tuple(some), tuple(positions), slop, boost)


def segment_of(docs: Sequence[dict[str, Any]], deleted: frozenset[str] = frozenset()) -> SegmentReader:
    (shard,) = shards_of(docs, deleted=deleted)
    with shard.snapshot() as searcher:
        return searcher._context(0).segments[0]


def weight_of(query: ScoredPhrase, segment: SegmentReader) -> PhraseWeight:
    similarities = similarities_of(query, SCHEMA)
    counts = {name: segment.field_stats(name) for name in similarities}
    fields = {name: FieldStats(each.doc_count, each.sum_length_tokens) for name, each in counts.items()}
    freqs = {pair: segment.doc_freq(*pair) for pair in scored_terms(query, similarities)}
    weight = bind(query, CollectionStats(fields, freqs), similarities)
    assert isinstance(weight, PhraseWeight)
    return weight


def fresh(segment: SegmentReader) -> SegmentContext:
    return open_segment(segment, lambda id: None)


def ranked(found: Scored, count: int) -> list[tuple[int, float]]:
    rounded = found.scores.astype(np.float32)
    places = best(rounded, count)
    return list(zip(found.docs[places].tolist(), found.scores[places].tolist(), strict=True))


def of_all(
    weight: PhraseWeight, segment: SegmentReader, count: int, within: BitMap | None
) -> list[tuple[int, float]]:
    context = fresh(segment)
    if within is None:
        return ranked(context.score_live(weight), count)
    return ranked(context.score(weight, within - context.deleted), count)


@given(
    docs=documents,
    query=phrases(),
    count=st.integers(1, 12),
    deleted=st.sets(st.integers(0, 29).map(str)).map(frozenset),
    within=st.none() | st.sets(st.integers(0, 29)),
    batch=st.integers(1, 5),
)
def test_the_best_are_those_of_all(
    docs: list[dict[str, Any]],
    query: ScoredPhrase,
    count: int,
    deleted: frozenset[str],
    within: set[int] | None,
    batch: int,
) -> None:
    segment = segment_of(docs, deleted)
    weight, limit = weight_of(query, segment), None if within is None else BitMap(within)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrase, "FIRST_VERIFIED", batch)
        patch.setattr(phrase, "GROWTH", 2)
        patch.setattr(phrase, "CANDIDATES_AT_ONCE", 3)
        found = phrase.top_phrase(weight, fresh(segment), count, limit)
        expected = of_all(weight, segment, count, limit)
        assert ranked(found, count) == expected
        assert found.docs.tolist() == sorted(doc for doc, _ in expected)
        if expected:
            reached = float(np.float32(expected[len(expected) // 2][1]))
            above = phrase.top_phrase(weight, fresh(segment), count, limit, reached)
            kept = [pair for pair in expected if np.float32(pair[1]) >= reached]
            assert ranked(above, count)[: len(kept)] == kept


@pytest.mark.parametrize("slop", [0, 3])
def test_few_documents_are_read_where_bounds_tell(monkeypatch: pytest.MonkeyPatch, slop: int) -> None:
    docs = [{"title": "a b " * 6 if number % 50 == 7 else f"a {'x ' * 30} b"} for number in range(1000)]
    segment = segment_of(docs)
    weight = weight_of(ScoredPhrase("title", (b"a", b"b"), (0, 1), slop), segment)
    read = []
    count_all = phrase.Candidates.frequencies

    def counted(self: phrase.Candidates, query: ScoredPhrase, rows: Any) -> Any:
        read.extend(rows.tolist())
        return count_all(self, query, rows)

    monkeypatch.setattr(phrase.Candidates, "frequencies", counted)
    monkeypatch.setattr(phrase, "FIRST_VERIFIED", 16)
    found = phrase.top_phrase(weight, fresh(segment), 5, None)
    assert len(read) < 100
    assert ranked(found, 5) == of_all(weight, segment, 5, None)


def test_equal_bounds_end_with_the_first_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    segment = segment_of([{"body": "a b"}] * 500)
    weight = weight_of(ScoredPhrase("body", (b"a", b"b"), (0, 1)), segment)
    read = []
    count_all = phrase.Candidates.frequencies

    def counted(self: phrase.Candidates, query: ScoredPhrase, rows: Any) -> Any:
        read.extend(rows.tolist())
        return count_all(self, query, rows)

    monkeypatch.setattr(phrase.Candidates, "frequencies", counted)
    monkeypatch.setattr(phrase, "FIRST_VERIFIED", 20)
    assert phrase.top_phrase(weight, fresh(segment), 10, None).docs.tolist() == list(range(10))
    assert read == list(range(20))


@pytest.mark.parametrize("slop", [0, 2])
def test_pieces_of_the_candidates_give_what_the_whole_gives(
    monkeypatch: pytest.MonkeyPatch, slop: int
) -> None:
    dice = np.random.default_rng(3)
    docs = [{"title": " ".join(dice.choice(WORDS, dice.integers(0, 20)))} for _ in range(300)]
    segment = segment_of(docs)
    query = ScoredPhrase("title", (b"a", b"b", b"c", b"a"), (0, 1, 1, 3), slop)
    whole = phrase.phrase_frequencies(query, fresh(segment), None)
    monkeypatch.setattr(phrase, "CANDIDATES_AT_ONCE", 7)
    # Positions far apart are looked up, near ones marked in flags.
    monkeypatch.setattr("quidditch.search.scorers.positions.SPARSE", 0)
    pieces = phrase.phrase_frequencies(query, fresh(segment), None)
    assert len(whole.docs) > 20
    assert pieces.docs.tolist() == whole.docs.tolist()
    assert pieces.counts.tolist() == whole.counts.tolist()
    some = BitMap(whole.docs[::3].tolist())
    inside = phrase.phrase_frequencies(query, fresh(segment), some)
    kept = np.isin(whole.docs, ids_of(some))
    assert inside.docs.tolist() == whole.docs[kept].tolist()
    assert inside.counts.tolist() == whole.counts[kept].tolist()


def test_time_is_asked_between_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    segment = segment_of([{"title": "a b"}] * 50)
    weight = weight_of(ScoredPhrase("title", (b"a", b"b"), (0, 1)), segment)
    monkeypatch.setattr(phrase, "CANDIDATES_AT_ONCE", 10)
    context = fresh(segment)
    context.deadline = 0.0
    with pytest.raises(TimeIsUp):
        phrase.top_phrase(weight, context, 5, None)
    with pytest.raises(TimeIsUp):
        phrase.phrase_frequencies(weight.primitive, context, None)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("terms", "positions", "slop"),
    [
        ((b"a", b"b"), (0, 1), 0),
        ((b"a", b"b"), (0, 1), 2),
        ((b"a", b"a"), (0, 1), 0),
        ((b"c", b"a", b"b"), (0, 0, 1), 0),
        ((b"b", b"a", b"c"), (0, 1, 3), 3),
    ],
)
def test_close_scores_and_ties_keep_their_order(
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    terms: tuple[bytes, ...],
    positions: tuple[int, ...],
    slop: int,
) -> None:
    """Many documents about as good, with and without norms, so that a bound that is a little low shows."""
    dice = np.random.default_rng(seed)
    monkeypatch.setattr(phrase, "FIRST_VERIFIED", 8)
    monkeypatch.setattr(phrase, "GROWTH", 2)
    texts = [" ".join(dice.choice(WORDS, dice.integers(2, 30), p=[0.4, 0.4, 0.15, 0.05])) for _ in range(300)]
    deleted = frozenset(map(str, dice.choice(300, 20, replace=False).tolist()))
    segment = segment_of([{"title": text, "body": text} for text in texts], deleted)
    for field in ("title", "body"):
        weight = weight_of(ScoredPhrase(field, terms, positions, slop), segment)
        for count in (1, 2, 5, 10, 25):
            found = phrase.top_phrase(weight, fresh(segment), count, None)
            assert ranked(found, count) == of_all(weight, segment, count, None)
