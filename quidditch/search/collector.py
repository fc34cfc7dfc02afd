"""The best documents of a segment, and the one reduce that joins segments into shards and shards into a
page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from quidditch.index.codecs import ids_of
from quidditch.interface import QueryRequest, QueryResult, ShardHit, SortKey
from quidditch.search.scorers import SegmentContext
from quidditch.search.scorers.context import NO_DOCS
from quidditch.search.sort import order_key, select_sorted
from quidditch.search.topk import best
from quidditch.search.weight import Weight
from quidditch.types import DocAddress, F32s, Ints


def needs_scores(request: QueryRequest) -> bool:
    """Whether anything in the answer depends on scores."""
    by_score = not request.sort or any(key.field == "_score" for key in request.sort)
    return by_score or request.min_score is not None


def collect(
    context: SegmentContext, weight: Weight, request: QueryRequest, where: tuple[int, int]
) -> QueryResult:
    """A segment's best documents, how many match, and the highest score. `where`: (shard, place in it)."""
    if not needs_scores(request):
        found = context.live_matches(request.query)
        docs: Ints = ids_of(found) if request.size else NO_DOCS
        return _sorted_hits(context, docs, None, len(found), request, where)
    docs, scores = _scored(context, weight, request)
    if request.sort:
        return _sorted_hits(context, docs, scores, len(docs), request, where)
    total, highest = len(docs), float(scores.max()) if len(docs) else None
    places = best(scores, request.size)
    hits = [
        ShardHit(DocAddress(*where, doc), score)
        for doc, score in zip(docs[places].tolist(), scores[places].tolist(), strict=True)
    ]
    return QueryResult(hits, total, highest)


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
    places, values = select_sorted(context.segment, docs, scores, request)
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
    key = order_key(sort)
    # A stable sort of a few ordered runs is a merge, and keeps earlier parts first among equals.
    hits = sorted(chain.from_iterable(part.hits for part in results), key=key)[:size]
    highest = [part.max_score for part in results if part.max_score is not None]
    total, late = sum(part.total for part in results), any(part.timed_out for part in results)
    return QueryResult(hits, total, max(highest, default=None), late)
