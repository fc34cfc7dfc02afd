"""Which segments are merged: a pure choice, so its laws are checked on any sizes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.index import merge
from quidditch.index.merge import choose, choose_down_to

Sizes = list[tuple[int, int]]

segment = st.tuples(st.integers(0, 200_000) | st.integers(0, 3_000), st.integers(0, 200_000)).map(
    lambda counts: (counts[0], counts[0] + counts[1])
)
fresh = st.integers(1, 3_000).map(lambda count: (count, count))
lists: st.SearchStrategy[Sizes] = st.lists(segment.filter(lambda one: one[1] > 0) | fresh, max_size=60)


def merged(sizes: Sequence[tuple[int, int]], chosen: slice) -> Sizes:
    """The segments after the merge: the live documents of the chosen, if any, in their place."""
    live = sum(own for own, _ in sizes[chosen])
    return [*sizes[: chosen.start], *([(live, live)] if live else []), *sizes[chosen.stop :]]


def settled(sizes: Sizes) -> tuple[Sizes, int]:
    """The segments when nothing is due any more, and how many documents were rewritten."""
    rewritten = 0
    for _ in range(2 * len(sizes) + 2):
        chosen = choose(sizes)
        if chosen is None:
            return sizes, rewritten
        rewritten += sum(live for live, _ in sizes[chosen])
        sizes = merged(sizes, chosen)
    pytest.fail("the policy never ends")


@given(lists)
def test_the_chosen_are_neighbours_that_are_there(sizes: Sizes) -> None:
    chosen = choose(sizes)
    if chosen is not None:
        assert chosen.step is None
        assert 0 <= chosen.start < chosen.stop <= len(sizes)


@given(lists)
def test_merging_what_is_due_ends(sizes: Sizes) -> None:
    rest, _ = settled(sizes)
    assert sum(live for live, _ in rest) == sum(live for live, _ in sizes)
    for live, total in rest:
        assert total - live <= merge.DELETED_SHARE * total


def test_a_healthy_index_is_left_alone() -> None:
    assert choose([]) is None
    assert choose([(100_000, 100_000), (100, 100)]) is None
    assert choose([(60, 100)]) is None


def test_a_segment_of_deleted_documents_alone_is_dropped() -> None:
    assert choose([(0, 100)]) == slice(0, 1)


def test_small_segments_behind_a_large_one_do_not_rewrite_it() -> None:
    assert choose([(1_000_000, 1_000_000), *[(10, 10)] * merge.FANOUT]) == slice(1, 1 + merge.FANOUT)


@pytest.mark.parametrize("flushed", [1, 10, 100, 1_000, 5_000])
def test_an_index_that_grows_stays_few_segments_and_is_rewritten_seldom(flushed: int) -> None:
    sizes: Sizes = []
    rewritten = 0
    flushes = 2_000
    for _ in range(flushes):
        sizes, more = settled([*sizes, (flushed, flushed)])
        rewritten += more
    assert len(sizes) < 5 * merge.FANOUT
    # Merging by eights takes log8(2,000) = 3.7 rewrites of each document at the best. Segments of the lowest tier
    # count alike, so the smallest flushes may cost that tier's size, each eighth time.
    assert rewritten < 8 * flushes * flushed + flushes * merge.TIER_BASE_DOCS / (merge.FANOUT - 1)


@given(lists, st.integers(1, 10))
def test_merging_down_reaches_the_number_and_leaves_no_deleted(sizes: Sizes, wanted: int) -> None:
    for _ in range(2 * len(sizes) + 2):
        chosen = choose_down_to(sizes, wanted)
        if chosen is None:
            break
        assert 0 <= chosen.start < chosen.stop <= len(sizes)
        sizes = merged(sizes, chosen)
    assert len(sizes) <= wanted
    assert all(live == total for live, total in sizes)
