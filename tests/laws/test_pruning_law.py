"""Pruned results equal exhaustive ones: ids, order, score bits, totals and the highest score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from law_shards import Layout, answer, layouts, limits, no_pruning, pruning, queries, shards_of
from memory_shard import MemoryShard

from quidditch.query.primitive import Boolean, Primitive, ScoredTerm

pages = st.one_of(st.integers(1, 12), st.sampled_from((100, 5000)))
searches = st.lists(st.tuples(queries, pages), min_size=1, max_size=12)


def check(
    shards: Sequence[MemoryShard], asked: Sequence[tuple[Primitive, int]], tried: Mapping[str, int]
) -> None:
    for query, size in asked:
        with no_pruning():
            expected = answer(shards, query, size)
        with pruning(tried):
            assert answer(shards, query, size) == expected, (query, size)


@given(segments=st.lists(layouts, min_size=1, max_size=3), asked=searches, tried=limits)
def test_pruned_equals_exhaustive(
    segments: list[Layout], asked: list[tuple[Primitive, int]], tried: dict[str, int]
) -> None:
    check(shards_of([segments]), asked, tried)
