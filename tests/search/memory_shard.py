"""Shards whose segments lie in memory, built by the engine's own writer: what search tests run on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from pyroaring import BitMap

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.index.buffer import MemoryRows, build_segment
from quidditch.index.reader import SegmentCache, SegmentReader
from quidditch.index.segment import FieldRecord, SegmentRecord, Vocabularies, split_records
from quidditch.interface import CollectionStats, QueryRequest, QueryResult
from quidditch.query.primitive import Primitive
from quidditch.schema.mapping import Mapping as Schema
from quidditch.search.phases import similarities_of
from quidditch.search.searcher import SnapshotSearcher
from quidditch.search.weight import scored_terms

Doc = Mapping[str, Any]

PROPERTIES = {
    "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
    "body": {"type": "text", "norms": False},
    "tag": {"type": "keyword"},
    "n": {"type": "long"},
    "x": {"type": "double"},
    "day": {"type": "date"},
    "flag": {"type": "boolean"},
}
SCHEMA = Schema.parse({"properties": PROPERTIES}, analyzers=ANALYZER_NAMES)


@dataclass
class MemorySnapshot:
    segments: tuple[SegmentReader, ...]
    ids: dict[str, tuple[int, int]]

    def locate(self, id: str) -> tuple[int, int] | None:
        place = self.ids.get(id)
        if place is None or place[1] in self.segments[place[0]].deleted:
            return None
        return place

    def entry(self, id: str) -> tuple[int, int, bool] | None:
        place = self.ids.get(id)
        if place is None:
            return None
        segment = self.segments[place[0]]
        seq_no = int(segment.seq_nos(np.array([place[1]], np.uint32))[0])
        return seq_no, 1, place[1] in segment.deleted

    def routings(self, ids: Sequence[str]) -> dict[str, str]:
        return {}


@dataclass
class MemoryShard:
    """Segments of (id, source) pairs; `deleted` ids are tombstones. `opened` counts snapshots now open."""

    parts: Sequence[Sequence[tuple[str, Doc]]]
    deleted: frozenset[str] = frozenset()
    number: int = 0
    schema: Schema = field(default_factory=lambda: SCHEMA)
    opened: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        seq_no = 0
        readers: list[SegmentReader] = []
        ids: dict[str, tuple[int, int]] = {}
        for part in self.parts:
            rows = [
                (seq_no + at, id.encode(), json.dumps(source).encode())
                for at, (id, source) in enumerate(part)
            ]
            gone = BitMap([at for at, (id, _) in enumerate(part) if id in self.deleted])
            ids.update({id: (len(readers), at) for at, (id, _) in enumerate(part)})
            readers.append(self._reader(rows, gone))
            seq_no += len(part)
        self._snapshot = MemorySnapshot(tuple(readers), ids)

    def _reader(self, rows: list[tuple[int, bytes, bytes]], gone: BitMap) -> SegmentReader:
        fields: list[FieldRecord] = []
        builder = build_segment(rows, self.schema, Vocabularies(1 << 20))
        memory = MemoryRows(split_records(builder.rows(1), fields))
        record = SegmentRecord(
            doc_count=len(rows),
            first_seq_no=rows[0][0],
            last_seq_no=rows[-1][0],
            contiguous=True,
            size_bytes=0,
            fields=fields,
        )
        return SegmentReader(memory, 1, record, gone, 0, SegmentCache())

    @contextmanager
    def snapshot(self, lasting: bool = False) -> Iterator[SnapshotSearcher]:
        self.opened += 1
        try:
            yield SnapshotSearcher(self._snapshot, self.number, self.schema)
        finally:
            self.opened -= 1


def shards_of(
    docs: Sequence[Doc], cuts: Sequence[int] = (), deleted: frozenset[str] = frozenset(), shards: int = 1
) -> list[MemoryShard]:
    """Documents numbered "0", "1", … cut into segments, and dealt out to shards segment by segment."""
    rows = [(str(number), doc) for number, doc in enumerate(docs)]
    edges = sorted({0, *(min(cut, len(rows)) for cut in cuts), len(rows)})
    parts = [rows[low:high] for low, high in pairwise(edges)]
    return [MemoryShard(parts[number::shards], deleted, number) for number in range(shards)]


def all_hits(shards: Sequence[MemoryShard], query: Primitive) -> dict[str, float]:
    """Every match and its float32 score."""
    size = sum(len(part) for shard in shards for part in shard.parts)
    similarities = similarities_of(query, SCHEMA)
    with_snapshots = [shard.snapshot() for shard in shards]
    found: dict[str, float] = {}
    snapshots = [each.__enter__() for each in with_snapshots]
    terms = list(scored_terms(query, similarities))
    stats = CollectionStats.total(each.statistics(similarities, terms) for each in snapshots)
    for shard, snapshot in zip(shards, snapshots, strict=True):
        result: QueryResult = snapshot.query(QueryRequest(query, stats, similarities, size=size))
        assert result.total == len(result.hits)
        for hit in result.hits:
            found[shard._snapshot.segments[hit.address.segment].ids(np.array([hit.address.doc]))[0]] = (
                hit.score
            )
    for each in with_snapshots:
        each.__exit__(None, None, None)
    return found
