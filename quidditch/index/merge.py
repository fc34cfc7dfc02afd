"""Merging neighbouring segments into one: the choice, which is pure, and the work, in slices of bounded memory.

Documents keep their order, so ties stay in the order of the last write. A transaction is held for one piece of the
result at a time: a merge pins no pages for long, and whatever is deleted while it runs is settled when the result
is published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from pyroaring import BitMap

from quidditch.index.codecs import (
    ID_CHUNK_DOCS,
    Buffer,
    ascending_offsets,
    ids_of,
    segment_key,
)
from quidditch.index.doc_values import column_rows, length_rows, presence_rows
from quidditch.index.environment import Environment
from quidditch.index.inversion import Inverted, runs_to_indices, stable_order
from quidditch.index.postings import RARE, PostingsWriter, Row
from quidditch.index.reader import SegmentCache, SegmentReader
from quidditch.index.segment import FieldRecord, SegmentRecord, seq_no_rows
from quidditch.index.snapshot import SegmentState
from quidditch.index.storage import Rows, Table, Transaction
from quidditch.index.stored_fields import SourceWriter, id_rows, unpack_block
from quidditch.index.term_blocks import TermBlock
from quidditch.types import Bools, SegmentId, U32s

FANOUT = 10
"""Neighbours of one tier that are merged together; a document is rewritten once a tier."""

TIER_BASE_DOCS = 2_000
"""Segments up to this size are the lowest tier; each next one holds `FANOUT` times as many."""

DELETED_SHARE = 0.5
"""A segment is rewritten by itself when more of it than this is deleted."""

SLICE_POSTINGS = 500_000
"""Postings merged at once: some 50 MB of arrays with positions, more only where one term has more postings."""

COPY_BLOCK_BYTES = 2_000
"""Compressed blocks of at least this size are copied as they are; smaller ones are gathered into larger."""

PAGE_BYTES = 1 << 20
"""Bytes of compressed blocks read in one transaction."""

Choice = Callable[[Sequence[tuple[int, int]]], slice | None]
"""From segments as (live documents, all documents) to the neighbours that should be merged."""

_DEAD = np.uint32(0xFFFFFFFF)


# ------------------------------------------------------------------------------------------------ the choice


def choose(sizes: Sequence[tuple[int, int]]) -> slice | None:
    """Which neighbours to merge next, of segments given as (live documents, all documents); None when all is well.

    >>> choose([(100, 100)] * 9)
    >>> choose([(9000, 9000)] + [(100, 100)] * 10)
    slice(1, 11, None)
    >>> choose([(40, 100), (100, 100)])
    slice(0, 1, None)
    """
    tiers = [_tier(live) for live, _ in sizes]
    for tier in sorted(set(tiers)):
        # Smaller neighbours come along; only those of the tier itself make it due, or a large segment would be
        # rewritten for a few small ones.
        for run in _runs([own <= tier for own in tiers]):
            if tiers[run].count(tier) >= FANOUT:
                return run
    for place, (live, total) in enumerate(sizes):
        if total - live > DELETED_SHARE * total:
            return slice(place, place + 1)
    return None


def _tier(live: int) -> int:
    tier = 0
    while live > TIER_BASE_DOCS:
        live //= FANOUT
        tier += 1
    return tier


def _runs(flags: Sequence[bool]) -> Iterator[slice]:
    """Where consecutive flags are set."""
    start = 0
    for flag, group in groupby(flags):
        stop = start + sum(1 for _ in group)
        if flag:
            yield slice(start, stop)
        start = stop


def choose_down_to(sizes: Sequence[tuple[int, int]], max_segments: int) -> slice | None:
    """The neighbours whose merging costs least on the way to `max_segments`; then those with deleted documents."""
    excess = len(sizes) - max_segments
    if excess > 0:
        width = excess + 1
        starts = range(len(sizes) - width + 1)
        start = min(starts, key=lambda place: sum(live for live, _ in sizes[place : place + width]))
        return slice(start, start + width)
    dirty = (place for place, (live, total) in enumerate(sizes) if live < total)
    place = next(dirty, None)
    return None if place is None else slice(place, place + 1)


# ------------------------------------------------------------------------------------------------- the work


class DetachedRows(Rows):
    """Rows read in transactions that last from one `release` to the next, copied."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._transaction: Transaction | None = None

    def _read(self) -> Transaction:
        if self._transaction is None:
            self._transaction = self._environment.begin_read()
        return self._transaction

    def get(self, table: Table, key: bytes) -> Buffer | None:
        value = self._read().get(table, key)
        return None if value is None else bytes(value)

    def floor(self, table: Table, key: bytes) -> tuple[bytes, Buffer] | None:
        found = self._read().floor(table, key)
        return None if found is None else (found[0], bytes(found[1]))

    def release(self) -> None:
        """End the transaction; the next read begins another."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            self._environment.end_read(transaction)


class _Source:
    """One of the segments being merged, and where its documents go."""

    def __init__(self, rows: Rows, state: SegmentState, first_doc: int) -> None:
        self.state = state
        # A cache of one entry or so: a merge reads every block once.
        self.reader = SegmentReader(
            rows,
            state.segment_id,
            state.record,
            state.deleted,
            state.generation,
            SegmentCache(1),
        )
        alive = np.ones(state.record.doc_count, np.bool_)
        alive[ids_of(state.deleted)] = False
        self.alive: Bools = alive
        self.live_count = int(np.count_nonzero(alive))
        numbers = np.cumsum(alive, dtype=np.uint32) + np.uint32(first_doc) - np.uint32(1)
        self.new_docs: U32s = np.where(alive, numbers, _DEAD).astype(np.uint32)

    def ids(self) -> Iterator[bytes]:
        """The ids of the live documents, a chunk in memory at a time."""
        for start in range(0, len(self.alive), ID_CHUNK_DOCS):
            docs = np.flatnonzero(self.alive[start : start + ID_CHUNK_DOCS]) + start
            yield from self.reader.id_bytes(docs)


class SegmentMerge:
    """The rows of the segment that replaces some neighbours."""

    def __init__(self, environment: Environment, states: Sequence[SegmentState], target: SegmentId) -> None:
        self._environment = environment
        self._rows = DetachedRows(environment)
        self.target = target
        self.sources: list[_Source] = []
        self.doc_count = 0
        for state in states:
            source = _Source(self._rows, state, self.doc_count)
            self.sources.append(source)
            self.doc_count += source.live_count

    def rows(self) -> Iterator[Row | FieldRecord]:
        """Every row, ascending inside each table, and a record for each field that keeps a value."""
        if not self.doc_count:
            return
        yield from seq_no_rows(self.target, self._seq_nos())
        yield from self._id_rows()
        yield from self._stored_rows()
        names = sorted({field.name for source in self.sources for field in source.state.record.fields})
        for number, name in enumerate(names):
            yield from _FieldMerge(self.sources, name, self.target, number, self.doc_count).rows()

    def release(self) -> None:
        """Hold no transaction until more rows are asked for."""
        self._rows.release()

    def record(self, fields: list[FieldRecord], size_bytes: int) -> SegmentRecord:
        seq_nos = self._seq_nos()
        first, last = int(seq_nos[0]), int(seq_nos[-1])
        contiguous = last - first + 1 == len(seq_nos)
        return SegmentRecord(self.doc_count, first, last, contiguous, size_bytes, fields)

    def deleted_since(self, now: Sequence[SegmentState]) -> BitMap:
        """Documents of the result that were deleted after the merge began, given their segments as of now."""
        current = {state.segment_id: state.deleted for state in now}
        deleted = BitMap()
        for source in self.sources:
            late = current[source.state.segment_id] - source.state.deleted
            deleted |= BitMap(source.new_docs[ids_of(late)].tolist())
        return deleted

    # ------------------------------------------------------------------------------------ by document

    def _seq_nos(self) -> np.ndarray:
        return np.concatenate([source.reader.all_seq_nos()[source.alive] for source in self.sources])

    def _id_rows(self) -> Iterator[Row]:
        yield from id_rows(self.target, (id_bytes for source in self.sources for id_bytes in source.ids()))

    def _stored_rows(self) -> Iterator[Row]:
        writer = SourceWriter()
        for source in self.sources:
            for first, block in _stored_blocks(self._environment, source.state.segment_id):
                yield from self._block_rows(source, first, block, writer)
        yield from writer.rows(self.target)

    def _block_rows(self, source: _Source, first: int, block: bytes, writer: SourceWriter) -> Iterator[Row]:
        if len(block) >= COPY_BLOCK_BYTES and not source.state.deleted:
            yield from writer.copy(self.target, block)
            return
        sources = unpack_block(block)
        kept = source.alive[first : first + len(sources)]
        writer.add([one for one, alive in zip(sources, kept.tolist(), strict=True) if alive])
        yield from writer.drain(self.target)


def _stored_blocks(environment: Environment, segment: SegmentId) -> Iterator[tuple[int, bytes]]:
    """(first document, frame) of each block, read a few at a time."""
    place = b""
    prefix = segment_key(segment)
    while True:
        with environment.read() as transaction:
            rows = transaction.page(Table.STORED, prefix, place, PAGE_BYTES)
        if not rows:
            return
        for key, value in rows:
            yield int.from_bytes(key[4:], "big"), value
        place = rows[-1][0]


# ------------------------------------------------------------------------------------------------- one field


@dataclass(frozen=True, slots=True)
class _Terms:
    """Consecutive terms of one source: the dictionary alone, and what is needed to load the postings."""

    source: int
    terms: list[bytes]
    doc_freqs: U32s
    block: TermBlock
    first_place: int


class _FieldMerge:
    """One field of all sources, merged: dictionary slice by slice, then what is kept by document."""

    def __init__(
        self, sources: Sequence[_Source], name: str, target: SegmentId, number: int, doc_count: int
    ) -> None:
        self._name = name
        self._target = target
        self._number = number
        self._doc_count = doc_count
        self._sources = [source for source in sources if source.reader.field(name) is not None]
        records = [source.reader.field(name) for source in self._sources]
        self._records = [record for record in records if record is not None]
        # A field whose mapping was tightened later (norms, say) never changes these: they are fixed at birth.
        self._freqs = all(record.freqs for record in self._records)
        self._positions = all(record.positions for record in self._records)
        self._new_ordinals = [np.full(record.terms, _DEAD, np.uint32) for record in self._records]

    def rows(self) -> Iterator[Row | FieldRecord]:
        present = self._present()
        if not len(present):
            return
        first = self._records[0]
        yield from presence_rows(self._target, self._number, present, self._doc_count)
        writer = PostingsWriter(
            self._target, self._number, with_freqs=self._freqs, with_positions=self._positions
        )
        for part in self._inverted(writer):
            yield from writer.add(part)
        yield from writer.finish()
        doc_count, total = len(present), 0
        if first.kind == "text":
            lengths = self._lengths()
            doc_count, total = int(np.count_nonzero(lengths)), int(lengths.sum(dtype=np.uint64))
            if writer.term_count:
                yield from length_rows(self._target, self._number, lengths)
        elif first.column is not None:
            yield from self._column_rows(first.column)
        yield FieldRecord(
            self._name,
            self._number,
            first.kind,
            terms=writer.term_count,
            present=len(present),
            doc_count=doc_count,
            sum_length_tokens=total,
            freqs=self._freqs,
            positions=self._positions,
            column=first.column,
        )

    # ------------------------------------------------------------------------------------ by document

    def _present(self) -> U32s:
        parts = [
            source.new_docs[ids_of(source.reader.exists(self._name) - source.state.deleted)]
            for source in self._sources
        ]
        return np.concatenate(parts)

    def _lengths(self) -> U32s:
        lengths = np.zeros(self._doc_count, np.uint32)
        for source in self._sources:
            own = source.reader.lengths(self._name)
            if own is not None:
                lengths[source.new_docs[source.alive]] = own[source.alive]
        return lengths

    def _column_rows(self, kind: str) -> Iterator[Row]:
        docs, values = [], []
        for source, new_ordinals in zip(self._sources, self._new_ordinals, strict=True):
            column = source.reader.column(self._name)
            if column is None:
                continue
            new_docs = source.new_docs[column.docs]
            kept = new_docs != _DEAD
            docs.append(new_docs[kept])
            own = column.values[kept]
            values.append(new_ordinals[own] if kind == "ordinal" else own)
        column_kind = self._records[0].column
        if docs and column_kind is not None:
            all_docs, all_values = np.concatenate(docs), np.concatenate(values)
            yield from column_rows(self._target, self._number, column_kind, all_docs, all_values)

    # ---------------------------------------------------------------------------------------- by term

    def _inverted(self, writer: PostingsWriter) -> Iterator[Inverted]:
        """The merged postings, slice by slice; `writer` tells how many terms are out already."""
        cursors = [_Cursor(place, source, self._name) for place, source in enumerate(self._sources)]
        while any(not cursor.done for cursor in cursors):
            boundary = min(cursor.last_term for cursor in cursors if not cursor.done)
            taken = [part for cursor in cursors for part in cursor.take(boundary)]
            for terms, parts in _slices(taken):
                yield from self._merge_slice(terms, parts, writer)

    def _merge_slice(
        self, terms: list[bytes], parts: list[tuple[_Terms, slice, U32s]], writer: PostingsWriter
    ) -> Iterator[Inverted]:
        """`parts` are terms of one source each with their places in `terms`, sources ascending."""
        ranks, docs, freqs, positions = [], [], [], []
        for part, places, rank in parts:
            loaded = self._load(part, places)
            posting_rank = np.repeat(rank, loaded.doc_freqs)
            new_docs = self._sources[part.source].new_docs[loaded.docs]
            kept = new_docs != _DEAD
            ranks.append(posting_rank[kept])
            docs.append(new_docs[kept])
            if loaded.freqs is not None:
                freqs.append(loaded.freqs[kept])
                if loaded.positions is not None:
                    positions.append(loaded.positions[np.repeat(kept, loaded.freqs)])
        rank_of = np.concatenate(ranks)
        order = stable_order(rank_of)
        doc_freqs = np.bincount(rank_of, minlength=len(terms)).astype(np.uint32)
        used = np.flatnonzero(doc_freqs)
        self._note_ordinals(parts, doc_freqs, writer.term_count)
        all_freqs = np.concatenate(freqs) if freqs else None
        merged_positions = None
        if all_freqs is not None and self._positions:
            starts = ascending_offsets(all_freqs)[:-1]
            merged_positions = np.concatenate(positions)[runs_to_indices(starts[order], all_freqs[order])]
        yield Inverted(
            [terms[place] for place in used.tolist()],
            doc_freqs[used],
            np.concatenate(docs)[order],
            all_freqs[order] if all_freqs is not None else None,
            merged_positions,
        )

    def _note_ordinals(
        self, parts: list[tuple[_Terms, slice, U32s]], doc_freqs: U32s, first_ordinal: int
    ) -> None:
        new = (np.cumsum(doc_freqs > 0) + (first_ordinal - 1)).astype(np.uint32)
        for part, places, rank in parts:
            first = part.first_place + places.start
            self._new_ordinals[part.source][first : first + len(rank)] = new[rank]

    def _load(self, part: _Terms, places: slice) -> Inverted:
        """The postings of some terms of a block, frequent ones from their own rows."""
        block, reader = part.block, self._sources[part.source].reader
        doc_freqs = part.doc_freqs[places]
        frequent = np.flatnonzero(doc_freqs > RARE) + places.start
        docs: list[U32s] = []
        freqs: list[U32s] = []
        positions: list[U32s] = []
        low = places.start
        for place in [*frequent.tolist(), places.stop]:
            rare = block.rare_slice(low, place)
            docs.append(rare.docs)
            if rare.freqs is not None:
                freqs.append(rare.freqs)
            if rare.positions is not None:
                positions.append(rare.positions)
            if place < places.stop:
                ordinal, doc_freq = part.first_place + place, int(part.doc_freqs[place])
                postings = reader.frequent_postings(self._records[part.source], ordinal, doc_freq)
                docs.append(postings.docs())
                own = postings.freqs()
                if own is not None:
                    freqs.append(own)
                distances = postings.distances() if self._positions else None
                if distances is not None:
                    positions.append(distances)
            low = place + 1
        return Inverted(
            part.terms[places],
            doc_freqs,
            np.concatenate(docs),
            np.concatenate(freqs) if self._freqs else None,
            np.concatenate(positions) if self._positions else None,
        )


class _Cursor:
    """Goes through one source's dictionary block by block."""

    def __init__(self, place: int, source: _Source, name: str) -> None:
        self._place = place
        self._blocks = source.reader.blocks(name)
        self._block: TermBlock | None = None
        self._low = 0
        self._ordinal = 0
        self._next()

    def _next(self) -> None:
        if self._block is not None:
            self._ordinal += len(self._block.terms)
        self._block = next(self._blocks, None)
        self._low = 0

    @property
    def done(self) -> bool:
        return self._block is None

    @property
    def last_term(self) -> bytes:
        return self._block.terms[-1] if self._block is not None else b""

    def take(self, boundary: bytes) -> Iterator[tuple[_Terms, slice]]:
        """What is left of the current block up to `boundary`, itself included."""
        block = self._block
        if block is None:
            return
        high = block.after(boundary)
        if high > self._low:
            terms = _Terms(self._place, block.terms, block.doc_freqs, block, self._ordinal)
            yield terms, slice(self._low, high)
        self._low = high
        if high == len(block.terms):
            self._next()


def _slices(
    taken: list[tuple[_Terms, slice]],
) -> Iterator[tuple[list[bytes], list[tuple[_Terms, slice, U32s]]]]:
    """Merged terms, and each part's places among them, cut so that no slice holds too many postings."""
    doc_freq_of: dict[bytes, int] = {}
    for part, places in taken:
        counts = part.doc_freqs[places].tolist()
        for term, doc_freq in zip(part.terms[places], counts, strict=True):
            doc_freq_of[term] = doc_freq_of.get(term, 0) + doc_freq
    merged = sorted(doc_freq_of)
    low = 0
    while low < len(merged):
        high, postings = low, 0
        while high < len(merged) and (high == low or postings + doc_freq_of[merged[high]] <= SLICE_POSTINGS):
            postings += doc_freq_of[merged[high]]
            high += 1
        terms = merged[low:high]
        rank = {term: place for place, term in enumerate(terms)}
        parts = []
        for part, places in taken:
            inside = [place for place in range(places.start, places.stop) if part.terms[place] in rank]
            if inside:
                ranks = np.array([rank[part.terms[place]] for place in inside], np.uint32)
                parts.append((part, slice(inside[0], inside[-1] + 1), ranks))
        yield terms, parts
        low = high
