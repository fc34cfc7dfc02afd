"""Terms and their postings: how a field's dictionary is laid out, written and read.

Terms are kept in blocks of a few hundred. A block holds its terms, their document frequencies and, packed
together, all postings of its rare terms; a frequent term has rows of its own, one for each window of 65,536
documents, as distances or as a roaring bitmap, with aligned frequencies. A small index over each block's first term
finds the block. So a segment with 300,000 terms costs some thousand rows to write, and one term two rows to read.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, repeat
from typing import NamedTuple

import numpy as np
from pyroaring import BitMap

from quidditch.errors import CorruptIndex
from quidditch.index.codecs import (
    WINDOW_DOCS,
    Buffer,
    array_bitmap,
    ascending_offsets,
    bitmap_of,
    decodes,
    field_chunk_key,
    field_key,
    ids_of,
    pack_bitmap,
    pack_bits,
    pack_strings,
    pack_uints,
    pick_uints,
    postings_key,
    split_by,
    unpack_bitmap,
    unpack_uints,
)
from quidditch.index.inversion import Inverted, runs_to_indices
from quidditch.index.packed_bits import pack_runs
from quidditch.index.storage import Rows, Table
from quidditch.types import Bools, Ints, U32s

BLOCK_TERMS = 256
"""Terms in a block at most. A look-up decodes one block's lengths: some microseconds."""

BLOCK_TERM_BYTES = 1 << 15
"""A block ends early past this many bytes of terms (long keywords), so that no value grows without bound."""

RARE = 128
"""Documents a term may be in and still have its postings inside the block."""

FEW_SHARE = 8
"""Of a list, fewer postings than this part are found by sums between them, more by the sums of all."""

ARRAY_DOCS = 4096
"""Up to so many documents roaring takes two bytes for each: distances are shorter."""

DISTANCES = 0x8000
"""Set in the first word of a block whose documents are distances; format 2 and older kept their numbers."""

PACKED_POSTINGS = 200_000
"""Postings packed at once, about: more only where one term has more."""

_WINDOW_HEAD = struct.Struct("<I")
_ARRAY_HEAD = struct.Struct("<H")

Row = tuple[Table, bytes, bytes]


# ---------------------------------------------------------------------------------------------------- writing


class PostingsWriter:
    """Turns one field's terms, arriving in byte order slice by slice, into rows."""

    def __init__(self, segment: int, field: int, *, with_freqs: bool, with_positions: bool) -> None:
        self._segment = segment
        self._field = field
        self._with_freqs = with_freqs
        self._with_positions = with_positions
        self._first_terms: list[bytes] = []
        self._first_ordinals: list[int] = []
        self.term_count = 0

    def add(self, part: Inverted) -> Iterator[Row]:
        """Rows for the next terms; all of them sort after every term given before."""
        if not part.terms:
            return
        rare = part.doc_freqs <= RARE
        offsets = ascending_offsets(part.doc_freqs)
        tokens = ascending_offsets(part.token_freqs(offsets))
        yield from self._blocks(part, rare, offsets, tokens)
        yield from self._frequent(part, np.flatnonzero(~rare), offsets, tokens)
        self.term_count += len(part.terms)

    def finish(self) -> Iterator[Row]:
        """The index over the blocks; nothing for a field without terms."""
        if not self.term_count:
            return
        value = (
            struct.pack("<I", len(self._first_terms))
            + pack_uints(np.array([*self._first_ordinals, self.term_count]))
            + pack_strings(self._first_terms)
        )
        yield Table.TERM_INDEX, field_key(self._segment, self._field), value

    def _blocks(self, part: Inverted, rare: Bools, offsets: Ints, tokens: Ints) -> Iterator[Row]:
        rare_counts = np.where(rare, part.doc_freqs, 0)
        rare_offsets = ascending_offsets(rare_counts)
        picked = runs_to_indices(offsets[:-1], rare_counts)
        docs = part.docs[picked]
        freqs = part.freqs[picked] if part.freqs is not None else None
        positions, token_offsets = None, None
        if part.positions is not None:
            rare_tokens = np.where(rare, np.diff(tokens), 0)
            positions = part.positions[runs_to_indices(tokens[:-1], rare_tokens)]
            token_offsets = ascending_offsets(rare_tokens)
        for low, high in _block_edges(part.terms):
            postings = slice(int(rare_offsets[low]), int(rare_offsets[high]))
            body = [
                struct.pack("<H", DISTANCES | (high - low)),
                pack_strings(part.terms[low:high]),
                pack_bits(part.doc_freqs[low:high]),
                _pack_rare_docs(docs[postings], rare_counts[low:high]),
            ]
            if freqs is not None:
                body.append(pack_bits(freqs[postings] - np.uint32(1)))
            if positions is not None and token_offsets is not None:
                body.append(pack_bits(positions[int(token_offsets[low]) : int(token_offsets[high])]))
            key = field_chunk_key(self._segment, self._field, len(self._first_terms))
            self._first_terms.append(part.terms[low])
            self._first_ordinals.append(self.term_count + low)
            yield Table.TERM_BLOCKS, key, b"".join(body)

    def _frequent(self, part: Inverted, places: Ints, offsets: Ints, tokens: Ints) -> Iterator[Row]:
        """Rows of the terms at these places, some terms at a time."""
        counts = np.diff(offsets)[places]
        group = np.cumsum(counts) // PACKED_POSTINGS
        for own in np.split(places, np.flatnonzero(np.diff(group)) + 1) if len(places) else ():
            picked = runs_to_indices(offsets[own], np.diff(offsets)[own])
            freqs = part.freqs[picked] if part.freqs is not None else None
            positions = None
            if part.positions is not None:
                positions = part.positions[runs_to_indices(tokens[own], np.diff(tokens)[own])]
            ordinals = np.repeat(self.term_count + own, np.diff(offsets)[own])
            yield from self._window_rows(ordinals, part.docs[picked], freqs, positions)

    def _window_rows(
        self, ordinals: Ints, docs: U32s, freqs: U32s | None, positions: U32s | None
    ) -> Iterator[Row]:
        """Rows of postings, `ordinals` being the term of each."""
        windows, inside = docs // np.uint32(WINDOW_DOCS), docs % np.uint32(WINDOW_DOCS)
        starts = np.flatnonzero((np.diff(ordinals) != 0) | (windows[1:] != windows[:-1])) + 1
        edges = np.concatenate(([0], starts, [len(docs)]))
        distances = _distances(inside)
        distances[starts] = inside[starts]
        packed_docs = pack_runs(distances, edges)
        packed_freqs = pack_runs(freqs - np.uint32(1), edges) if freqs is not None else repeat(b"")
        packed_positions: Iterable[bytes | None] = repeat(None)
        if positions is not None and freqs is not None:
            packed_positions = pack_runs(positions, ascending_offsets(freqs)[edges])
        first = edges[:-1]
        for ordinal, window, (low, high), own_docs, own_freqs, own_positions in zip(
            ordinals[first].tolist(),
            windows[first].tolist(),
            pairwise(edges.tolist()),
            packed_docs,
            packed_freqs,
            packed_positions,
            strict=False,
        ):
            key = postings_key(self._segment, self._field, ordinal, window)
            yield Table.POSTINGS, key, _pack_window(inside[low:high], own_docs) + own_freqs
            if own_positions is not None:
                yield Table.POSITIONS, key, own_positions


def _pack_rare_docs(docs: U32s, counts: Ints) -> bytes:
    """The first document of each term, then the distances to all later ones."""
    starts = ascending_offsets(counts[counts > 0])[:-1]
    return pack_bits(docs[starts]) + pack_bits(np.delete(_distances(docs), starts))


def _pack_window(docs: U32s, distances: bytes) -> bytes:
    """A window's documents, counted from its beginning: as distances, packed by now, or as a bitmap."""
    if len(docs) > ARRAY_DOCS:
        # Not always the shortest, but it is read faster, and these terms are the ones that cost.
        bitmap = pack_bitmap(bitmap_of(docs))
        return struct.pack("<I", len(bitmap)) + bitmap
    return struct.pack("<IH", 0, len(docs) - 1) + distances


def _distances(docs: U32s) -> U32s:
    """Each document less the one before it; nonsense where another term's begin."""
    distances = docs.copy()
    distances[1:] -= docs[:-1]
    return distances


def _block_edges(terms: list[bytes]) -> Iterator[tuple[int, int]]:
    """(first, past the last) of each block."""
    low = 0
    while low < len(terms):
        high = min(low + BLOCK_TERMS, len(terms))
        while high - low > 1 and sum(map(len, terms[low:high])) > BLOCK_TERM_BYTES:
            high = low + (high - low) // 2
        yield low, high
        low = high


# ---------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Postings:
    """Where a term occurs in one segment, deleted documents included. Every array is the caller's own."""

    doc_freq: int
    _docs: U32s
    _freqs: U32s | None
    _bitmap: BitMap | None
    _rows: Rows | None
    _keys: tuple[bytes, ...]
    _inline: Callable[[], U32s | None] | None
    """Gives the positions, as `distances()` does, of a term that has no rows."""

    @property
    def has_rows(self) -> bool:
        """Whether the positions lie in rows of their own."""
        return self._rows is not None

    @property
    def size_bytes(self) -> int:
        """Bytes held in memory, about."""
        freqs = 0 if self._freqs is None else self._freqs.nbytes
        return 400 + self._docs.nbytes + freqs + 2 * self.doc_freq

    def over(self, rows: Rows | None) -> Postings:
        """The same, with positions read from these rows."""
        return replace(self, _rows=rows)

    def docs(self) -> U32s:
        """uint32[n], ascending."""
        return self._docs

    def bitmap(self) -> BitMap:
        return self._bitmap if self._bitmap is not None else bitmap_of(self._docs)

    def freqs(self) -> U32s | None:
        """uint32[n] occurrences, aligned with `docs()`; None where the field keeps none (each counts 1)."""
        return self._freqs

    def positions(self) -> tuple[U32s, U32s] | None:
        """(offsets uint32[n + 1], positions uint32[total]): posting i has positions[offsets[i]:offsets[i + 1]].

        None where the field keeps none. Decoded at each call.
        """
        if self._freqs is None:
            return None
        distances = self.distances()
        if distances is None:
            return None
        offsets = ascending_offsets(self._freqs)
        return offsets.astype(np.uint32), _absolute(distances, offsets, self._freqs)

    @decodes("positions")
    def positions_at(self, places: Ints) -> tuple[U32s, U32s] | None:
        """As `positions()`, of the chosen postings alone: `places` are indices into `docs()`, ascending.

        (offsets uint32[len(places) + 1], positions uint32[total]); None where the field keeps none
        of what is asked for.
        cost: the positions asked for, and of windows with a chosen posting one pass over the frequencies; no
        other row is read
        """
        if self._freqs is None:
            return None
        freqs = self._freqs[places]
        distances = self._distances_at(self._freqs, places, freqs)
        if distances is None:
            return None
        offsets = ascending_offsets(freqs)
        return offsets.astype(np.uint32), _absolute(distances, offsets, freqs)

    def _distances_at(self, freqs: U32s, places: Ints, chosen_freqs: U32s) -> U32s | None:
        """What `distances()` holds of the chosen postings."""
        if self._rows is None:
            distances = self.distances()
            wanted = runs_to_indices(_starts_at(freqs, places)[0], chosen_freqs)
            return None if distances is None else distances[wanted]
        found = []
        for window, chosen in split_by(self._docs[places], WINDOW_DOCS):
            value = self._rows.get(Table.POSITIONS, self._keys[0][:-2] + window.to_bytes(2, "big"))
            if value is None:
                return None
            postings = self._postings_of(window)
            starts, total = _starts_at(freqs[postings], places[chosen] - postings.start)
            found.append(pick_uints(value, 0, total, runs_to_indices(starts, chosen_freqs[chosen])))
        return np.concatenate(found) if found else np.empty(0, np.uint32)

    def _postings_of(self, window: int) -> slice:
        """Where the postings of a window's documents lie."""
        # Number by number: an array of edges would have every document converted to its type.
        low = bisect_left(self._docs, window * WINDOW_DOCS)
        return slice(low, bisect_left(self._docs, (window + 1) * WINDOW_DOCS, low))

    @decodes("positions")
    def distances(self) -> U32s | None:
        """Positions as they are stored: inside a posting the first from 0, each later from its predecessor."""
        if self._rows is None or self._freqs is None:
            return None if self._inline is None else self._inline()
        return self._stored_distances(self._rows, self._freqs)

    def _stored_distances(self, rows: Rows, freqs: U32s) -> U32s | None:
        chunks, done = [], 0
        tokens = ascending_offsets(freqs)
        for key in self._keys:
            value = rows.get(Table.POSITIONS, key)
            if value is None:
                return None
            window = int.from_bytes(key[-2:], "big")
            end = self._postings_of(window).stop
            chunk, _ = unpack_uints(value, 0, int(tokens[end] - tokens[done]))
            chunks.append(chunk)
            done = end
        return np.concatenate(chunks)


def _starts_at(counts: U32s, places: Ints) -> tuple[Ints, int]:
    """int64[n]: where the runs at some ascending places begin, all runs lying end to end; and their total."""
    if len(places) * FEW_SHARE > len(counts):
        offsets = ascending_offsets(counts)
        return offsets[places], int(offsets[-1])
    if not len(places):
        return np.empty(0, np.int64), 0
    # Sums from each place to the next: no array as long as the list is written.
    sums = np.add.reduceat(counts, np.append(np.intp(0), places), dtype=counts.dtype)
    if places[0] == 0:
        sums[0] = 0
    ends = np.cumsum(sums, dtype=np.int64)
    return ends[:-1], int(ends[-1])


def _absolute(distances: U32s, offsets: Ints, freqs: U32s) -> U32s:
    """Positions from the distances inside each posting."""
    if not len(distances):
        return distances
    # What the sums lose past 32 bits, their differences lose too.
    sums = np.cumsum(distances, dtype=np.uint32)
    starts = offsets[:-1]
    sums -= np.repeat(sums[starts] - distances[starts], freqs)
    return sums


class Window(NamedTuple):
    """One row of table `postings`: documents counted from the window's beginning, frequencies where the field keeps
    them, aligned, and the bytes that both took."""

    docs: BitMap
    freqs: U32s | None
    size_bytes: int


@decodes("postings")
def unpack_window(value: Buffer, *, with_freqs: bool) -> Window:
    (length,) = _WINDOW_HEAD.unpack_from(value)
    end = 4 + length
    if length:
        docs = unpack_bitmap(value[4:end])
        count = len(docs)
    else:
        distances, end = _unpack_distances(value)
        # Containers are taken as they are: a bitmap made of the numbers would take thirty times as long.
        docs, count = array_bitmap(distances), len(distances)
    if not with_freqs:
        return Window(docs, None, end)
    freqs, end = unpack_uints(value, end, count)
    freqs += np.uint32(1)
    return Window(docs, freqs, end)


def _unpack_distances(value: Buffer) -> tuple[U32s, int]:
    """A window's documents that are stored as distances, and where they end."""
    (last,) = _ARRAY_HEAD.unpack_from(value, 4)
    docs, end = unpack_uints(value, 6, last + 1)
    # None of them so large that the sums, of 65,536 at most, pass 32 bits.
    largest = int(docs.max())
    np.add.accumulate(docs, dtype=np.uint32, out=docs)
    largest = max(largest, int(docs[-1]))
    if largest >= WINDOW_DOCS:
        raise CorruptIndex(f"postings: document {largest} of a window of {WINDOW_DOCS:,}")
    return docs, end


@decodes("postings")
def read_frequent(
    rows: Rows, segment: int, field: int, ordinal: int, doc_freq: int, windows: int, *, with_freqs: bool
) -> Postings:
    """The postings of a frequent term, from its window rows."""
    keys: list[bytes] = []
    freqs: list[U32s] = []
    whole = BitMap()
    for window in range(windows):
        key = postings_key(segment, field, ordinal, window)
        value = rows.get(Table.POSTINGS, key)
        if value is None:
            continue
        found = unpack_window(value, with_freqs=with_freqs)
        keys.append(key)
        whole |= found.docs.shift(window * WINDOW_DOCS) if window else found.docs
        if found.freqs is not None:
            freqs.append(found.freqs)
    if len(whole) != doc_freq:
        raise CorruptIndex(
            f"segment {segment}, field {field}, term {ordinal}: {len(whole)} postings found, {doc_freq} expected"
        )
    counts = (freqs[0] if len(freqs) == 1 else np.concatenate(freqs)) if with_freqs else None
    return Postings(doc_freq, ids_of(whole), counts, whole, rows, tuple(keys), None)
