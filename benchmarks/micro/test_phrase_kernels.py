"""Positions of candidates to frequencies of a phrase: what two slots cost once their rows are in memory."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from quidditch.index.codecs import ascending_offsets
from quidditch.index.postings import Postings
from quidditch.search.scorers.phrase import CANDIDATES_AT_ONCE
from quidditch.search.scorers.positions import Occurrences, Spots, in_both, places_of, row_keys, spots_of
from quidditch.search.scorers.sloppy import window_frequencies

SEED = 7


def slot(mean: int, length_tokens: int, seed: int) -> Spots:
    """Positions of one word in a piece of candidates: texts of this length, `mean` times in each."""
    dice = np.random.default_rng(seed)
    counts = dice.poisson(mean - 1, CANDIDATES_AT_ONCE) + 1
    positions = dice.integers(0, length_tokens, counts.sum(), dtype=np.uint32)
    rows = np.repeat(np.arange(len(counts)), counts)
    keys = np.unique(rows << 32 | positions)
    kept = np.bincount(keys >> 32, minlength=len(counts))
    return Spots(ascending_offsets(kept), (keys & 0xFFFFFFFF).astype(np.uint32))


@pytest.mark.parametrize("length_tokens", [150, 100_000], ids=["marked", "looked up"])
def test_two_slots_meet(benchmark: BenchmarkFixture, length_tokens: int) -> None:
    few, many = slot(5, length_tokens, SEED), slot(8, length_tokens, SEED + 1)
    _, spots = benchmark(in_both, few, many)
    shared = np.intersect1d(row_keys(few), row_keys(many))
    assert len(spots.positions) == len(shared)


def test_two_slots_near_each_other(benchmark: BenchmarkFixture) -> None:
    keys = [row_keys(slot(5, 150, SEED)), row_keys(slot(8, 150, SEED + 1))]
    counts = benchmark(window_frequencies, keys, 3, CANDIDATES_AT_ONCE)
    assert (counts > 0).mean() > 0.5


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_places_of_candidates(benchmark: BenchmarkFixture, share: float) -> None:
    dice = np.random.default_rng(SEED)
    docs = np.flatnonzero(dice.random(600_000) < 0.8).astype(np.uint32)
    chosen = docs[dice.random(len(docs)) < share]
    assert np.array_equal(docs[benchmark(places_of, chosen, docs, 600_000)], chosen)


@pytest.mark.parametrize("share", [0.02, 1.0])
def test_positions_of_candidates(benchmark: BenchmarkFixture, share: float) -> None:
    whole = slot(5, 150, SEED)
    docs = np.arange(CANDIDATES_AT_ONCE, dtype=np.uint32)
    distances = np.diff(whole.positions, prepend=np.uint32(0))
    distances[whole.offsets[:-1]] = whole.positions[whole.offsets[:-1]]
    freqs = whole.counts.astype(np.uint32)
    postings = Postings(len(docs), docs, freqs, None, None, (), lambda: distances)
    places = np.flatnonzero(np.random.default_rng(SEED).random(len(docs)) < share)
    found = benchmark(spots_of, [Occurrences(postings, places, None)], 0, len(places))
    assert np.array_equal(found.counts, whole.counts[places])
