"""Sorted runs: the postings of one batch of text, held in few bytes until a segment is written.

A run is what a batch of some thousand documents becomes: its tokens sorted by term. Its documents are numbered from
its first, and nearly every number in it fits a byte, so a run takes about a third of what plain arrays would. When
the segment is written, the runs are scattered to their places in the whole, which costs one pass and no second sort.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quidditch.analysis.vocabulary import TokenBatch
from quidditch.index.codecs import ascending_offsets
from quidditch.index.inversion import Inverted, runs_to_indices
from quidditch.types import Ints, U8s, U32s, U64s

POSITION_GAP = 100
"""Positions left free between two values of an array, so that a phrase does not reach across (as in OpenSearch)."""

PART_POSTINGS = 500_000
"""Postings handed on at once by `joined`: they stay in the processor's cache, more only for one frequent term."""

_ESCAPE = 255


@dataclass(frozen=True, slots=True)
class Narrow:
    """uint32[n] that are nearly all small, in a byte each.

    small:   uint8[n]    the values, 255 for those that are not below it
    places:  uint32[m]   where these are, ascending
    large:   uint32[m]   what they are
    """

    small: U8s
    places: U32s
    large: U32s

    @property
    def size_bytes(self) -> int:
        return self.small.nbytes + self.places.nbytes + self.large.nbytes

    def part(self, start: int, stop: int) -> U32s:
        """Values `start` to `stop`, as a caller's own array."""
        values = self.small[start:stop].astype(np.uint32)
        low, high = self.places.searchsorted(np.array([start, stop], np.uint32)).tolist()
        values[self.places[low:high] - np.uint32(start)] = self.large[low:high]
        return values

    def all(self) -> U32s:
        values = self.small.astype(np.uint32)
        values[self.places] = self.large
        return values


def narrow(values: U32s) -> Narrow:
    """
    >>> narrow(np.array([1, 700, 254], np.uint32)).small.tolist()
    [1, 255, 254]
    """
    small = np.minimum(values, np.uint32(_ESCAPE)).astype(np.uint8)
    places = (small == _ESCAPE).nonzero()[0].astype(np.uint32)
    return Narrow(small, places, values[places])


@dataclass(frozen=True, slots=True)
class Run:
    """One batch of one field, sorted by some order of its terms, then by document.

    terms:        uint32[t]   distinct term ids
    doc_freqs:    [t]         documents per term; sums to p
    token_freqs:  [t]         occurrences per term; sums to k
    docs:         uint16[p]   documents from `first_doc` on, wider where a batch has more
    freqs:        [p]         occurrences per posting; sums to k
    positions:    [k]         distances, as in `Inverted`; None where the field keeps none
    """

    first_doc: int
    terms: U32s
    doc_freqs: Narrow
    token_freqs: Narrow
    docs: NDArray[np.unsignedinteger]
    freqs: Narrow
    positions: Narrow | None

    @property
    def size_bytes(self) -> int:
        parts = (self.doc_freqs, self.token_freqs, self.freqs, self.positions)
        narrowed = sum(part.size_bytes for part in parts if part is not None)
        return self.terms.nbytes + self.docs.nbytes + narrowed


# ----------------------------------------------------------------------------------------------------- sorting


def sorted_run(batch: TokenBatch, docs: U32s, *, with_positions: bool) -> Run:
    """A batch of at least one token as a run; `docs[i]` is the document of value `i`, not falling."""
    first_doc = docs[0]
    doc = (docs - first_doc)[batch.value]
    position = _positions_in_documents(batch, doc) if with_positions else np.zeros_like(doc)
    term_doc, sorted_position, doc_bits = _sorted_tokens(batch.term, doc, position)
    starts_posting = np.ones(len(term_doc), np.bool_)
    np.not_equal(term_doc[1:], term_doc[:-1], out=starts_posting[1:])
    posting_starts = np.flatnonzero(starts_posting)
    postings = term_doc[posting_starts]
    term = (postings >> doc_bits).astype(np.uint32)
    starts_term = np.ones(len(term), np.bool_)
    np.not_equal(term[1:], term[:-1], out=starts_term[1:])
    term_starts = np.flatnonzero(starts_term)
    doc_type = np.uint16 if int(doc[-1]) < 1 << 16 else np.uint32
    return Run(
        int(first_doc),
        term[term_starts],
        _gaps(term_starts, len(postings)),
        _gaps(posting_starts[term_starts], len(term_doc)),
        (postings & ((np.uint64(1) << doc_bits) - np.uint64(1))).astype(doc_type),
        _gaps(posting_starts, len(term_doc)),
        narrow(_distances(sorted_position, posting_starts)) if with_positions else None,
    )


def _gaps(starts: Ints, end: int) -> Narrow:
    gaps = np.empty(len(starts), np.uint32)
    gaps[:-1] = starts[1:] - starts[:-1]
    gaps[-1:] = end - starts[-1:]
    return narrow(gaps)


def _distances(positions: U32s, starts: Ints) -> U32s:
    distances = positions.copy()
    distances[1:] -= positions[:-1]
    distances[starts] = positions[starts]
    return distances


def _sorted_tokens(term: U32s, doc: U32s, position: U32s) -> tuple[U64s, U32s, np.uint64]:
    """Tokens by (term, document, position): uint64 of the first two, uint32 of the last, and how many bits of the
    former are the document's.

    All three fit one uint64 unless a batch is monstrous, and NumPy sorts these with vector instructions, in half
    of the time of two radix passes and the gathering that would follow (measured).
    """
    doc_bits, position_bits = int(doc[-1]).bit_length(), int(position.max()).bit_length()
    keys = term.astype(np.uint64)
    keys <<= np.uint64(doc_bits)
    keys |= doc
    if int(term.max()).bit_length() + doc_bits + position_bits > 64:
        order = np.lexsort((position, keys))
        return keys[order], position[order], np.uint64(doc_bits)
    keys <<= np.uint64(position_bits)
    keys |= position
    keys.sort()
    sorted_position = (keys & np.uint64((1 << position_bits) - 1)).astype(np.uint32)
    keys >>= np.uint64(position_bits)
    return keys, sorted_position, np.uint64(doc_bits)


def _positions_in_documents(batch: TokenBatch, doc: U32s) -> U32s:
    """Positions counted through all values of a document, `POSITION_GAP` apart."""
    values = len(batch.ends)
    if values < 2 or not _several_values(batch.value, doc):
        return batch.position
    value_docs = np.zeros(values, np.uint32)
    value_docs[batch.value] = doc
    # A value without tokens keeps document 0 here; it takes no room in any document, so this is harmless.
    room = np.where(batch.ends > 0, batch.ends.astype(np.int64) + POSITION_GAP, 0)
    before = ascending_offsets(room)[:-1]
    first_value = np.zeros(int(doc.max()) + 1, np.int64)
    token_starts = np.flatnonzero(np.concatenate(([True], doc[1:] != doc[:-1])))
    first_value[doc[token_starts]] = before[batch.value[token_starts]]
    base = before - first_value[value_docs]
    return (batch.position + base[batch.value]).astype(np.uint32)


def _several_values(value: U32s, doc: U32s) -> bool:
    """Does any document hold tokens of two values?"""
    return bool(((value[1:] != value[:-1]) & (doc[1:] == doc[:-1])).any())


# ----------------------------------------------------------------------------------------------------- joining


def joined(runs: list[Run], vocabulary: Sequence[bytes], *, with_freqs: bool) -> Iterator[Inverted]:
    """All runs as one, terms in byte order, part by part. Takes the runs out of the list and lets go of them."""
    if len(runs) == 1 and len(runs[0].docs) <= PART_POSTINGS:
        yield _in_byte_order(runs.pop(), vocabulary, with_freqs)
        return
    doc_freq_of = np.zeros(len(vocabulary), np.int64)
    token_freq_of = np.zeros(len(vocabulary), np.int64)
    for run in runs:
        doc_freq_of[run.terms] += run.doc_freqs.all()
        token_freq_of[run.terms] += run.token_freqs.all()
    order = np.array(sorted(np.flatnonzero(doc_freq_of).tolist(), key=vocabulary.__getitem__), np.intp)
    postings, tokens = ascending_offsets(doc_freq_of[order]), ascending_offsets(token_freq_of[order])
    whole = _Whole(int(postings[-1]), int(tokens[-1]), bool(runs) and runs[0].positions is not None)
    # From here on where the next posting and token of each term go.
    doc_freq_of[order], token_freq_of[order] = postings[:-1], tokens[:-1]
    runs.reverse()
    while runs:
        whole.take(runs.pop(), doc_freq_of, token_freq_of)
    docs, freqs, positions = whole.finished()
    for low, high in _part_edges(postings):
        start, stop = int(postings[low]), int(postings[high])
        yield Inverted(
            [vocabulary[term] for term in order[low:high].tolist()],
            np.diff(postings[low : high + 1]).astype(np.uint32),
            docs[start:stop],
            freqs.part(start, stop) if with_freqs else None,
            positions.part(int(tokens[low]), int(tokens[high])) if positions is not None else None,
        )


def _in_byte_order(run: Run, vocabulary: Sequence[bytes], with_freqs: bool) -> Inverted:
    """One run by itself: gathered, since nothing else goes between, at a cost that the vocabulary has no part in."""
    terms = [vocabulary[term] for term in run.terms.tolist()]
    order = np.array(sorted(range(len(terms)), key=terms.__getitem__), np.intp)
    doc_freqs, token_freqs = run.doc_freqs.all(), run.token_freqs.all()
    postings = runs_to_indices(ascending_offsets(doc_freqs).take(order), doc_freqs.take(order))
    positions = None
    if run.positions is not None:
        tokens = runs_to_indices(ascending_offsets(token_freqs).take(order), token_freqs.take(order))
        positions = run.positions.all().take(tokens)
    return Inverted(
        [terms[place] for place in order.tolist()],
        doc_freqs.take(order),
        run.docs.take(postings) + np.uint32(run.first_doc),
        run.freqs.all().take(postings) if with_freqs else None,
        positions,
    )


def _part_edges(postings: Ints) -> Iterator[tuple[int, int]]:
    """(first, past the last) term of each part."""
    low, terms = 0, len(postings) - 1
    while low < terms:
        limit = int(postings[low]) + PART_POSTINGS
        high = max(low + 1, int(np.searchsorted(postings, limit, side="right")) - 1)
        yield low, high
        low = high


class _Whole:
    """The arrays that runs are scattered to."""

    def __init__(self, postings: int, tokens: int, with_positions: bool) -> None:
        self._docs = np.empty(postings, np.uint32)
        self._freqs = _NarrowWhole(postings)
        self._positions = _NarrowWhole(tokens) if with_positions else None

    def take(self, run: Run, next_posting: Ints, next_token: Ints) -> None:
        doc_freqs = run.doc_freqs.all()
        places = runs_to_indices(next_posting[run.terms], doc_freqs)
        self._docs[places] = run.docs + np.uint32(run.first_doc)
        self._freqs.put(places, run.freqs)
        next_posting[run.terms] += doc_freqs
        if self._positions is not None and run.positions is not None:
            token_freqs = run.token_freqs.all()
            self._positions.put(runs_to_indices(next_token[run.terms], token_freqs), run.positions)
            next_token[run.terms] += token_freqs

    def finished(self) -> tuple[U32s, Narrow, Narrow | None]:
        positions = self._positions.finished() if self._positions is not None else None
        return self._docs, self._freqs.finished(), positions


class _NarrowWhole:
    """A `Narrow` that is filled in any order."""

    def __init__(self, size: int) -> None:
        self._small = np.empty(size, np.uint8)
        self._places: list[Ints] = [np.zeros(0, np.intp)]
        self._large: list[U32s] = [np.zeros(0, np.uint32)]

    def put(self, places: Ints, values: Narrow) -> None:
        self._small[places] = values.small
        self._places.append(places[values.places])
        self._large.append(values.large)

    def finished(self) -> Narrow:
        places, large = np.concatenate(self._places), np.concatenate(self._large)
        order = np.argsort(places)
        return Narrow(self._small, places[order].astype(np.uint32), large[order])
