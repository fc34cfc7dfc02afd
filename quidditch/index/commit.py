"""How a segment becomes visible: its rows in bounded pieces under a number nobody reads, then one small
transaction that publishes it.

A number is taken by an entry in table `pending` that names its owner. An entry whose owner is gone, or that was
marked as garbage when its segment was replaced, is swept: rows first, a bounded number at a time, then the entry.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator

import msgspec

from quidditch.index.codecs import segment_key
from quidditch.index.postings import Row
from quidditch.index.storage import SEGMENT_TABLES, Environment, Table, Transaction
from quidditch.types import SegmentId, SeqNo

PIECE_BYTES = 16 << 20
"""Bytes of rows in one transaction: how long the write lock is held, and what a writer keeps in memory."""

SWEEP_ROWS = 20_000
"""Rows a sweep deletes in one transaction."""

_NEXT_SEQ_NO = b"next_seq_no"
_NEXT_SEGMENT = b"next_segment"


class Lease(msgspec.Struct, frozen=True):
    """Who is writing under a segment's number, and from which segments if it is a merge."""

    pid: int
    host: str
    sources: list[int] = []
    garbage: bool = False

    @property
    def alive(self) -> bool:
        """Whether its owner may still be at work. An owner on another host is given the benefit of the doubt."""
        if self.garbage:
            return False
        return self.host != socket.gethostname() or _process_exists(self.pid)


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def own_lease(sources: Iterable[SegmentId] = ()) -> Lease:
    return Lease(os.getpid(), socket.gethostname(), list(sources))


# --------------------------------------------------------------------------------------------------- counters


def next_seq_no(transaction: Transaction) -> SeqNo:
    """The number that the next write of this shard gets."""
    value = transaction.get(Table.META, _NEXT_SEQ_NO)
    return int.from_bytes(value, "little") if value is not None else 0


def set_next_seq_no(transaction: Transaction, seq_no: SeqNo) -> None:
    transaction.put(Table.META, _NEXT_SEQ_NO, seq_no.to_bytes(8, "little"))


def take_segment(transaction: Transaction, lease: Lease) -> SegmentId:
    """A segment number that was never used, leased to this process."""
    value = transaction.get(Table.META, _NEXT_SEGMENT)
    segment = int.from_bytes(value, "little") if value is not None else 1
    transaction.put(Table.META, _NEXT_SEGMENT, (segment + 1).to_bytes(8, "little"))
    transaction.put(Table.PENDING, segment_key(segment), msgspec.json.encode(lease))
    return segment


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


def write_piece(environment: Environment, piece: dict[Table, list[tuple[bytes, bytes]]]) -> int:
    """Write one piece in a transaction of its own; the bytes written."""
    with environment.write() as transaction:
        for table, rows in piece.items():
            transaction.put_many(table, rows)
    return sum(len(key) + len(value) for rows in piece.values() for key, value in rows)


# ---------------------------------------------------------------------------------------------------- sweeping


def leases(transaction: Transaction) -> dict[SegmentId, Lease]:
    return {
        int.from_bytes(key, "big"): msgspec.json.decode(value, type=Lease)
        for key, value in transaction.rows(Table.PENDING)
    }


def discard(transaction: Transaction, segment: SegmentId) -> None:
    """Hand a segment's rows to the sweeper."""
    garbage = Lease(0, "", garbage=True)
    transaction.put(Table.PENDING, segment_key(segment), msgspec.json.encode(garbage))


def sweep(environment: Environment, max_transactions: int = 4) -> bool:
    """Delete rows that no published segment owns and nobody is writing; whether all are gone."""
    with environment.read() as transaction:
        dead = [segment for segment, lease in leases(transaction).items() if not lease.alive]
    for _ in range(max_transactions):
        if not dead:
            return True
        with environment.write() as transaction:
            if _sweep_some(transaction, dead[0]):
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
