"""One shard's snapshot, searched: statistics, query and fetch over its segments."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from quidditch.errors import InternalError
from quidditch.index.document import decode_source
from quidditch.interface import (
    CollectionStats,
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
from quidditch.search.joined import JoinedSegments, joined_count
from quidditch.search.readers import ListReader, SegmentReader, Snapshot
from quidditch.search.scorers import SegmentContext, open_joined, open_segment
from quidditch.search.shown_fields import shown_values
from quidditch.search.weight import Weight, bind
from quidditch.types import DocAddress, DocId, U32s


class _Ids:
    """Documents by `_id`, each looked up once. Apart from the searcher, which contexts must not hold: objects that
    hold each other wait for the garbage collector, and these would keep a reader's slot of the file meanwhile."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._located: dict[str, tuple[int, DocId] | None] = {}

    def _locate(self, id: str) -> tuple[int, DocId] | None:
        if id not in self._located:
            self._located[id] = self._snapshot.locate(id)
        return self._located[id]

    def version(self, id: str) -> tuple[int, int] | tuple[None, None]:
        """(version, sequence number) of a document of this snapshot."""
        entry = self._snapshot.entry(id)
        return (None, None) if entry is None else (entry[1], entry[0])

    def finder(self, first: int, starts: Sequence[int]) -> Callable[[str], DocId | None]:
        """The number of a live document in the segments from `first` on, which begin at `starts`."""

        def find(id: str) -> DocId | None:
            found = self._locate(id)
            if found is None or not first <= found[0] < first + len(starts):
                return None
            return starts[found[0] - first] + found[1]

        return find


class SnapshotSearcher:
    """`ShardSnapshot` over an open snapshot, which stays the caller's to close. Serves one search at a time.

    What was found once in a segment is remembered, so phases and batches of one search share it.
    """

    def __init__(self, snapshot: Snapshot, shard: int, mapping: Mapping) -> None:
        self._snapshot = snapshot
        self._shard = shard
        self._mapping = mapping
        self._ids = _Ids(snapshot)
        self._contexts: dict[int, SegmentContext] = {}
        self._joined_count = joined_count(snapshot.segments)
        self._joined = JoinedSegments(snapshot.segments[: self._joined_count]) if self._joined_count else None
        self._joined_context: SegmentContext | None = None

    def _context(self, place: int) -> SegmentContext:
        """One segment, as this search sees it."""
        found = self._contexts.get(place)
        if found is None:
            found = open_segment(self._segment(place), self._ids.finder(place, (0,)))
            self._contexts[place] = found
        return found

    def _segment(self, place: int) -> SegmentReader:
        segments = self._snapshot.segments
        if not 0 <= place < len(segments):
            raise InternalError(f"shard {self._shard}: there is no segment {place} in this snapshot")
        return segments[place]

    def _joined_ones(self, joined: JoinedSegments) -> SegmentContext:
        """The large segments as one."""
        if self._joined_context is None:
            segments = self._snapshot.segments[: self._joined_count]
            self._joined_context = open_joined(
                joined, segments, joined.starts, self._ids.finder(0, joined.starts)
            )
        return self._joined_context

    def _places(self, *, joined: bool) -> Iterator[tuple[int, SegmentContext]]:
        """Every segment in order, by its place or that of the first of those that are joined."""
        first = 0
        if joined and self._joined is not None:
            yield 0, self._joined_ones(self._joined)
            first = self._joined_count
        for place in range(first, len(self._snapshot.segments)):
            yield place, self._context(place)

    def statistics(self, fields: Iterable[str], terms: Iterable[tuple[str, bytes]]) -> CollectionStats:
        """Live counts of this shard."""
        segments: list[ListReader] = [*self._snapshot.segments[self._joined_count :]]
        if self._joined is not None:
            segments.append(self._joined)
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
        # Sort values are each segment's own; scores and counts may be had of many at once.
        for place, context in self._places(joined=not (request.sort and request.size)):
            context.deadline = deadline
            if not collector.take(place, context):
                break
        return collector.result()

    def fetch(self, addresses: Sequence[DocAddress], request: FetchRequest) -> list[Fetched]:
        """The documents in the order asked. The time limit is the query's: what it found is shown."""
        for context in self._contexts.values():
            context.deadline = math.inf
        highlighter = None
        if request.highlight is not None and request.query is not None:
            highlighter = Highlighter(self._mapping, request.query.query, request.highlight)
        weight = None
        if request.explain and request.query is not None:
            weight = bind(request.query.query, request.query.stats, request.query.similarities)
        found: dict[DocAddress, Fetched] = {}
        wanted: dict[int, list[DocAddress]] = {}
        for address in addresses:
            wanted.setdefault(address.segment, []).append(address)
        for segment, own in wanted.items():
            docs = np.array([address.doc for address in own], np.uint32)
            fetched = self._fetch_segment(segment, docs, request, highlighter, weight)
            found.update(zip(own, fetched, strict=True))
        return [found[address] for address in addresses]

    def _fetch_segment(
        self,
        place: int,
        docs: U32s,
        request: FetchRequest,
        highlighter: Highlighter | None,
        weight: Weight | None,
    ) -> Iterable[Fetched]:
        """The documents of one segment, in the order asked."""
        segment = self._segment(place)
        ids = segment.ids(docs)
        routings = self._snapshot.routings(ids)
        plain = not request.versions and not request.fields
        if request.source is False and highlighter is None and weight is None and plain:
            return [Fetched(id, {}, {}, routing=routings.get(id)) for id in ids]
        wants_source = request.source is not False or highlighter is not None or bool(request.fields)
        sources: Sequence[Source] = [{} for _ in ids]
        if wants_source:
            sources = read_sources(segment, docs)
        return [
            Fetched(
                id,
                filter_source(source, request.source),
                {} if highlighter is None else highlighter.highlight(source),
                None if weight is None else explain(weight, self._context(place), doc),
                {} if not request.fields else shown_values(source, request.fields, self._mapping),
                *(*(self._ids.version(id) if request.versions else (None, None)), routings.get(id)),
            )
            for doc, id, source in zip(docs.tolist(), ids, sources, strict=True)
        ]


def read_sources(segment: SegmentReader, docs: U32s) -> list[Source]:
    return [decode_source(text) for text in segment.sources(docs)]
