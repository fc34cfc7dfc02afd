"""Sums bound scores, thresholds lose nobody, and candidates hold every one of the best, whatever the spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_postings import PlainPostings
from pyroaring import BitMap

from quidditch.index.codecs import bitmap_of
from quidditch.search.pruning import bounds, sums
from quidditch.search.pruning.bounds import Candidates, Narrowing, Part, Scale
from quidditch.search.pruning.impacts import UNITS, Impacts
from quidditch.types import F64s, Ints

values = st.floats(1e-25, 1e30) | st.floats(0.1, 10.0) | st.just(1.0)
seeds = st.integers(0, 1 << 32)


def impacts_with(shares: F64s) -> Impacts:
    """A list of every document whose share, 0 to 1, is not 0."""
    docs = np.flatnonzero(shares).astype(np.uint32)
    units = np.minimum(np.ceil(shares[docs] * UNITS + 1e-3), UNITS).astype(np.uint8)
    return Impacts(PlainPostings(docs), units, None, len(shares))


@dataclass
class Terms:
    """Lists over `doc_count` documents, and the scores that they add up to in documents (float32)."""

    parts: list[Part]
    ratio: float
    scores: F64s
    sums: Ints

    @property
    def scale(self) -> Scale:
        return Scale(self.parts, self.ratio)


def terms_of(worth: Sequence[float], doc_count: int, ratio: float, seed: int) -> Terms:
    """Each share is real to between `ratio` and 1 of what the lists say, as when average lengths differ."""
    rng = np.random.default_rng(seed)
    exact = np.zeros(doc_count)
    parts: list[Part] = []
    listed: list[Ints] = []
    for value in worth:
        held = rng.random(doc_count) < rng.choice((1.0, 0.5, 0.2, 0.05))
        held[rng.integers(doc_count)] = True
        # Few distinct shares, so that scores tie; some right below a unit.
        share = rng.choice((0.004, 0.1, 0.3, 100 / UNITS - 1e-9, 0.5, rng.random(), 1.0), doc_count) * held
        impacts = impacts_with(share)
        parts.append(Part(impacts, value))
        exact += value * share * rng.choice((ratio, 1.0, 1.0), doc_count)
        by_doc: Ints = np.zeros(doc_count, np.int64)
        by_doc[np.flatnonzero(share)] = impacts.impacts[impacts.impacts > 0]
        listed.append(by_doc)
    rounded = exact.astype(np.float32).astype(np.float64)
    weights = Scale(parts, ratio).weights
    added: Ints = np.zeros(doc_count, np.int64)
    for by_doc, weight in zip(listed, weights, strict=True):
        added = added + by_doc * weight
    return Terms(parts, ratio, rounded, added)


@given(worth=st.lists(values, min_size=1, max_size=40), ratio=st.sampled_from((1.0, 0.9, 0.01)), seed=seeds)
def test_sums_fit_and_bound_scores(worth: list[float], ratio: float, seed: int) -> None:
    terms = terms_of(worth, 30, ratio, seed)
    scale = terms.scale
    assert scale.fits
    assert sum(w * p.held.largest for w, p in zip(scale.weights, terms.parts, strict=True)) <= sums.MOST
    for score, own in zip(terms.scores.tolist(), terms.sums.tolist(), strict=True):
        assert own >= scale.least_sum(score) or not own


@given(worth=st.lists(values, min_size=1, max_size=12), ratio=st.sampled_from((1.0, 0.9, 0.01)), seed=seeds)
def test_who_scores_as_high_is_never_below_the_least_beside(
    worth: list[float], ratio: float, seed: int
) -> None:
    terms = terms_of(worth, 30, ratio, seed)
    scale = terms.scale
    for score, own in zip(terms.scores.tolist(), terms.sums.tolist(), strict=True):
        least = scale.least_beside(own)
        as_high = (terms.scores >= score) & (terms.sums > 0)
        assert not as_high.any() or terms.sums[as_high].min() >= least


def test_what_rounding_adds_up_to_is_allowed_for() -> None:
    """Twelve shares right above a unit sum to twelve units too much, and twelve right below one to none."""
    above, below = np.full(12, 100.0001), np.array([103.0] + 11 * [99.998])
    parts = [Part(impacts_with(np.array(pair) / UNITS), 1.0) for pair in zip(above, below, strict=True)]
    scale = Scale(parts, 1.0)
    sum_above, sum_below = (
        sum(weight * int(part.held.impacts[doc]) for weight, part in zip(scale.weights, parts, strict=True))
        for doc in (0, 1)
    )
    assert below.sum() > above.sum()
    assert sum_below < sum_above
    assert sum_below >= scale.least_beside(sum_above)


def test_thresholds_are_close() -> None:
    """Or every bound would hold and nothing be pruned: of one term, two units of its impact lie between."""
    part = Part(impacts_with(np.full(10, 1.0)), 3.0)
    scale = Scale([part], 1.0)
    (weight,) = scale.weights
    assert scale.least_sum(3.0) > 254 * weight * 0.99
    assert scale.least_beside(200 * weight) >= 198 * weight


def test_too_many_terms_do_not_fit() -> None:
    part = Part(impacts_with(np.full(10, 1.0)), 1.0)
    assert Scale([part] * 100, 1.0).fits
    assert not Scale([part] * 200, 1.0).fits


@pytest.mark.parametrize("span", [5, 64, 1 << 20])
@given(
    worth=st.lists(st.floats(0.1, 10.0), min_size=1, max_size=6),
    seed=seeds,
    count=st.sampled_from((1, 2, 5, 40, 1000)),
    narrow=st.sampled_from(("all", "allowed", "denied", "both", "none")),
    ratio=st.sampled_from((1.0, 0.5)),
)
def test_candidates_hold_the_best(
    span: int, worth: list[float], seed: int, count: int, narrow: str, ratio: float
) -> None:
    doc_count = 150
    terms = terms_of(worth, doc_count, ratio, seed)
    narrowing = narrowing_of(narrow, doc_count, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "SPAN", span)
        patch.setattr(sums, "COLUMNS", 4)
        patch.setattr(bounds, "FEW_SHARE", 1)
        found = Candidates(terms.parts, terms.scale, doc_count, narrowing, count).find(0.0)
    assert np.all(np.diff(found.astype(np.int64)) > 0)
    those = narrowing.of(BitMap(range(doc_count)))
    counting = [doc for doc in np.flatnonzero(terms.sums).tolist() if doc in those]
    assert set(found.tolist()) <= set(counting)
    in_order = sorted(counting, key=lambda doc: -terms.scores[doc])
    if len(in_order) <= count:
        assert found.tolist() == sorted(in_order)
    else:
        # Of those that tie with the last on the page, every one may be asked for.
        last = terms.scores[in_order[count - 1]]
        assert {doc for doc in counting if terms.scores[doc] >= last} <= set(found.tolist())


def narrowing_of(kind: str, doc_count: int, seed: int) -> Narrowing:
    rng = np.random.default_rng(seed + 1)
    some = bitmap_of(np.flatnonzero(rng.random(doc_count) < 0.3))
    most = bitmap_of(np.flatnonzero(rng.random(doc_count) < 0.9))
    return {
        "all": Narrowing(None, BitMap()),
        "allowed": Narrowing(some, BitMap()),
        "denied": Narrowing(None, most),
        "both": Narrowing(most, some),
        "none": Narrowing(BitMap(), some),
    }[kind]


def test_a_floor_leaves_only_what_reaches_it() -> None:
    shares = np.arange(1, 101) / 100
    parts = [Part(impacts_with(shares), 2.0), Part(impacts_with(shares[::-1] * (shares > 0.5)), 1.0)]
    scores = 2.0 * shares + shares[::-1] * (shares > 0.5)
    found = Candidates(parts, Scale(parts, 1.0), 100, Narrowing(None, BitMap()), 10).find(1.95)
    assert set(np.flatnonzero(scores >= 1.95).tolist()) <= set(found.tolist())
    assert len(found) < 20


def test_narrowing_keeps_the_allowed_that_are_not_denied() -> None:
    docs = np.array([1, 2, 3, 8], np.intp)
    narrowing = Narrowing(BitMap([2, 3, 9]), BitMap([3]))
    assert narrowing.kept(docs).tolist() == [2]
    assert narrowing.of(BitMap([1, 2, 3, 9])) == BitMap([2, 9])
    assert not narrowing.leaves_all
    assert Narrowing(None, BitMap()).kept(docs) is docs
    assert Narrowing(None, BitMap()).leaves_all
    assert Narrowing(BitMap(), BitMap([1, 2, 3])).wanted(1, 10) > 0
    assert Narrowing(BitMap([1, 2]), BitMap()).wanted(10, 10) > 50
