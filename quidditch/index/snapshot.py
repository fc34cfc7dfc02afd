"""What one search sees of a shard: a read transaction, its segments, and the buffer frozen beside them."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from pyroaring import BitMap

from quidditch.errors import CorruptIndex
from quidditch.index.buffer import BufferFreezer, unpack_buffered
from quidditch.index.codecs import (
    LONGEST_PLAIN_ID,
    WINDOW_DOCS,
    Buffer,
    decodes,
    id_key,
    long_id_of,
    seq_no_key,
    unpack_bitmap,
    unpack_id_entry,
)
from quidditch.index.environment import Environment
from quidditch.index.reader import DEFAULT_CACHE_BYTES, SegmentCache, SegmentReader
from quidditch.index.routings import any_routings, read_routing
from quidditch.index.segment import SegmentRecord, decode_record
from quidditch.index.storage import Table, Transaction
from quidditch.schema.mapping import Mapping
from quidditch.types import DocId, SegmentId, SeqNo


@dataclass(frozen=True, slots=True)
class SegmentState:
    """A published segment at one commit: its record, its tombstones, and the commit that last changed those."""

    segment_id: SegmentId
    record: SegmentRecord
    deleted: BitMap
    generation: int

    @property
    def live_count(self) -> int:
        return self.record.doc_count - len(self.deleted)


def pack_tombstones(generation: int, deleted: BitMap) -> bytes:
    """One window of a segment's tombstones: the commit that wrote it, then the bitmap."""
    deleted.run_optimize()
    return struct.pack("<Q", generation) + bytes(deleted.serialize())


@decodes("tombstones")
def unpack_tombstones(value: Buffer) -> tuple[int, BitMap]:
    (generation,) = struct.unpack_from("<Q", value)
    return generation, unpack_bitmap(value[8:])


class SegmentList:
    """The segments of a shard as of a transaction; what did not change since the last look is not read again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: tuple[int, tuple[SegmentState, ...]] = (-1, ())
        self._records: dict[SegmentId, SegmentRecord] = {}

    def read(self, transaction: Transaction) -> tuple[SegmentState, ...]:
        """Published segments by sequence number; their ranges do not overlap."""
        with self._lock:
            commit, states = self._seen
            known = dict(self._records)
        if commit == transaction.id:
            return states
        states = read_segments(transaction, known)
        with self._lock:
            if transaction.id >= self._seen[0]:
                self._seen = (transaction.id, states)
                self._records = {state.segment_id: state.record for state in states}
        return states

    def now(self, transaction: Transaction) -> tuple[SegmentState, ...]:
        """The segments as a writer's transaction sees them, its own changes included; nothing is remembered."""
        with self._lock:
            known = dict(self._records)
        return read_segments(transaction, known)


def read_segments(
    transaction: Transaction, known: dict[SegmentId, SegmentRecord]
) -> tuple[SegmentState, ...]:
    """The segments as this transaction sees them; `known` records are not decoded again."""
    deleted: dict[SegmentId, tuple[int, BitMap]] = {}
    for key, value in transaction.rows(Table.TOMBSTONES):
        segment_id, window = struct.unpack(">II", key)
        generation, bitmap = unpack_tombstones(value)
        before, whole = deleted.get(segment_id, (0, BitMap()))
        whole |= bitmap.shift(window * WINDOW_DOCS)
        deleted[segment_id] = (max(before, generation), whole)
    states = []
    for key, value in transaction.rows(Table.SEGMENTS):
        segment_id = int.from_bytes(key, "big")
        record = known.get(segment_id) or decode_record(value)
        generation, bitmap = deleted.get(segment_id, (0, BitMap()))
        states.append(SegmentState(segment_id, record, bitmap, generation))
    return tuple(sorted(states, key=lambda state: state.record.first_seq_no))


class Snapshot:
    """A read transaction of one shard and its segments, oldest documents first. Close it soon: it pins pages."""

    def __init__(
        self,
        environment: Environment,
        transaction: Transaction,
        segments: tuple[SegmentReader, ...],
        mapping: Mapping,
    ) -> None:
        """`mapping` has every field of the documents."""
        self.mapping = mapping
        self._environment = environment
        self._transaction: Transaction | None = transaction
        self.segments = segments

    @property
    def transaction(self) -> Transaction:
        if self._transaction is None:
            raise RuntimeError("this snapshot is closed")
        return self._transaction

    def locate(self, id: str) -> tuple[int, DocId] | None:
        """(place in `segments`, document) of a live document."""
        entry = self.entry(id)
        if entry is None or entry[2]:
            return None
        for place, segment in enumerate(self.segments):
            doc = segment.doc_of(entry[0])
            if doc is not None and doc not in segment.deleted:
                return place, doc
        return None

    def entry(self, id: str) -> tuple[SeqNo, int, bool] | None:
        """(sequence number, version, deleted) of the last write to this id."""
        return read_entry(self.transaction, id.encode())

    def routings(self, ids: Sequence[str]) -> dict[str, str]:
        """The routings of those of these live documents that have one."""
        found: dict[str, str] = {}
        for id in ids if any_routings(self.transaction) else ():
            entry = self.entry(id)
            routing = None if entry is None else read_routing(self.transaction, id_key(id.encode()), entry[0])
            if routing is not None:
                found[id] = routing
        return found

    def close(self) -> None:
        if self._transaction is not None:
            self._environment.end_read(self._transaction)
            self._transaction = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Snapshots:
    """Opens snapshots of one shard; holds what they share."""

    def __init__(self, environment: Environment, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.environment = environment
        self.cache = SegmentCache(cache_bytes)
        self.segment_list = SegmentList()
        self._freezer = BufferFreezer()
        self._segments: frozenset[SegmentId] = frozenset()

    def open(self, mapping: Callable[[], Mapping]) -> Snapshot:
        """The newest commit of any process. `mapping` is asked after it, so that it has every field of the
        documents in the buffer, which are frozen by it."""
        transaction = self.environment.begin_read()
        try:
            states = self.segment_list.read(transaction)
            self._forget_gone(states)
            stored = [self.reader(transaction, state) for state in states]
            known = mapping()
            frozen = self._freezer.freeze(transaction, known)
            return Snapshot(self.environment, transaction, (*stored, *frozen), known)
        except BaseException:
            self.environment.end_read(transaction)
            raise

    def _forget_gone(self, states: tuple[SegmentState, ...]) -> None:
        """Let go of what is cached of segments that merges replaced; an older snapshot may cache it once more."""
        now = frozenset(state.segment_id for state in states)
        before, self._segments = self._segments, now
        if before - now:
            self.cache.forget(before - now)

    def reader(self, transaction: Transaction, state: SegmentState) -> SegmentReader:
        return SegmentReader(
            transaction, state.segment_id, state.record, state.deleted, state.generation, self.cache
        )


# ------------------------------------------------------------------------------------------ one document by id


def read_entry(transaction: Transaction, id_bytes: bytes) -> tuple[SeqNo, int, bool] | None:
    """(sequence number, version, deleted) of the last write to this id."""
    value = transaction.get(Table.IDS, id_key(id_bytes))
    if value is None:
        return None
    check_long_id(id_bytes, value)
    return unpack_id_entry(value)


def check_long_id(id_bytes: bytes, value: Buffer | None) -> None:
    """raises: CorruptIndex   the entry found by an id's hash spells out another id"""
    if value is not None and len(id_bytes) > LONGEST_PLAIN_ID and long_id_of(value) != id_bytes:
        raise CorruptIndex(f"id map: the entry of id {id_bytes[:40]!r}... is another id's")


def read_source(
    transaction: Transaction, segments: tuple[SegmentState, ...], cache: SegmentCache, seq_no: SeqNo
) -> bytes | None:
    """The source of the document that this write left, wherever it lies; None when a later write replaced it."""
    buffered = transaction.get(Table.BUFFER, seq_no_key(seq_no))
    if buffered is not None:
        return unpack_buffered(buffered)[1]
    for state in segments:
        if state.record.first_seq_no <= seq_no <= state.record.last_seq_no:
            reader = SegmentReader(
                transaction, state.segment_id, state.record, state.deleted, state.generation, cache
            )
            doc = reader.doc_of(seq_no)
            if doc is not None and doc not in state.deleted:
                return reader.sources(np.array([doc], np.uint32))[0]
    return None
