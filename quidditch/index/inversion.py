"""Values in document order to terms in byte order: the sort at the heart of indexing.

Text arrives in batches small enough for the cache. Each batch is sorted by term and kept as a run of arrays; when
the segment is full, the runs are scattered to their places in the whole, which costs one pass and no second sort.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from quidditch.analysis.vocabulary import TokenBatch, Vocabulary
from quidditch.index.codecs import ascending_offsets
from quidditch.types import Ints, U32s

POSITION_GAP = 100
"""Positions left free between two values of an array, so that a phrase does not reach across (as in OpenSearch)."""


@dataclass(frozen=True, slots=True)
class Inverted:
    """Terms of one field in byte order with their postings, laid end to end.

    terms:      t distinct terms, ascending
    doc_freqs:  uint32[t]   documents per term; sums to p
    docs:       uint32[p]   ascending inside a term
    freqs:      uint32[p]   occurrences per posting, or None where the field keeps none; sums to k
    positions:  uint32[k]   distances: inside a posting the first from 0, each later one from its predecessor
    """

    terms: list[bytes]
    doc_freqs: U32s
    docs: U32s
    freqs: U32s | None = None
    positions: U32s | None = None

    def token_freqs(self, offsets: Ints) -> Ints:
        """Positions per term, zeros where the field keeps none; `offsets` are where its postings begin."""
        if self.positions is None or self.freqs is None or not len(self.freqs):
            return np.zeros(len(self.terms), np.int64)
        return np.add.reduceat(self.freqs, offsets[:-1], dtype=np.uint32)


@dataclass(frozen=True, slots=True)
class _Run:
    """One batch, sorted by term id; the shapes are those of `Inverted`, with term ids for terms."""

    terms: U32s
    doc_freqs: U32s
    docs: U32s
    freqs: U32s
    positions: U32s | None

    @property
    def size_bytes(self) -> int:
        arrays = (self.terms, self.doc_freqs, self.docs, self.freqs, self.positions)
        return sum(array.nbytes for array in arrays if array is not None)


class TextInversion:
    """Collects one text field of one segment to be. Term ids come from a vocabulary that outlives it."""

    def __init__(self, vocabulary: Vocabulary, *, with_positions: bool, with_freqs: bool) -> None:
        self._vocabulary = vocabulary
        self._with_positions = with_positions
        self._with_freqs = with_freqs
        self._runs: list[_Run] = []
        self._length_docs: list[U32s] = []
        self._lengths: list[U32s] = []
        self.size_bytes = 0

    def add(self, docs: U32s, values: Sequence[str]) -> None:
        """Take one batch: `docs[i]` is the document of `values[i]`, not falling, above all earlier batches'."""
        batch = self._vocabulary.invert(values)
        self._length_docs.append(docs)
        self._lengths.append(batch.lengths)
        if len(batch.term):
            run = _sorted_run(batch, docs, self._with_positions)
            self._runs.append(run)
            self.size_bytes += run.size_bytes + 8 * len(docs)

    def lengths(self, doc_count: int) -> U32s:
        """uint32[doc_count]: tokens of each document."""
        if not self._lengths:
            return np.zeros(doc_count, np.uint32)
        sums = np.bincount(
            np.concatenate(self._length_docs), np.concatenate(self._lengths), minlength=doc_count
        )
        return sums.astype(np.uint32)

    def present(self) -> U32s:
        """Documents with a value, the empty string included; ascending."""
        return _distinct(np.concatenate(self._length_docs)) if self._length_docs else np.zeros(0, np.uint32)

    def finish(self) -> Inverted:
        """All batches as one, terms in byte order."""
        vocabulary = self._vocabulary.terms
        merged = _scatter(self._runs, len(vocabulary), vocabulary)
        freqs = merged.freqs if self._with_freqs else None
        return Inverted(merged.terms, merged.doc_freqs, merged.docs, freqs, merged.positions)


class KeywordInversion:
    """Collects one keyword field of one segment to be: whole values, each counted once a document."""

    def __init__(self) -> None:
        self._ordinals: defaultdict[bytes, int] = defaultdict(count().__next__)
        self._docs: list[U32s] = []
        self._values: list[U32s] = []
        self.size_bytes = 0

    def add(self, docs: U32s, values: Sequence[bytes]) -> None:
        before = len(self._ordinals)
        self._values.append(np.fromiter(map(self._ordinals.__getitem__, values), np.uint32, len(values)))
        self._docs.append(docs)
        self.size_bytes += 8 * len(docs) + 150 * (len(self._ordinals) - before)

    def finish(self) -> tuple[Inverted, U32s, U32s]:
        """The postings, and the column: (doc, ordinal in byte order) pairs, ascending, without repeats."""
        if not self._docs:
            empty = np.zeros(0, np.uint32)
            return Inverted([], empty, empty), empty, empty
        names = list(self._ordinals)
        order = sorted(range(len(names)), key=names.__getitem__)
        rank = np.empty(len(names), np.uint32)
        rank[order] = np.arange(len(names), dtype=np.uint32)
        ordinals = rank[np.concatenate(self._values)]
        docs, ordinals = distinct_pairs(np.concatenate(self._docs), ordinals)
        by_term = stable_order(ordinals)
        doc_freqs = np.bincount(ordinals, minlength=len(names)).astype(np.uint32)
        return Inverted([names[i] for i in order], doc_freqs, docs[by_term]), docs, ordinals


# ----------------------------------------------------------------------------------------------------- arrays


def stable_order(keys: U32s) -> Ints:
    """The stable ascending order of uint32 keys: NumPy's radix sort of uint16, once or twice."""
    if not len(keys):
        return np.zeros(0, np.intp)
    low = np.argsort(keys.astype(np.uint16), kind="stable")
    if int(keys.max()) < 1 << 16:
        return low
    high = (keys >> np.uint32(16)).astype(np.uint16)
    return low[np.argsort(high[low], kind="stable")]


def distinct_pairs(docs: U32s, values: U32s) -> tuple[U32s, U32s]:
    """The distinct (doc, value) pairs in ascending order; `docs` does not fall."""
    if len(docs) < 2 or bool((docs[1:] > docs[:-1]).all()):
        return docs, values
    keys = np.unique((docs.astype(np.uint64) << np.uint64(32)) | values)
    return (keys >> np.uint64(32)).astype(np.uint32), keys.astype(np.uint32)


def _distinct(ascending: U32s) -> U32s:
    keep = np.ones(len(ascending), np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=keep[1:])
    return ascending[keep]


def runs_to_indices(starts: Ints, counts: Ints) -> Ints:
    """Indices of consecutive runs: `counts[i]` numbers from `starts[i]` on, laid end to end.

    >>> runs_to_indices(np.array([10, 0]), np.array([2, 3])).tolist()
    [10, 11, 0, 1, 2]
    """
    offsets = ascending_offsets(counts)
    return np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])


def _sorted_run(batch: TokenBatch, docs: U32s, with_positions: bool) -> _Run:
    doc = docs[batch.value]
    order = stable_order(batch.term)
    term, doc_sorted = batch.term[order], doc[order]
    starts_posting = np.ones(len(term), np.bool_)
    starts_term = np.ones(len(term), np.bool_)
    np.not_equal(term[1:], term[:-1], out=starts_term[1:])
    np.not_equal(doc_sorted[1:], doc_sorted[:-1], out=starts_posting[1:])
    starts_posting |= starts_term
    posting_starts = np.flatnonzero(starts_posting)
    term_starts = np.flatnonzero(starts_term[posting_starts])
    positions = None
    if with_positions:
        positions = _positions_in_documents(batch, doc)[order]
        distances = positions.copy()
        distances[1:] -= positions[:-1]
        distances[posting_starts] = positions[posting_starts]
        positions = distances
    return _Run(
        terms=term[posting_starts][term_starts],
        doc_freqs=np.diff(term_starts, append=len(posting_starts)).astype(np.uint32),
        docs=doc_sorted[posting_starts],
        freqs=np.diff(posting_starts, append=len(term)).astype(np.uint32),
        positions=positions,
    )


def _positions_in_documents(batch: TokenBatch, doc: U32s) -> U32s:
    """Positions counted through all values of a document, `POSITION_GAP` apart."""
    values = len(batch.ends)
    value_docs = np.zeros(values, np.uint32)
    value_docs[batch.value] = doc
    # A value without tokens keeps document 0 here; it takes no room in any document, so this is harmless.
    room = np.where(batch.ends > 0, batch.ends.astype(np.int64) + POSITION_GAP, 0)
    if len(batch.value) == 0 or values < 2 or not _several_values(batch.value, doc):
        return batch.position
    before = ascending_offsets(room)[:-1]
    first_value = np.zeros(int(doc.max()) + 1, np.int64)
    token_starts = np.flatnonzero(np.concatenate(([True], doc[1:] != doc[:-1])))
    first_value[doc[token_starts]] = before[batch.value[token_starts]]
    base = before - first_value[value_docs]
    return (batch.position + base[batch.value]).astype(np.uint32)


def _several_values(value: U32s, doc: U32s) -> bool:
    """Does any document hold tokens of two values?"""
    return bool(((value[1:] != value[:-1]) & (doc[1:] == doc[:-1])).any())


def _scatter(runs: list[_Run], vocabulary_size: int, vocabulary: list[bytes]) -> Inverted:
    doc_freq_of = np.zeros(vocabulary_size, np.int64)
    token_freq_of = np.zeros(vocabulary_size, np.int64)
    for run in runs:
        doc_freq_of[run.terms] += run.doc_freqs
        token_freq_of[run.terms] += _token_freqs(run)
    used = np.flatnonzero(doc_freq_of)
    order = np.array(sorted(used.tolist(), key=vocabulary.__getitem__), np.intp)
    doc_freqs = doc_freq_of[order]
    with_positions = bool(runs) and runs[0].positions is not None
    next_posting, next_token = np.zeros(vocabulary_size, np.int64), np.zeros(vocabulary_size, np.int64)
    next_posting[order] = ascending_offsets(doc_freqs)[:-1]
    next_token[order] = ascending_offsets(token_freq_of[order])[:-1]
    docs = np.empty(int(doc_freqs.sum()), np.uint32)
    freqs = np.empty(len(docs), np.uint32)
    positions = np.empty(int(token_freq_of.sum()), np.uint32) if with_positions else None
    for run in runs:
        places = runs_to_indices(next_posting[run.terms], run.doc_freqs)
        docs[places], freqs[places] = run.docs, run.freqs
        next_posting[run.terms] += run.doc_freqs
        if positions is not None and run.positions is not None:
            token_freqs = _token_freqs(run)
            positions[runs_to_indices(next_token[run.terms], token_freqs)] = run.positions
            next_token[run.terms] += token_freqs
    terms = [vocabulary[i] for i in order.tolist()]
    return Inverted(terms, doc_freqs.astype(np.uint32), docs, freqs, positions)


def _token_freqs(run: _Run) -> Ints:
    """Occurrences of each of the run's terms over all its documents."""
    starts = ascending_offsets(run.doc_freqs)[:-1]
    return np.add.reduceat(run.freqs, starts, dtype=np.uint32) if len(starts) else np.zeros(0, np.int64)
