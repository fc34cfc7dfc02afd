"""Faults of a shard's rows, written as rows are: with a checksum that fits.

Each says what checking must find. Those of single fields are in `field_faults.py`.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
from pyroaring import BitMap

from quidditch.index.codecs import (
    field_chunk_key,
    id_key,
    pack_id_entry,
    pack_integers,
    pack_strings,
    pack_uints,
    segment_chunk_key,
    segment_key,
    seq_no_key,
    unpack_id_entry,
)
from quidditch.index.commit import Lease
from quidditch.index.environment import Environment
from quidditch.index.segment import SegmentRecord, decode_record, encode_record
from quidditch.index.snapshot import pack_tombstones
from quidditch.index.storage import SHARD_TABLES, Table, Transaction
from quidditch.index.stored_fields import pack_block, unpack_block
from quidditch.index.term_blocks import TermBlock

GOLDEN = Path(__file__).parent.parent / "golden"


def maker() -> ModuleType:
    """What makes the golden index: all kinds of fields, ids and deletes, in two segments and a buffer."""
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE = maker()


def shard_file(folder: Path) -> Path:
    """The data file of the only shard of a directory with one index."""
    (file,) = folder.glob("*/0/data.mdb")
    return file


class Shard:
    """The rows of the made index's shard, under the names and with the parts that faults are made of."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction

    def get(self, table: Table, key: bytes) -> bytes:
        value = self.transaction.get(table, key)
        assert value is not None
        return bytes(value)

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self.transaction.put(table, key, value)

    def delete(self, table: Table, key: bytes) -> None:
        assert self.transaction.delete(table, key)

    def copy(self, table: Table, key: bytes, to: bytes) -> None:
        self.put(table, to, self.get(table, key))

    # ------------------------------------------------------------------------------------------- segments

    def record(self, segment: int) -> SegmentRecord:
        return decode_record(self.get(Table.SEGMENTS, segment_key(segment)))

    def change(self, segment: int, **changes: Any) -> None:
        """Put other values into a segment's record."""
        changed = msgspec.structs.replace(self.record(segment), **changes)
        self.put(Table.SEGMENTS, segment_key(segment), encode_record(changed))

    def change_field(self, segment: int, name: str, **changes: Any) -> None:
        fields = [
            msgspec.structs.replace(field, **changes) if field.name == name else field
            for field in self.record(segment).fields
        ]
        self.change(segment, fields=fields)

    def number(self, segment: int, name: str) -> int:
        return next(field.number for field in self.record(segment).fields if field.name == name)

    def key(self, name: str, chunk: int = 0, segment: int = 1) -> bytes:
        return field_chunk_key(segment, self.number(segment, name), chunk)

    # --------------------------------------------------------------------------------------------- blocks

    def block(self, name: str, segment: int = 1) -> TermBlock:
        field = next(field for field in self.record(segment).fields if field.name == name)
        value = self.get(Table.TERM_BLOCKS, self.key(name, 0, segment))
        return TermBlock(value, with_freqs=field.freqs, with_positions=field.positions)

    def put_block(self, name: str, block: TermBlock, segment: int = 1) -> None:
        parts = [
            struct.pack("<H", len(block.terms)),
            pack_strings(block.terms),
            pack_uints(block.doc_freqs),
            pack_uints(block.docs),
        ]
        if block.freqs is not None:
            parts.append(pack_uints(block.freqs - np.uint32(1)))
        if block.positions is not None:
            parts.append(pack_uints(block.positions))
        self.put(Table.TERM_BLOCKS, self.key(name, 0, segment), b"".join(parts))

    @contextmanager
    def changed_block(self, name: str) -> Iterator[TermBlock]:
        block = self.block(name)
        yield block
        self.put_block(name, block)

    def change_source(self, doc: int, change: Callable[[dict[str, Any]], Any]) -> None:
        key = segment_chunk_key(1, 0)
        sources = unpack_block(self.get(Table.STORED, key))
        sources[doc] = json.dumps(change(json.loads(sources[doc]))).encode()
        self.put(Table.STORED, key, pack_block(sources))


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is done to the shard, and what must be found: the kind, a part of the place, a part of the words."""

    do: Callable[[Shard], None]
    what: str
    where: str
    words: str


FAULTS: dict[str, Fault] = {}


def fault(what: str, where: str, words: str) -> Callable[[Callable[[Shard], None]], Callable[[Shard], None]]:
    def enter(do: Callable[[Shard], None]) -> Callable[[Shard], None]:
        FAULTS[do.__name__] = Fault(do, what, where, words)
        return do

    return enter


def damage(folder: Path, do: Callable[[Shard], None]) -> None:
    environment = Environment(shard_file(folder).parent, SHARD_TABLES)
    try:
        with environment.write() as transaction:
            do(Shard(transaction))
    finally:
        environment.close()


# Rows by themselves.


@fault("key", "table meta", "no row of this name")
def a_row_of_meta_that_nobody_knows(shard: Shard) -> None:
    shard.put(Table.META, b"mystery", b"1")


@fault("counters", "table meta", "3 bytes")
def a_counter_of_three_bytes(shard: Shard) -> None:
    shard.put(Table.META, b"next_segment", b"abc")


@fault("record", "segment 1", "segment record")
def a_segment_record_that_is_no_json(shard: Shard) -> None:
    shard.put(Table.SEGMENTS, segment_key(1), b"{")


@fault("record", "segment 1", "contiguous is False")
def a_segment_record_that_denies_to_be_contiguous(shard: Shard) -> None:
    shard.change(1, contiguous=False)


@fault("record", "segment 1", "141 documents with sequence numbers 0 to 139")
def a_segment_record_of_more_documents_than_numbers(shard: Shard) -> None:
    shard.change(1, doc_count=141)


@fault("record", "segment 1", "two fields have one name")
def a_segment_record_with_a_field_twice(shard: Shard) -> None:
    shard.change(1, fields=[*shard.record(1).fields, shard.record(1).fields[0]])


@fault("record", "segment 1", "field [body]: 141 documents with a value")
def a_field_that_more_documents_have_than_there_are(shard: Shard) -> None:
    shard.change_field(1, "body", present=141)


@fault("record", "segment 1", "field [tags]: a column of kind int64")
def a_keyword_with_a_column_of_numbers(shard: Shard) -> None:
    shard.change_field(1, "tags", column="int64")


@fault("lease", "table pending", "unreadable")
def a_lease_that_is_no_json(shard: Shard) -> None:
    shard.put(Table.PENDING, segment_key(9), b"?")


@fault("lease", "segment 9", "is no process")
def a_lease_of_nobody(shard: Shard) -> None:
    shard.put(Table.PENDING, segment_key(9), msgspec.json.encode(Lease("me")))


@fault("lease", "segment 1", "published and pending")
def a_segment_that_is_published_and_pending(shard: Shard) -> None:
    shard.put(Table.PENDING, segment_key(1), msgspec.json.encode(Lease("0f" * 16)))


@fault("buffer", "buffered document", "utf-8")
def a_buffered_id_that_is_no_utf8(shard: Shard) -> None:
    shard.put(Table.BUFFER, seq_no_key(170), struct.pack("<H", 1) + b"\xff{}")


@fault("buffer", "buffered document", "a list, an object expected")
def a_buffered_source_that_is_no_object(shard: Shard) -> None:
    shard.put(Table.BUFFER, seq_no_key(170), struct.pack("<H", 1) + b"a[]")


@fault("deletes", "table deletes", "a time and an id")
def a_delete_without_an_id(shard: Shard) -> None:
    shard.put(Table.DELETES, seq_no_key(140), b"\0" * 8)


@fault("key", "table stored", "5 bytes long, 8 expected")
def a_key_that_is_too_short(shard: Shard) -> None:
    shard.put(Table.STORED, segment_key(1) + b"\0", b"x")


@fault("key", "table doc_ids", "segment 77, which is neither published nor pending")
def rows_of_a_segment_that_there_is_not(shard: Shard) -> None:
    shard.copy(Table.DOC_IDS, segment_chunk_key(1, 0), segment_chunk_key(77, 0))


@fault("key", "table lengths", "field number 99, which segment 1 does not have")
def rows_of_a_field_that_there_is_not(shard: Shard) -> None:
    shard.copy(Table.LENGTHS, shard.key("body"), field_chunk_key(1, 99, 0))


@fault("tombstones", "table tombstones", "no published segment")
def tombstones_of_a_segment_that_there_is_not(shard: Shard) -> None:
    shard.copy(Table.TOMBSTONES, segment_chunk_key(1, 0), segment_chunk_key(77, 0))


@fault("tombstones", "segment 1", "deletes document 140 of 140")
def a_tombstone_past_the_last_document(shard: Shard) -> None:
    shard.put(Table.TOMBSTONES, segment_chunk_key(1, 0), pack_tombstones(1, BitMap([140])))


@fault("tombstones", "segment 1", "holds no document")
def tombstones_of_nothing(shard: Shard) -> None:
    shard.put(Table.TOMBSTONES, segment_chunk_key(1, 0), pack_tombstones(1, BitMap()))


@fault("tombstones", "segment 1", "written by transaction 9999")
def tombstones_of_a_transaction_to_come(shard: Shard) -> None:
    shard.put(Table.TOMBSTONES, segment_chunk_key(1, 0), pack_tombstones(9999, BitMap([3])))


# Documents.


@fault("ids", "segment 1, table doc_ids", "this row is missing")
def ids_that_are_missing(shard: Shard) -> None:
    shard.delete(Table.DOC_IDS, segment_chunk_key(1, 0))


@fault("ids", "segment 1, table doc_ids", "nothing refers to")
def ids_of_too_many_documents(shard: Shard) -> None:
    shard.copy(Table.DOC_IDS, segment_chunk_key(1, 0), segment_chunk_key(1, 1))


def put_ids(shard: Shard, change: Callable[[list[bytes]], None]) -> None:
    ids = [b"doc-%03d" % number for number in range(140)]
    ids[7] = MAKE.LONG_ID.encode()
    change(ids)
    shard.put(Table.DOC_IDS, segment_chunk_key(1, 0), pack_strings(ids))


@fault("ids", "segment 1, document 21", "is live document 20's too")
def an_id_of_two_live_documents(shard: Shard) -> None:
    put_ids(shard, lambda ids: ids.__setitem__(21, ids[20]))


@fault("ids", "segment 1", "ids of 0 to")
def an_empty_id(shard: Shard) -> None:
    put_ids(shard, lambda ids: ids.__setitem__(21, b""))


@fault("ids", "segment 1", "inside of a character")
def an_id_that_ends_inside_of_a_character(shard: Shard) -> None:
    put_ids(shard, lambda ids: ids.__setitem__(slice(20, 22), [b"a\xc3", b"\xa9b"]))


@fault("ids", "segment 1", "bytes of ids")
def ids_that_end_early(shard: Shard) -> None:
    key = segment_chunk_key(1, 0)
    shard.put(Table.DOC_IDS, key, shard.get(Table.DOC_IDS, key)[:-1])


@fault("sequence numbers", "segment 2", "do not ascend")
def sequence_numbers_that_fall(shard: Shard) -> None:
    numbers = np.arange(21)
    numbers[5:7] = 6, 5
    numbers[20] = 21
    shard.put(Table.SEQ_NOS, segment_chunk_key(2, 0), pack_integers(numbers))


@fault("sequence numbers", "segment 2", "the record says 141 to 162")
def sequence_numbers_that_end_elsewhere(shard: Shard) -> None:
    shard.put(Table.SEQ_NOS, segment_chunk_key(2, 0), pack_integers(np.arange(21)))


@fault("sequence numbers", "segment 1, table seq_nos", "nothing refers to")
def sequence_numbers_where_there_is_no_gap(shard: Shard) -> None:
    shard.put(Table.SEQ_NOS, segment_chunk_key(1, 0), pack_integers(np.arange(140)))


@fault("stored documents", "segment 1", "139 are there, 140 expected")
def a_source_that_is_missing(shard: Shard) -> None:
    sources = unpack_block(shard.get(Table.STORED, segment_chunk_key(1, 0)))
    last = max(key for key, _ in shard.transaction.rows(Table.STORED, segment_key(1)))
    if last != segment_chunk_key(1, 0):
        sources = unpack_block(shard.get(Table.STORED, last))
    shard.put(Table.STORED, last, pack_block(sources[:-1]))


@fault("stored documents", "segment 1, table stored", "begins with document 1, 0 expected")
def sources_under_the_number_of_another_document(shard: Shard) -> None:
    shard.copy(Table.STORED, segment_chunk_key(1, 0), segment_chunk_key(1, 1))
    shard.delete(Table.STORED, segment_chunk_key(1, 0))


@fault("stored documents", "segment 1, table stored", "cannot be decompressed")
def sources_that_are_no_zstd_frame(shard: Shard) -> None:
    shard.put(Table.STORED, segment_chunk_key(1, 0), b"(\xb5/\xfdnonsense")


@fault("stored documents", "segment 1, document 5", "is no JSON")
def a_source_that_is_no_json(shard: Shard) -> None:
    sources = unpack_block(shard.get(Table.STORED, segment_chunk_key(1, 0)))
    shard.put(Table.STORED, segment_chunk_key(1, 0), pack_block([*sources[:5], b"{", *sources[6:]]))


@fault("stored documents", "segment 1, document 5", "a list, an object expected")
def a_source_that_is_no_object(shard: Shard) -> None:
    shard.change_source(5, lambda doc: [doc])


# Across segments.


@fault("sequence numbers", "segments 1 and 2", "overlap: to 141, from 141")
def segments_with_one_sequence_number(shard: Shard) -> None:
    shard.change(1, last_seq_no=141, contiguous=False)
    numbers = np.array([*range(139), 141])
    shard.put(Table.SEQ_NOS, segment_chunk_key(1, 0), pack_integers(numbers))


@fault("sequence numbers", "table buffer", "150 is buffered and 162 in a segment")
def a_buffered_document_below_a_segment(shard: Shard) -> None:
    first = shard.transaction.first(Table.BUFFER)
    assert first is not None
    shard.put(Table.BUFFER, seq_no_key(150), bytes(first[1]))
    shard.delete(Table.BUFFER, first[0])


@fault("counters", "next_seq_no", "is taken")
def a_next_sequence_number_that_is_taken(shard: Shard) -> None:
    shard.put(Table.META, b"next_seq_no", (100).to_bytes(8, "little"))


@fault("counters", "next_segment", "2, and 2 is taken")
def a_next_segment_that_is_taken(shard: Shard) -> None:
    shard.put(Table.META, b"next_segment", (2).to_bytes(8, "little"))


@fault("counters", "table ids", "names write 9999")
def an_entry_of_a_write_to_come(shard: Shard) -> None:
    shard.put(Table.IDS, b"doc-003", pack_id_entry(9999, 2, True))


@fault("id map", "document 'doc-020' of write 20", "its id has no entry")
def a_document_without_an_entry(shard: Shard) -> None:
    shard.delete(Table.IDS, b"doc-020")


@fault("id map", "document 'doc-020' of write 20", "names write 21")
def an_entry_of_another_document(shard: Shard) -> None:
    shard.put(Table.IDS, b"doc-020", pack_id_entry(21, 1, False))


@fault("id map", "document 'doc-020' of write 20", "write 20 deleted it")
def a_live_document_whose_entry_is_deleted(shard: Shard) -> None:
    shard.put(Table.IDS, b"doc-020", pack_id_entry(20, 1, True))


@fault("id map", "buffer, document 'doc-169'", "its id has no entry")
def a_buffered_document_without_an_entry(shard: Shard) -> None:
    shard.delete(Table.IDS, b"doc-169")


@fault("id map", "table ids", "names write 20, which left the document 'doc-020'")
def two_ids_of_one_document(shard: Shard) -> None:
    shard.put(Table.IDS, b"another", pack_id_entry(20, 1, False))


@fault("id map", "table ids", "names write 20, whose document is nowhere")
def an_entry_of_a_document_with_a_tombstone(shard: Shard) -> None:
    deleted = BitMap([3, 4, 7, 10, 20])
    shard.put(Table.TOMBSTONES, segment_chunk_key(1, 0), pack_tombstones(1, deleted))


@fault("id map", "table ids", "which left the document 'doc-020'")
def two_entries_of_one_document(shard: Shard) -> None:
    shard.put(Table.IDS, b"ghost", pack_id_entry(20, 1, False))


@fault("id map", "table ids", "spells out another id")
def a_long_id_spelt_wrong(shard: Shard) -> None:
    long = MAKE.LONG_ID.encode()
    seq_no, version, _ = unpack_id_entry(shard.get(Table.IDS, id_key(long)))
    shard.put(Table.IDS, id_key(long), pack_id_entry(seq_no, version, False, b"L" + long[1:]))


@fault("id map", "table ids", "16 bytes")
def an_entry_that_is_too_short(shard: Shard) -> None:
    shard.put(Table.IDS, b"doc-020", b"\0" * 16)


@fault("id map", "table ids", "version 0")
def an_entry_of_version_zero(shard: Shard) -> None:
    shard.put(Table.IDS, b"doc-020", pack_id_entry(20, 0, False))


@fault("id map", "table ids", "no UTF-8")
def an_entry_of_an_id_that_is_no_utf8(shard: Shard) -> None:
    shard.put(Table.IDS, b"\xc3", pack_id_entry(20, 1, False))


@fault("deletes", "table ids", "which the list of deletes does not have")
def a_deleted_entry_that_is_not_on_the_list(shard: Shard) -> None:
    seq_no, _, deleted = unpack_id_entry(shard.get(Table.IDS, b"doc-003"))
    assert deleted
    shard.delete(Table.DELETES, seq_no_key(seq_no))


@fault("deletes", "table deletes", "has no entry")
def a_delete_of_an_id_without_an_entry(shard: Shard) -> None:
    shard.put(Table.DELETES, seq_no_key(150), b"\0" * 8 + b"nobody")


@fault("deletes", "table deletes", "names write 20, which was earlier")
def a_delete_that_came_after_the_last_write(shard: Shard) -> None:
    shard.put(Table.DELETES, seq_no_key(150), b"\0" * 8 + b"doc-020")


@fault("deletes", "table deletes", "no delete")
def a_delete_that_was_none(shard: Shard) -> None:
    shard.put(Table.DELETES, seq_no_key(20), b"\0" * 8 + b"doc-020")
