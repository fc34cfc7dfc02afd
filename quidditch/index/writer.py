"""IndexWriter: documents in, one way for single writes and one for streams.

A single write is one durable transaction into the buffer. A stream is analysed outside the write lock, frozen into
segments of bounded size, and published chunk by chunk. Nothing a writer holds outlives a transaction, so any
process may write next.
"""

from __future__ import annotations

import contextlib
import logging
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as Dict
from typing import Any

import numpy as np

from quidditch.errors import CorruptIndex, QuidditchError, StoreFull
from quidditch.index.buffer import build_segment, pack_buffered, read_buffer
from quidditch.index.codecs import (
    LONGEST_PLAIN_ID,
    id_key,
    pack_id_entry,
    segment_key,
    seq_no_key,
    unpack_id_entry,
)
from quidditch.index.commit import (
    Leases,
    discard,
    next_seq_no,
    pieces,
    set_next_seq_no,
    sweep,
    write_piece,
)
from quidditch.index.document import Schema, parse_and_learn
from quidditch.index.merging import Merger, add_tombstones
from quidditch.index.operations import Applied, Changes, Entry, IdMaker, Operation
from quidditch.index.reader import SegmentReader
from quidditch.index.segment import (
    FieldRecord,
    SegmentBuilder,
    SegmentRecord,
    Vocabularies,
    encode_record,
    seq_no_rows,
    split_records,
)
from quidditch.index.snapshot import Snapshots, check_long_id, read_entry, read_source
from quidditch.index.storage import Table, Transaction
from quidditch.types import I64s, SegmentId, SeqNo, U32s, U64s

logger = logging.getLogger("quidditch")

DEFAULT_MEMORY_BYTES = 512 << 20
"""Bytes a process may take while it indexes, whatever the input's size."""

BASE_BYTES = 128 << 20
"""What the interpreter, the libraries and a batch on its way take of that."""

CHUNKS_HELD = 6
"""Times a chunk's arrays are held at most: one being gathered, one being written, what writing makes of it, and a
merge's slice."""

BUFFER_DOCS = 1_000
"""Documents the buffer holds before it becomes a segment; streams of fewer go through the buffer too."""

BUFFER_BYTES = 16 << 20
"""Bytes the buffer holds before it becomes a segment."""

BUFFER_LIMIT = 8
"""Times its size that the buffer may reach while it cannot be flushed; then documents are refused."""

BURIED_DOCS = 1_000
"""Stored documents deleted or replaced one by one before due merges are looked for."""

MERGE_FACTOR = 3
"""Bytes of due merges paid for each byte committed, so that merging keeps up with writing."""

MERGE_FLOOR_BYTES = 8 << 20
"""Bytes of due merges paid at the least when a segment was written."""

DELETE_MEMORY_MS = 60_000
"""How long a deleted id's version is remembered (OpenSearch's index.gc_deletes)."""


class IndexWriter:
    """Writes to one shard; safe to share between threads."""

    def __init__(
        self, snapshots: Snapshots, schema: Schema, memory_bytes: int = DEFAULT_MEMORY_BYTES
    ) -> None:
        self._snapshots = snapshots
        self._environment = snapshots.environment
        self._schema = schema
        self.chunk_bytes = max(memory_bytes - BASE_BYTES, memory_bytes // 4) // CHUNKS_HELD
        self._vocabulary_bytes = memory_bytes // 8
        self._vocabularies = Vocabularies(self._vocabulary_bytes)
        self._vocabularies_lent = threading.Lock()
        self._buffer_vocabularies = Vocabularies(memory_bytes // 16)
        self._leases = Leases(self._environment.path)
        self._merger = Merger(self._environment, self._leases)
        self._buried = 0
        self.make_id = IdMaker().new

    # --------------------------------------------------------------------------------------- single writes

    def apply(self, operations: Sequence[Operation]) -> list[Applied | QuidditchError]:
        """Carry out the operations in order, in one transaction; what each did, or why it failed.

        raises: StoreFull, StoreLocked, ...   nothing was written
        """
        sources = self._checked(operations)
        with self._environment.write() as transaction:
            self._schema.current()
            _check_room(transaction, operations)
            changes = self._changes(transaction)
            results: list[Applied | QuidditchError] = []
            for operation, source in zip(operations, sources, strict=True):
                try:
                    if isinstance(source, QuidditchError):
                        raise source
                    results.append(changes.apply(operation, source))
                except QuidditchError as error:
                    results.append(error)
            if changes.entries:
                self._write_changes(transaction, changes)
            full = _is_full(transaction)
        self._buried += len(changes.buried)
        if full:
            self._upkeep(self.flush)
        elif self._buried >= BURIED_DOCS:
            self._upkeep(lambda: self._merger.run_due(MERGE_FLOOR_BYTES))
        return results

    def _upkeep(self, work: Callable[[], None]) -> None:
        """What follows a commit must not make it look undone: a failure is logged, and tried again next time."""
        self._buried = 0
        try:
            work()
        except QuidditchError as error:
            logger.warning("upkeep after a write, which is on disk, failed: %s", error)

    def _checked(self, operations: Sequence[Operation]) -> list[bytes | QuidditchError | None]:
        """The source of each index and create, or its error; None for the others."""
        places = [i for i, one in enumerate(operations) if one.op in ("index", "create")]
        docs = [operations[place].doc or {} for place in places]
        checked: list[bytes | QuidditchError | None] = [None] * len(operations)
        if docs:
            batch = parse_and_learn(docs, self._schema)
            for place, error in batch.errors.items():
                checked[places[place]] = error
            for place, source in zip(batch.accepted, batch.sources, strict=True):
                checked[places[place]] = source
        return checked

    def _check_one(self, doc: Dict[str, Any]) -> bytes:
        (checked,) = self._checked([Operation("index", b"", doc)])
        if isinstance(checked, QuidditchError):
            raise checked
        return checked or b"{}"

    def _changes(self, transaction: Transaction) -> Changes:
        def find(id_bytes: bytes) -> Entry | None:
            found = read_entry(transaction, id_bytes)
            return None if found is None else Entry(*found)

        def source_of(seq_no: SeqNo) -> bytes | None:
            segments = self._snapshots.segment_list.now(transaction)
            return read_source(transaction, segments, self._snapshots.cache, seq_no)

        return Changes(next_seq_no(transaction), find, source_of, self._check_one)

    def _write_changes(self, transaction: Transaction, changes: Changes) -> None:
        bury(transaction, changes.buried, self._snapshots)
        rows = [(seq_no_key(seq_no), pack_buffered(*added)) for seq_no, added in changes.added.items()]
        transaction.put_many(Table.BUFFER, rows)
        transaction.put_many(
            Table.IDS,
            sorted(
                (id_key(one), pack_id_entry(entry.seq_no, entry.version, entry.deleted, _long(one)))
                for one, entry in changes.entries.items()
            ),
        )
        now = int(time.time() * 1000)
        for seq_no, id_bytes in changes.deleted:
            transaction.put(Table.DELETES, seq_no_key(seq_no), struct.pack("<Q", now) + id_bytes)
        _forget_deletes(transaction, now, max(100, 2 * len(changes.deleted)))
        set_next_seq_no(transaction, changes.next_seq_no)

    # -------------------------------------------------------------------------------------------- segments

    @contextlib.contextmanager
    def lend_vocabularies(self) -> Iterator[Vocabularies]:
        """The vocabularies that streams keep warm for each other; new ones while another stream has them."""
        if not self._vocabularies_lent.acquire(blocking=False):
            yield Vocabularies(self._vocabulary_bytes)
            return
        try:
            yield self._vocabularies
        finally:
            self._vocabularies_lent.release()

    def publish(self, builder: SegmentBuilder) -> int:
        """Make the builder's documents visible as one segment, replacing those of the same ids; bytes written.

        The buffer goes before it, so that sequence numbers rise from segment to segment. `merge_due` should
        follow, once the builder's memory is free.
        cost: the write lock is held for one piece at a time, then for the id map of the chunk
        """
        with self._written(builder) as (segment, fields, size_bytes), self._environment.locked():
            self._flush_buffer()
            with self._environment.write() as transaction:
                self._schema.current()
                first = next_seq_no(transaction)
                last = first + builder.doc_count - 1
                record = SegmentRecord(builder.doc_count, first, last, True, size_bytes, fields)
                superseded = self._map_ids(transaction, builder.ids, first)
                self._publish(transaction, segment, record)
                add_tombstones(transaction, segment, superseded)
                set_next_seq_no(transaction, last + 1)
        return size_bytes

    def merge_due(self, size_bytes: int) -> None:
        """Pay for merges that are due, as much as befits so many bytes written."""
        self._upkeep(lambda: self._merger.run_due(max(MERGE_FLOOR_BYTES, MERGE_FACTOR * size_bytes)))

    @contextlib.contextmanager
    def _written(self, builder: SegmentBuilder) -> Iterator[tuple[SegmentId, list[FieldRecord], int]]:
        """(number, fields, bytes) of the builder's rows, written under a number nobody reads yet; they are
        discarded when the block fails to publish it."""
        # Whoever writes much clears away what killed processes left behind.
        sweep(self._environment, self._leases)
        with self._environment.write() as transaction:
            segment = self._leases.take(transaction)
        fields: list[FieldRecord] = []
        try:
            sizes = [
                write_piece(self._environment, self._leases, segment, piece)
                for piece in pieces(split_records(builder.rows(segment), fields))
            ]
            yield segment, fields, sum(sizes)
        except BaseException:
            self._discard(segment)
            raise
        self._leases.forget(segment)

    def _publish(self, transaction: Transaction, segment: SegmentId, record: SegmentRecord) -> None:
        self._leases.release(transaction, segment)
        transaction.put(Table.SEGMENTS, segment_key(segment), encode_record(record))

    def _discard(self, segment: SegmentId) -> None:
        self._leases.forget(segment)
        try:
            with self._environment.write() as transaction:
                discard(transaction, segment)
        except QuidditchError:
            # The disk may be what failed. Forgotten, the lease counts as dead, and the next sweep has the rows.
            return

    def _map_ids(self, transaction: Transaction, ids: Sequence[bytes], first: SeqNo) -> U32s:
        """Point the ids at their new documents; uint32: those superseded inside the chunk, ascending."""
        longest = max(map(len, ids))
        keys = list(map(id_key, ids)) if longest > LONGEST_PLAIN_ID else list(ids)
        last_place = {key: place for place, key in enumerate(keys)}
        old = transaction.get_many(Table.IDS, sorted(last_place)) if transaction.count(Table.IDS) else {}
        if not old and len(last_place) == len(keys):
            transaction.put_many(Table.IDS, sorted(zip(keys, _first_entries(ids, first), strict=True)))
            return np.zeros(0, np.uint32)
        entries = {key: Entry(*unpack_id_entry(value)) for key, value in old.items()}
        for place in last_place.values() if longest > LONGEST_PLAIN_ID else ():
            check_long_id(ids[place], old.get(keys[place]))
        bury(
            transaction,
            [entry.seq_no for entry in entries.values() if not entry.deleted],
            self._snapshots,
        )
        versions = {key: entry.version for key, entry in entries.items()}
        superseded = []
        for place, key in enumerate(keys):
            versions[key] = versions.get(key, 0) + 1
            if last_place[key] != place:
                superseded.append(place)
        rows = [
            (key, pack_id_entry(first + place, versions[key], False, _long(ids[place])))
            for key, place in sorted(last_place.items())
        ]
        transaction.put_many(Table.IDS, rows)
        return np.array(superseded, np.uint32)

    def flush(self) -> None:
        """Turn the buffer into a segment; pay for merges that are due."""
        with self._environment.locked():
            size_bytes = self._flush_buffer()
        if size_bytes:
            self._merger.run_due(max(MERGE_FLOOR_BYTES, MERGE_FACTOR * size_bytes))

    def _flush_buffer(self) -> int:
        """Freeze the buffered documents into a segment, under the write lock; its bytes, 0 without documents."""
        with self._environment.read() as transaction:
            documents = list(read_buffer(transaction))
        if not documents:
            return 0
        self._buffer_vocabularies.trim()
        builder = build_segment(documents, self._schema.current(), self._buffer_vocabularies)
        seq_nos = np.array([seq_no for seq_no, _, _ in documents], np.int64)
        with (
            self._written(builder) as (segment, fields, size_bytes),
            self._environment.write() as transaction,
        ):
            record = _buffered_record(transaction, segment, seq_nos, fields, size_bytes)
            self._publish(transaction, segment, record)
            for seq_no in seq_nos.tolist():
                transaction.delete(Table.BUFFER, seq_no_key(seq_no))
        return size_bytes

    def force_merge(self, max_segments: int) -> None:
        """Join everything into at most `max_segments` segments without deleted documents."""
        self.flush()
        self._merger.force(max_segments)

    def close(self) -> None:
        """Give up unfinished merges; every acknowledged write is on disk already."""
        self._merger.close()
        self._leases.close()


def _check_room(transaction: Transaction, operations: Sequence[Operation]) -> None:
    """raises: StoreFull   the buffer could not be flushed for long; deletes, which make room, still go in"""
    if all(operation.op == "delete" for operation in operations):
        return
    if transaction.count(Table.BUFFER) >= BUFFER_LIMIT * BUFFER_DOCS:
        raise StoreFull(
            "no room to turn buffered documents into a segment: free some disk, or delete documents"
        )


def _is_full(transaction: Transaction) -> bool:
    return (
        transaction.count(Table.BUFFER) >= BUFFER_DOCS or transaction.size_bytes(Table.BUFFER) >= BUFFER_BYTES
    )


def _long(id_bytes: bytes) -> bytes:
    """What an entry spells out of its id: nothing, unless the key holds a hash of it."""
    return id_bytes if len(id_bytes) > LONGEST_PLAIN_ID else b""


def _first_entries(ids: Sequence[bytes], first: SeqNo) -> list[bytes]:
    """`pack_id_entry` of documents never seen before, all at once."""
    entries = np.zeros(len(ids), np.dtype([("seq_no", "<u8"), ("version", "<u8"), ("deleted", "?")]))
    entries["seq_no"] = np.arange(first, first + len(ids), dtype=np.uint64)
    entries["version"] = 1
    size, blob = entries.itemsize, entries.tobytes()
    packed = [blob[start : start + size] for start in range(0, len(blob), size)]
    if max(map(len, ids)) > LONGEST_PLAIN_ID:
        return [entry + _long(id_bytes) for entry, id_bytes in zip(packed, ids, strict=True)]
    return packed


def _buffered_record(
    transaction: Transaction,
    segment: SegmentId,
    seq_nos: I64s,
    fields: list[FieldRecord],
    size_bytes: int,
) -> SegmentRecord:
    """The record of a segment made from the buffer, whose sequence numbers may have gaps."""
    first, last = int(seq_nos[0]), int(seq_nos[-1])
    for table, key, value in seq_no_rows(segment, seq_nos):
        transaction.put(table, key, value)
    contiguous = last - first + 1 == len(seq_nos)
    return SegmentRecord(len(seq_nos), first, last, contiguous, size_bytes, fields)


def bury(transaction: Transaction, seq_nos: Sequence[SeqNo], snapshots: Snapshots) -> None:
    """Delete the documents that these writes left, in the buffer or by tombstones.

    raises: CorruptIndex   when one of them is nowhere
    """
    stored = [one for one in seq_nos if not transaction.delete(Table.BUFFER, seq_no_key(one))]
    if not stored:
        return
    wanted = np.unique(np.array(stored, np.uint64))
    found = 0
    for state in snapshots.segment_list.now(transaction):
        record = state.record
        low, high = np.searchsorted(
            wanted, np.array([record.first_seq_no, record.last_seq_no + 1], np.uint64)
        )
        if low == high:
            continue
        reader = snapshots.reader(transaction, state)
        docs = _docs_of(reader, wanted[low:high])
        found += len(docs)
        add_tombstones(transaction, state.segment_id, docs)
    if found != len(wanted):
        raise CorruptIndex(
            f"{snapshots.environment.path}: {len(wanted) - found} documents that the id map lists are in no segment"
        )


def _docs_of(reader: SegmentReader, seq_nos: U64s) -> U32s:
    """uint32: the documents of those of these writes, ascending, that the segment holds."""
    if reader.record.contiguous:
        return (seq_nos - np.uint64(reader.record.first_seq_no)).astype(np.uint32)
    own = reader.all_seq_nos()
    places = np.searchsorted(own, seq_nos)
    places = places[places < len(own)]
    found: U32s = places[own[places] == seq_nos[: len(places)]].astype(np.uint32)
    return found


def _forget_deletes(transaction: Transaction, now_ms: int, limit: int) -> None:
    """Drop deleted ids from the id map once their versions need no longer be remembered."""
    for _ in range(limit):
        oldest = transaction.first(Table.DELETES)
        if oldest is None:
            return
        key, value = oldest
        (stamp,) = struct.unpack_from("<Q", value)
        if stamp > now_ms - DELETE_MEMORY_MS:
            return
        id_bytes = bytes(value[8:])
        entry = read_entry(transaction, id_bytes)
        if entry is not None and entry[2] and entry[0] == int.from_bytes(key, "big"):
            transaction.delete(Table.IDS, id_key(id_bytes))
        transaction.delete(Table.DELETES, key)
