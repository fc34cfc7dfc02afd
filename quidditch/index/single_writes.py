"""Single writes: documents one by one or in small numbers, each call a transaction, or part of a shared one.

Documents go to the buffer, and what they replace gets tombstones. With durability "request" a call returns when it
is synced; calls of several threads share a sync. With "async" a call returns when its outcome is settled in memory:
the process keeps the write lock, and commits what has gathered every `sync_interval`, before anything else is
written or read, and at its end.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np

from quidditch.errors import CorruptIndex, QuidditchError, StoreFull
from quidditch.index.background import Background
from quidditch.index.buffer import pack_buffered
from quidditch.index.codecs import LONGEST_PLAIN_ID, id_key, pack_id_entry, seq_no_key
from quidditch.index.commit import next_seq_no, set_next_seq_no
from quidditch.index.document import ParsedBatch, Schema, parse_and_learn, parse_as_mapped
from quidditch.index.environment import EnvironmentGone
from quidditch.index.group_commit import GroupCommit
from quidditch.index.merging import add_tombstones
from quidditch.index.operations import Applied, Changes, Entry, Operation
from quidditch.index.reader import SegmentReader
from quidditch.index.replication import Batch
from quidditch.index.routings import any_routings, read_routing, write_routings
from quidditch.index.snapshot import Snapshots, read_entry, read_source
from quidditch.index.storage import Table, Transaction
from quidditch.types import SeqNo, U32s, U64s

BUFFER_DOCS = 1_000
"""Documents the buffer holds before it becomes a segment; streams of fewer go through the buffer too."""

BUFFER_BYTES = 16 << 20
"""Bytes the buffer holds before it becomes a segment."""

BUFFER_LIMIT = 8
"""Times its size that the buffer may reach while it cannot be flushed; then documents are refused."""

GROUP_OPERATIONS = 1_000
"""Operations of several calls in one transaction."""

PENDING_OPERATIONS = 1_000
"""Operations acknowledged from memory before they are committed without waiting for the interval."""

LOOK_S = 0.05
"""How often it is looked whether another process waits for a write lock that is kept."""

DELETE_MEMORY_MS = 60_000
"""How long a deleted id's version is remembered (OpenSearch's index.gc_deletes)."""


Results: TypeAlias = list[Applied | QuidditchError]
"""What each of some operations did, or why it failed."""


Parse: TypeAlias = Callable[[Sequence[Dict[str, Any]], Schema, Sequence[bytes] | None], ParsedBatch]


@dataclass(frozen=True, slots=True)
class Durability:
    """When a single write is on disk: before its call returns, or up to `sync_interval_s` later."""

    mode: Literal["request", "async"] = "request"
    sync_interval_s: float = 1.0


class SingleWrites:
    """Takes operations of any thread, in order; see the module."""

    def __init__(
        self, snapshots: Snapshots, schema: Schema, durability: Durability, background: Background
    ) -> None:
        self._snapshots = snapshots
        self._environment = snapshots.environment
        self._schema = schema
        self._durability = durability
        self._background = background
        self._group = GroupCommit(self._carry_out, GROUP_OPERATIONS)
        self._pending: Changes | None = None
        self._pending_operations = 0
        self._failed = False
        self._due = 0.0
        self._closed = False
        self._tally = threading.Lock()
        self._buried = 0
        self._full = False

    def apply(self, operations: Sequence[Operation]) -> Results:
        """Carry out the operations in order, all in one transaction; what each did, or why it failed.

        raises: StoreFull, StoreLocked, ...   nothing was written
        """
        return self._group.submit(operations)

    def take_tally(self) -> tuple[int, bool]:
        """Stored documents that were buried since the last call, and whether the buffer is full."""
        with self._tally:
            tally = self._buried, self._full
            self._buried, self._full = 0, False
        return tally

    def _carry_out(self, operations: Sequence[Operation]) -> Results:
        sources = self._checked(operations)
        if self._durability.mode == "async":
            return self._remember(operations, sources)
        with self._environment.write() as transaction:
            self._schema.check()
            _check_room(transaction, operations, 0)
            changes = Changes(next_seq_no(transaction), self._check_one)
            results = self._settle(transaction, changes, operations, sources)
            if changes.entries:
                self._write(transaction, changes)
            full = is_full(transaction)
        self._count(changes, full)
        return results

    def follow(
        self, batches: Sequence[Batch], mark: Callable[[Transaction, list[Results]], None]
    ) -> list[Results]:
        """Carry out batches of a log in order, all in one transaction with what `mark` writes into it.

        Whatever the copies of a shard are doing otherwise, the same batches give the same results: the clock is the
        batches' own. Not for a shard that takes other writes, or has durability "async".
        raises: StoreFull, StoreLocked, ...   nothing was written
        """
        sources = [self._checked(batch.operations, parse_as_mapped) for batch in batches]
        results: list[Results] = []
        with self._environment.write() as transaction:
            self._schema.check()
            for batch, checked in zip(batches, sources, strict=True):
                _check_room(transaction, batch.operations, 0)
                changes = Changes(next_seq_no(transaction), partial(self._check_one, parse=parse_as_mapped))
                results.append(self._settle(transaction, changes, batch.operations, checked, batch.now_ms))
                if changes.entries:
                    self._write(transaction, changes, batch.now_ms)
                self._count(changes, is_full(transaction))
            mark(transaction, results)
        return results

    def _count(self, changes: Changes, full: bool) -> None:
        with self._tally:
            self._buried += len(changes.buried)
            self._full = self._full or full

    def _settle(
        self,
        transaction: Transaction,
        changes: Changes,
        operations: Sequence[Operation],
        sources: Sequence[bytes | QuidditchError | None],
        now_ms: int | None = None,
    ) -> Results:
        """What each operation does, over what the transaction sees and the changes so far.

        now_ms:  by this clock a deleted id is forgotten, whether its row has been removed yet or not
        """

        routed = any_routings(transaction)

        def find(id_bytes: bytes) -> Entry | None:
            found = read_entry(transaction, id_bytes)
            if found is None or (now_ms is not None and _is_forgotten(transaction, Entry(*found), now_ms)):
                return None
            return Entry(*found, read_routing(transaction, id_key(id_bytes), found[0]) if routed else None)

        def source_of(seq_no: SeqNo) -> bytes | None:
            segments = self._snapshots.segment_list.now(transaction)
            return read_source(transaction, segments, self._snapshots.cache, seq_no)

        results: Results = []
        for operation, source in zip(operations, sources, strict=True):
            try:
                if isinstance(source, QuidditchError):
                    raise source
                results.append(changes.apply(operation, source, find, source_of))
            except QuidditchError as error:
                results.append(error)
        return results

    def _checked(
        self, operations: Sequence[Operation], parse: Parse = parse_and_learn
    ) -> list[bytes | QuidditchError | None]:
        """The source of each index and create, or its error; None for the others."""
        places = [i for i, one in enumerate(operations) if one.op in ("index", "create")]
        checked: list[bytes | QuidditchError | None] = [None] * len(operations)
        if places:
            batch = parse_operations([operations[place] for place in places], self._schema, parse)
            for place, error in batch.errors.items():
                checked[places[place]] = error
            for place, source in zip(batch.accepted, batch.sources, strict=True):
                checked[places[place]] = source
        return checked

    def _check_one(self, doc: Dict[str, Any], parse: Parse = parse_and_learn) -> bytes:
        (checked,) = self._checked([Operation("index", b"", doc)], parse)
        if isinstance(checked, QuidditchError):
            raise checked
        return checked or b"{}"

    def _write(self, transaction: Transaction, changes: Changes, now_ms: int | None = None) -> None:
        bury(transaction, changes.buried, self._snapshots)
        rows = [(seq_no_key(seq_no), pack_buffered(*added)) for seq_no, added in changes.added.items()]
        transaction.put_many(Table.BUFFER, rows)
        transaction.put_many(
            Table.IDS,
            sorted(
                (id_key(one), pack_id_entry(entry.seq_no, entry.version, entry.deleted, spelt_out(one)))
                for one, entry in changes.entries.items()
            ),
        )
        routings = ((id_key(one), entry.seq_no, entry.routing) for one, entry in changes.entries.items())
        write_routings(transaction, routings, any_routings(transaction))
        now = int(time.time() * 1000) if now_ms is None else now_ms
        for seq_no, id_bytes in changes.deleted:
            transaction.put(Table.DELETES, seq_no_key(seq_no), struct.pack("<Q", now) + id_bytes)
        _forget_deletes(transaction, now, max(100, 2 * len(changes.deleted)))
        set_next_seq_no(transaction, changes.next_seq_no)

    # ------------------------------------------------------------------------------ acknowledged from memory

    def _remember(
        self, operations: Sequence[Operation], sources: Sequence[bytes | QuidditchError | None]
    ) -> Results:
        """Settle the operations over those that wait already, and keep the write lock until they are committed."""
        with self._environment.locked(joins=True):
            if self._closed:
                raise EnvironmentGone(f"{self._environment.path}: this handle is closed")
            if self._environment.keeper is None:
                # Nothing waits, whatever an interruption left behind.
                self._pending, self._pending_operations, self._due = None, 0, 0.0
            # A commit that failed is tried again before anything more is promised.
            if self._failed or self._pending_operations >= PENDING_OPERATIONS:
                self._commit_pending()
            with self._environment.read() as transaction:
                if self._pending is None:
                    self._schema.check()
                    changes = Changes(next_seq_no(transaction), self._check_one)
                else:
                    # A copy, so that an interruption leaves what was acknowledged before as it is.
                    changes = self._pending.copy()
                _check_room(transaction, operations, len(changes.added))
                results = self._settle(transaction, changes, operations, sources)
            if changes.entries:
                self._pending = changes
                self._pending_operations += len(operations)
                self._environment.keeper = self._commit_pending
                self._due = self._due or time.monotonic() + self._durability.sync_interval_s
                self._background.ask(self, self._look, min(LOOK_S, self._durability.sync_interval_s))
        return results

    def _look(self) -> None:
        """In the background: commit when the interval is over, or another process waits for the write lock."""
        if self._pending is None:
            return
        if time.monotonic() >= self._due or self._environment.wanted():
            self.sync()
        else:
            self._background.ask(self, self._look, LOOK_S)

    def sync(self) -> None:
        """Have everything that was acknowledged on disk. Costs nothing where it is.

        raises: StoreFull, ...   it is in memory still, and the next write, read or interval tries again
        """
        if self._pending is None:
            return
        try:
            with self._environment.locked():
                pass
        except EnvironmentGone:
            # Another thread has committed since, and another process moved the index.
            if self._pending is not None:
                raise

    def close(self) -> None:
        """Have everything on disk, and acknowledge nothing from memory any more. raises: as `sync`"""
        try:
            with self._environment.locked():
                self._closed = True
        except EnvironmentGone:
            # Of an index that was deleted, or moved.
            self._closed = True
            if self._environment.keeper is not None:
                raise

    def _commit_pending(self) -> None:
        """Under the write lock, which is let go of with it."""
        changes = self._pending
        if changes is None:
            return
        self._failed = True
        try:
            with self._environment.write() as transaction:
                # Who was interrupted as its commit returned comes here with changes that are on disk already.
                if next_seq_no(transaction) < changes.next_seq_no:
                    self._write(transaction, changes)
                full = is_full(transaction)
        except QuidditchError:
            self._background.ask(self, self.sync, self._durability.sync_interval_s)
            raise
        self._environment.keeper = None
        self._pending, self._pending_operations, self._due = None, 0, 0.0
        self._failed = False
        self._count(changes, full)


# ------------------------------------------------------------------------------------------------------- rows


def parse_operations(
    operations: Sequence[Operation], schema: Schema, parse: Parse = parse_and_learn
) -> ParsedBatch:
    """The documents of operations that bring one each; see `parse_and_learn`."""
    docs = [operation.doc or {} for operation in operations]
    sources = [operation.source for operation in operations if operation.source is not None]
    return parse(docs, schema, sources if len(sources) == len(docs) else None)


def spelt_out(id_bytes: bytes) -> bytes:
    """What an entry spells out of its id: nothing, unless the key holds a hash of it."""
    return id_bytes if len(id_bytes) > LONGEST_PLAIN_ID else b""


def is_full(transaction: Transaction) -> bool:
    """Is it time to make a segment of the buffer?"""
    return (
        transaction.count(Table.BUFFER) >= BUFFER_DOCS or transaction.size_bytes(Table.BUFFER) >= BUFFER_BYTES
    )


def _check_room(transaction: Transaction, operations: Sequence[Operation], pending: int) -> None:
    """raises: StoreFull   the buffer could not be flushed for long; deletes, which make room, still go in"""
    if all(operation.op == "delete" for operation in operations):
        return
    if transaction.count(Table.BUFFER) + pending >= BUFFER_LIMIT * BUFFER_DOCS:
        raise StoreFull(
            "no room to turn buffered documents into a segment: free some disk, or delete documents"
        )


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


def _is_forgotten(transaction: Transaction, entry: Entry, now_ms: int) -> bool:
    """Whether an id was deleted so long ago that its version does not count any more."""
    if not entry.deleted:
        return False
    row = transaction.get(Table.DELETES, seq_no_key(entry.seq_no))
    return row is None or struct.unpack_from("<Q", row)[0] <= now_ms - DELETE_MEMORY_MS


def _forget_deletes(transaction: Transaction, now_ms: int, limit: int) -> None:
    """Drop deleted ids from the id map once their versions need no longer be remembered."""
    for _ in range(limit):
        oldest = transaction.first(Table.DELETES)
        if oldest is None:
            return
        key, value = oldest
        (stamp,) = struct.unpack_from("<Q", value)
        # A stamp that lies ahead is of a clock that was wrong: it must not keep all later ones from going.
        if now_ms - DELETE_MEMORY_MS < stamp <= now_ms + DELETE_MEMORY_MS:
            return
        id_bytes = bytes(value[8:])
        entry = read_entry(transaction, id_bytes)
        if entry is not None and entry[2] and entry[0] == int.from_bytes(key, "big"):
            transaction.delete(Table.IDS, id_key(id_bytes))
        transaction.delete(Table.DELETES, key)
