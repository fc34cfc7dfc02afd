"""How a segment becomes visible: its rows in bounded pieces under a number nobody reads, then one small
transaction that publishes it.

A number is taken by an entry in table `pending` that names its owner. An entry whose owner is gone, or that was
marked as garbage when its segment was replaced, is swept: rows first, a bounded number at a time, then the entry.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from quidditch.errors import CorruptIndex, StorageError
from quidditch.index.codecs import segment_key
from quidditch.index.environment import Environment
from quidditch.index.file_lock import FileLock, is_held
from quidditch.index.postings import Row
from quidditch.index.storage import SEGMENT_TABLES, Table, Transaction
from quidditch.types import SegmentId, SeqNo

PIECE_BYTES = 4 << 20
"""Bytes of rows in one transaction: how long the write lock is held, and what a writer keeps in memory."""

SWEEP_ROWS = 20_000
"""Rows a sweep deletes in one transaction."""

GATE = 0
"""No segment's number: its entry in `pending` keeps streams from beginning while the index is written anew."""

_NEXT_SEQ_NO = b"next_seq_no"
_NEXT_SEGMENT = b"next_segment"


class Lease(msgspec.Struct, frozen=True):
    """Who is writing under a segment's number, and from which segments if it is a merge."""

    owner: str
    sources: list[int] = []
    garbage: bool = False


class LeaseLost(StorageError):
    """Another process took a segment's number away while its rows were being written; they are swept."""


class Leases:
    """The segments that this process is writing in one shard, and whether others' writers still live.

    A process is alive while it holds the lock on a file of its own beside the data: the system lets go of it
    however the process ends, in whatever container it ran.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner = uuid.uuid4().hex
        self._lock: FileLock | None = None
        self._mine: set[SegmentId] = set()

    def take(self, transaction: Transaction, sources: Iterable[SegmentId] = ()) -> SegmentId:
        """A segment number that was never used, leased to this process until `release` or `discard`."""
        self._own()
        value = transaction.get(Table.META, _NEXT_SEGMENT)
        segment = int.from_bytes(value, "little") if value is not None else 1
        transaction.put(Table.META, _NEXT_SEGMENT, (segment + 1).to_bytes(8, "little"))
        lease = Lease(self._owner, list(sources))
        transaction.put(Table.PENDING, segment_key(segment), msgspec.json.encode(lease))
        self._mine.add(segment)
        return segment

    # --------------------------------------------------------------------------------------------- the gate

    def close_gate(self, transaction: Transaction) -> bool:
        """Keep new streams from beginning, until `open_gate`; False if another keeps them already."""
        if self.gate_closed(transaction):
            return False
        self._own()
        lease = Lease(self._owner)
        transaction.put(Table.PENDING, segment_key(GATE), msgspec.json.encode(lease))
        self._mine.add(GATE)
        return True

    def gate_closed(self, transaction: Transaction) -> bool:
        """Whether somebody keeps streams from beginning."""
        lease = read_leases(transaction).get(GATE)
        return lease is not None and self.alive(GATE, lease)

    def open_gate(self, transaction: Transaction) -> None:
        transaction.delete(Table.PENDING, segment_key(GATE))
        self._mine.discard(GATE)

    def streaming(self, transaction: Transaction) -> bool:
        """Whether a stream of any process is between the pieces of a segment. Merges do not count."""
        return any(
            segment != GATE and not lease.sources and self.alive(segment, lease)
            for segment, lease in read_leases(transaction).items()
        )

    # -------------------------------------------------------------------------------------------------------

    def check(self, transaction: Transaction, segment: SegmentId) -> None:
        """raises: LeaseLost   another process declared the segment garbage"""
        lease = read_leases(transaction).get(segment)
        if lease is None or lease.owner != self._owner or lease.garbage:
            raise LeaseLost(f"{self._folder}: segment {segment} was taken away while it was being written")

    def release(self, transaction: Transaction, segment: SegmentId) -> None:
        """The segment is being published by this transaction."""
        self.check(transaction, segment)
        transaction.delete(Table.PENDING, segment_key(segment))

    def forget(self, segment: SegmentId) -> None:
        """This process writes the segment no more, whether it was published or not."""
        self._mine.discard(segment)

    def alive(self, segment: SegmentId, lease: Lease) -> bool:
        """Whether somebody may still be writing the segment."""
        if lease.garbage:
            return False
        if lease.owner == self._owner:
            return segment in self._mine
        return is_held(self._path(lease.owner))

    def _own(self) -> None:
        """Under the write lock: show that this process is alive."""
        if self._lock is None:
            self._remove_dead_files()
            lock = FileLock(self._path(self._owner))
            lock.try_acquire()
            # Only now: a lock that could not be taken would let others think that this process is dead.
            self._lock = lock

    def _remove_dead_files(self) -> None:
        """Remove the files of processes that ended without `close`. Under the write lock, as is the making of
        such a file, so none is taken between its making and its locking."""
        for path in self._folder.glob("writer-*.lock"):
            if not is_held(path):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            with suppress(OSError):
                self._path(self._owner).unlink(missing_ok=True)

    def _path(self, owner: str) -> Path:
        return self._folder / f"writer-{owner}.lock"


# --------------------------------------------------------------------------------------------------- counters


def next_seq_no(transaction: Transaction) -> SeqNo:
    """The number that the next write of this shard gets."""
    value = transaction.get(Table.META, _NEXT_SEQ_NO)
    return int.from_bytes(value, "little") if value is not None else 0


def set_next_seq_no(transaction: Transaction, seq_no: SeqNo) -> None:
    transaction.put(Table.META, _NEXT_SEQ_NO, seq_no.to_bytes(8, "little"))


# ----------------------------------------------------------------------------------------------------- pieces


def pieces(
    rows: Iterable[Row], limit_bytes: int = PIECE_BYTES
) -> Iterator[dict[Table, list[tuple[bytes, bytes]]]]:
    """Rows in pieces of about `limit_bytes`, by table, each table's in the order they came."""
    piece: dict[Table, list[tuple[bytes, bytes]]] = {}
    held = 0
    for table, key, value in rows:
        piece.setdefault(table, []).append((key, value))
        held += len(key) + len(value)
        if held >= limit_bytes:
            yield piece
            piece, held = {}, 0
    if piece:
        yield piece


def write_piece(
    environment: Environment,
    leases: Leases,
    segment: SegmentId,
    piece: dict[Table, list[tuple[bytes, bytes]]],
) -> int:
    """Write one piece of a segment in a transaction of its own; the bytes written.

    raises: LeaseLost   the segment is no longer this process's to write
    """
    with environment.write() as transaction:
        leases.check(transaction, segment)
        for table, rows in piece.items():
            transaction.put_many(table, rows)
    return sum(len(key) + len(value) for rows in piece.values() for key, value in rows)


# ---------------------------------------------------------------------------------------------------- sweeping


def read_leases(transaction: Transaction) -> dict[SegmentId, Lease]:
    try:
        return {
            int.from_bytes(key, "big"): msgspec.json.decode(value, type=Lease)
            for key, value in transaction.rows(Table.PENDING)
        }
    except msgspec.MsgspecError as error:
        raise CorruptIndex(f"an entry of the pending segments is unreadable: {error}") from error


def discard(transaction: Transaction, segment: SegmentId) -> None:
    """Hand a segment's rows to the sweeper, unless it is published: who was interrupted as its commit returned does
    not know that it is."""
    if transaction.get(Table.SEGMENTS, segment_key(segment)) is not None:
        return
    garbage = Lease("", garbage=True)
    transaction.put(Table.PENDING, segment_key(segment), msgspec.json.encode(garbage))


def sweep(environment: Environment, leases: Leases, max_transactions: int = 4) -> bool:
    """Delete rows that no published segment owns and nobody is writing; whether all are gone."""
    with environment.read() as transaction:
        found = read_leases(transaction)
    dead = [segment for segment, lease in found.items() if not leases.alive(segment, lease)]
    for _ in range(max_transactions):
        if not dead:
            return True
        with environment.write() as transaction:
            # Looked at again: since the first look its writer may have published it and let go of the lease.
            lease = read_leases(transaction).get(dead[0])
            alive = lease is None or leases.alive(dead[0], lease)
            if alive or _sweep_some(transaction, dead[0]):
                dead.pop(0)
    return not dead


def _sweep_some(transaction: Transaction, segment: SegmentId) -> bool:
    """Delete up to `SWEEP_ROWS` rows of a dead segment; whether it is gone."""
    remaining = SWEEP_ROWS
    for table in SEGMENT_TABLES:
        remaining -= transaction.delete_prefix(table, segment_key(segment), remaining)
        if remaining <= 0:
            return False
    transaction.delete(Table.PENDING, segment_key(segment))
    return True
