"""Documents by several clauses: what matches is settled on bitmaps first, then clauses score what is left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyroaring import BitMap

from quidditch.index.codecs import bitmap_of, ids_of
from quidditch.query.primitive import (
    BestOf,
    Boolean,
    Constant,
    HasId,
    Nothing,
    Primitive,
    ScoredPhrase,
    ScoredTerm,
)
from quidditch.search.scorers.context import NOTHING_SCORED, Scored, SegmentContext, docs_of, gathered
from quidditch.search.scorers.filters import is_narrow, known_filter, match_filter
from quidditch.search.weight import BestOfWeight, BooleanWeight, Weight
from quidditch.types import Ints


def match_constant(query: Constant, context: SegmentContext, within: BitMap | None) -> BitMap:
    return match_filter(query.child, context, within)


def match_best(query: BestOf, context: SegmentContext, within: BitMap | None) -> BitMap:
    return _any_of(query.children, context, within)


# ------------------------------------------------------------------------------------------------ boolean


def needed_should(query: Boolean) -> int:
    """How many `should` clauses must match: at least one when nothing else is required, as in Lucene."""
    if not query.must and not query.filter:
        return max(1, query.minimum_should_match)
    return query.minimum_should_match


def match_boolean(query: Boolean, context: SegmentContext, within: BitMap | None) -> BitMap:
    """Required clauses first, the cheapest first, each looking only at what the ones before left over."""
    needed, should = needed_should(query), query.should
    if needed > len(should):
        return BitMap()
    required: list[tuple[Primitive, bool]] = [(child, False) for child in query.filter]
    required += [(child, True) for child in query.must]
    if should and needed == len(should):
        required += [(child, True) for child in should]
        should = ()
    found = _all_of(required, context, within)
    if should and needed and (found is None or found):
        chosen = (
            _any_of(should, context, found) if needed == 1 else _several_of(should, needed, context, found)
        )
        found = chosen if found is None else found & chosen
    for child in query.must_not:
        if not found:
            break
        found = found - match_filter(child, context, found)
    return BitMap() if found is None else found


def _all_of(
    required: list[tuple[Primitive, bool]], context: SegmentContext, within: BitMap | None
) -> BitMap | None:
    """Documents in `within` and every clause; with each stands whether it scores."""
    found = within
    if len(required) > 1:
        required.sort(key=lambda clause: _expense(clause[0], clause[1], context))
    for child, scored in required:
        if found is not None and not found:
            break
        matched = context.matches(child, found) if scored else match_filter(child, context, found)
        found = matched if found is None else found & matched
    return found


def _expense(query: Primitive, scored: bool, context: SegmentContext) -> tuple[int, int]:
    """Sorts clauses by what it costs to find their documents: lists and what is known by length, then scans,
    phrases last."""
    if isinstance(query, ScoredTerm):
        postings = context.postings(query.field, query.term)
        return 0, 0 if postings is None else postings.doc_freq
    if isinstance(query, HasId | Nothing):
        return 0, 0
    known = None if scored else known_filter(query, context)
    if known is not None:
        return 0, len(known)
    if isinstance(query, ScoredPhrase):
        return 3, 0
    return (2, 0) if isinstance(query, Boolean | BestOf | Constant) else (1, 0)


def _any_of(children: Sequence[Primitive], context: SegmentContext, within: BitMap | None) -> BitMap:
    if not children:
        return BitMap()
    found = [context.matches(child, within) for child in children]
    if within is not None and is_narrow(within, context):
        found = [matched & within for matched in found]
    return BitMap.union(*found)


def _several_of(
    children: Sequence[Primitive], needed: int, context: SegmentContext, within: BitMap | None
) -> BitMap:
    counts = np.zeros(context.doc_count, np.uint16)
    for child in children:
        counts[docs_of(context.matches(child, within), within)] += 1
    return bitmap_of(np.flatnonzero(counts >= needed))


def score_boolean(weight: BooleanWeight, context: SegmentContext, within: BitMap | None) -> Scored:
    """The sum of the clauses, in their order; deleted documents are left out already here."""
    query = weight.primitive
    found = _found(query, context, within)
    if not found:
        return NOTHING_SCORED
    clauses = (*weight.must, *weight.should)
    if not clauses:
        docs = ids_of(found)
        return Scored(docs, np.broadcast_to(np.float64(0.0), len(docs)))
    # A bare disjunction holds every document of every clause: nothing would be saved by looking them up.
    narrowed = within is not None or query.must or query.filter or query.must_not or needed_should(query) > 1
    limit = found if narrowed else None
    if len(clauses) == 1 and limit is not None and (query.must or needed_should(query)):
        return context.score(clauses[0], limit)
    return _summed(clauses, context, found, limit)


def _summed(
    clauses: Sequence[Weight], context: SegmentContext, found: BitMap, limit: BitMap | None
) -> Scored:
    docs = ids_of(found)
    total = context.take_accumulator()
    for clause in clauses:
        context.add_scores(clause, limit, total)
    scores = gathered(total, docs)
    context.give_accumulator(total, _touched(docs, found, context, limit))
    return Scored(docs, scores)


# ------------------------------------------------------------------------------------------------- best of


def score_best(weight: BestOfWeight, context: SegmentContext, within: BitMap | None) -> Scored:
    """The highest clause and `tie_breaker` times the others.

    The others add up as Lucene's DisjunctionMaxScorer does: in clause order, a dethroned best at the moment
    it is passed.
    """
    found = _found(weight.primitive, context, within)
    if not found:
        return NOTHING_SCORED
    docs = ids_of(found)
    best = context.take_accumulator()
    others = context.take_accumulator()
    for clause in weight.children:
        clause_docs, scores = context.score(clause, within)
        before = best.take(clause_docs)
        others[clause_docs] += np.minimum(before, scores)
        best[clause_docs] = np.maximum(before, scores)
    scores = gathered(best, docs)
    if weight.primitive.tie_breaker:
        scores += gathered(others, docs) * weight.primitive.tie_breaker
    touched = _touched(docs, found, context, within)
    context.give_accumulator(others, touched)
    context.give_accumulator(best, touched)
    return Scored(docs, scores)


def _found(query: Boolean | BestOf, context: SegmentContext, within: BitMap | None) -> BitMap:
    """Live documents that match, of those in `within`."""
    found = context.matches(query, within)
    if within is not None:
        found = found & within
    return found - context.deleted if context.deleted else found


def _touched(docs: Ints, found: BitMap, context: SegmentContext, limit: BitMap | None) -> Ints:
    """Where clauses may have written: what was found, and without a limit, deleted documents as well."""
    if limit is not None or not context.deleted:
        return docs
    return ids_of(found | context.deleted)
