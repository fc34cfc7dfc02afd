"""Rows by themselves: each whole, under a key that belongs, and readable by its codec."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from quidditch.errors import CorruptIndex
from quidditch.index.buffer import unpack_buffered
from quidditch.index.checking.findings import Finding
from quidditch.index.codecs import WINDOW_DOCS, Buffer
from quidditch.index.commit import Lease, next_seq_no, read_leases
from quidditch.index.document import decode_source
from quidditch.index.operations import MAX_ID_BYTES
from quidditch.index.replication import LOG_PREFIX, check_log_row
from quidditch.index.routings import PREFIX, unpack_routing
from quidditch.index.segment import FieldRecord, SegmentRecord, decode_record
from quidditch.index.snapshot import unpack_tombstones
from quidditch.index.storage import FORMAT_KEY, SEGMENT_TABLES, Table, Transaction

COUNTERS = (b"next_seq_no", b"next_segment")
"""The rows of table `meta` beside the format record, which opening the environment has checked."""

_KEY_BYTES = {
    Table.SEGMENTS: 4,
    Table.PENDING: 4,
    Table.TERM_INDEX: 6,
    Table.BUFFER: 8,
    Table.DELETES: 8,
    Table.TOMBSTONES: 8,
    Table.DOC_IDS: 8,
    Table.SEQ_NOS: 8,
    Table.STORED: 8,
    Table.TERM_BLOCKS: 10,
    Table.LENGTHS: 10,
    Table.PRESENCE: 10,
    Table.COLUMNS: 10,
    Table.POSTINGS: 12,
    Table.POSITIONS: 12,
}
_FIELD_TABLES = tuple(
    table for table in SEGMENT_TABLES if table not in (Table.DOC_IDS, Table.SEQ_NOS, Table.STORED)
)
_KINDS = {"text": (None,), "keyword": (None, "ordinal"), "int64": ("int64",), "float64": ("float64",)}
"""Kind of field -> the columns that it may have."""


def place(table: Table, key: bytes) -> str:
    """A row, as findings name it."""
    return f"table {table}, key {key.hex()}"


def check_tables(transaction: Transaction, tables: Iterable[Table]) -> Iterator[Finding]:
    """Are there the tables that there should be, and no others? LMDB lists them in a tree of its own."""
    names = {str(table).encode() for table in tables}
    with transaction.handle.cursor() as cursor:
        found = {bytes(key) for key, _ in cursor}
    for name in sorted(found ^ names):
        words = "is missing" if name in names else "is no table of this environment"
        yield Finding("table", f"table {name.decode(errors='replace')}", words)


def check_seals(transaction: Transaction, tables: Iterable[Table]) -> Iterator[Finding]:
    """Every row's checksum. Format 1 has none."""
    for table in tables:
        for key in transaction.broken_seals(table):
            yield Finding(
                "checksum", place(table, key), "the bytes are not those that were written under this key"
            )


def check_keys(transaction: Transaction, tables: Iterable[Table]) -> Iterator[Finding]:
    """Are keys of the length that their tables have? What reads them by their parts relies on it."""
    for table in tables:
        expected = _KEY_BYTES.get(table)
        if expected is None:
            continue
        for key, _ in transaction.rows(table):
            if len(key) != expected:
                yield Finding("key", place(table, key), f"{len(key)} bytes long, {expected} expected")


def check_shard_rows(transaction: Transaction) -> Iterator[Finding]:
    """The rows that describe the shard as a whole; the id map has a module of its own."""
    yield from _counters(transaction)
    for key, value in transaction.rows(Table.SEGMENTS):
        yield from _segment(key, value)
    yield from _leases(transaction)
    for key, value in transaction.rows(Table.BUFFER):
        yield from _buffered(key, value)
    for key, value in transaction.rows(Table.DELETES):
        if not 1 <= len(value) - 8 <= MAX_ID_BYTES:
            yield Finding(
                "deletes", place(Table.DELETES, key), f"{len(value)} bytes, a time and an id expected"
            )


def _counters(transaction: Transaction) -> Iterator[Finding]:
    for key, value in transaction.rows(Table.META):
        if key == FORMAT_KEY:
            continue
        if key.startswith(PREFIX):
            yield from _routing(transaction, key, value)
        elif key.startswith(LOG_PREFIX):
            yield from _of_the_log(key, value)
        elif key not in COUNTERS:
            yield Finding("key", place(Table.META, key), "no row of this name is known")
        elif len(value) != 8:
            yield Finding("counters", place(Table.META, key), f"{len(value)} bytes, 8 expected")


def _routing(transaction: Transaction, key: bytes, value: Buffer) -> Iterator[Finding]:
    """Is a document's routing readable, and of a write that was?"""
    try:
        seq_no, _ = unpack_routing(value)
    except CorruptIndex as error:
        yield Finding("routing", place(Table.META, key), str(error))
        return
    following = next_seq_no(transaction)
    if seq_no >= following:
        yield Finding("routing", place(Table.META, key), f"is of write {seq_no}; the next is {following}")


def _of_the_log(key: bytes, value: Buffer) -> Iterator[Finding]:
    try:
        check_log_row(key, value)
    except CorruptIndex as error:
        yield Finding("log", place(Table.META, key), str(error))


# ---------------------------------------------------------------------------------------------------- segments


def _segment(key: bytes, value: Buffer) -> Iterator[Finding]:
    where = f"segment {int.from_bytes(key, 'big')}, {place(Table.SEGMENTS, key)}"
    try:
        record = decode_record(value)
    except CorruptIndex as error:
        yield Finding("record", where, str(error))
        return
    yield from (Finding("record", where, words) for words in _faults(record))


def _faults(record: SegmentRecord) -> Iterator[str]:
    """What contradicts itself in a segment's record."""
    span = record.last_seq_no - record.first_seq_no + 1
    if not 1 <= record.doc_count <= span or record.first_seq_no < 0:
        yield (
            f"{record.doc_count} documents with sequence numbers {record.first_seq_no} to {record.last_seq_no}"
        )
    elif record.contiguous != (span == record.doc_count):
        yield f"contiguous is {record.contiguous}, with {record.doc_count} documents in {span} numbers"
    for what in ("name", "number"):
        found = [getattr(field, what) for field in record.fields]
        if len(set(found)) < len(found):
            yield f"two fields have one {what}: {found}"
    for field in record.fields:
        yield from (f"field [{field.name}]: {words}" for words in _field_faults(field, record.doc_count))


def _field_faults(field: FieldRecord, doc_count: int) -> Iterator[str]:
    if not 0 <= field.number < 1 << 16:
        yield f"number {field.number} is no number of 16 bits"
    if not 0 <= field.doc_count <= field.present <= doc_count or not field.present:
        yield f"{field.present} documents with a value, {field.doc_count} with a token, of {doc_count}"
    if field.column not in _KINDS[field.kind]:
        yield f"a column of kind {field.column} in a field of kind {field.kind}"
    if field.positions and not field.freqs:
        yield "positions without frequencies"
    if field.kind != "text" and (field.freqs or field.sum_length_tokens or field.doc_count != field.present):
        yield f"kind {field.kind} with frequencies or lengths"
    if field.kind in ("int64", "float64") and field.terms:
        yield f"kind {field.kind} with {field.terms} terms"


# ------------------------------------------------------------------------------------------- leases and buffer


def _leases(transaction: Transaction) -> Iterator[Finding]:
    published = {key for key, _ in transaction.rows(Table.SEGMENTS)}
    try:
        leases = read_leases(transaction)
    except CorruptIndex as error:
        yield Finding("lease", f"table {Table.PENDING}", str(error))
        return
    for segment, lease in leases.items():
        yield from (Finding("lease", f"segment {segment}", words) for words in _lease_faults(lease))
        if segment.to_bytes(4, "big") in published:
            yield Finding("lease", f"segment {segment}", "is published and pending at once")


def _lease_faults(lease: Lease) -> Iterator[str]:
    if not lease.garbage and (len(lease.owner) != 32 or not set(lease.owner) <= set("0123456789abcdef")):
        yield f"owner {lease.owner[:80]!r} is no process: 32 hexadecimal digits expected"


def _buffered(key: bytes, value: Buffer) -> Iterator[Finding]:
    where = f"buffered document {int.from_bytes(key, 'big')}, {place(Table.BUFFER, key)}"
    try:
        id_bytes, source = unpack_buffered(value)
        id_bytes.decode()
        document = decode_source(source)
    except (CorruptIndex, UnicodeDecodeError) as error:
        yield Finding("buffer", where, str(error))
        return
    if not 1 <= len(id_bytes) <= MAX_ID_BYTES:
        yield Finding("buffer", where, f"an id of {len(id_bytes)} bytes; 1 to {MAX_ID_BYTES} expected")
    if words := object_fault(document):
        yield Finding("buffer", where, words)


def object_fault(source: Any) -> str:
    """What is wrong with a decoded source, in words."""
    return "" if isinstance(source, dict) else f"the source is a {type(source).__name__}, an object expected"


# --------------------------------------------------------------------------------------------------- ownership


def check_owners(transaction: Transaction) -> Iterator[Finding]:
    """Does every row of a segment, and every tombstone, belong to a segment that there is, and to a field of it?"""
    records = {key: decode_record(value) for key, value in transaction.rows(Table.SEGMENTS)}
    pending = {key for key, _ in transaction.rows(Table.PENDING)}
    fields = {
        key + field.number.to_bytes(2, "big") for key, record in records.items() for field in record.fields
    }
    for table in SEGMENT_TABLES:
        known = fields if table in _FIELD_TABLES else set(records)
        width = 6 if table in _FIELD_TABLES else 4
        for owner, _ in groupby(key[:width] for key, _ in transaction.rows(table)):
            if owner[:4] not in pending and owner not in known:
                yield Finding("key", place(table, owner), _stranger(owner, set(records)))
    for key, value in transaction.rows(Table.TOMBSTONES):
        record = records.get(key[:4])
        if record is None:
            yield Finding("tombstones", place(Table.TOMBSTONES, key), "no published segment has this number")
        else:
            yield from _tombstones(transaction, key, value, record)


def _stranger(owner: bytes, published: set[bytes]) -> str:
    number = int.from_bytes(owner[:4], "big")
    if owner[:4] not in published:
        return f"rows of segment {number}, which is neither published nor pending"
    return f"rows of field number {int.from_bytes(owner[4:], 'big')}, which segment {number} does not have"


def _tombstones(
    transaction: Transaction, key: bytes, value: Buffer, record: SegmentRecord
) -> Iterator[Finding]:
    segment, window = struct.unpack(">II", key)
    where = f"segment {segment}, {place(Table.TOMBSTONES, key)}"
    try:
        generation, deleted = unpack_tombstones(value)
    except CorruptIndex as error:
        yield Finding("tombstones", where, str(error))
        return
    if generation > transaction.id:
        yield Finding("tombstones", where, f"written by transaction {generation}; this is {transaction.id}")
    if not deleted:
        yield Finding("tombstones", where, "holds no document")
    elif deleted.max() >= WINDOW_DOCS or window * WINDOW_DOCS + deleted.max() >= record.doc_count:
        last = window * WINDOW_DOCS + deleted.max()
        yield Finding("tombstones", where, f"deletes document {last} of {record.doc_count}, numbered from 0")


def same_keys(
    transaction: Transaction, table: Table, prefix: bytes, expected: Iterable[bytes], where: str, what: str
) -> Iterator[Finding]:
    """Are there rows under exactly these keys? `expected` ascends."""
    wanted = set(expected)
    for key, _ in transaction.rows(table, prefix):
        if key in wanted:
            wanted.discard(key)
        else:
            yield Finding(what, f"{where}, {place(table, key)}", "a row that nothing refers to")
    for key in sorted(wanted):
        yield Finding(what, f"{where}, {place(table, key)}", "this row is missing")
