"""Documents acknowledged and not yet in a segment: their rows, and the private segments that make them searchable.

A search over a buffer freezes it into memory and takes no lock on the store. Frozen parts are kept for the next
search and joined as they grow in number, so that adding one document and searching costs that document, not all.
"""

from __future__ import annotations

import struct
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from typing import NamedTuple

import numpy as np
from pyroaring import BitMap

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.errors import InternalError
from quidditch.index.codecs import Buffer, bitmap_of, decodes, seq_no_key
from quidditch.index.document import decode_source, parse_documents
from quidditch.index.reader import SegmentCache, SegmentReader
from quidditch.index.segment import (
    FieldRecord,
    SegmentBuilder,
    SegmentRecord,
    Vocabularies,
    seq_no_rows,
    split_records,
)
from quidditch.index.storage import Rows, Table, Transaction
from quidditch.schema.mapping import Mapping
from quidditch.types import Bools, SeqNo, U64s

_private_segments = count(0xFFFFFFFF, -1)
"""Numbers of private segments: from the top down, where stored segments, from 1 up, never come."""

BATCH_BYTES = 8 << 20
"""Bytes of buffered JSON analysed at once."""

_VOCABULARY_BYTES = 32 << 20
_CACHE_BYTES = 8 << 20


def pack_buffered(id_bytes: bytes, source: bytes) -> bytes:
    """A buffered document: the id's length, the id, the source.

    >>> pack_buffered(b"a", b"{}").hex()
    '0100617b7d'
    """
    return struct.pack("<H", len(id_bytes)) + id_bytes + source


@decodes("buffered document")
def unpack_buffered(value: Buffer) -> tuple[bytes, bytes]:
    """(id, source)."""
    (length,) = struct.unpack_from("<H", value)
    return bytes(value[2 : 2 + length]), bytes(value[2 + length :])


def read_buffer(transaction: Transaction) -> Iterator[tuple[SeqNo, bytes, bytes]]:
    """(sequence number, id, source) of every buffered document, oldest first."""
    for key, value in transaction.rows(Table.BUFFER):
        yield int.from_bytes(key, "big"), *unpack_buffered(value)


def build_segment(
    documents: Sequence[tuple[SeqNo, bytes, bytes]], mapping: Mapping, vocabularies: Vocabularies
) -> SegmentBuilder:
    """A builder filled with buffered documents, which have been checked when they were taken."""
    builder = SegmentBuilder(vocabularies)
    for part in _batches(documents):
        batch = parse_documents(
            [decode_source(source) for _, _, source in part],
            mapping,
            ANALYZER_NAMES,
            [source for _, _, source in part],
            acknowledged=True,
        )
        builder.add(batch, [id_bytes for _, id_bytes, _ in part])
    return builder


def _batches(
    documents: Sequence[tuple[SeqNo, bytes, bytes]],
) -> Iterator[Sequence[tuple[SeqNo, bytes, bytes]]]:
    """The documents in parts of about `BATCH_BYTES`: analysing them takes some twenty times their size."""
    start = held = 0
    for place, (_, _, source) in enumerate(documents):
        if held and held + len(source) > BATCH_BYTES:
            yield documents[start:place]
            start, held = place, 0
        held += len(source)
    if start < len(documents):
        yield documents[start:]


class MemoryRows(Rows):
    """A segment's rows in memory, read as those of a transaction are."""

    def __init__(self, rows: Iterable[tuple[Table, bytes, bytes]]) -> None:
        self._tables: dict[Table, dict[bytes, bytes]] = {}
        for table, key, value in rows:
            self._tables.setdefault(table, {})[key] = value

    def get(self, table: Table, key: bytes) -> Buffer | None:
        return self._tables.get(table, {}).get(key)

    def floor(self, table: Table, key: bytes) -> tuple[bytes, Buffer] | None:
        keys = list(self._tables.get(table, {}))
        place = bisect_right(keys, key) - 1
        return (keys[place], self._tables[table][keys[place]]) if place >= 0 else None


class _Part:
    """Some buffered documents, frozen."""

    def __init__(
        self,
        documents: Sequence[tuple[SeqNo, bytes, bytes]],
        mapping: Mapping,
        vocabularies: Vocabularies,
    ) -> None:
        builder = build_segment(documents, mapping, vocabularies)
        self.segment_id = next(_private_segments)
        self.mapping = mapping
        self.seq_nos = np.array([seq_no for seq_no, _, _ in documents], np.uint64)
        fields: list[FieldRecord] = []
        rows = split_records(builder.rows(self.segment_id), fields)
        self.rows = MemoryRows(chain(rows, seq_no_rows(self.segment_id, self.seq_nos)))
        self.record = SegmentRecord(
            doc_count=len(documents),
            first_seq_no=documents[0][0],
            last_seq_no=documents[-1][0],
            contiguous=documents[-1][0] - documents[0][0] + 1 == len(documents),
            size_bytes=0,
            fields=fields,
        )
        self.cache = SegmentCache(_CACHE_BYTES, lasting=False)


class _Frozen(NamedTuple):
    """A commit's buffer, frozen by a mapping: its sequence numbers, its parts, oldest first, and what is deleted of
    each."""

    commit: int
    mapping: Mapping | None
    live: U64s
    parts: list[tuple[_Part, BitMap]]


_NOTHING = _Frozen(-1, None, np.empty(0, np.uint64), [])


class BufferFreezer:
    """The private segments of one shard's buffer, shared by the threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: list[_Part] = []
        self._last = _NOTHING
        self._vocabularies = Vocabularies(_VOCABULARY_BYTES)

    def freeze(self, transaction: Transaction, mapping: Mapping) -> list[SegmentReader]:
        """Readers over the buffered documents that this transaction sees, oldest first."""
        if not transaction.count(Table.BUFFER):
            self._parts, self._last = [], _NOTHING
            return []
        found, commit = self._last, transaction.id
        if found.commit != commit or found.mapping is not mapping:
            with self._lock:
                live = _live_now(transaction, self._last)
                # A part says what it was frozen by: fields that came since may be in its documents.
                self._parts = [part for part in self._parts if part.mapping is mapping]
                parts = self._parts_for(transaction, live, mapping)
                found = _Frozen(commit, mapping, live, [(part, _gone(part, live)) for part in parts])
                if commit >= self._last.commit:
                    self._last = found
        return [
            SegmentReader(part.rows, part.segment_id, part.record, gone, len(gone), part.cache)
            for part, gone in found.parts
        ]

    def _parts_for(self, transaction: Transaction, live: U64s, mapping: Mapping) -> list[_Part]:
        kept = [part for part in self._parts if _among(part.seq_nos, live).any()]
        frozen = np.concatenate([part.seq_nos for part in kept]) if kept else live[:0]
        fresh = live[~_among(live, frozen)]
        if not len(fresh):
            return kept
        if kept and fresh[0] < kept[-1].seq_nos[-1]:
            # An older transaction than the parts were made for: serve it by itself and keep theirs.
            return [self._freeze(transaction, live, mapping)]
        while kept and len(kept[-1].seq_nos) <= 2 * len(fresh):
            absorbed = kept.pop().seq_nos
            fresh = np.concatenate((absorbed[_among(absorbed, live)], fresh))
        kept.append(self._freeze(transaction, fresh, mapping))
        self._parts = kept
        return kept

    def _freeze(self, transaction: Transaction, seq_nos: U64s, mapping: Mapping) -> _Part:
        documents = []
        for seq_no in seq_nos.tolist():
            value = transaction.get(Table.BUFFER, seq_no_key(seq_no))
            if value is None:
                raise InternalError(f"buffered document {seq_no} is gone from its own transaction")
            documents.append((seq_no, *unpack_buffered(value)))
        self._vocabularies.trim()
        return _Part(documents, mapping, self._vocabularies)


def _live_now(transaction: Transaction, last: _Frozen) -> U64s:
    """uint64[n]: the buffered sequence numbers, ascending. Only new ones are read where none has gone since."""
    if len(last.live) and last.commit <= transaction.id:
        fresh = _seq_nos(transaction.joined_keys(Table.BUFFER, seq_no_key(int(last.live[-1]) + 1)))
        # Numbers only grow, so whatever is missing of the count was one of those known.
        if len(last.live) + len(fresh) == transaction.count(Table.BUFFER):
            return np.concatenate((last.live, fresh))
    return _seq_nos(transaction.joined_keys(Table.BUFFER))


def _seq_nos(keys: bytes) -> U64s:
    return np.frombuffer(keys, ">u8").astype(np.uint64)


def _among(own: U64s, others: U64s) -> Bools:
    """Which of these numbers are among the others; both ascending."""
    if not len(others):
        return np.zeros(len(own), np.bool_)
    found: Bools = others.take(others.searchsorted(own), mode="clip") == own
    return found


def _gone(part: _Part, live: U64s) -> BitMap:
    """The part's documents that are buffered no more."""
    return bitmap_of(np.flatnonzero(~_among(part.seq_nos, live)))
