"""Terms and their postings: how a field's dictionary is laid out, written and read.

Terms are kept in blocks of a few hundred. A block holds its terms, their document frequencies and, packed
together, all postings of its rare terms; a frequent term has rows of its own, one for each window of 65,536
documents, as a roaring bitmap with aligned frequencies. A small index over each block's first term finds the
block. So a segment with 300,000 terms costs some thousand rows to write, and one term two rows to read.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from pyroaring import BitMap

from quidditch.errors import CorruptIndex
from quidditch.index.codecs import (
    WINDOW_DOCS,
    Buffer,
    ascending_offsets,
    bitmap_of,
    decodes,
    field_chunk_key,
    field_key,
    ids_of,
    pack_bitmap,
    pack_strings,
    pack_uints,
    pick_uints,
    postings_key,
    split_by,
    unpack_bitmap,
    unpack_uints,
)
from quidditch.index.inversion import Inverted, runs_to_indices
from quidditch.index.storage import Rows, Table
from quidditch.types import Bools, Ints, U32s

BLOCK_TERMS = 256
"""Terms in a block at most. A look-up decodes one block's lengths: some microseconds."""

BLOCK_TERM_BYTES = 1 << 15
"""A block ends early past this many bytes of terms (long keywords), so that no value grows without bound."""

RARE = 128
"""Documents a term may be in and still have its postings inside the block."""

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
        for index in np.flatnonzero(~rare).tolist():
            postings = slice(int(offsets[index]), int(offsets[index + 1]))
            yield from self._frequent(
                self.term_count + index, part, postings, slice(int(tokens[index]), int(tokens[index + 1]))
            )
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
                struct.pack("<H", high - low),
                pack_strings(part.terms[low:high]),
                pack_uints(part.doc_freqs[low:high]),
                pack_uints(docs[postings]),
            ]
            if freqs is not None:
                body.append(pack_uints(freqs[postings] - np.uint32(1)))
            if positions is not None and token_offsets is not None:
                body.append(pack_uints(positions[int(token_offsets[low]) : int(token_offsets[high])]))
            key = field_chunk_key(self._segment, self._field, len(self._first_terms))
            self._first_terms.append(part.terms[low])
            self._first_ordinals.append(self.term_count + low)
            yield Table.TERM_BLOCKS, key, b"".join(body)

    def _frequent(self, ordinal: int, part: Inverted, postings: slice, tokens: slice) -> Iterator[Row]:
        docs = part.docs[postings]
        freqs = part.freqs[postings] if part.freqs is not None else None
        positions = part.positions[tokens] if part.positions is not None else None
        first_token = 0
        for window, chunk in split_by(docs, WINDOW_DOCS):
            key = postings_key(self._segment, self._field, ordinal, window)
            bitmap = pack_bitmap(bitmap_of(docs[chunk] & np.uint32(WINDOW_DOCS - 1)))
            value = struct.pack("<I", len(bitmap)) + bitmap
            if freqs is not None:
                value += pack_uints(freqs[chunk] - np.uint32(1))
            yield Table.POSTINGS, key, value
            if positions is not None and freqs is not None:
                last_token = first_token + int(freqs[chunk].sum(dtype=np.int64))
                yield Table.POSITIONS, key, pack_uints(positions[first_token:last_token])
                first_token = last_token


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
    _inline_positions: U32s | None

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
        cost: the positions asked for and one pass over the frequencies; of the term's rows only those of
        windows with a chosen posting are read
        """
        if self._freqs is None:
            return None
        tokens = ascending_offsets(self._freqs)
        freqs = self._freqs[places]
        distances = self._distances_at(tokens, places, freqs)
        if distances is None:
            return None
        offsets = ascending_offsets(freqs)
        return offsets.astype(np.uint32), _absolute(distances, offsets, freqs)

    def _distances_at(self, tokens: Ints, places: Ints, freqs: U32s) -> U32s | None:
        """What `distances()` holds of the chosen postings; `tokens` are where each posting's begin."""
        wanted = runs_to_indices(tokens[places], freqs)
        if self._rows is None:
            return None if self._inline_positions is None else self._inline_positions[wanted]
        found = np.empty(len(wanted), np.uint32)
        read = ascending_offsets(freqs)
        for window, chosen in split_by(self._docs[places], WINDOW_DOCS):
            key = self._keys[0][:-2] + window.to_bytes(2, "big")
            value = self._rows.get(Table.POSITIONS, key)
            if value is None:
                return None
            postings = self._postings_of(window)
            first_token, last_token = int(tokens[postings.start]), int(tokens[postings.stop])
            chosen_tokens = slice(int(read[chosen.start]), int(read[chosen.stop]))
            own = wanted[chosen_tokens] - first_token
            found[chosen_tokens] = pick_uints(value, 0, last_token - first_token, own)
        return found

    def _postings_of(self, window: int) -> slice:
        """Where the postings of a window's documents lie."""
        edges = np.array([window, window + 1], np.uint64) * np.uint64(WINDOW_DOCS)
        low, high = np.searchsorted(self._docs, edges).tolist()
        return slice(low, high)

    def distances(self) -> U32s | None:
        """Positions as they are stored: inside a posting the first from 0, each later from its predecessor."""
        if self._rows is None or self._freqs is None:
            return self._inline_positions
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


def _absolute(distances: U32s, offsets: Ints, freqs: U32s) -> U32s:
    """Positions from the distances inside each posting."""
    if not len(distances):
        return distances
    sums = np.cumsum(distances, dtype=np.uint64)
    starts = offsets[:-1]
    before = sums[starts] - distances[starts]
    return (sums - np.repeat(before, freqs)).astype(np.uint32)


class TermIndex:
    """The first term of every block of one field of one segment, as an owned copy."""

    @decodes("term index")
    def __init__(self, value: Buffer) -> None:
        (blocks,) = struct.unpack_from("<I", value)
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
    lengths, start = unpack_uints(value, start, count)
    edges = ascending_offsets(lengths).tolist()
    blob = bytes(value[start : start + edges[-1]])
    if len(blob) != edges[-1]:
        raise CorruptIndex(f"term block: expected {edges[-1]} bytes of terms, found {len(blob)}")
    return [blob[low:high] for low, high in pairwise(edges)], start + edges[-1]


class TermBlock:
    """One block of a dictionary: its terms, and the postings of the rare ones, decoded when asked for."""

    @decodes("term block")
    def __init__(self, value: Buffer, *, with_freqs: bool, with_positions: bool) -> None:
        (count,) = struct.unpack_from("<H", value)
        self.terms, end = unpack_terms(value, 2, count)
        self.doc_freqs, end = unpack_uints(value, end, count)
        rare = np.where(self.doc_freqs <= RARE, self.doc_freqs, 0)
        self.rare_offsets = ascending_offsets(rare)
        total = int(self.rare_offsets[-1])
        self.docs, end = unpack_uints(value, end, total)
        self.freqs: U32s | None = None
        self.positions: U32s | None = None
        if with_freqs:
            freqs, end = unpack_uints(value, end, total)
            self.freqs = freqs + np.uint32(1)
            if with_positions:
                self.positions, end = unpack_uints(value, end, int(self.freqs.sum()))

    def find(self, term: bytes) -> int | None:
        """Where the term stands in the block."""
        place = bisect_left(self.terms, term)
        return place if place < len(self.terms) and self.terms[place] == term else None

    def is_rare(self, place: int) -> bool:
        """Are the term's postings in this block?"""
        return bool(self.doc_freqs[place] <= RARE)

    def after(self, term: bytes) -> int:
        """How many of the block's terms are not above `term`."""
        return bisect_right(self.terms, term)

    def frequent_places(self, low: int, high: int) -> list[int]:
        """Places between `low` and `high` of the terms that have rows of their own."""
        places: list[int] = (np.flatnonzero(self.doc_freqs[low:high] > RARE) + low).tolist()
        return places

    def rare_slice(self, low: int, high: int) -> Inverted:
        """The rare terms among places `low` to `high`, their postings as they lie here."""
        start, stop = int(self.rare_offsets[low]), int(self.rare_offsets[high])
        docs, freqs, positions = self.docs[start:stop], None, None
        if self.freqs is not None:
            freqs = self.freqs[start:stop]
            if self.positions is not None:
                first = int(self.freqs[:start].sum())
                positions = self.positions[first : first + int(freqs.sum())]
        rare = [place for place in range(low, high) if self.is_rare(place)]
        return Inverted([self.terms[place] for place in rare], self.doc_freqs[rare], docs, freqs, positions)

    def rare_postings(self, place: int) -> Postings:
        part = self.rare_slice(place, place + 1)
        freqs = part.freqs.copy() if part.freqs is not None else None
        positions = part.positions.copy() if part.positions is not None else None
        return Postings(len(part.docs), part.docs.copy(), freqs, None, None, (), positions)


@decodes("postings")
def read_frequent(
    rows: Rows, segment: int, field: int, ordinal: int, doc_freq: int, windows: int, *, with_freqs: bool
) -> Postings:
    """The postings of a frequent term, from its window rows."""
    docs: list[U32s] = []
    freqs: list[U32s] = []
    bitmaps: list[BitMap] = []
    keys: list[bytes] = []
    for window in range(windows):
        key = postings_key(segment, field, ordinal, window)
        value = rows.get(Table.POSTINGS, key)
        if value is None:
            continue
        (length,) = struct.unpack_from("<I", value)
        bitmap = unpack_bitmap(value[4 : 4 + length])
        keys.append(key)
        bitmaps.append(bitmap)
        docs.append(ids_of(bitmap) + np.uint32(window * WINDOW_DOCS))
        if with_freqs:
            freqs.append(unpack_uints(value, 4 + length, len(bitmap))[0] + np.uint32(1))
    if sum(map(len, docs)) != doc_freq:
        raise CorruptIndex(
            f"segment {segment}, field {field}, term {ordinal}: {sum(map(len, docs))} postings found, "
            f"{doc_freq} expected"
        )
    whole = bitmaps[0] if len(bitmaps) == 1 and keys[0].endswith(b"\0\0") else None
    return Postings(
        doc_freq,
        docs[0] if len(docs) == 1 else np.concatenate(docs),
        (freqs[0] if len(freqs) == 1 else np.concatenate(freqs)) if with_freqs else None,
        whole,
        rows,
        tuple(keys),
        None,
    )
