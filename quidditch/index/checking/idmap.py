"""The id map against the documents: every live document is the one that its id's entry names, and no entry names
one that is not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise

import numpy as np

from quidditch.index.buffer import unpack_buffered
from quidditch.index.checking.findings import Finding, in_order
from quidditch.index.checking.rows import place
from quidditch.index.codecs import (
    LONGEST_PLAIN_ID,
    LONGEST_SEQ_NO,
    Buffer,
    id_key,
    ids_of,
    long_id_of,
    seq_no_key,
    unpack_id_entry,
)
from quidditch.index.commit import next_seq_no, read_leases
from quidditch.index.operations import MAX_ID_BYTES
from quidditch.index.reader import SegmentReader
from quidditch.index.storage import Table, Transaction
from quidditch.types import SeqNo, U64s

_BATCH = 4_096
"""Ids looked up at once."""

_ENTRY_BYTES = 17
_HASHED = b"\xff"


# ----------------------------------------------------------------------------------------------------- entries


def check_entries(transaction: Transaction) -> Iterator[Finding]:
    """Is every entry whole, and under the key of an id?"""
    for key, value in transaction.rows(Table.IDS):
        words = _entry_fault(key, value)
        if words:
            yield Finding("id map", place(Table.IDS, key), words)


def _entry_fault(key: bytes, value: Buffer) -> str:
    hashed = key.startswith(_HASHED)
    short = 0 < len(value) <= LONGEST_SEQ_NO and not hashed
    if not short and (len(value) < _ENTRY_BYTES or (len(value) > _ENTRY_BYTES and not hashed)):
        return f"an entry of {len(value)} bytes, {_ENTRY_BYTES} expected, or 1 to {LONGEST_SEQ_NO}"
    if not short and value[16] > 1:
        return f"deleted is {value[16]}, 0 or 1 expected"
    if not short and value[8:16] == b"\0" * 8:
        return "version 0"
    id_bytes = long_id_of(value) if hashed else key
    if hashed and not LONGEST_PLAIN_ID < len(id_bytes) <= MAX_ID_BYTES:
        return f"spells out an id of {len(id_bytes)} bytes under a hashed key"
    if id_key(id_bytes) != key:
        return f"spells out another id: {id_bytes[:40]!r}..." if hashed else f"a key of {len(key)} bytes"
    try:
        id_bytes.decode()
    except UnicodeDecodeError as error:
        return f"an id that is no UTF-8: {error}"
    return ""


# ----------------------------------------------------------------------------------------------------- numbers


def check_numbers(transaction: Transaction, readers: Sequence[SegmentReader]) -> Iterator[Finding]:
    """Are sequence numbers disjoint and ordered from segment to segment to buffer, and the counters above all?"""
    for before, after in pairwise(readers):
        if before.record.last_seq_no >= after.record.first_seq_no:
            yield Finding(
                "sequence numbers",
                f"segments {before.segment_id} and {after.segment_id}",
                f"overlap: to {before.record.last_seq_no}, from {after.record.first_seq_no}",
            )
    last = max((reader.record.last_seq_no for reader in readers), default=-1)
    first_buffered = transaction.first(Table.BUFFER)
    if first_buffered is not None and int.from_bytes(first_buffered[0], "big") <= last:
        number = int.from_bytes(first_buffered[0], "big")
        yield Finding(
            "sequence numbers",
            place(Table.BUFFER, first_buffered[0]),
            f"{number} is buffered and {last} in a segment",
        )
    for table in (Table.BUFFER, Table.DELETES):
        newest = transaction.last(table)
        last = max(last, int.from_bytes(newest[0], "big") if newest is not None else -1)
    if next_seq_no(transaction) <= last:
        yield Finding("counters", "next_seq_no", f"{next_seq_no(transaction)}, and {last} is taken")
    yield from _segment_numbers(transaction, readers)


def _segment_numbers(transaction: Transaction, readers: Sequence[SegmentReader]) -> Iterator[Finding]:
    value = transaction.get(Table.META, b"next_segment")
    following = int.from_bytes(value, "little") if value is not None else 1
    taken = max(chain((reader.segment_id for reader in readers), read_leases(transaction)), default=0)
    if following <= taken:
        yield Finding("counters", "next_segment", f"{following}, and {taken} is taken")


# --------------------------------------------------------------------------------------------------- documents


def check_id_map(transaction: Transaction, readers: Sequence[SegmentReader]) -> Iterator[Finding]:
    """Do live documents and entries name each other, and deleted entries and the list of deletes?

    cost: looks up every live id once; memory of eight bytes a document
    """
    live = transaction.count(Table.BUFFER) + sum(reader.live_count for reader in readers)
    yield from in_order(
        lambda: _documents(transaction, readers),
        # Each live document has an entry of its own by now, so an entry too many names one that is nowhere.
        lambda: _orphans(transaction, readers) if _count_live(transaction) != live else (),
    )
    yield from _deletes(transaction)


def _documents(transaction: Transaction, readers: Sequence[SegmentReader]) -> Iterator[Finding]:
    """Live documents that their ids' entries do not name."""
    for reader in readers:
        for seq_nos, ids in _live(reader):
            yield from _against_entries(transaction, f"segment {reader.segment_id}", seq_nos.tolist(), ids)
    rows = transaction.rows(Table.BUFFER)
    while batch := list(islice(rows, _BATCH)):
        numbers = [int.from_bytes(key, "big") for key, _ in batch]
        ids = [unpack_buffered(value)[0] for _, value in batch]
        yield from _against_entries(transaction, "buffer", numbers, ids)


def _live(reader: SegmentReader) -> Iterator[tuple[U64s, list[bytes]]]:
    """(sequence numbers, ids) of the live documents, some at a time."""
    alive = np.ones(reader.doc_count, np.bool_)
    alive[ids_of(reader.deleted)] = False
    docs = np.flatnonzero(alive)
    for start in range(0, len(docs), _BATCH):
        part = docs[start : start + _BATCH]
        yield reader.seq_nos(part), reader.id_bytes(part)


def _against_entries(
    transaction: Transaction, where: str, seq_nos: Sequence[SeqNo], ids: Sequence[bytes]
) -> Iterator[Finding]:
    keys = list(map(id_key, ids))
    entries = transaction.get_many(Table.IDS, sorted(keys))
    for seq_no, id_bytes, key in zip(seq_nos, ids, keys, strict=True):
        words = _mismatch(seq_no, id_bytes, entries.get(key))
        if words:
            yield Finding("id map", f"{where}, document {id_bytes.decode()!r} of write {seq_no}", words)


def _mismatch(seq_no: SeqNo, id_bytes: bytes, entry: Buffer | None) -> str:
    """How an id's entry does not name its live document, in words."""
    if entry is None:
        return "is live, and its id has no entry"
    named, _, deleted = unpack_id_entry(entry)
    if deleted:
        return f"is live, and its id's entry says that write {named} deleted it"
    if named != seq_no:
        return f"is live, and its id's entry names write {named}"
    if len(id_bytes) > LONGEST_PLAIN_ID and long_id_of(entry) != id_bytes:
        return f"its id's entry spells out another id: {long_id_of(entry)[:40]!r}..."
    return ""


def _count_live(transaction: Transaction) -> int:
    return sum(not unpack_id_entry(value)[2] for _, value in transaction.rows(Table.IDS))


def _orphans(transaction: Transaction, readers: Sequence[SegmentReader]) -> Iterator[Finding]:
    """Entries that name a document which is neither in a segment, without a tombstone, nor in the buffer."""
    own = {
        int.from_bytes(key, "big"): unpack_buffered(value)[0] for key, value in transaction.rows(Table.BUFFER)
    }
    for reader in readers:
        for seq_nos, ids in _live(reader):
            own.update(zip(seq_nos.tolist(), ids, strict=True))
    for key, value in transaction.rows(Table.IDS):
        seq_no, _, deleted = unpack_id_entry(value)
        if deleted or (seq_no in own and id_key(own[seq_no]) == key):
            continue
        words = (
            "whose document is nowhere"
            if seq_no not in own
            else f"which left the document {own[seq_no].decode()!r}"
        )
        yield Finding("id map", place(Table.IDS, key), f"names write {seq_no}, {words}")


# ----------------------------------------------------------------------------------------------------- deletes


def _deletes(transaction: Transaction) -> Iterator[Finding]:
    """Is every deleted entry on the list of deletes, by which it will be forgotten, and is what that lists true?"""
    highest = next_seq_no(transaction)
    for key, value in transaction.rows(Table.IDS):
        seq_no, _, deleted = unpack_id_entry(value)
        if seq_no >= highest:
            yield Finding("counters", place(Table.IDS, key), f"names write {seq_no}, the next is {highest}")
        listed = transaction.get(Table.DELETES, seq_no_key(seq_no)) if deleted else None
        if deleted and (listed is None or id_key(bytes(listed[8:])) != key):
            words = f"was deleted by write {seq_no}, which the list of deletes does not have"
            yield Finding("deletes", place(Table.IDS, key), words)
    for key, value in transaction.rows(Table.DELETES):
        words = _delete_fault(
            int.from_bytes(key, "big"), transaction.get(Table.IDS, id_key(bytes(value[8:])))
        )
        if words:
            yield Finding("deletes", place(Table.DELETES, key), words)


def _delete_fault(seq_no: SeqNo, entry: Buffer | None) -> str:
    """What an id's entry makes of a delete on the list, in words."""
    if entry is None:
        return "the id that it deleted has no entry"
    named, _, deleted = unpack_id_entry(entry)
    if named < seq_no:
        return f"the id's entry names write {named}, which was earlier"
    if named == seq_no and not deleted:
        return "the id's entry says that this write was no delete"
    return ""
