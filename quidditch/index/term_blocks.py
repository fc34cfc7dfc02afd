"""A field's dictionary as it is read: the index over its blocks, and the blocks.

A search asks a block for one term or a few, so `PackedBlock` keeps what is stored and decodes the postings of a term
when they are asked for. Merges and checks read all of a block once, as a `TermBlock`.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from functools import partial
from itertools import pairwise

import numpy as np

from quidditch.errors import CorruptIndex
from quidditch.index.codecs import (
    Buffer,
    ascending_offsets,
    decodes,
    unpack_part,
    unpack_uints,
)
from quidditch.index.inversion import Inverted
from quidditch.index.postings import DISTANCES, RARE, Postings
from quidditch.types import Ints, U32s

_OBJECTS_BYTES = 1000
"""What the objects of a packed block take beside what they hold."""


class TermIndex:
    """The first term of every block of one field of one segment, as an owned copy."""

    @decodes("term index")
    def __init__(self, value: Buffer) -> None:
        (blocks,) = struct.unpack_from("<I", value)
        # Ordinals ascend, so each takes a byte at least; room for a damaged number of them would be all memory.
        if blocks > len(value):
            raise CorruptIndex(f"term index: {blocks:,} blocks in a value of {len(value):,} bytes")
        self.first_ordinals, end = unpack_uints(value, 4, blocks + 1)
        self.first_terms = unpack_terms(value, end, blocks)[0]

    @property
    def block_count(self) -> int:
        return len(self.first_terms)

    @property
    def term_count(self) -> int:
        return int(self.first_ordinals[-1])

    def block_of(self, term: bytes) -> int | None:
        """The only block that can hold the term."""
        block = bisect_right(self.first_terms, term) - 1
        return block if block >= 0 else None

    def blocks_of(self, ordinals: U32s) -> Ints:
        return np.searchsorted(self.first_ordinals, ordinals, side="right") - 1

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.first_terms)) + 60 * len(self.first_terms)


def unpack_terms(value: Buffer, start: int, count: int) -> tuple[list[bytes], int]:
    """`count` strings written by `pack_strings`, and where they end."""
    joined, edges, end = _joined_terms(value, start, count)
    return [joined[low:high] for low, high in pairwise(edges.tolist())], end


def _joined_terms(value: Buffer, start: int, count: int) -> tuple[bytes, Ints, int]:
    """`count` strings in one, int64[count + 1] where each begins in it, and where they end in the value."""
    lengths, start = unpack_uints(value, start, count)
    edges = ascending_offsets(lengths)
    end = start + int(edges[-1])
    joined = bytes(value[start:end])
    if len(joined) != end - start:
        raise CorruptIndex(f"term block: expected {end - start} bytes of terms, found {len(joined)}")
    return joined, edges, end


class PackedBlock:
    """One block of a dictionary as an owned copy: its terms and document frequencies, and its postings as they are
    stored. The postings of a term are decoded when asked for, its positions when these are."""

    __slots__ = ("_edges", "_joined", "_kept", "_offsets", "_postings", "_ranks", "_steps", "doc_freqs")

    @decodes("term block")
    def __init__(self, value: Buffer, *, with_freqs: bool, with_positions: bool) -> None:
        (head,) = struct.unpack_from("<H", value)
        count = head & (DISTANCES - 1)
        self._steps = bool(head & DISTANCES)
        self._joined, edges, end = _joined_terms(value, 2, count)
        self._edges = _numbers(edges)
        self.doc_freqs, end = unpack_uints(value, end, count)
        rare = np.where(self.doc_freqs <= RARE, self.doc_freqs, np.uint32(0))
        # Before each term: postings, and terms that have any.
        self._offsets = _numbers(ascending_offsets(rare))
        self._ranks = _numbers(ascending_offsets((rare > 0).view(np.uint8)))
        self._postings = bytes(value[end:])
        self._kept = with_freqs, with_freqs and with_positions

    @property
    def size_bytes(self) -> int:
        """Bytes held in memory."""
        arrays = self.doc_freqs.nbytes + 3 * self._edges.itemsize * len(self._edges)
        return len(self._joined) + arrays + len(self._postings) + _OBJECTS_BYTES

    @property
    def count(self) -> int:
        """How many terms the block has."""
        return len(self._edges) - 1

    def term(self, place: int) -> bytes:
        return self._joined[self._edges[place] : self._edges[place + 1]]

    def terms(self, low: int, high: int) -> list[bytes]:
        """The terms at places `low` to `high`."""
        joined = self._joined
        return [joined[start:end] for start, end in pairwise(self._edges[low : high + 1])]

    def find(self, term: bytes) -> int | None:
        """Where the term stands in the block."""
        place = self.before(term)
        return place if place < self.count and self.term(place) == term else None

    def before(self, term: bytes) -> int:
        """How many of the block's terms are below `term`."""
        return bisect_left(range(self.count), term, key=self.term)

    def after(self, term: bytes) -> int:
        """How many of the block's terms are not above `term`."""
        return bisect_right(range(self.count), term, key=self.term)

    def is_rare(self, place: int) -> bool:
        """Are the term's postings in this block?"""
        return bool(self.doc_freqs[place] <= RARE)

    def frequent_places(self, low: int, high: int) -> list[int]:
        """Places between `low` and `high` of the terms that have rows of their own."""
        return _frequent_places(self.doc_freqs, low, high)

    @decodes("term block")
    def rare_docs(self, low: int, high: int) -> U32s:
        """The documents of the rare terms at places `low` to `high`, term after term; a document of several terms is
        there several times."""
        return self._rare_docs(low, high)[0]

    @decodes("term block")
    def rare_postings(self, place: int) -> Postings:
        """The postings of a rare term, at the cost of these."""
        docs, end = self._rare_docs(place, place + 1)
        with_freqs, with_positions = self._kept
        freqs = None
        positions = partial(self._positions, place, end) if with_positions else None
        if with_freqs:
            freqs, _ = unpack_part(self._postings, end, self._total, *self._span(place, place + 1))
            freqs += np.uint32(1)
        return Postings(len(docs), docs, freqs, None, None, (), positions)

    @property
    def _total(self) -> int:
        """How many postings are in the block."""
        return self._offsets[-1]

    def _span(self, low: int, high: int) -> tuple[int, int]:
        """Where the postings of the terms at places `low` to `high` lie among the block's."""
        return self._offsets[low], self._offsets[high]

    def _rare_docs(self, low: int, high: int) -> tuple[U32s, int]:
        """The documents of the rare terms at these places, and where those of all terms end."""
        start, stop = self._span(low, high)
        if not self._steps:
            return unpack_part(self._postings, 0, self._total, start, stop)
        first_rank, last_rank, ranks = self._ranks[low], self._ranks[high], self._ranks[-1]
        firsts, end = unpack_part(self._postings, 0, ranks, first_rank, last_rank)
        steps, end = unpack_part(
            self._postings, end, self._total - ranks, start - first_rank, stop - last_rank
        )
        return _docs_of(firsts, steps, np.asarray(self._offsets[low : high + 1])), end

    @decodes("term block")
    def _positions(self, place: int, freqs_start: int) -> U32s:
        """The positions of a rare term, as they are stored; the block's frequencies begin at `freqs_start`."""
        freqs, end = unpack_uints(self._postings, freqs_start, self._total)
        tokens = ascending_offsets(freqs)
        # Frequencies are stored less 1.
        first, last, total = (int(tokens[at]) + at for at in (*self._span(place, place + 1), self._total))
        return unpack_part(self._postings, end, total, first, last)[0]


def _numbers(values: Ints) -> array[int]:
    """Where one number is asked for at a time: an array of NumPy makes an object of its own kind of each."""
    return array("I", values.astype(np.uint32).tobytes())


class TermBlock:
    """One block of a dictionary, decoded: its terms, and the postings of all rare ones."""

    @decodes("term block")
    def __init__(self, value: Buffer, *, with_freqs: bool, with_positions: bool) -> None:
        (head,) = struct.unpack_from("<H", value)
        count = head & (DISTANCES - 1)
        self.terms, end = unpack_terms(value, 2, count)
        self.doc_freqs, end = unpack_uints(value, end, count)
        rare = np.where(self.doc_freqs <= RARE, self.doc_freqs, np.uint32(0))
        self.rare_offsets = ascending_offsets(rare)
        total = int(self.rare_offsets[-1])
        self.docs, end = (
            _unpack_rare_docs(value, end, self.rare_offsets)
            if head & DISTANCES
            else unpack_uints(value, end, total)
        )
        self.freqs: U32s | None = None
        self.positions: U32s | None = None
        if with_freqs:
            self.freqs, end = unpack_uints(value, end, total)
            self.freqs += np.uint32(1)
            if with_positions:
                self.positions, end = unpack_uints(value, end, int(self.freqs.sum()))
        self.size_bytes = end

    def after(self, term: bytes) -> int:
        """How many of the block's terms are not above `term`."""
        return bisect_right(self.terms, term)

    def frequent_places(self, low: int, high: int) -> list[int]:
        """Places between `low` and `high` of the terms that have rows of their own."""
        return _frequent_places(self.doc_freqs, low, high)

    def rare_slice(self, low: int, high: int) -> Inverted:
        """The rare terms among places `low` to `high`, their postings as they lie here."""
        start, stop = int(self.rare_offsets[low]), int(self.rare_offsets[high])
        docs, freqs, positions = self.docs[start:stop], None, None
        if self.freqs is not None:
            freqs = self.freqs[start:stop]
            if self.positions is not None:
                first = int(self.freqs[:start].sum())
                positions = self.positions[first : first + int(freqs.sum())]
        rare = np.flatnonzero(self.doc_freqs[low:high] <= RARE) + low
        terms = [self.terms[place] for place in rare.tolist()]
        return Inverted(terms, self.doc_freqs[rare], docs, freqs, positions)


def _frequent_places(doc_freqs: U32s, low: int, high: int) -> list[int]:
    places: list[int] = (np.flatnonzero(doc_freqs[low:high] > RARE) + low).tolist()
    return places


def _unpack_rare_docs(value: Buffer, start: int, offsets: Ints) -> tuple[U32s, int]:
    """The documents of terms whose postings begin at `offsets` (a frequent one has none), and where they end."""
    ranks = int(np.count_nonzero(offsets[1:] > offsets[:-1]))
    firsts, end = unpack_uints(value, start, ranks)
    steps, end = unpack_uints(value, end, int(offsets[-1]) - ranks)
    return _docs_of(firsts, steps, offsets), end


def _docs_of(firsts: U32s, steps: U32s, offsets: Ints) -> U32s:
    """Documents from the first one of each term that has any, and the distances to all later ones.

    offsets:  where the postings of each term begin, any number for the first, and where the last one's end
    """
    if not len(firsts):
        return firsts
    docs = np.empty(len(firsts) + len(steps), np.int64)
    if len(firsts) == 1:
        docs[0] = firsts[0]
        docs[1:] = steps
        docs.cumsum(out=docs)
    else:
        starts = offsets[:-1][offsets[1:] > offsets[:-1]].astype(np.intp) - int(offsets[0])
        later = np.ones(len(docs), np.bool_)
        later[starts] = False
        docs[starts] = 0
        docs[later] = steps
        docs.cumsum(out=docs)
        docs += np.repeat(firsts - docs[starts], np.diff(starts, append=len(docs)))
    if int(docs.max()) >= 1 << 32:
        raise CorruptIndex(f"term block: document {docs.max()} is beyond 32 bits")
    return docs.astype(np.uint32)
