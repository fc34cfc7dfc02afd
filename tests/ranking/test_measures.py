"""The measures, on rankings small enough to work out by hand."""

from __future__ import annotations

import math

import pytest
from judged import ndcg, recall, reciprocal_rank


def test_ndcg_of_perfect_and_useless_rankings() -> None:
    assert ndcg(["a", "b", "x"], {"a": 2, "b": 1}) == 1.0
    assert ndcg(["x", "y"], {"a": 1}) == 0.0
    assert ndcg([], {"a": 1}) == 0.0


def test_ndcg_discounts_by_rank() -> None:
    assert ndcg(["x", "a"], {"a": 1}) == pytest.approx(1 / math.log2(3))
    assert ndcg(["b", "a"], {"a": 2, "b": 1}) == pytest.approx(
        (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
    )


def test_ndcg_looks_no_deeper_than_asked() -> None:
    ranking = [f"x{number}" for number in range(10)] + ["a"]
    assert ndcg(ranking, {"a": 1}) == 0.0
    assert ndcg(ranking, {"a": 1}, depth=11) > 0


def test_recall_and_reciprocal_rank() -> None:
    assert recall(["a", "x"], {"a": 1, "b": 1, "c": 0}) == 0.5
    assert reciprocal_rank(["x", "a", "b"], {"a": 1, "b": 1}) == 0.5
    assert reciprocal_rank(["x"], {"a": 1}) == 0.0
