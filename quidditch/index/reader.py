"""Reading one segment: rows to arrays. Everything handed out is a copy, so nothing outlives a transaction."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from quidditch.errors import CorruptIndex
from quidditch.index.codecs import (
    COLUMN_CHUNK_DOCS,
    ID_CHUNK_DOCS,
    WINDOW_DOCS,
    Buffer,
    bitmap_of,
    field_chunk_key,
    field_key,
    ids_of,
    segment_chunk_key,
    unpack_integers,
)
from quidditch.index.doc_values import Column, read_column, read_lengths, read_presence
from quidditch.index.postings import Postings, read_frequent
from quidditch.index.segment import FieldRecord, SegmentRecord
from quidditch.index.storage import Rows, Table
from quidditch.index.stored_fields import IdChunk, read_id_chunk, read_sources
from quidditch.index.term_blocks import PackedBlock, TermBlock, TermIndex
from quidditch.types import DocId, Ints, SegmentId, SeqNo, U32s, U64s

DEFAULT_CACHE_BYTES = 256 << 20
_SMALL_COST_BYTES = 200


@dataclass(frozen=True, slots=True)
class LiveStats:
    """Of one field in one segment: live documents with a token in it, and the tokens they hold."""

    doc_count: int = 0
    sum_length_tokens: int = 0


class SegmentCache:
    """Decoded parts of segments, shared by all snapshots of an environment; least recently used first out.

    A segment's rows never change, so an entry stays true while the segment's number lives; what depends on
    deletes carries their generation in its key.
    """

    def __init__(self, limit_bytes: int = DEFAULT_CACHE_BYTES, *, lasting: bool = True) -> None:
        """`lasting` is False for segments that are gone after a few searches: no answer is kept for them."""
        self.lasting = lasting
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[tuple[Any, ...], tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.size_bytes = 0

    def get(self, key: tuple[Any, ...]) -> Any:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: tuple[Any, ...], value: Any, size_bytes: int) -> None:
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = (value, size_bytes)
            self.size_bytes += size_bytes
            while self.size_bytes > self._limit_bytes and len(self._entries) > 1:
                _, (_, freed) = self._entries.popitem(last=False)
                self.size_bytes -= freed

    def forget(self, segments: Set[SegmentId]) -> None:
        """Drop what is held of segments that are gone; each key names its segment second."""
        with self._lock:
            for key in [key for key in self._entries if key[1] in segments]:
                self.size_bytes -= self._entries.pop(key)[1]


class _Found(NamedTuple):
    """A term of a field: its block, its place there, and its number among all terms."""

    field: FieldRecord
    block: PackedBlock
    place: int
    ordinal: int


class SegmentReader:
    """One segment as one snapshot sees it: immutable rows, and the tombstones of that moment."""

    def __init__(
        self,
        rows: Rows,
        segment_id: SegmentId,
        record: SegmentRecord,
        deleted: BitMap,
        generation: int,
        cache: SegmentCache,
    ) -> None:
        self.segment_id = segment_id
        self.record = record
        self.deleted = deleted
        self._rows = rows
        self._generation = generation
        self._cache = cache
        self._fields = {field.name: field for field in record.fields}
        self._found: dict[tuple[str, bytes], _Found | None] = {}

    @property
    def doc_count(self) -> int:
        """Documents, deleted ones included."""
        return self.record.doc_count

    @property
    def live_count(self) -> int:
        return self.record.doc_count - len(self.deleted)

    @property
    def lasting(self) -> bool:
        """Whether later snapshots will have the segment too."""
        return self._cache.lasting

    def field(self, name: str) -> FieldRecord | None:
        return self._fields.get(name)

    # ---------------------------------------------------------------------------------------- dictionary

    def _term_index(self, field: FieldRecord) -> TermIndex | None:
        if not field.terms:
            return None
        key = ("term_index", self.segment_id, field.number)
        found: TermIndex | None = self._cache.get(key)
        if found is None:
            value = self._rows.get(Table.TERM_INDEX, field_key(self.segment_id, field.number))
            if value is None:
                raise CorruptIndex(f"segment {self.segment_id}: the term index of [{field.name}] is missing")
            found = TermIndex(value)
            self._cache.put(key, found, found.size_bytes)
        return found

    def _block(self, field: FieldRecord, number: int) -> PackedBlock:
        key = ("block", self.segment_id, field.number, number)
        found: PackedBlock | None = self._cache.get(key)
        if found is None:
            value = self._block_row(field, number)
            found = PackedBlock(value, with_freqs=field.freqs, with_positions=field.positions)
            self._cache.put(key, found, found.size_bytes)
        return found

    def _block_row(self, field: FieldRecord, number: int) -> Buffer:
        value = self._rows.get(Table.TERM_BLOCKS, field_chunk_key(self.segment_id, field.number, number))
        if value is None:
            raise CorruptIndex(f"segment {self.segment_id}: term block {number} of [{field.name}] is missing")
        return value

    def _find(self, name: str, term: bytes) -> _Found | None:
        """Where a term is; a search asks first how many documents hold it, and then which."""
        key = (name, term)
        if key not in self._found:
            self._found[key] = self._look_up(name, term)
        return self._found[key]

    def _look_up(self, name: str, term: bytes) -> _Found | None:
        field = self._fields.get(name)
        index = self._term_index(field) if field is not None else None
        if field is None or index is None:
            return None
        number = index.block_of(term)
        if number is None:
            return None
        block = self._block(field, number)
        place = block.find(term)
        return (
            None if place is None else _Found(field, block, place, int(index.first_ordinals[number]) + place)
        )

    def postings(self, field: str, term: bytes) -> Postings | None:
        """Where the term occurs, deleted documents included."""
        found = self._find(field, term)
        if found is None:
            return None
        record, block, place, ordinal = found
        doc_freq = int(block.doc_freqs[place])
        if block.is_rare(place):
            return block.rare_postings(place)
        return self.frequent_postings(record, ordinal, doc_freq)

    def shared_postings(self, field: str, term: bytes) -> Postings | None:
        """As `postings`, kept decoded for the next search: for what asks for the same list again and again, as
        phrases do. Do not write."""
        key = ("postings", self.segment_id, field, term)
        found: Postings | None = self._cache.get(key)
        if found is not None:
            return found.over(self._rows)
        found = self.postings(field, term)
        if found is not None and found.has_rows and self._cache.lasting:
            # Without the rows, which are a transaction's.
            self._cache.put(key, found.over(None), found.size_bytes)
        return found

    def frequent_postings(self, field: FieldRecord, ordinal: int, doc_freq: int) -> Postings:
        """The postings of a term that has rows of its own."""
        windows = (self.doc_count + WINDOW_DOCS - 1) // WINDOW_DOCS
        return read_frequent(
            self._rows,
            self.segment_id,
            field.number,
            ordinal,
            doc_freq,
            windows,
            with_freqs=field.freqs,
        )

    def doc_freq(self, field: str, term: bytes) -> int:
        """Live documents that hold the term."""
        found = self._find(field, term)
        if found is None:
            return 0
        record, block, place, ordinal = found
        if not self.deleted:
            return int(block.doc_freqs[place])
        key = ("doc_freq", self.segment_id, record.number, ordinal, self._generation)
        live: int | None = self._cache.get(key)
        if live is None:
            postings = self.postings(field, term)
            live = 0 if postings is None else postings.bitmap().difference_cardinality(self.deleted)
            self._cache.put(key, live, _SMALL_COST_BYTES)
        return live

    def terms(
        self,
        field: str,
        lower: bytes | None = None,
        upper: bytes | None = None,
        include_lower: bool = True,
        include_upper: bool = True,
    ) -> list[bytes]:
        """Terms between two bounds, None being an open end, in byte order."""
        found: list[bytes] = []
        for _, block, low, high in self._ranges(field, lower, upper, include_lower, include_upper):
            found += block.terms(low, high)
        return found

    def documents_between(
        self,
        field: str,
        lower: bytes | None,
        upper: bytes | None,
        include_lower: bool = True,
        include_upper: bool = True,
    ) -> BitMap:
        """Documents with a term between two bounds, deleted ones included.

        cost: the blocks of the dictionary between them, rare terms a block at a time
        """
        found = BitMap()
        rare: list[U32s] = []
        record = self._fields.get(field)
        if record is None:
            return found
        for number, block, low, high in self._ranges(field, lower, upper, include_lower, include_upper):
            rare.append(block.rare_docs(low, high))
            for place in block.frequent_places(low, high):
                first_ordinal = self._first_ordinal(record, number)
                doc_freq = int(block.doc_freqs[place])
                found |= self.frequent_postings(record, first_ordinal + place, doc_freq).bitmap()
        return found | bitmap_of(np.concatenate(rare)) if rare else found

    def _first_ordinal(self, field: FieldRecord, number: int) -> int:
        index = self._term_index(field)
        return 0 if index is None else int(index.first_ordinals[number])

    def _ranges(
        self,
        field: str,
        lower: bytes | None,
        upper: bytes | None,
        include_lower: bool,
        include_upper: bool,
    ) -> Iterator[tuple[int, PackedBlock, int, int]]:
        """(number, block, first place, past the last place) of each block with terms between the bounds."""
        for number, block in self._blocks_from(field, lower):
            low, high = 0, block.count
            if lower is not None:
                low = block.before(lower) if include_lower else block.after(lower)
            if upper is not None:
                high = block.after(upper) if include_upper else block.before(upper)
            if low < high:
                yield number, block, low, high
            if high < block.count:
                return

    def _blocks_from(self, name: str, lower: bytes | None) -> Iterator[tuple[int, PackedBlock]]:
        field = self._fields.get(name)
        index = self._term_index(field) if field is not None else None
        if field is None or index is None:
            return
        first = index.block_of(lower) if lower is not None else 0
        for number in range(first or 0, index.block_count):
            yield number, self._block(field, number)

    def blocks(self, field: str) -> Iterator[TermBlock]:
        """The whole dictionary of a field, block by block; nothing of it is kept."""
        record = self._fields.get(field)
        index = self._term_index(record) if record is not None else None
        if record is None or index is None:
            return
        for number in range(index.block_count):
            value = self._block_row(record, number)
            yield TermBlock(value, with_freqs=record.freqs, with_positions=record.positions)

    def ordinal_terms(self, field: str, ordinals: U32s) -> list[bytes]:
        """The terms that a keyword column's ordinals stand for, in the order asked."""
        record = self._fields[field]
        index = self._term_index(record)
        if index is None:
            return []
        numbers = index.blocks_of(ordinals)
        places = ordinals - index.first_ordinals[numbers]
        return [
            self._block(record, number).term(place)
            for number, place in zip(numbers.tolist(), places.tolist(), strict=True)
        ]

    # ------------------------------------------------------------------------------------ values by document

    def field_stats(self, field: str) -> LiveStats:
        """Live documents with a token in the field (keyword: with a value), and their tokens."""
        record = self._fields.get(field)
        if record is None:
            return LiveStats()
        if not self.deleted or not record.doc_count:
            return LiveStats(record.doc_count, record.sum_length_tokens)
        key = ("field_stats", self.segment_id, record.number, self._generation)
        found: LiveStats | None = self._cache.get(key)
        if found is None:
            found = self._live_stats(record)
            self._cache.put(key, found, _SMALL_COST_BYTES)
        return found

    def _live_stats(self, record: FieldRecord) -> LiveStats:
        lengths = self.lengths(record.name)
        if lengths is None:
            return LiveStats(self.exists(record.name).difference_cardinality(self.deleted))
        gone = lengths[ids_of(self.deleted)]
        return LiveStats(
            record.doc_count - int(np.count_nonzero(gone)),
            record.sum_length_tokens - int(gone.sum(dtype=np.uint64)),
        )

    def average_length(self, field: str) -> float:
        """Tokens in the field per document that has any, deleted ones included: fixed when the segment was written.
        1 where there are none."""
        record = self._fields.get(field)
        if record is None or not record.doc_count or not record.sum_length_tokens:
            return 1.0
        return record.sum_length_tokens / record.doc_count

    def lengths(self, field: str) -> NDArray[np.unsignedinteger[Any]] | None:
        """Tokens of each document, `doc_count` of them, in the narrowest unsigned type. Shared: do not write.
        None where this segment has no token in a text field of that name."""
        record = self._fields.get(field)
        if record is None or record.kind != "text" or not record.terms:
            return None
        key = ("lengths", self.segment_id, record.number)
        found: NDArray[np.unsignedinteger[Any]] | None = self._cache.get(key)
        if found is None:
            found = read_lengths(self._rows, self.segment_id, record.number, self.doc_count)
            self._cache.put(key, found, found.nbytes)
        return found

    def column(self, field: str) -> Column | None:
        """The field's values by document, deleted ones included. Shared: do not write."""
        record = self._fields.get(field)
        if record is None or record.column is None:
            return None
        key = ("column", self.segment_id, record.number)
        found: Column | None = self._cache.get(key)
        if found is None:
            found = read_column(self._rows, self.segment_id, record.number, record.column, self.exists(field))
            self._cache.put(key, found, found.size_bytes)
        return found

    def exists(self, field: str) -> BitMap:
        """Documents with a value, deleted ones included."""
        record = self._fields.get(field)
        if record is None:
            return BitMap()
        return read_presence(self._rows, self.segment_id, record.number, record.present, self.doc_count)

    # ------------------------------------------------------------------------------------- answers of searches

    def recall(self, key: Hashable) -> Any:
        """What a search has kept under this key, in any snapshot that has the segment; None when nothing is
        kept."""
        return self._cache.get(("answer", self.segment_id, key)) if self._cache.lasting else None

    def keep(self, key: Hashable, answer: Any, size_bytes: int) -> None:
        """Keep what follows from the segment's rows alone, whatever is deleted; shared, so never changed
        again."""
        if self._cache.lasting:
            self._cache.put(("answer", self.segment_id, key), answer, size_bytes)

    # ------------------------------------------------------------------------------------------- documents

    def ids(self, docs: Ints) -> list[str]:
        """The `_id` of each document, in the order asked."""
        try:
            return [id_bytes.decode() for id_bytes in self.id_bytes(docs)]
        except UnicodeDecodeError as error:
            raise CorruptIndex(f"segment {self.segment_id}: an id is no UTF-8 ({error})") from error

    def id_bytes(self, docs: Ints) -> list[bytes]:
        """As `ids`, in UTF-8. Some microseconds for each chunk of 1,024 documents that is not in the cache."""
        numbers, places = np.divmod(docs, ID_CHUNK_DOCS)
        own = numbers.tolist()
        chunks = {number: self._id_chunk(number) for number in dict.fromkeys(own)}
        return [chunks[number][place] for number, place in zip(own, places.tolist(), strict=True)]

    def _id_chunk(self, number: int) -> IdChunk:
        key = ("ids", self.segment_id, number)
        found: IdChunk | None = self._cache.get(key)
        if found is None:
            found = read_id_chunk(self._rows, self.segment_id, number, self.doc_count)
            self._cache.put(key, found, found.size_bytes)
        return found

    def sources(self, docs: U32s) -> list[bytes]:
        """The JSON of each document, in the order asked. Some 20 microseconds for each block touched."""
        return read_sources(self._rows, self.segment_id, docs)

    def all_seq_nos(self) -> U64s:
        """uint64[doc_count], ascending. Shared: do not write."""
        key = ("seq_nos", self.segment_id)
        found: U64s | None = self._cache.get(key)
        if found is None:
            found = self._read_seq_nos()
            self._cache.put(key, found, found.nbytes)
        return found

    def _read_seq_nos(self) -> U64s:
        record = self.record
        if record.contiguous:
            return np.arange(record.first_seq_no, record.last_seq_no + 1, dtype=np.uint64)
        parts = []
        for start in range(0, self.doc_count, COLUMN_CHUNK_DOCS):
            value = self._rows.get(
                Table.SEQ_NOS, segment_chunk_key(self.segment_id, start // COLUMN_CHUNK_DOCS)
            )
            if value is None:
                raise CorruptIndex(
                    f"segment {self.segment_id}: its sequence numbers from {start} are missing"
                )
            count = min(COLUMN_CHUNK_DOCS, self.doc_count - start)
            parts.append(unpack_integers(value, 0, count)[0].view(np.uint64))
        return np.concatenate(parts) + np.uint64(record.first_seq_no)

    def seq_nos(self, docs: Ints) -> U64s:
        """uint64: the sequence number of each document's last write."""
        if self.record.contiguous:
            return docs.astype(np.uint64) + np.uint64(self.record.first_seq_no)
        return self.all_seq_nos()[docs]

    def doc_of(self, seq_no: SeqNo) -> DocId | None:
        """The document written by this write, deleted or not."""
        record = self.record
        if not record.first_seq_no <= seq_no <= record.last_seq_no:
            return None
        if record.contiguous:
            return seq_no - record.first_seq_no
        seq_nos = self.all_seq_nos()
        place = int(np.searchsorted(seq_nos, np.uint64(seq_no)))
        return place if place < len(seq_nos) and int(seq_nos[place]) == seq_no else None
