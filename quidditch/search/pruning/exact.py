"""Scores of chosen documents, whatever the query's shape: clause by clause as the scorers add them, on arrays that
are aligned with these documents. A document that a clause does not match gets 0.0 from it, which adds nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quidditch.index.codecs import bitmap_of
from quidditch.query.primitive import Primitive
from quidditch.search.pruning.impacts import Impacts
from quidditch.search.scorers.compound import needed_should
from quidditch.search.scorers.context import SegmentContext
from quidditch.search.similarity import K1, FieldSimilarity, length_norms, saturated
from quidditch.search.weight import BestOfWeight, BooleanWeight, ConstantWeight, TermWeight, Weight
from quidditch.types import Bools, F64s, Ints


class Judged(NamedTuple):
    """Of each document: its score (float64), and whether it matches at all."""

    scores: F64s
    matched: Bools


class ChosenDocs:
    """Some documents of a segment, to be scored."""

    def __init__(self, docs: Ints, context: SegmentContext, lists: dict[Primitive, Impacts | None]) -> None:
        """`docs` ascends; `lists` has every scored term of the query."""
        self._docs = docs
        self._bitmap = bitmap_of(docs)
        self._context = context
        self._lists = lists
        self._norms: dict[str, F64s | float] = {}

    def judge(self, weight: Weight) -> Judged:
        """Their scores for a query of terms, constants, booleans and best-of."""
        if isinstance(weight, TermWeight):
            return self._term(weight)
        if isinstance(weight, BooleanWeight):
            return self._boolean(weight)
        if isinstance(weight, BestOfWeight):
            return self._best_of(weight)
        if isinstance(weight, ConstantWeight):
            matched = self._matched(weight.primitive)
            return Judged(np.where(matched, np.float64(weight.value), 0.0), matched)
        raise TypeError(f"a weight that bounds do not cover: {type(weight).__name__}")

    def _term(self, weight: TermWeight) -> Judged:
        impacts = self._lists[weight.primitive]
        if impacts is None:
            return self._nothing()
        frequencies = impacts.frequencies(self._docs)
        field = weight.primitive.field
        if field not in self._norms:
            self._norms[field] = norms_of(field, weight.similarity, self._context, self._docs)
        return Judged(saturated(weight.value, frequencies, self._norms[field]), frequencies > 0)

    def _boolean(self, weight: BooleanWeight) -> Judged:
        query, needed = weight.primitive, needed_should(weight.primitive)
        scores, matched = np.zeros(len(self._docs)), np.ones(len(self._docs), np.bool_)
        for clause in weight.must:
            own = self.judge(clause)
            scores += own.scores
            matched &= own.matched
        held = np.zeros(len(self._docs), np.intp)
        for clause in weight.should:
            own = self.judge(clause)
            scores += own.scores
            held += own.matched
        matched &= held >= needed
        for required in query.filter:
            matched &= self._matched(required)
        for excluded in query.must_not:
            matched &= ~self._matched(excluded)
        scores[~matched] = 0.0
        return Judged(scores, matched)

    def _best_of(self, weight: BestOfWeight) -> Judged:
        best, others, matched = self._nothing()[0], np.zeros(len(self._docs)), self._nothing()[1]
        for clause in weight.children:
            own = self.judge(clause)
            others += np.minimum(best, own.scores)
            best = np.maximum(best, own.scores)
            matched |= own.matched
        if weight.primitive.tie_breaker:
            best += others * weight.primitive.tie_breaker
        return Judged(best, matched)

    def _matched(self, query: Primitive) -> Bools:
        found = self._context.matches(query, self._bitmap) & self._bitmap
        return np.isin(self._docs, np.frombuffer(found.to_array(), np.uint32), assume_unique=True)

    def _nothing(self) -> Judged:
        return Judged(np.zeros(len(self._docs)), np.zeros(len(self._docs), np.bool_))


def norms_of(field: str, similarity: FieldSimilarity, context: SegmentContext, docs: Ints) -> F64s | float:
    """The length normalisers of some documents in a field: by the formula alone, as they are few."""
    lengths = context.lengths(field) if similarity.uses_lengths else None
    if lengths is None:
        return K1
    return length_norms(lengths.take(docs).astype(np.float64), similarity.average_length)
