"""One shard's snapshot, searched: statistics, query and fetch over its segments."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from quidditch.errors import InternalError
from quidditch.index.document import decode_source
from quidditch.interface import (
    CollectionStats,
    Explanation,
    Fetched,
    FetchRequest,
    FieldStats,
    QueryRequest,
    QueryResult,
    Source,
)
from quidditch.schema.mapping import Mapping
from quidditch.search.collector import Collector
from quidditch.search.explain import explain
from quidditch.search.fetch import filter_source
from quidditch.search.highlight.highlighter import Highlighter
from quidditch.search.readers import SegmentReader, Snapshot
from quidditch.search.scorers import SegmentContext, open_segment
from quidditch.search.weight import Weight, bind
from quidditch.types import DocAddress, DocId


class SnapshotSearcher:
    """`ShardSnapshot` over an open snapshot, which stays the caller's to close. Serves one search at a time.

    What was found once in a segment is remembered, so phases and batches of one search share it.
    """

    def __init__(self, snapshot: Snapshot, shard: int, mapping: Mapping) -> None:
        self._snapshot = snapshot
        self._shard = shard
        self._mapping = mapping
        self._located: dict[str, tuple[int, DocId] | None] = {}
        self._contexts = [
            open_segment(segment, self._finder(place)) for place, segment in enumerate(snapshot.segments)
        ]

    def _finder(self, place: int) -> Callable[[str], DocId | None]:
        def find(id: str) -> DocId | None:
            found = self._locate(id)
            return found[1] if found is not None and found[0] == place else None

        return find

    def _locate(self, id: str) -> tuple[int, DocId] | None:
        if id not in self._located:
            self._located[id] = self._snapshot.locate(id)
        return self._located[id]

    def statistics(self, fields: Iterable[str], terms: Iterable[tuple[str, bytes]]) -> CollectionStats:
        """Live counts of this shard."""
        segments = self._snapshot.segments
        counts = {name: FieldStats() for name in fields}
        for segment in segments:
            for name in counts:
                found = segment.field_stats(name)
                counts[name] += FieldStats(found.doc_count, found.sum_length_tokens)
        doc_freqs = {
            (field, term): sum(segment.doc_freq(field, term) for segment in segments) for field, term in terms
        }
        return CollectionStats(counts, doc_freqs)

    def query(self, request: QueryRequest) -> QueryResult:
        """The shard's best documents, best first; of the segments it got through, when the time is up."""
        deadline = math.inf if request.timeout_s is None else time.monotonic() + request.timeout_s
        collector = Collector(request, bind(request.query, request.stats, request.similarities), self._shard)
        for place, context in enumerate(self._contexts):
            context.deadline = deadline
            if not collector.take(place, context):
                break
        return collector.result()

    def fetch(self, addresses: Sequence[DocAddress], request: FetchRequest) -> list[Fetched]:
        """The documents in the order asked. The time limit is the query's: what it found is shown."""
        for context in self._contexts:
            context.deadline = math.inf
        highlighter = None
        if request.highlight is not None and request.query is not None:
            highlighter = Highlighter(self._mapping, request.query.query, request.highlight)
        weight = None
        if request.explain and request.query is not None:
            weight = bind(request.query.query, request.query.stats, request.query.similarities)
        found: dict[DocAddress, Fetched] = {}
        by_segment = sorted(set(addresses), key=lambda address: address.segment)
        for place, group in itertools.groupby(by_segment, key=lambda address: address.segment):
            context = self._context(place)
            found.update(self._fetch_segment(context, sorted(group), request, highlighter, weight))
        return [found[address] for address in addresses]

    def _context(self, place: int) -> SegmentContext:
        if not 0 <= place < len(self._contexts):
            raise InternalError(f"shard {self._shard}: there is no segment {place} in this snapshot")
        return self._contexts[place]

    def _fetch_segment(
        self,
        context: SegmentContext,
        addresses: Sequence[DocAddress],
        request: FetchRequest,
        highlighter: Highlighter | None,
        weight: Weight | None,
    ) -> Iterable[tuple[DocAddress, Fetched]]:
        segment = context.segment
        docs = np.array([address.doc for address in addresses], np.uint32)
        wants_source = request.source is not False or highlighter is not None
        sources = read_sources(segment, docs) if wants_source else [{} for _ in addresses]
        for address, id, source in zip(addresses, segment.ids(docs), sources, strict=True):
            explanation: Explanation | None = None
            if weight is not None:
                explanation = explain(weight, context, address.doc)
            highlight = {} if highlighter is None else highlighter.highlight(source)
            yield address, Fetched(id, filter_source(source, request.source), highlight, explanation)


def read_sources(segment: SegmentReader, docs: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> list[Source]:
    return [decode_source(text) for text in segment.sources(docs)]
