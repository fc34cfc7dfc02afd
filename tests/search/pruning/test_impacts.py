"""Impacts are upper bounds, within one unit, under the segment's average length and stretched to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from memory_shard import MemoryShard
from plain_postings import PlainPostings

from quidditch.schema.mapping import Mapping as Schema
from quidditch.search.pruning import impacts
from quidditch.search.pruning.impacts import UNITS, Impacts, impacts_of, stretch
from quidditch.search.similarity import K1, FieldSimilarity
from quidditch.types import F64s, Ints

FIELDS: dict[str, dict[str, Any]] = {"text": {}, "flat": {"norms": False}, "once": {"index_options": "docs"}}
SCHEMA = Schema.parse(
    {"properties": {name: {"type": "text", **more} for name, more in FIELDS.items()}}, analyzers={"standard"}
)


def similarity(field: str, average: float = 1.0) -> FieldSimilarity:
    """One whose index-wide average length is `average`, to a millionth."""
    kind = "bm25_no_norms" if field == "flat" else "bm25"
    return FieldSimilarity(kind, 1_000_000, round(average * 1_000_000))


def lengths_of(doc_count: int) -> Ints:
    rng = np.random.default_rng(doc_count)
    return np.where(rng.random(doc_count) < 0.5, 1 + rng.integers(9, size=doc_count), 60)


def shard_with(lengths: Ints) -> MemoryShard:
    """Documents of these lengths; in each, `a` takes a third of the places, and one at least."""
    rows = [
        (str(doc), dict.fromkeys(FIELDS, "a " * max(1, length // 3) + "b " * (length - max(1, length // 3))))
        for doc, length in enumerate(lengths.tolist())
    ]
    return MemoryShard([rows], schema=SCHEMA)


def shares(field: str, lengths: Ints, average: float) -> F64s:
    """float64[n]: what `a` is worth in each document, by the formula."""
    tf = np.ones(len(lengths)) if field == "once" else np.maximum(1, lengths // 3).astype(np.float64)
    norms = K1 if field == "flat" else K1 * (0.25 + 0.75 * lengths / average)
    return np.asarray(tf / (tf + norms))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("doc_count", [1, 2, 50, 400])
def test_impacts_are_the_shares_rounded_up(field: str, doc_count: int) -> None:
    lengths = lengths_of(doc_count)
    segment = shard_with(lengths)._snapshot.segments[0]
    found = impacts_of(segment, field, b"a", similarity(field))
    assert found is not None
    exact = shares(field, lengths, segment.average_length(field)) * UNITS
    assert np.all(found.impacts >= exact)
    assert np.all(found.impacts < exact + 1.01)
    assert found.largest == found.impacts.max()


@pytest.mark.parametrize("average", [1e-6, 0.5, 1.0, 7.3, 5e3, 4e9])
@pytest.mark.parametrize("field", FIELDS)
def test_stretched_they_bound_any_average(field: str, average: float) -> None:
    lengths = lengths_of(60)
    segment = shard_with(lengths)._snapshot.segments[0]
    other = similarity(field, average)
    own = stretch(segment, field, other)
    before = shares(field, lengths, segment.average_length(field))
    after = shares(field, lengths, other.average_length)
    assert np.all(after <= before * own.most * (1 + 1e-12))
    assert np.all(after >= before * own.least * (1 - 1e-12))
    assert 0 < own.least <= 1 <= own.most


def test_impacts_are_kept_and_a_missing_term_has_none() -> None:
    segment = shard_with(lengths_of(5))._snapshot.segments[0]
    assert impacts_of(segment, "text", b"z", similarity("text")) is None
    assert impacts_of(segment, "other", b"a", similarity("text")) is None
    first = impacts_of(segment, "text", b"a", similarity("text"))
    assert impacts_of(segment, "text", b"a", similarity("text", 99.0)) is first


@pytest.mark.parametrize("dense_share", [0, 1, 4, 1000])
@pytest.mark.parametrize("highest", [1, 2, 255, 256, 65_535, 65_536, 70_000])
def test_frequencies_come_back_whole(dense_share: int, highest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impacts, "DENSE_SHARE", dense_share)
    docs = np.array([3, 4, 9, 40, 98], np.uint32)
    freqs = np.array([1, highest, 1, max(1, highest - 1), 1], np.uint32)
    made = Impacts(PlainPostings(docs), np.full(5, 7, np.uint8), freqs, 100)
    assert made.dense == (5 * dense_share > 100)
    expected = np.zeros(100)
    expected[docs] = freqs
    assert made.frequencies(np.arange(100)).tolist() == expected.tolist()
    assert made.frequencies(np.array([], np.intp)).tolist() == []
    assert made.frequencies(np.array([99, 99], np.uint32)).tolist() == [0.0, 0.0]
