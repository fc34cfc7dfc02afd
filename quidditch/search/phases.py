"""A search over any sequence of shards: statistics, query, reduce, fetch, under one snapshot of each
shard."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import msgspec

from quidditch.errors import DocumentNotFound, QueryError, ShardsFailed
from quidditch.interface import (
    CollectionStats,
    Explanation,
    Fetched,
    FetchRequest,
    Hit,
    QueryRequest,
    QueryResult,
    SearchResult,
    Shard,
    ShardHit,
    Shards,
    ShardSnapshot,
    SortKey,
)
from quidditch.query.primitive import HasId, Primitive
from quidditch.schema.dates import format_date
from quidditch.schema.fields import KeywordField, TextField
from quidditch.schema.mapping import Mapping
from quidditch.search.collector import needs_scores
from quidditch.search.gathering import Gather, Gathering, Page, in_turn
from quidditch.search.reduction import TopHits, reduced
from quidditch.search.request import SearchRequest
from quidditch.search.similarity import LEGACY
from quidditch.search.weight import scored_leaves
from quidditch.types import DocAddress, Json

SCAN_BATCH = 1000
"""Documents that a scan brings home at once: enough to pay for the call, few enough to hold."""

WRITE_ORDER = (SortKey("_doc"),)


def similarities_of(query: Primitive, mapping: Mapping) -> dict[str, str]:
    """The similarity of each field that the query scores by; other fields score constants."""
    found: dict[str, str] = {}
    for leaf in scored_leaves(query):
        field = mapping.field(leaf.field)
        if isinstance(field, TextField):
            found[leaf.field] = _legacy(field.similarity) + ("bm25" if field.norms else "bm25_no_norms")
        elif isinstance(field, KeywordField):
            found[leaf.field] = _legacy(field.similarity) + "keyword"
    return found


def _legacy(similarity: str) -> str:
    return LEGACY if similarity == "LegacyBM25" else ""


def search(
    shards: Sequence[Shard],
    request: SearchRequest,
    query: Primitive,
    mapping: Mapping,
    *,
    index: str,
    notes: Sequence[str] = (),
    gather: Gather = in_turn,
) -> SearchResult:
    """One page of hits. With a time limit, segments whose turn comes too late are left out and `timed_out` says
    so.

    raises: ShardsFailed   no shard answers, or not all of them and `request.partial` is not set
    """
    started = time.monotonic()
    top = _top_hits(request)
    with gather(shards) as views:
        asked = _query_request(request, query, mapping)
        answers = views.query(asked, Page(request.from_, _details(request, asked)))
        _check_answered(views, request.partial)
        page = reduced(top, answers.parts)
        fetched = views.fetch(page.hits, _details(request, answers.asked))
        _check_answered(views, request.partial)
    by_score = not asked.sort or any(key.field == "_score" for key in asked.sort)
    hits = [
        _hit(found, hit, request, asked.sort, index, by_score)
        for hit, found in zip(page.hits, fetched, strict=True)
        if found is not None
    ]
    return SearchResult(
        hits=hits,
        total=page.total,
        total_relation=page.relation,
        max_score=page.max_score if by_score else None,
        took_ms=round((time.monotonic() - started) * 1000),
        timed_out=page.timed_out,
        shards=Shards.of(views.total, views.failed),
        notes=tuple(notes),
    )


def count(shards: Sequence[Shard], query: Primitive, gather: Gather = in_turn) -> int:
    """How many live documents match. Nothing is scored.

    raises: ShardsFailed   a shard does not answer
    """
    with gather(shards) as views:
        answers = views.query(QueryRequest(query, CollectionStats(), size=0, sort=WRITE_ORDER))
        _check_answered(views, partial=False)
        return sum(part.total for part in answers.parts)


def explain(
    shards: Sequence[Shard], id: str, query: Primitive, mapping: Mapping, gather: Gather = in_turn
) -> Explanation:
    """Why the document scores what it scores, 0 when it does not match. Raises DocumentNotFound, ShardsFailed."""
    with gather(shards) as views:
        wanted = QueryRequest(HasId((id,)), CollectionStats(), size=1, sort=WRITE_ORDER)
        asked = views.scored(_scored_request(QueryRequest(query, CollectionStats()), mapping))
        hits = [hit for part in views.query(wanted).parts for hit in part.hits]
        for found in views.fetch(hits, FetchRequest(source=False, explain=True, query=asked)):
            if found is not None and found.explanation is not None:
                return found.explanation
        _check_answered(views, partial=False)
    raise DocumentNotFound(f"no document with the id {id!r}")


def _check_answered(views: Gathering, partial: bool) -> None:
    """raises: ShardsFailed"""
    failed = views.failed
    if failed and (not partial or len(failed) == views.total):
        raise ShardsFailed.of(failed, views.total)


def scan(
    shards: Sequence[Shard],
    query: Primitive,
    *,
    index: str,
    source: Json = True,
    batch: int = SCAN_BATCH,
    timeout_s: float | None = None,
) -> Iterator[Hit]:
    """Every match, unscored, by shard and then in the order of the last writes, under one snapshot of each
    shard.

    The snapshots open at the first hit and close when the iterator ends, is closed, or outlives `timeout_s`.
    `source` is what `parse_source` gives.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with ExitStack() as stack:
        for snapshot in _open(shards, stack, lasting=True):
            for found, hit in _batches(snapshot, query, source, batch):
                if deadline is not None and time.monotonic() > deadline:
                    return
                yield Hit(
                    found.id,
                    None,
                    found.source,
                    index,
                    sort=hit.sort,
                    has_source=source is not False,
                    routing=found.routing,
                )


def _batches(
    snapshot: ShardSnapshot, query: Primitive, source: Json, batch: int
) -> Iterator[tuple[Fetched, ShardHit]]:
    after: tuple[Json, ...] | None = None
    while True:
        request = QueryRequest(query, CollectionStats(), size=batch, sort=WRITE_ORDER, search_after=after)
        hits = snapshot.query(request).hits
        fetched = snapshot.fetch([hit.address for hit in hits], FetchRequest(source=source))
        yield from zip(fetched, hits, strict=True)
        if len(hits) < batch:
            return
        after = hits[-1].sort


# ------------------------------------------------------------------------------------------------- phases


def _open(shards: Sequence[Shard], stack: ExitStack, lasting: bool = False) -> list[ShardSnapshot]:
    return [stack.enter_context(shard.snapshot(lasting)) for shard in shards]


def _top_hits(request: SearchRequest) -> TopHits:
    return TopHits(request.from_, request.from_ + request.size, request.sort, request.track_total_hits)


def _query_request(request: SearchRequest, query: Primitive, mapping: Mapping) -> QueryRequest:
    """What the shards are asked, with similarities where scores are wanted: statistics are theirs to tell."""
    asked = QueryRequest(
        query,
        CollectionStats(),
        size=request.from_ + request.size,
        sort=request.sort,
        search_after=request.search_after,
        min_score=request.min_score,
        timeout_s=request.timeout_s,
        total=request.track_total_hits is not False,
    )
    if not request.explain and not needs_scores(asked):
        return asked
    return _scored_request(asked, mapping)


def _scored_request(asked: QueryRequest, mapping: Mapping) -> QueryRequest:
    return replace(asked, similarities=similarities_of(asked.query, mapping))


def _details(request: SearchRequest, asked: QueryRequest) -> FetchRequest:
    """What is to be fetched of the hits of the page."""
    return FetchRequest(
        request.source,
        request.highlight,
        request.explain,
        asked,
        versions=request.version or request.seq_no,
        fields=request.fields,
    )


def _hit(
    found: Fetched,
    hit: ShardHit,
    request: SearchRequest,
    sort: Sequence[SortKey],
    index: str,
    by_score: bool,
) -> Hit:
    return Hit(
        id=found.id,
        score=hit.score if by_score else None,
        source=found.source,
        index=index,
        highlight=found.highlight,
        sort=_all_shown(sort, hit.sort),
        explanation=found.explanation,
        has_source=request.source is not False,
        fields=found.fields,
        version=found.version if request.version else None,
        seq_no=found.seq_no if request.seq_no else None,
        primary_term=1 if request.seq_no else None,
        routing=found.routing,
    )


def _all_shown(sort: Sequence[SortKey], values: Sequence[Json]) -> tuple[Json, ...]:
    if not sort:
        return ()
    return tuple(_shown(key, value) for key, value in zip(sort, values, strict=True))


def _shown(key: SortKey, value: Json) -> Json:
    return value if key.format is None or value is None else format_date(value, key.format)


def combine(results: Sequence[SearchResult], request: SearchRequest) -> SearchResult:
    """One page from the pages of several indices, each asked `request.from_the_start()`; equal hits in their
    order.

    raises: QueryError   a sort by a field that is text in one index and a number in another
    """
    _check_kinds(results, request.sort)
    page = reduced(_top_hits(request), [_part(place, result) for place, result in enumerate(results)])
    shown = [results[hit.address.shard].hits[hit.address.doc] for hit in page.hits]
    return SearchResult(
        hits=[msgspec.structs.replace(hit, sort=_all_shown(request.sort, hit.sort)) for hit in shown],
        total=page.total,
        total_relation=page.relation,
        max_score=page.max_score,
        took_ms=sum(result.took_ms for result in results),
        timed_out=page.timed_out,
        shards=Shards.sum(result.shards for result in results),
        notes=tuple(dict.fromkeys(note for result in results for note in result.notes)),
    )


def _part(place: int, result: SearchResult) -> QueryResult:
    hits = [
        ShardHit(DocAddress(place, 0, number), hit.score or 0.0, hit.sort)
        for number, hit in enumerate(result.hits)
    ]
    return QueryResult(hits, result.total or 0, result.max_score, result.timed_out)


def _check_kinds(results: Sequence[SearchResult], sort: Sequence[SortKey]) -> None:
    for level, key in enumerate(sort):
        indices: dict[str, str] = {}
        for result in results:
            for hit in result.hits:
                value = hit.sort[level]
                if value is not None:
                    indices.setdefault("text" if isinstance(value, str) else "numbers", hit.index)
        if len(indices) > 1:
            kinds = " and ".join(f"{kind} in index [{index}]" for kind, index in indices.items())
            raise QueryError(f"sort: [{key.field}] is {kinds}, which do not compare")
