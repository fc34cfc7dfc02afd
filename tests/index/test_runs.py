"""Runs: whatever the batches hold, joined they are what plain loops over the tokens make of them."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.analysis.vocabulary import TokenBatch
from quidditch.index import runs
from quidditch.index.inversion import Inverted
from quidditch.index.runs import Run, joined, narrow, sorted_run
from quidditch.types import U32s

VOCABULARY = [b"m", b"b", b"z", b"a", "ä".encode(), b"never"]

Token = tuple[int, int]
"""(term, position)"""

tokens = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 70_000)), max_size=12, unique_by=lambda token: token[1]
)
documents = st.lists(tokens, min_size=1, max_size=6)


def u32(values: list[int]) -> U32s:
    return np.array(values, np.uint32)


def batch_of(docs: list[list[Token]]) -> TokenBatch:
    """One value to a document, its tokens in the order of their positions."""
    rows = [
        (value, *token) for value, doc in enumerate(docs) for token in sorted(doc, key=lambda token: token[1])
    ]
    ends = u32([max((position + 1 for _, position in doc), default=0) for doc in docs])
    value, term, position = ([row[column] for row in rows] for column in range(3))
    return TokenBatch(u32(value), u32(term), u32(position), u32(list(map(len, docs))), ends)


def runs_of(batches: list[list[list[Token]]], gap: int, with_positions: bool) -> list[Run]:
    """Each batch as a run, with numbers left out between documents."""
    made, first = [], 3
    for docs in batches:
        numbers = u32([first + gap * place for place in range(len(docs))])
        batch = batch_of(docs)
        if len(batch.term):
            made.append(sorted_run(batch, numbers, with_positions=with_positions))
        first = int(numbers[-1]) + 1
    return made


def plainly(batches: list[list[list[Token]]], gap: int) -> dict[bytes, dict[int, list[int]]]:
    """term -> document -> positions."""
    postings: dict[bytes, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    first = 3
    for docs in batches:
        for place, doc in enumerate(docs):
            for term, position in sorted(doc, key=lambda token: token[1]):
                postings[VOCABULARY[term]][first + gap * place].append(position)
        first += gap * (len(docs) - 1) + 1
    return postings


def spelt_out(parts: list[Inverted]) -> dict[bytes, dict[int, list[int]]]:
    postings: dict[bytes, dict[int, list[int]]] = {}
    for part in parts:
        assert part.freqs is not None
        assert part.positions is not None
        docs, freqs, distances = part.docs.tolist(), part.freqs.tolist(), part.positions.tolist()
        for term, doc_freq in zip(part.terms, part.doc_freqs.tolist(), strict=True):
            assert term not in postings
            postings[term] = {}
            for _ in range(doc_freq):
                freq = freqs.pop(0)
                own, distances = distances[:freq], distances[freq:]
                postings[term][docs.pop(0)] = np.cumsum(own).tolist()
        assert not docs
        assert not freqs
        assert not distances
    return postings


@given(
    batches=st.lists(documents, min_size=1, max_size=4),
    gap=st.sampled_from([1, 7, 70_000]),
    part=st.integers(1, 9),
)
def test_joined_runs_are_the_postings_of_all_batches(
    batches: list[list[list[Token]]], gap: int, part: int
) -> None:
    with pytest.MonkeyPatch.context() as small:
        small.setattr(runs, "PART_POSTINGS", part)
        made = runs_of(batches, gap, with_positions=True)
        parts = list(joined(made, VOCABULARY, with_freqs=True))
    assert not made
    found, expected = spelt_out(parts), plainly(batches, gap)
    assert list(found) == sorted(expected)
    assert {term: list(docs) for term, docs in found.items()} == {
        term: sorted(docs) for term, docs in expected.items()
    }
    assert found == expected
    for one in parts:
        assert one.doc_freqs.sum() == len(one.docs)
        assert len(one.docs) <= part or len(one.terms) == 1


@given(documents)
def test_a_field_without_positions_keeps_documents_and_frequencies(docs: list[list[Token]]) -> None:
    expected = plainly([docs], 1)
    made = [list(joined(runs_of([docs], 1, False), VOCABULARY, with_freqs=freqs)) for freqs in (True, False)]
    if not expected:
        assert made == [[], []]
        return
    ((with_freqs,), (without,)) = made
    assert with_freqs.positions is None
    assert with_freqs.freqs is not None
    assert without.freqs is None
    assert with_freqs.freqs.tolist() == [
        len(positions) for term in sorted(expected) for _, positions in sorted(expected[term].items())
    ]
    assert without.docs.tolist() == [doc for term in sorted(expected) for doc in sorted(expected[term])]


def test_a_batch_too_large_for_one_number_a_token_is_sorted_all_the_same() -> None:
    term, value = u32([2**31, 5, 2**31, 5]), u32([0, 0, 1, 1])
    position, docs = u32([0, 2**30, 7, 9]), u32([0, 2**24])
    run = sorted_run(TokenBatch(value, term, position, u32([2, 2]), u32([1, 10])), docs, with_positions=True)
    assert run.terms.tolist() == [5, 2**31]
    assert run.docs.tolist() == [0, 2**24, 0, 2**24]
    assert run.positions is not None
    assert run.positions.all().tolist() == [2**30, 9, 0, 7]


@given(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1)), max_size=30))
def test_narrow_numbers_are_the_numbers(values: list[int]) -> None:
    narrowed = narrow(u32(values))
    assert narrowed.all().tolist() == values
    for low, high in pairwise([0, len(values) // 3, len(values) // 2, len(values)]):
        assert narrowed.part(low, high).tolist() == values[low:high]
