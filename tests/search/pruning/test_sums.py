"""Sums of a span, and the quick way to the highest of them, against plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.search.pruning import sums
from quidditch.search.pruning.sums import MOST, take_sums


@given(
    size=st.sampled_from((1, 5, 127, 128, 129, 1000, 1031)),
    start=st.sampled_from((0, 1, 70_000)),
    count=st.integers(1, 6),
    columns=st.sampled_from((2, 64, 500)),
    seed=st.integers(0, 1 << 32),
)
def test_the_highest_are_found_wherever_they_lie(
    size: int, start: int, count: int, columns: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    impacts = np.where(rng.random(start + size) < 0.02, 200, 1).astype(np.uint8)
    impacts[-1] = 201
    docs = (start + np.flatnonzero(rng.random(size) < 0.3)).astype(np.uint32)
    expected = impacts[start:].astype(np.int64) * 3
    expected[docs - start] += 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "COLUMNS", columns)
        own = take_sums(start, size)
        own.add_to_all(impacts, 3)
        # Before and after the highest of columns are known, and after they have changed.
        own.reached_by(count)
        own.add(docs, np.full(len(docs), 5, np.uint8), 1)
        reached = own.reached_by(count)
        assert reached == 0 or (expected >= reached).sum() >= count
        assert reached > 0 or size <= count
        for least in (1, 4, reached, 600, 603, 604, 609, MOST, MOST + 9):
            assert own.reaching(least).tolist() == (start + np.flatnonzero(expected >= least)).tolist()
    every = np.arange(start, start + size)
    assert own.of(every).tolist() == expected.tolist()
    own.put(every[-1:], np.array([MOST], np.uint16))
    assert own.reaching(MOST).tolist() == every[-1:].tolist()
