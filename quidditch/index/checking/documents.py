"""The documents of one segment: ids, sequence numbers and sources are there, whole, for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quidditch.errors import CorruptIndex
from quidditch.index.checking.findings import Finding, guarded
from quidditch.index.checking.rows import object_fault, place, same_keys
from quidditch.index.codecs import (
    COLUMN_CHUNK_DOCS,
    ID_CHUNK_DOCS,
    Buffer,
    ids_of,
    segment_chunk_key,
    segment_key,
    unpack_uints,
)
from quidditch.index.document import decode_source
from quidditch.index.operations import MAX_ID_BYTES
from quidditch.index.reader import SegmentReader
from quidditch.index.storage import Table, Transaction
from quidditch.index.stored_fields import unpack_block
from quidditch.types import I64s


def check_documents(transaction: Transaction, reader: SegmentReader) -> Iterator[Finding]:
    """What is wrong with the ids, sequence numbers and sources of a segment.

    cost: decompresses every source and parses its JSON; memory of eight bytes a document, and one block
    """
    where = f"segment {reader.segment_id}"
    yield from guarded("ids", where, _ids(transaction, reader, where))
    yield from guarded("sequence numbers", where, _seq_nos(transaction, reader, where))
    yield from guarded("stored documents", where, _sources(transaction, reader, where))


def chunk_keys(segment: int, doc_count: int, chunk_docs: int) -> list[bytes]:
    """The keys of a segment's rows where there is one for each `chunk_docs` documents."""
    return [segment_chunk_key(segment, chunk) for chunk in range((doc_count + chunk_docs - 1) // chunk_docs)]


def _ids(transaction: Transaction, reader: SegmentReader, where: str) -> Iterator[Finding]:
    keys = chunk_keys(reader.segment_id, reader.doc_count, ID_CHUNK_DOCS)
    yield from same_keys(transaction, Table.DOC_IDS, segment_key(reader.segment_id), keys, where, "ids")
    hashes: list[I64s] = []
    for chunk, key in enumerate(keys):
        value = transaction.get(Table.DOC_IDS, key)
        if value is None:
            return
        count = min(ID_CHUNK_DOCS, reader.doc_count - chunk * ID_CHUNK_DOCS)
        words = _chunk_faults(value, count)
        if words:
            yield Finding("ids", f"{where}, {place(Table.DOC_IDS, key)}", words)
            return
        docs = np.arange(count) + chunk * ID_CHUNK_DOCS
        hashes.append(np.fromiter(map(hash, reader.id_bytes(docs)), np.int64, count))
    yield from _repeated(reader, np.concatenate(hashes), where)


def _chunk_faults(value: Buffer, count: int) -> str:
    """What is wrong with a chunk of `count` ids, in words."""
    lengths, start = unpack_uints(value, 0, count)
    blob = bytes(value[start:])
    if int(lengths.sum()) != len(blob):
        return f"{len(blob)} bytes of ids, {int(lengths.sum())} expected"
    if not 1 <= int(lengths.min()) <= int(lengths.max()) <= MAX_ID_BYTES:
        return f"ids of {lengths.min()} to {lengths.max()} bytes; 1 to {MAX_ID_BYTES} expected"
    try:
        blob.decode()
    except UnicodeDecodeError as error:
        return f"an id is no UTF-8: {error}"
    firsts = np.frombuffer(blob, np.uint8)[np.cumsum(lengths) - lengths]
    return "an id begins inside of a character" if bool(((firsts & 0xC0) == 0x80).any()) else ""


def _repeated(reader: SegmentReader, hashes: I64s, where: str) -> Iterator[Finding]:
    """Ids that two live documents have. Few ids have one hash, so only those are looked at."""
    live = np.ones(len(hashes), np.bool_)
    live[ids_of(reader.deleted)] = False
    docs = np.flatnonzero(live)
    _, places, counts = np.unique(hashes[docs], return_inverse=True, return_counts=True)
    suspects = docs[counts[places] > 1]
    seen: dict[bytes, int] = {}
    for doc, id_bytes in zip(suspects.tolist(), reader.id_bytes(suspects), strict=True):
        if id_bytes in seen:
            yield Finding(
                "ids", f"{where}, document {doc}", f"id {id_bytes!r} is live document {seen[id_bytes]}'s too"
            )
        seen[id_bytes] = doc


def _seq_nos(transaction: Transaction, reader: SegmentReader, where: str) -> Iterator[Finding]:
    record, segment = reader.record, reader.segment_id
    keys = [] if record.contiguous else chunk_keys(segment, record.doc_count, COLUMN_CHUNK_DOCS)
    yield from same_keys(transaction, Table.SEQ_NOS, segment_key(segment), keys, where, "sequence numbers")
    seq_nos = reader.all_seq_nos()
    if not bool((seq_nos[1:] > seq_nos[:-1]).all()):
        yield Finding("sequence numbers", where, "do not ascend")
    first, last = int(seq_nos[0]), int(seq_nos[-1])
    if (first, last) != (record.first_seq_no, record.last_seq_no):
        yield Finding(
            "sequence numbers",
            where,
            f"run from {first} to {last}; the record says {record.first_seq_no} to {record.last_seq_no}",
        )


def _sources(transaction: Transaction, reader: SegmentReader, where: str) -> Iterator[Finding]:
    expected = 0
    for key, value in transaction.rows(Table.STORED, segment_key(reader.segment_id)):
        own = f"{where}, {place(Table.STORED, key)}"
        first = int.from_bytes(key[4:], "big")
        if first != expected:
            yield Finding("stored documents", own, f"begins with document {first}, {expected} expected")
        try:
            sources = unpack_block(value)
        except CorruptIndex as error:
            yield Finding("stored documents", own, str(error))
            return
        for number, source in enumerate(sources, first):
            words = _source_faults(source)
            if words:
                yield Finding("stored documents", f"{where}, document {number}", words)
        expected = first + len(sources)
    if expected != reader.doc_count:
        yield Finding("stored documents", where, f"{expected} are there, {reader.doc_count} expected")


def _source_faults(source: bytes) -> str:
    try:
        return object_fault(decode_source(source))
    except CorruptIndex as error:
        return str(error)
