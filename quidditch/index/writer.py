"""IndexWriter: documents in, one way for single writes and one for streams.

A single write is one durable transaction into the buffer. A stream is analysed outside the write lock, frozen into
segments of bounded size, and published chunk by chunk. Nothing a writer holds outlives a transaction, so any
process may write next.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeAlias

import numpy as np

from quidditch.errors import QuidditchError, StoreLocked
from quidditch.index.background import Background
from quidditch.index.batches import gather
from quidditch.index.buffer import build_segment, read_buffer
from quidditch.index.codecs import (
    LONGEST_PLAIN_ID,
    LONGEST_SEQ_NO,
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
from quidditch.index.document import Schema, parse_and_learn, parse_as_mapped
from quidditch.index.loads import Load, NotPlain, is_load
from quidditch.index.merge_schedule import MergeSchedule
from quidditch.index.merging import Merger, add_tombstones
from quidditch.index.operations import Applied, Entry, Operation, Published
from quidditch.index.postings import Row
from quidditch.index.replication import Batch
from quidditch.index.routings import any_routings, write_routings
from quidditch.index.segment import (
    FieldRecord,
    SegmentBuilder,
    SegmentRecord,
    Vocabularies,
    encode_record,
    seq_no_rows,
    split_records,
)
from quidditch.index.single_writes import (
    Durability,
    Results,
    SingleWrites,
    bury,
    spelt_out,
)
from quidditch.index.snapshot import Snapshots, check_long_id
from quidditch.index.storage import Table, Transaction
from quidditch.types import I64s, SegmentId, SeqNo, U32s

logger = logging.getLogger("quidditch")

Mark: TypeAlias = Callable[[Transaction, Published], None]

DEFAULT_MEMORY_BYTES = 512 << 20
"""Bytes a process may take while it indexes, whatever the input's size."""

BASE_BYTES = 128 << 20
"""What the interpreter, the libraries and a batch on its way take of that."""

CHUNKS_HELD = 4
"""Times a chunk's arrays are held at most: one being gathered, one being written, what writing makes of it, and a
merge's slice."""

BURIED_DOCS = 1_000
"""Stored documents deleted or replaced one by one before due merges are looked for."""

GATE_NAP_S = 0.01
"""How often it is looked whether streams have ended, or may begin."""


class IndexWriter:
    """Writes to one shard; safe to share between threads."""

    def __init__(
        self,
        snapshots: Snapshots,
        schema: Schema,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        durability: Durability | None = None,
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
        self._merges = MergeSchedule(self._environment, self._merger)
        self._clock = Background("sync")
        self._singles = SingleWrites(snapshots, schema, durability or Durability(), self._clock)
        self._buried = 0

    # --------------------------------------------------------------------------------------- single writes

    def apply(self, operations: Sequence[Operation]) -> list[Applied | QuidditchError]:
        """Carry out the operations in order, all in one transaction; what each did, or why it failed.

        Many that ask for nothing but their documents in place become a segment at once, as a stream does.
        raises: StoreFull, StoreLocked, ...   nothing was written
        """
        if is_load(operations):
            # Documents that must be new nearly always are. If not, each is settled for itself.
            with contextlib.suppress(NotPlain):
                return self._load(operations)
        results = self._singles.apply(operations)
        self._after_singles()
        return results

    def follow(
        self, batches: Sequence[Batch], mark: Callable[[Transaction, list[Results]], None]
    ) -> list[Results]:
        """Carry out batches of a log, all in one transaction with what `mark` writes; see `SingleWrites.follow`.

        Many documents become a segment at once; what each did is the same either way.
        """
        operations = [operation for batch in batches for operation in batch.operations]
        if is_load(operations):
            with contextlib.suppress(NotPlain):
                return self._follow_as_segment(batches, operations, mark)
        results = self._singles.follow(batches, mark)
        self._after_singles()
        return results

    def _follow_as_segment(
        self,
        batches: Sequence[Batch],
        operations: Sequence[Operation],
        mark: Callable[[Transaction, list[Results]], None],
    ) -> list[Results]:
        """raises: NotPlain"""
        load = Load(operations, self._schema, parse_as_mapped)
        if not load.ids:
            raise NotPlain

        def split(published: Published) -> list[Results]:
            results = iter(load.results(published))
            return [list(islice(results, len(batch.operations))) for batch in batches]

        # Whether an id's deletion still counts is for the clock of its batch to say: then one by one.
        return split(
            self._put(load, revives=False, mark=lambda transaction, told: mark(transaction, split(told)))
        )

    def _after_singles(self) -> None:
        buried, full = self._singles.take_tally()
        self._buried += buried
        if full:
            self._upkeep(self.flush)
        elif self._buried >= BURIED_DOCS:
            self._buried = 0
            self._merges.owe()

    def rest(self) -> None:
        """Have merges that are due done in the background, and let go of the vocabularies, tens of megabytes that the
        next writes make anew. Whoever is using them keeps those."""
        self._merges.owe()
        self._vocabularies = Vocabularies(self._vocabulary_bytes)
        self._buffer_vocabularies = Vocabularies(self._buffer_vocabularies.limit_bytes)

    def sync(self) -> None:
        """Have every acknowledged write on disk, those with durability "async" too."""
        self._singles.sync()

    def _upkeep(self, work: Callable[[], object]) -> None:
        """What follows a commit must not make it look undone: a failure is logged, and tried again next time."""
        try:
            work()
        except QuidditchError as error:
            logger.warning("upkeep after a write, which is on disk, failed: %s", error)

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

    def _load(self, operations: Sequence[Operation]) -> list[Applied | QuidditchError]:
        """raises: NotPlain"""
        load = Load(operations, self._schema, parse_and_learn)
        return load.results(self._put(load) if load.ids else None)

    def _put(self, load: Load, *, revives: bool = True, mark: Mark | None = None) -> Published:
        """Make the load a segment. raises: NotPlain"""
        with self.lend_vocabularies() as vocabularies:
            builder = SegmentBuilder(vocabularies)
            gather(builder, load.batch, load.ids)
            published = self.publish(builder, load.routings, new=load.new, revives=revives, mark=mark)
            vocabularies.trim()
        self.merge_due(published.size_bytes)
        return published

    def publish(
        self,
        builder: SegmentBuilder,
        routings: Sequence[str | None] = (),
        *,
        new: bool = False,
        revives: bool = True,
        mark: Mark | None = None,
    ) -> Published:
        """Make the builder's documents visible as one segment, replacing those of the same ids.

        routings:  of the documents; without it they have none
        new:       nothing is to be replaced: raises NotPlain in place of that
        revives:   ids that were deleted may come again; else raises NotPlain
        mark:      writes something along, in the transaction that makes them visible

        The buffer goes before it, so that sequence numbers rise from segment to segment. `merge_due` should
        follow, once the builder's memory is free.
        cost: the write lock is held for one piece at a time, then for the id map of the chunk
        """
        with self._written(builder) as (segment, fields, size_bytes), self._environment.locked():
            self._flush_buffer()
            with self._environment.write() as transaction:
                first = next_seq_no(transaction)
                last = first + builder.doc_count - 1
                record = SegmentRecord(builder.doc_count, first, last, True, size_bytes, fields)
                superseded, outcomes = self._map_ids(transaction, builder.ids, first, revives)
                if new and outcomes is not None and not all(created for _, created in outcomes):
                    raise NotPlain
                _keep_routings(transaction, builder.ids, first, routings)
                self._publish(transaction, segment, record)
                add_tombstones(transaction, segment, superseded)
                set_next_seq_no(transaction, last + 1)
                published = Published(size_bytes, first, outcomes)
                if mark is not None:
                    mark(transaction, published)
        return published

    def merge_due(self, size_bytes: int) -> None:
        """So many bytes were published: have merges that are due now done in the background."""
        self._merges.owe(size_bytes)
        self._upkeep(self._merges.lend_a_hand)

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """The write lock, with everything acknowledged on disk and no stream of any process between its pieces.

        New streams wait for the end of the block; merges under way are the block's to ignore.
        raises: StoreLocked   a stream did not end within `write_timeout_s`
        """
        deadline = time.monotonic() + self._environment.write_timeout_s
        self._until(deadline, self._close_gate)
        try:
            with contextlib.ExitStack() as stack:
                self._until(deadline, lambda: self._lock_quiet(stack))
                yield
        finally:
            with contextlib.suppress(QuidditchError), self._environment.write() as transaction:
                self._leases.open_gate(transaction)

    def _until(self, deadline: float, done: Callable[[], bool]) -> None:
        while not done():
            if time.monotonic() >= deadline:
                raise StoreLocked(
                    f"{self._environment.path}: a stream, or another rewriting of the index, did not end within "
                    f"{self._environment.write_timeout_s:g} s; raise write_timeout_s or end it"
                )
            time.sleep(GATE_NAP_S)

    def _close_gate(self) -> bool:
        with self._environment.write() as transaction:
            self._schema.check()
            return self._leases.close_gate(transaction)

    def _lock_quiet(self, stack: contextlib.ExitStack) -> bool:
        """Take the write lock, unless a stream is between its pieces."""
        with contextlib.ExitStack() as lock:
            lock.enter_context(self._environment.locked())
            with self._environment.read() as transaction:
                if self._leases.streaming(transaction):
                    return False
            stack.push(lock.pop_all())
        return True

    @contextlib.contextmanager
    def _written(
        self, builder: SegmentBuilder, within_lock: bool = False
    ) -> Iterator[tuple[SegmentId, list[FieldRecord], int]]:
        """(number, fields, bytes) of the builder's rows, written under a number nobody reads yet; they are
        discarded when the block fails to publish it."""
        # Whoever writes much clears away what killed processes left behind.
        self._environment.clear_dead_readers()
        sweep(self._environment, self._leases)
        segment = self._take_number(within_lock)
        fields: list[FieldRecord] = []
        try:
            rows = split_records(builder.rows(segment), fields)
            if within_lock:
                sizes = [
                    write_piece(self._environment, self._leases, segment, piece) for piece in pieces(rows)
                ]
            else:
                sizes = self._write_beside(segment, rows)
            yield segment, fields, sum(sizes)
        except BaseException:
            self._discard(segment)
            raise
        self._leases.forget(segment)

    def _write_beside(self, segment: SegmentId, rows: Iterator[Row]) -> list[int]:
        """Write pieces in a thread of its own, each while the next is being made: writing waits for the disk. Not for
        who holds the write lock, which is a thread's."""
        sizes: list[int] = []
        with ThreadPoolExecutor(1, "quidditch-writing") as thread:
            under_way: Future[int] | None = None
            for piece in pieces(rows):
                if under_way is not None:
                    sizes.append(under_way.result())
                under_way = thread.submit(write_piece, self._environment, self._leases, segment, piece)
            if under_way is not None:
                sizes.append(under_way.result())
        return sizes

    def _take_number(self, within_lock: bool) -> SegmentId:
        """A segment's number, once nobody wants the shard at rest; whoever holds the lock need not ask."""
        taken: list[SegmentId] = []

        def take() -> bool:
            with self._environment.write() as transaction:
                self._schema.check()
                if within_lock or not self._leases.gate_closed(transaction):
                    taken.append(self._leases.take(transaction))
            return bool(taken)

        self._until(time.monotonic() + self._environment.write_timeout_s, take)
        return taken[0]

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

    def _map_ids(
        self, transaction: Transaction, ids: Sequence[bytes], first: SeqNo, revives: bool
    ) -> tuple[U32s, list[tuple[int, bool]] | None]:
        """Point the ids at their new documents; uint32: those superseded inside the chunk, ascending, and the
        outcomes as in `Published`."""
        longest = max(map(len, ids))
        keys = list(map(id_key, ids)) if longest > LONGEST_PLAIN_ID else list(ids)
        last_place = dict(zip(keys, range(len(keys)), strict=True))
        # Sorted once, as what it most often is: documents that were never seen before.
        fresh = sorted(zip(keys, _first_entries(ids, first), strict=True))
        known = transaction.count(Table.IDS)
        old = transaction.get_many(Table.IDS, [key for key, _ in fresh]) if known else {}
        if not old and len(last_place) == len(keys):
            transaction.put_many(Table.IDS, fresh)
            return np.zeros(0, np.uint32), None
        entries = {key: Entry(*unpack_id_entry(value)) for key, value in old.items()}
        if not revives and any(entry.deleted for entry in entries.values()):
            raise NotPlain
        for place in last_place.values() if longest > LONGEST_PLAIN_ID else ():
            check_long_id(ids[place], old.get(keys[place]))
        bury(
            transaction,
            [entry.seq_no for entry in entries.values() if not entry.deleted],
            self._snapshots,
        )
        versions = {key: entry.version for key, entry in entries.items()}
        there = {key for key, entry in entries.items() if not entry.deleted}
        superseded, outcomes = [], []
        for place, key in enumerate(keys):
            versions[key] = versions.get(key, 0) + 1
            outcomes.append((versions[key], key not in there))
            there.add(key)
            if last_place[key] != place:
                superseded.append(place)
        rows = [
            (key, pack_id_entry(first + place, versions[key], False, spelt_out(ids[place])))
            for key, place in sorted(last_place.items())
        ]
        transaction.put_many(Table.IDS, rows)
        return np.array(superseded, np.uint32), outcomes

    def flush(self) -> None:
        """Turn the buffer into a segment, with everything acknowledged; have merges done that are due then."""
        with self._environment.locked():
            size_bytes = self._flush_buffer()
        if size_bytes:
            self.merge_due(size_bytes)

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
            self._written(builder, within_lock=True) as (segment, fields, size_bytes),
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

    def leave_merges(self) -> None:
        """Have `close` end without the merges that are owed: whoever opens the shard again has them done by `rest`.
        Nothing may be written any more."""
        self._merges.stop()
        self._merges.forgive()

    def close(self) -> None:
        """Have everything acknowledged on disk, and what merges are owed done, so that short runs keep an index
        healthy too.

        raises: StoreFull, ...   writes with durability "async" that could not be committed are lost
        """
        try:
            self._merges.stop()
            self._clock.close()
        finally:
            self._settle()

    def _settle(self) -> None:
        try:
            self._singles.close()
            if self._is_current():
                self._upkeep(self._merges.settle)
        finally:
            self._merger.close()
            self._leases.close()

    def _is_current(self) -> bool:
        try:
            self._schema.check()
        except QuidditchError:
            return False
        return True


def _keep_routings(
    transaction: Transaction, ids: Sequence[bytes], first: SeqNo, routings: Sequence[str | None]
) -> None:
    """Of documents just published: those of the same ids that came before have lost theirs."""
    known = any_routings(transaction)
    if not known and not any(routings):
        return
    last = {id_bytes: place for place, id_bytes in enumerate(ids)}
    rows = (
        (id_key(one), first + place, routings[place] if routings else None) for one, place in last.items()
    )
    write_routings(transaction, rows, known)


def _first_entries(ids: Sequence[bytes], first: SeqNo) -> list[bytes]:
    """`pack_id_entry` of documents never seen before, all at once."""
    if max(map(len, ids)) > LONGEST_PLAIN_ID:
        return [
            pack_id_entry(seq_no, 1, False, spelt_out(id_bytes)) for seq_no, id_bytes in enumerate(ids, first)
        ]
    size = len(pack_id_entry(first + len(ids) - 1, 1, False))
    seq_nos = np.arange(first, first + len(ids), dtype="<u8")
    blob = seq_nos.view(np.uint8).reshape(-1, LONGEST_SEQ_NO)[:, :size].tobytes()
    return [blob[start : start + size] for start in range(0, len(blob), size)]


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
