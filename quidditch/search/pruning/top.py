"""The best documents for a sum of terms, scored exactly; and how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyroaring import BitMap

from quidditch.query.primitive import Primitive
from quidditch.search.pruning.bounds import Candidates, Narrowing, Part, Scale
from quidditch.search.pruning.exact import norms_of
from quidditch.search.pruning.impacts import Impacts, impacts_of, stretch
from quidditch.search.pruning.plan import TermSum
from quidditch.search.pruning.single import best_of_one
from quidditch.search.pruning.whole import Held, score_matches
from quidditch.search.scorers.context import Scored, SegmentContext
from quidditch.search.scorers.filters import match_every
from quidditch.search.similarity import saturated
from quidditch.types import F64s, Ints

FEW = 1024
"""Up to so many postings are scored without a look at bounds."""

FEW_ALLOWED = 4096
"""Nor are bounds looked at where about so many postings lie in the documents that count: adding lists up would touch
many more."""


class TermSumSearch:
    """One such query in one segment."""

    def __init__(self, plan: TermSum, context: SegmentContext) -> None:
        self._plan = plan
        self._context = context
        self._held: list[Held] = []
        self._lists: dict[Primitive, Impacts | None] = {}
        for term in plan.terms:
            context.check_time()
            wanted = term.primitive
            found = impacts_of(context.reader, wanted.field, wanted.term, term.similarity)
            self._lists[wanted] = found
            if found is not None:
                self._held.append((term, found))
        self._narrowing = Narrowing(self._allowed(), plan.denied(context))

    def _allowed(self) -> BitMap | None:
        """The documents that match all that is required: by the lists at hand first, rarest first."""
        if not self._plan.required:
            return None
        own = [self._lists[each] for each in self._plan.required if each in self._lists]
        bitmaps = [BitMap() if each is None else each.bitmap for each in own]
        found: BitMap | None = None
        for bitmap in sorted(bitmaps, key=len):
            found = bitmap if found is None else found & bitmap
        others = [clause for clause in self._plan.required if clause not in self._lists]
        return match_every(others, self._context, found)

    def total(self) -> int:
        """How many live documents match."""
        allowed = self._narrowing.allowed
        if not self._plan.any_term:
            return 0 if allowed is None else len(self._narrowing.of(allowed))
        if len(self._held) == 1 and self._narrowing.leaves_all:
            return self._held[0][1].doc_freq
        return len(self._narrowing.of(self._any_term()))

    def top(self, count: int, floor: float) -> Scored | None:
        """Ascending documents and their scores: the best `count` are among them, if they score `floor` or more.

        None where the query is not one for bounds: documents match that hold no term, or terms are too many.
        """
        one = self._plan.any_term and len(self._held) == 1
        # Of one list no more is looked at than a filter leaves; few postings need no filter for that.
        few = None if one and self._narrowing.allowed is None else self._few()
        if few is not None:
            any_term = self._plan.any_term
            return score_matches(self._held, self._context, self._narrowing.of(few), any_term=any_term)
        if one:
            return best_of_one(*self._held[0], self._context, self._narrowing, count, floor)
        docs = self._candidates(count, floor)
        if docs is None or (len(docs) < count and not floor and not self._plan.holds_terms):
            return None
        self._context.check_time()
        return Scored(docs, _summed(self._held, self._context, docs))

    def _any_term(self) -> BitMap:
        bitmaps = [impacts.bitmap for _, impacts in self._held]
        return bitmaps[0] if len(bitmaps) == 1 else BitMap.union(*bitmaps) if bitmaps else BitMap()

    def _few(self) -> BitMap | None:
        """Documents among which all matches are, where so few of their postings are easily seen to be few."""
        allowed = self._narrowing.allowed
        postings = sum(impacts.doc_freq for _, impacts in self._held)
        if allowed is not None:
            about = len(allowed) * (postings / self._context.doc_count + (not self._plan.any_term))
            if about <= FEW_ALLOWED:
                return allowed
        return self._any_term() if self._plan.holds_terms and postings <= FEW else None

    def _candidates(self, count: int, floor: float) -> Ints | None:
        if not self._held:
            return None
        reader = self._context.reader
        similarities = {term.primitive.field: term.similarity for term, _ in self._held}
        stretches = {field: stretch(reader, field, own) for field, own in similarities.items()}
        parts = [
            Part(impacts, term.value * stretches[term.primitive.field].most) for term, impacts in self._held
        ]
        scale = Scale(parts, min(own.least / own.most for own in stretches.values()))
        if not scale.fits:
            return None
        return Candidates(parts, scale, self._context.doc_count, self._narrowing, count).find(floor)


def _summed(held: Sequence[Held], context: SegmentContext, docs: Ints) -> F64s:
    """float64[n]: the scores, added in the order of the terms; a term that is not there adds 0.0."""
    norms: dict[str, F64s | float] = {}
    total = np.zeros(len(docs))
    for term, impacts in held:
        field, similarity = term.primitive.field, term.similarity
        if field not in norms:
            norms[field] = norms_of(field, similarity, context, docs)
        total += saturated(term.value, impacts.frequencies(docs), norms[field])
    return total
