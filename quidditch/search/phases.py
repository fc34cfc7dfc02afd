"""A search over any sequence of shards: statistics, query, reduce, fetch, under one snapshot of each
shard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as Dict
from contextlib import ExitStack
from dataclasses import replace
from typing import Literal, Protocol, TypeVar

import msgspec

from quidditch.errors import DocumentNotFound, QueryError
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
from quidditch.search.collector import needs_scores, reduce
from quidditch.search.request import SearchRequest
from quidditch.search.similarity import LEGACY
from quidditch.search.weight import scored_leaves, scored_terms
from quidditch.types import DocAddress, Json

SCAN_BATCH = 1000
"""Documents that a scan brings home at once: enough to pay for the call, few enough to hold."""

WRITE_ORDER = (SortKey("_doc"),)


Asked = TypeVar("Asked")


class Scatter(Protocol):
    """Asks several snapshots the same: what each answered, in their order."""

    def __call__(
        self, ask: Callable[[ShardSnapshot], Asked], snapshots: Sequence[ShardSnapshot]
    ) -> list[Asked]: ...


def in_turn(ask: Callable[[ShardSnapshot], Asked], snapshots: Sequence[ShardSnapshot]) -> list[Asked]:
    """One after the other: for shards of this process, which have its processors to share."""
    return [ask(snapshot) for snapshot in snapshots]


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
    scatter: Scatter = in_turn,
) -> SearchResult:
    """One page of hits. With a time limit, segments whose turn comes too late are left out and `timed_out` says
    so."""
    started = time.monotonic()
    deadline = None if request.timeout_s is None else started + request.timeout_s
    with ExitStack() as stack:
        snapshots = _open(shards, stack)
        asked = _query_request(snapshots, request, query, mapping, scatter)
        parts = scatter(lambda snapshot: snapshot.query(_within(asked, deadline)), snapshots)
        best = reduce(parts, asked.size, asked.sort)
        page = best.hits[request.from_ :]
        fetched = _fetch_phase(snapshots, page, request, asked, scatter)
    by_score = not asked.sort or any(key.field == "_score" for key in asked.sort)
    hits = [
        _hit(found, hit, request, asked.sort, index, by_score)
        for hit, found in zip(page, fetched, strict=True)
    ]
    total, relation = _total(best, request)
    return SearchResult(
        hits=hits,
        total=total,
        total_relation=relation,
        max_score=best.max_score if by_score else None,
        took_ms=round((time.monotonic() - started) * 1000),
        timed_out=best.timed_out,
        shards=Shards(len(snapshots), len(snapshots)),
        notes=tuple(notes),
    )


def count(shards: Sequence[Shard], query: Primitive, scatter: Scatter = in_turn) -> int:
    """How many live documents match. Nothing is scored."""
    request = QueryRequest(query, CollectionStats(), size=0, sort=WRITE_ORDER)
    with ExitStack() as stack:
        snapshots = _open(shards, stack)
        return sum(scatter(lambda snapshot: snapshot.query(request).total, snapshots))


def explain(shards: Sequence[Shard], id: str, query: Primitive, mapping: Mapping) -> Explanation:
    """Why the document scores what it scores, 0 when it does not match. Raises DocumentNotFound."""
    with ExitStack() as stack:
        snapshots = _open(shards, stack)
        wanted = QueryRequest(HasId((id,)), CollectionStats(), size=1, sort=WRITE_ORDER)
        asked = _scored_request(snapshots, query, mapping, QueryRequest(query, CollectionStats()))
        for snapshot in snapshots:
            for hit in snapshot.query(wanted).hits:
                request = FetchRequest(source=False, explain=True, query=asked)
                (found,) = snapshot.fetch([hit.address], request)
                if found.explanation is not None:
                    return found.explanation
    raise DocumentNotFound(f"no document with the id {id!r}")


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


def _query_request(
    snapshots: Sequence[ShardSnapshot],
    request: SearchRequest,
    query: Primitive,
    mapping: Mapping,
    scatter: Scatter,
) -> QueryRequest:
    asked = QueryRequest(
        query,
        CollectionStats(),
        size=request.from_ + request.size,
        sort=request.sort,
        search_after=request.search_after,
        min_score=request.min_score,
        total=request.track_total_hits is not False,
    )
    if not request.explain and not needs_scores(asked):
        return asked
    return _scored_request(snapshots, query, mapping, asked, scatter)


def _scored_request(
    snapshots: Sequence[ShardSnapshot],
    query: Primitive,
    mapping: Mapping,
    asked: QueryRequest,
    scatter: Scatter = in_turn,
) -> QueryRequest:
    """The request with the statistics of all shards, which is what makes scores the same on every layout."""
    similarities = similarities_of(query, mapping)
    if not similarities:
        return asked
    terms = list(scored_terms(query, similarities))
    parts = scatter(lambda snapshot: snapshot.statistics(similarities, terms), snapshots)
    stats = CollectionStats.total(parts)
    return replace(asked, stats=stats, similarities=similarities)


def _within(asked: QueryRequest, deadline: float | None) -> QueryRequest:
    """The request with the time that is left for it."""
    if deadline is None:
        return asked
    return replace(asked, timeout_s=max(0.0, deadline - time.monotonic()))


def _fetch_phase(
    snapshots: Sequence[ShardSnapshot],
    page: Sequence[ShardHit],
    request: SearchRequest,
    asked: QueryRequest,
    scatter: Scatter,
) -> list[Fetched]:
    """The documents of the page, each shard that has some asked once."""
    details = FetchRequest(
        request.source,
        request.highlight,
        request.explain,
        asked,
        versions=request.version or request.seq_no,
        fields=request.fields,
    )
    if len(snapshots) == 1:
        return snapshots[0].fetch([hit.address for hit in page], details)
    wanted: dict[int, list[DocAddress]] = {}
    for hit in page:
        wanted.setdefault(hit.address.shard, []).append(hit.address)
    having = {id(snapshots[shard]): addresses for shard, addresses in wanted.items()}
    parts = scatter(
        lambda snapshot: snapshot.fetch(having[id(snapshot)], details), [snapshots[shard] for shard in wanted]
    )
    found: Dict[DocAddress, Fetched] = {
        address: fetched
        for addresses, part in zip(wanted.values(), parts, strict=True)
        for address, fetched in zip(addresses, part, strict=True)
    }
    return [found[hit.address] for hit in page]


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


def _total(best: QueryResult, request: SearchRequest) -> tuple[int | None, Literal["eq", "gte"]]:
    cap = request.track_total_hits
    if cap is False:
        return None, "eq"
    if cap is True:
        return best.total, "gte" if best.timed_out else "eq"
    if best.total > cap:
        return cap, "gte"
    return best.total, "gte" if best.timed_out else "eq"


def combine(results: Sequence[SearchResult], request: SearchRequest) -> SearchResult:
    """One page from the pages of several indices, each asked `request.from_the_start()`; equal hits in their
    order.

    raises: QueryError   a sort by a field that is text in one index and a number in another
    """
    _check_kinds(results, request.sort)
    parts = [_part(place, result) for place, result in enumerate(results)]
    best = reduce(parts, request.from_ + request.size, request.sort)
    page = [results[hit.address.shard].hits[hit.address.doc] for hit in best.hits[request.from_ :]]
    total, relation = _total(best, request)
    shards = sum(result.shards.total for result in results)
    return SearchResult(
        hits=[msgspec.structs.replace(hit, sort=_all_shown(request.sort, hit.sort)) for hit in page],
        total=total,
        total_relation=relation,
        max_score=best.max_score,
        took_ms=sum(result.took_ms for result in results),
        timed_out=best.timed_out,
        shards=Shards(shards, shards),
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
