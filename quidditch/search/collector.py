"""The best documents of a segment, and the one reduce that joins segments into shards and shards into a
page."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from quidditch.index.codecs import ids_of
from quidditch.interface import QueryRequest, QueryResult, ShardHit, SortKey
from quidditch.search.pruning import OpenPruned, pruned_search
from quidditch.search.scorers import SegmentContext
from quidditch.search.scorers.context import TimeIsUp
from quidditch.search.sort import order_key, select_sorted
from quidditch.search.topk import best
from quidditch.search.weight import Weight
from quidditch.types import DocAddress, F32s, Ints

SMALL_SEGMENT = 1024
"""Segments of fewer documents are scored whole."""


def needs_scores(request: QueryRequest) -> bool:
    """Whether anything in the answer depends on scores."""
    by_score = not request.sort or any(key.field == "_score" for key in request.sort)
    return by_score or request.min_score is not None


class Collector:
    """The best documents of a shard, gathered segment by segment: what is found raises the bar for the next."""

    def __init__(self, request: QueryRequest, weight: Weight, shard: int) -> None:
        self._request = request
        self._weight = weight
        self._shard = shard
        self._parts: list[QueryResult] = []
        # Pruning is for pages of the best; where every match is asked for, it would only cost.
        prunes = bool(request.size) and not request.sort and request.min_score is None
        self._open: OpenPruned | None = pruned_search(weight, total=request.total) if prunes else None

    def take(self, place: int, context: SegmentContext) -> bool:
        """Search one more segment; whether there was time for it."""
        try:
            part = self._pruned(place, context) or _collect(
                context, self._weight, self._request, (self._shard, place)
            )
        except TimeIsUp:
            part = QueryResult((), 0, timed_out=True)
        self._parts.append(part)
        return not part.timed_out

    def _pruned(self, place: int, context: SegmentContext) -> QueryResult | None:
        """The segment's best by bounds; None where that is not the way."""
        if self._open is None or context.doc_count < SMALL_SEGMENT:
            return None
        search = self._open(context)
        size = self._request.size
        found = search.top(size, self._floor())
        if found is None:
            return None
        hits, highest = _best_hits(context, found.docs, _rounded(found.scores), size, (self._shard, place))
        return QueryResult(hits, search.total() if self._request.total else 0, highest)

    def _floor(self) -> float:
        """What a document must score to be among the best, by the segments so far."""
        scores = [hit.score for part in self._parts for hit in part.hits]
        size = self._request.size
        return heapq.nlargest(size, scores)[-1] if len(scores) >= size else 0.0

    def result(self) -> QueryResult:
        return reduce(self._parts, self._request.size, self._request.sort)


def _collect(
    context: SegmentContext, weight: Weight, request: QueryRequest, where: tuple[int, int]
) -> QueryResult:
    """The best documents, how many match, and the highest score. `where`: (shard, place in it of the context's first
    segment)."""
    if not needs_scores(request):
        found = context.live_matches(request.query)
        if not request.size:
            return QueryResult((), len(found))
        return _sorted_hits(context, ids_of(found), None, len(found), request, where)
    docs, scores = _scored(context, weight, request)
    if request.sort and request.size:
        return _sorted_hits(context, docs, scores, len(docs), request, where)
    hits, highest = _best_hits(context, docs, scores, request.size, where)
    return QueryResult(hits, len(docs), highest)


def _best_hits(
    context: SegmentContext, docs: Ints, scores: F32s, size: int, where: tuple[int, int]
) -> tuple[list[ShardHit], float | None]:
    """The best of these, and the highest score of all."""
    places = best(scores, size)
    shard, first = where
    segments, own = context.located(docs.take(places), first)
    hits = [
        ShardHit(DocAddress(shard, segment, doc), score)
        for segment, doc, score in zip(segments, own, scores.take(places).tolist(), strict=True)
    ]
    if hits:
        return hits, hits[0].score
    return hits, float(scores.max()) if len(docs) else None


def _scored(context: SegmentContext, weight: Weight, request: QueryRequest) -> tuple[Ints, F32s]:
    """Live matches and their scores, rounded here and nowhere else."""
    docs, exact = context.score_live(weight)
    scores = _rounded(exact)
    if request.min_score is not None:
        kept = np.flatnonzero(scores >= np.float32(request.min_score))
        docs, scores = docs[kept], scores[kept]
    return docs, scores


def _rounded(exact: np.ndarray[tuple[int], np.dtype[np.float64]]) -> F32s:
    if exact.strides == (0,) and len(exact):
        return np.broadcast_to(exact[0].astype(np.float32), len(exact))
    return exact.astype(np.float32)


def _sorted_hits(
    context: SegmentContext,
    docs: Ints,
    scores: F32s | None,
    total: int,
    request: QueryRequest,
    where: tuple[int, int],
) -> QueryResult:
    (segment,) = context.segments
    places, values = select_sorted(segment, docs, scores, request)
    own = np.zeros(len(places), np.float32) if scores is None else scores[places]
    hits = [
        ShardHit(DocAddress(*where, doc), score, sort)
        for doc, score, sort in zip(docs[places].tolist(), own.tolist(), values, strict=True)
    ]
    highest = float(scores.max()) if scores is not None and len(scores) else None
    return QueryResult(hits, total, highest)


def reduce(parts: Iterable[QueryResult], size: int, sort: Sequence[SortKey] = ()) -> QueryResult:
    """The best of several results, each best first; equal hits in the order of the parts.

    Segments reduce to a shard and shards to an index by this one function.
    """
    results = list(parts)
    if len(results) == 1 and len(results[0].hits) <= size:
        return results[0]
    key = order_key(sort)
    # A stable sort of a few ordered runs is a merge, and keeps earlier parts first among equals.
    hits = sorted(chain.from_iterable(part.hits for part in results), key=key)[:size]
    highest = [part.max_score for part in results if part.max_score is not None]
    total, late = sum(part.total for part in results), any(part.timed_out for part in results)
    return QueryResult(hits, total, max(highest, default=None), late)
