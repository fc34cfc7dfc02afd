"""Stored sources made into segments again, in memory, as a writer makes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from pyroaring import BitMap

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.index.buffer import MemoryRows
from quidditch.index.codecs import segment_key
from quidditch.index.document import ParsedBatch, decode_source, parse_documents
from quidditch.index.reader import SegmentCache, SegmentReader
from quidditch.index.segment import FieldRecord, SegmentBuilder, SegmentRecord, Vocabularies, split_records
from quidditch.index.storage import Table, Transaction
from quidditch.index.stored_fields import SourceWriter, unpack_block
from quidditch.schema.mapping import Mapping
from quidditch.types import DocId

_BATCH_DOCS = 4_000
_BATCH_BYTES = 8 << 20
"""Documents, and bytes of their JSON, analysed at once."""

_VOCABULARY_BYTES = 32 << 20
_CACHE_BYTES = 8 << 20


class Reanalysis:
    """Analyses sources by a mapping; vocabularies stay warm from batch to batch."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self._vocabularies = Vocabularies(_VOCABULARY_BYTES)

    def segment(self, sources: Sequence[bytes], fields: Collection[str]) -> SegmentReader:
        """A private segment of these documents, in order, with these fields alone and without ids and sources."""
        batch = self._parsed(sources)
        wanted = [values for values in batch.values if values.field.path in fields]
        self._vocabularies.trim()
        builder = SegmentBuilder(self._vocabularies)
        # Nobody reads these, so they are not compressed again.
        placeholders = SourceWriter()
        placeholders.add([b""] * len(sources))
        builder.add_sources(placeholders)
        builder.add_values(dataclasses.replace(batch, values=wanted), [b""] * len(sources))
        records: list[FieldRecord] = []
        rows = MemoryRows(split_records(builder.rows(1), records))
        record = SegmentRecord(len(sources), 0, len(sources) - 1, True, 0, records)
        return SegmentReader(rows, 1, record, BitMap(), 0, SegmentCache(_CACHE_BYTES))

    def _parsed(self, sources: Sequence[bytes]) -> ParsedBatch:
        documents = [decode_source(source) for source in sources]
        batch = parse_documents(documents, self.mapping, ANALYZER_NAMES, sources)
        if batch.mapping is self.mapping and not batch.errors:
            return batch
        # Some were taken before the mapping was what it is: what does not fit is left out, which takes longer.
        return parse_documents(documents, self.mapping, ANALYZER_NAMES, sources, acknowledged=True)


def source_batches(transaction: Transaction, segment: int) -> Iterator[tuple[DocId, list[bytes]]]:
    """(first document, sources) of a segment, some thousand documents at a time."""
    first, held, held_bytes = 0, list[bytes](), 0
    for key, value in transaction.rows(Table.STORED, segment_key(segment)):
        if not held:
            first = int.from_bytes(key[4:], "big")
        sources = unpack_block(value)
        held += sources
        held_bytes += sum(map(len, sources))
        if len(held) >= _BATCH_DOCS or held_bytes >= _BATCH_BYTES:
            yield first, held
            held, held_bytes = [], 0
    if held:
        yield first, held
