"""Pruned results equal exhaustive ones: ids, order, score bits, totals and the highest score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from law_shards import (
    FREQUENCIES,
    SCHEMA,
    Layout,
    answer,
    crowd,
    crowd_query,
    drawn_limits,
    layouts,
    limits,
    no_pruning,
    pruning,
    queries,
    shards_of,
)
from memory_shard import MemoryShard

from quidditch.query.primitive import BestOf, Boolean, Everything, NumberInterval, Primitive, ScoredTerm
from quidditch.search.scorers import SegmentContext
from quidditch.search.scorers.context import TimeIsUp

pages = st.one_of(st.integers(1, 12), st.sampled_from((100, 5000)))
searches = st.lists(st.tuples(queries, pages), min_size=1, max_size=12)
segment_lists = st.lists(layouts, min_size=1, max_size=3)

EAGER = {"FEW": 0, "FEW_ALLOWED": 0, "MANY_SHARE": 0, "FIRST": 1}
"""Limits with which even the smallest segment goes by bounds."""


def check(
    shards: Sequence[MemoryShard], query: Primitive, size: int, tried: Mapping[str, int] = EAGER
) -> None:
    with no_pruning():
        expected = answer(shards, query, size)
    with pruning(tried):
        assert answer(shards, query, size) == expected, (query, size)
        # What the first search left in caches serves the second.
        hits, total, highest = expected
        assert answer(shards, query, size, total=False) == (hits, 0, highest), (query, size)
        assert total >= len(hits)


@given(segments=segment_lists, asked=searches, tried=limits)
def test_pruned_equals_exhaustive(
    segments: list[Layout], asked: list[tuple[Primitive, int]], tried: dict[str, int]
) -> None:
    shards = shards_of([segments])
    for query, size in asked:
        check(shards, query, size, tried)


@given(parts=st.lists(segment_lists, min_size=2, max_size=3), query=queries, size=pages, tried=limits)
def test_it_does_so_under_the_statistics_of_other_shards(
    parts: list[list[Layout]], query: Primitive, size: int, tried: dict[str, int]
) -> None:
    check(shards_of(parts), query, size, tried)


@given(segments=segment_lists, query=queries, size=pages, steps=st.integers(0, 40), tried=limits)
def test_out_of_time_it_shows_true_hits(
    segments: list[Layout], query: Primitive, size: int, steps: int, tried: dict[str, int]
) -> None:
    """Whatever the moment at which time runs out, hits are those of whole segments, with their scores."""
    shards = shards_of([segments])
    with no_pruning():
        every, _, _ = answer(shards, query, 5000)
    with pruning(tried), pytest.MonkeyPatch.context() as patch:
        patch.setattr(SegmentContext, "check_time", until(steps))
        hits, total, _ = answer(shards, query, size, late=True)
    segment_count = 1 + max((segment for _, segment, _, _ in hits), default=-1)
    assert total >= len(hits)
    assert any(
        hits == [hit for hit in every if hit[1] < reached][:size]
        for reached in range(segment_count, len(segments) + 1)
    ), (query, size, steps)


def until(steps: int) -> Callable[[SegmentContext], None]:
    asked = count()

    def check_time(context: SegmentContext) -> None:
        if next(asked) >= steps:
            raise TimeIsUp

    return check_time


CROWDS = [pytest.param(seed, marks=[pytest.mark.long] * (seed >= 4)) for seed in range(200)]


@pytest.mark.parametrize("seed", CROWDS)
def test_among_hundreds_of_close_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shards, tried = crowd(rng), drawn_limits(rng)
    for _ in range(80):
        check(shards, crowd_query(rng), int(rng.choice((1, 2, 3, 10, 30))), tried)


# ----------------------------------------------------------------------------------------------- by hand


def term(word: str, boost: float = 1.0) -> ScoredTerm:
    return ScoredTerm("text", word.encode(), boost)


def any_of(*clauses: Primitive) -> Boolean:
    return Boolean(should=clauses, minimum_should_match=1)


def shard_of(*segments: Sequence[Mapping[str, Any]]) -> list[MemoryShard]:
    parts = [
        [(f"{place}-{at}", source) for at, source in enumerate(part)] for place, part in enumerate(segments)
    ]
    return [MemoryShard(parts, frozenset(), 0, SCHEMA)]


OTHERS_FIRST = [{"text": "x" if at < 5 else "a b" if at % 2 else "a", "n": at} for at in range(30)]
NEVER = NumberInterval("n", 100, 200)


@pytest.mark.parametrize("size", [1, 2, 24, 25, 26, 30, 31])
@pytest.mark.parametrize(
    "query",
    [
        Boolean(filter=(Everything(),), should=(term("a"),)),
        Boolean(filter=(Everything(),), should=(Boolean(must=(term("a"),), filter=(NEVER,)),) * 2),
        Boolean(filter=(Everything(),), should=(term("b"), term("a", 1e-50))),
        Boolean(must=(any_of(term("a"), term("b")),), minimum_should_match=1),
        Boolean(should=(term("a"), term("b")), minimum_should_match=3),
        Boolean(must=(term("a"),), should=(term("b"), term("b")), minimum_should_match=1),
        Boolean(must=(term("a"),), must_not=(term("a"),)),
        any_of(term("a"), term("a", 0.3), term("a")),
        BestOf((term("a"), Boolean(must=(term("b"),), minimum_should_match=1)), 0.3),
        BestOf((term("absent"), term("x")), 1.0),
    ],
)
def test_documents_without_a_score_keep_their_place(query: Primitive, size: int) -> None:
    check(shard_of(OTHERS_FIRST), query, size)
    check(shard_of(OTHERS_FIRST[:7], OTHERS_FIRST[7:]), query, size)


@pytest.mark.parametrize("boost", [5e-324, 1e-320, 1e-306, 1e-46, 1e-45, 1e-44, 1e-40, 1e-37, 1e-30, 1e30])
def test_boosts_beyond_what_float32_tells_apart(boost: float) -> None:
    shards = shard_of(OTHERS_FIRST)
    small = (term("a", boost), term("b", boost))
    for query in (any_of(*small), BestOf(small, 0.3), any_of(term("b"), term("x", boost), term("a", boost))):
        for size in (1, 3, 14, 26):
            check(shards, query, size)


@pytest.mark.parametrize("terms", [2, 127, 128, 129, 256, 1000])
def test_queries_of_very_many_terms(terms: int) -> None:
    sources = [{"text": " ".join(f"w{at}" for at in range(doc % 7, terms, doc + 1))} for doc in range(40)]
    words = [term(f"w{at}", 1 + at % 3) for at in range(terms)]
    for query in (any_of(*words), any_of(*([words[0]] * terms)), BestOf(tuple(words), 0.1)):
        check(shard_of(sources, sources[:9]), query, 5)


def test_frequencies_and_lengths_beyond_one_and_two_bytes() -> None:
    frequencies = [*FREQUENCIES, 254, 256, 65_535, 65_536, 70_000]
    sources = [
        {"text": "a " * often + "b " * (at % 3) + "pad " * (often // 2 * (at % 2))}
        for at, often in enumerate(frequencies)
    ]
    shards = shard_of(sources, [{"text": "a"}] * 9, [{"text": "b"}])
    for query in (term("a"), term("b"), any_of(term("b"), term("a")), BestOf((term("a"), term("b")))):
        for size in (1, 3, 10, 40):
            check(shards, query, size)


@pytest.mark.parametrize("size", [1, 3, 50, 99, 100, 101, 1000])
def test_of_equal_scores_the_first_documents_win(size: int) -> None:
    same = [{"text": "a b"}] * 100
    one_better = [*same[:60], {"text": "a a b"}, *same[:39]]
    for shards in (shard_of(same), shard_of(one_better), shard_of(same[:7], one_better, same)):
        for query in (term("a"), any_of(term("a"), term("b")), BestOf((term("a"), term("b")), 0.5)):
            for span in (7, 64, 1 << 20):
                check(shards, query, size, {**EAGER, "SPAN": span, "COLUMNS": 2})


def test_segments_far_from_the_average_length() -> None:
    """Long documents by themselves, where the index's average makes them look much worse, and the reverse."""
    short = [{"text": "a" if at % 2 else "a b"} for at in range(200)]
    long = [{"text": "a b " * (at % 4 + 1) + "pad " * (2000 + 5 * at)} for at in range(40)]
    for shards in (shard_of(short, long), shard_of(long, short), shard_of(short[:3], long, short, long[:2])):
        for query in (term("a"), any_of(term("b"), term("a")), BestOf((term("a"), term("b")), 0.3)):
            for size in (1, 10, 60):
                check(shards, query, size)
