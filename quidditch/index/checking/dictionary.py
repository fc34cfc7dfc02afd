"""A field's dictionary read from end to end: do its blocks, its index, its postings and positions agree?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from quidditch.index.checking.findings import Finding
from quidditch.index.checking.rows import place, same_keys
from quidditch.index.codecs import (
    WINDOW_DOCS,
    ascending_offsets,
    field_chunk_key,
    field_key,
    postings_key,
    split_by,
    unpack_narrow,
)
from quidditch.index.postings import RARE, Postings, unpack_window
from quidditch.index.reader import SegmentReader
from quidditch.index.segment import FieldRecord
from quidditch.index.storage import Table, Transaction
from quidditch.index.term_blocks import TermBlock, TermIndex
from quidditch.types import Ints, U32s, U64s

_JOINED_POSTINGS = 200_000
"""Postings that are worth a part of their own."""

_NAMED_BYTES = 40
"""Bytes of a term that a finding spells out."""

_Other = TypeVar("_Other")


@dataclass(frozen=True, slots=True)
class Part:
    """Some terms of a field with all their postings, laid end to end.

    ordinals:   int64[t]    their places in the dictionary
    doc_freqs:  uint32[t]   documents per term; sums to p
    docs:       uint32[p]   ascending inside a term
    freqs:      uint32[p]   or None where the field keeps none; sums to k
    positions:  uint64[k]   from the document's beginning, not falling inside a posting; or None
    """

    ordinals: Ints
    terms: list[bytes]
    doc_freqs: U32s
    docs: U32s
    freqs: U32s | None
    positions: U64s | None


def read_parts(reader: SegmentReader, field: FieldRecord) -> Iterator[Part]:
    """The whole dictionary, not quite in order: of each block the rare terms come first."""
    first = 0
    for block in reader.blocks(field.name):
        yield from _joined(_parts(reader, field, block, first))
        first += len(block.terms)


def _parts(reader: SegmentReader, field: FieldRecord, block: TermBlock, first: int) -> Iterator[Part]:
    """The rare terms of a block together, then each frequent one by itself."""
    yield _rare(block, first)
    for at in block.frequent_places(0, len(block.terms)):
        postings = _postings(reader, field, block, first, at)
        yield _frequent(block, first, at, postings, postings.distances())


def _joined(parts: Iterable[Part | _Other]) -> Iterator[Part | _Other]:
    """The same in fewer, larger parts: array code costs by the call. What is no part passes through."""
    held: list[Part] = []
    for part in parts:
        if not isinstance(part, Part):
            yield part
            continue
        held.append(part)
        if sum(len(one.docs) for one in held) >= _JOINED_POSTINGS:
            yield _join(held)
            held = []
    if held:
        yield _join(held)


def _join(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    freqs = [part.freqs for part in parts if part.freqs is not None]
    positions = [part.positions for part in parts if part.positions is not None]
    return Part(
        np.concatenate([part.ordinals for part in parts]),
        [term for part in parts for term in part.terms],
        np.concatenate([part.doc_freqs for part in parts]),
        np.concatenate([part.docs for part in parts]),
        np.concatenate(freqs) if freqs else None,
        np.concatenate(positions) if positions else None,
    )


def _rare(block: TermBlock, first: int) -> Part:
    places = np.flatnonzero(block.doc_freqs <= RARE)
    terms = [block.terms[at] for at in places.tolist()]
    positions = _absolute(block.positions, block.freqs)
    return Part(places + first, terms, block.doc_freqs[places], block.docs, block.freqs, positions)


def _postings(reader: SegmentReader, field: FieldRecord, block: TermBlock, first: int, at: int) -> Postings:
    return reader.frequent_postings(field, first + at, int(block.doc_freqs[at]))


def _frequent(block: TermBlock, first: int, at: int, postings: Postings, distances: U32s | None) -> Part:
    freqs = postings.freqs()
    positions = _absolute(distances, freqs)
    doc_freqs = block.doc_freqs[at : at + 1]
    return Part(np.array([first + at]), [block.terms[at]], doc_freqs, postings.docs(), freqs, positions)


def _absolute(distances: U32s | None, freqs: U32s | None) -> U64s | None:
    """Positions from the distances inside each posting."""
    if distances is None or freqs is None:
        return None
    sums = np.cumsum(distances, dtype=np.uint64)
    starts = ascending_offsets(freqs)[:-1]
    return sums - np.repeat(sums[starts] - distances[starts], freqs)


# --------------------------------------------------------------------------------------------------- the check


class DictionaryCheck:
    """Reads the dictionary as `read_parts` does, and finds what contradicts itself on the way."""

    def __init__(self, transaction: Transaction, reader: SegmentReader, field: FieldRecord) -> None:
        self._transaction = transaction
        self._reader = reader
        self._field = field
        self._where = f"segment {reader.segment_id}, field [{field.name}]"
        self._prefix = field_key(reader.segment_id, field.number)
        self._rows: list[bytes] = []

    def parts(self) -> Iterator[Part | Finding]:
        """The terms with their postings, and findings; after one, what comes may be nonsense or nothing."""
        index = None
        if self._field.terms:
            value = self._transaction.get(Table.TERM_INDEX, self._prefix)
            if value is None:
                yield Finding("dictionary", self._where, "its term index is missing")
                return
            index = TermIndex(value)
            words = _index_faults(index, self._field.terms)
            if words:
                yield Finding("dictionary", f"{self._where}, {place(Table.TERM_INDEX, self._prefix)}", words)
                return
        yield from self._keys(index.block_count if index is not None else 0)
        if index is not None:
            yield from self._blocks(index)
        yield from self._same(Table.POSTINGS, self._rows, "postings")
        yield from self._same(Table.POSITIONS, self._rows if self._field.positions else [], "positions")

    def _keys(self, blocks: int) -> Iterator[Finding]:
        keys = [
            field_chunk_key(self._reader.segment_id, self._field.number, block) for block in range(blocks)
        ]
        yield from self._same(Table.TERM_INDEX, [self._prefix] if blocks else [], "dictionary")
        yield from self._same(Table.TERM_BLOCKS, keys, "dictionary")

    def _same(self, table: Table, keys: list[bytes], what: str) -> Iterator[Finding]:
        return same_keys(self._transaction, table, self._prefix, keys, self._where, what)

    def _blocks(self, index: TermIndex) -> Iterator[Part | Finding]:
        before: bytes | None = None
        for number, block in enumerate(self._reader.blocks(self._field.name)):
            key = field_chunk_key(self._reader.segment_id, self._field.number, number)
            where = f"{self._where}, {place(Table.TERM_BLOCKS, key)}"
            first = int(index.first_ordinals[number])
            count = int(index.first_ordinals[number + 1]) - first
            value = self._transaction.get(Table.TERM_BLOCKS, key)
            size_bytes = len(value) if value is not None else 0
            words = _block_faults(block, count, index.first_terms[number], before, size_bytes)
            if words:
                yield Finding("dictionary", where, words)
                return
            before = block.terms[-1]
            yield from self._of_block(block, first, where)

    def _of_block(self, block: TermBlock, first: int, where: str) -> Iterator[Part | Finding]:
        for part in _joined(self._parts(block, first)):
            words = "" if isinstance(part, Finding) else _part_faults(part, self._reader.doc_count)
            yield Finding("postings", where, words) if words else part

    def _parts(self, block: TermBlock, first: int) -> Iterator[Part | Finding]:
        yield _rare(block, first)
        for at in block.frequent_places(0, len(block.terms)):
            postings = _postings(self._reader, self._field, block, first, at)
            distances = postings.distances()
            where = f"{self._where}, term {_spelt(block.terms[at])}"
            if self._field.positions and distances is None:
                yield Finding("positions", where, "a row of its positions is missing")
                continue
            yield from self._window_rows(first + at, postings, distances, where)
            yield _frequent(block, first, at, postings, distances)

    def _window_rows(
        self, ordinal: int, postings: Postings, distances: U32s | None, where: str
    ) -> Iterator[Finding]:
        """Does a frequent term have a row for each of its windows, as long as what it holds?"""
        freqs = postings.freqs()
        tokens = ascending_offsets(freqs) if freqs is not None else None
        for window, chunk in split_by(postings.docs(), WINDOW_DOCS):
            key = postings_key(self._reader.segment_id, self._field.number, ordinal, window)
            self._rows.append(key)
            value = self._transaction.get(Table.POSTINGS, key) or b"\0\0\0\0"
            expected = unpack_window(value, with_freqs=self._field.freqs).size_bytes
            if len(value) != expected:
                yield Finding(
                    "postings", f"{where}, {place(Table.POSTINGS, key)}", _sizes(len(value), expected)
                )
            if distances is not None and tokens is not None:
                count = int(tokens[chunk.stop] - tokens[chunk.start])
                yield from self._position_row(key, count, where)

    def _position_row(self, key: bytes, count: int, where: str) -> Iterator[Finding]:
        value = self._transaction.get(Table.POSITIONS, key) or b""
        expected = unpack_narrow(value, 0, count)[1]
        if len(value) != expected:
            words = _sizes(len(value), expected)
            yield Finding("positions", f"{where}, {place(Table.POSITIONS, key)}", words)


def _spelt(term: bytes) -> str:
    return repr(term[:_NAMED_BYTES])


def _sizes(found: int, expected: int) -> str:
    return f"{found} bytes, {expected} expected for what the document frequencies and frequencies say"


def _index_faults(index: TermIndex, terms: int) -> str:
    """What is wrong with a term index by itself, in words."""
    ordinals = index.first_ordinals
    if int(ordinals[0]) or not bool((ordinals[1:] > ordinals[:-1]).all()):
        return f"the blocks' first ordinals do not ascend from 0: {ordinals[:10].tolist()}"
    return "" if index.term_count == terms else f"{index.term_count} terms, the record says {terms}"


def _block_faults(
    block: TermBlock, count: int, first_term: bytes, before: bytes | None, size_bytes: int
) -> str:
    """What is wrong with a block of terms by itself or beside its neighbours, in words."""
    terms = block.terms
    if len(terms) != count:
        return f"{len(terms)} terms, the term index says {count}"
    if terms[0] != first_term:
        return f"begins with term {_spelt(terms[0])}, the term index says {_spelt(first_term)}"
    unordered = next((one for one, other in pairwise(terms) if one >= other), None)
    if unordered is None and before is not None and before >= terms[0]:
        unordered = before
    if unordered is not None:
        return f"terms do not ascend after {_spelt(unordered)}"
    if not int(block.doc_freqs.min()):
        return f"term {_spelt(terms[int(block.doc_freqs.argmin())])} is in no document"
    return _sizes(size_bytes, block.size_bytes) if size_bytes != block.size_bytes else ""


def _part_faults(part: Part, doc_count: int) -> str:
    """What is wrong with postings by themselves, in words."""
    docs = part.docs
    if not len(docs):
        return ""
    if int(docs.max()) >= doc_count:
        return f"document {docs.max()} of {doc_count}, numbered from 0"
    # Only where a term begins may the number of the document fall.
    offsets = ascending_offsets(part.doc_freqs)
    falls = docs[1:] <= docs[:-1]
    falls[offsets[1:-1] - 1] = False
    if bool(falls.any()):
        term = int(np.searchsorted(offsets, int(falls.argmax()), side="right")) - 1
        return f"the documents of term {_spelt(part.terms[term])} do not ascend"
    if part.freqs is not None and not int(part.freqs.min()):
        return "a term that is 0 times in a document"
    if part.positions is not None and int(part.positions.max()) >= 1 << 32:
        return f"position {part.positions.max()} is beyond 32 bits"
    return ""
