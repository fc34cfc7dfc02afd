"""Numbers to the best ten: what remains once the lists are decoded."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from quidditch.search.similarity import FieldSimilarity
from quidditch.search.topk import best

SEED = 7


@pytest.mark.parametrize("count", [10, 1000])
@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_top_k(benchmark: BenchmarkFixture, size: int, count: int) -> None:
    scores = np.random.default_rng(SEED).random(size).astype(np.float32)
    places = benchmark(best, scores, count)
    assert np.array_equal(places, np.argsort(-scores, kind="stable")[:count])


def test_bm25_of_a_list(benchmark: BenchmarkFixture) -> None:
    dice = np.random.default_rng(SEED)
    lengths = dice.integers(20, 400, 100_000, dtype=np.uint32)
    frequencies = dice.integers(1, 8, 100_000, dtype=np.uint32)
    similarity = FieldSimilarity("bm25", 1_000_000, 200_000_000)
    scores = benchmark(similarity.scores, 3.0, frequencies, lengths, len(lengths))
    assert ((scores > 0) & (scores < 3.0)).all()
