"""Checking one shard's rows: each by itself, then against each other, then against the sources."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from quidditch.index.checking.documents import check_documents
from quidditch.index.checking.fields import Contents, FieldCheck
from quidditch.index.checking.findings import Finding, Meter, Progress, capped, guarded, in_order
from quidditch.index.checking.idmap import check_entries, check_id_map, check_numbers
from quidditch.index.checking.rows import (
    check_keys,
    check_owners,
    check_seals,
    check_shard_rows,
    check_tables,
)
from quidditch.index.checking.sources import SourceCheck
from quidditch.index.reader import SegmentCache, SegmentReader
from quidditch.index.snapshot import SegmentState, read_segments
from quidditch.index.storage import SHARD_TABLES, Transaction
from quidditch.schema.mapping import Mapping

_CACHE_BYTES = 8 << 20

_DOCUMENT_UNITS = 2
_SOURCE_UNITS = 2
"""Units of work that a document costs, and a field of it analysed anew, where reading the field is one. Measured."""


def check_rows(
    transaction: Transaction,
    mapping: Mapping | None,
    *,
    deep: bool = True,
    progress: Progress | None = None,
) -> Iterator[Finding]:
    """What is wrong with the rows of a shard, whose pages `check_file` has found to be sound.

    mapping:   the index's; None, where it cannot be read, leaves the sources out
    deep:      analyse the sources anew and compare what they give with what is stored
    progress:  told how much is done, and of how much
    Each step takes for granted that those before it were clean: after broken checksums there is nothing else.
    cost: the memory of one field of one segment, and some 17 bytes for each document and field of a segment
    """
    yield from capped(_ShardCheck(transaction, mapping if deep else None, progress).findings())


class _ShardCheck:
    def __init__(self, transaction: Transaction, mapping: Mapping | None, progress: Progress | None) -> None:
        self._transaction = transaction
        self._sources = SourceCheck(transaction, mapping) if mapping is not None else None
        self._progress = progress
        self._meter = Meter(0, None)

    def findings(self) -> Iterator[Finding]:
        transaction = self._transaction
        yield from in_order(
            lambda: check_tables(transaction, SHARD_TABLES),
            lambda: check_seals(transaction, SHARD_TABLES),
            lambda: check_keys(transaction, SHARD_TABLES),
            lambda: guarded("row", "", check_shard_rows(transaction)),
            lambda: guarded("row", "", check_entries(transaction)),
            lambda: guarded("row", "", check_owners(transaction)),
            lambda: guarded("row", "", self._segments()),
        )
        self._meter.finish()

    def _segments(self) -> Iterator[Finding]:
        readers = [self._reader(state) for state in read_segments(self._transaction, {})]
        self._meter = Meter(sum(map(self._work, readers)), self._progress)
        yield from in_order(
            lambda: check_numbers(self._transaction, readers),
            lambda: chain.from_iterable(map(self._documents, readers)),
            lambda: chain(
                guarded("id map", "", check_id_map(self._transaction, readers)),
                chain.from_iterable(map(self._contents, readers)),
            ),
        )

    def _reader(self, state: SegmentState) -> SegmentReader:
        cache = SegmentCache(_CACHE_BYTES)
        return SegmentReader(
            self._transaction, state.segment_id, state.record, state.deleted, state.generation, cache
        )

    def _work(self, reader: SegmentReader) -> int:
        """Units of the work on one segment."""
        each = _DOCUMENT_UNITS + len(reader.record.fields) * (
            1 if self._sources is None else 1 + _SOURCE_UNITS
        )
        return each * reader.doc_count

    def _documents(self, reader: SegmentReader) -> Iterator[Finding]:
        yield from check_documents(self._transaction, reader)
        self._meter.add(_DOCUMENT_UNITS * reader.doc_count)

    def _contents(self, reader: SegmentReader) -> Iterator[Finding]:
        """The fields of a segment, and those in which nothing was found against the sources."""
        contents: dict[str, Contents] = {}
        for field in reader.record.fields:
            check = FieldCheck(self._transaction, reader, field)
            clean = True
            for finding in check.findings():
                clean = False
                yield finding
            if clean and self._sources is not None:
                contents[field.name] = check.contents()
            self._meter.add(reader.doc_count)
        if self._sources is not None:
            units = _SOURCE_UNITS * len(reader.record.fields)
            where = f"segment {reader.segment_id}"
            yield from guarded("source", where, self._sources.findings(reader, contents, self._meter, units))
