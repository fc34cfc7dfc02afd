"""Which queries are sums of terms' scores over documents that bitmaps can name: the ones that bounds can prune."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyroaring import BitMap

from quidditch.query.primitive import Primitive
from quidditch.search.scorers.compound import needed_should
from quidditch.search.scorers.context import SegmentContext
from quidditch.search.scorers.filters import match_any
from quidditch.search.weight import BooleanWeight, TermWeight, Weight

LEAST_VALUE = 1e-25
"""Of a term worth less, float32 may lose much of a score or all: the longest document leaves it 1e-10 of its value,
and below 1e-38 rounding is no longer relative, as bounds count on."""

MOST_TERMS = 128
"""Terms that 16-bit sums have room for, and still tell documents apart."""


@dataclass(frozen=True, slots=True)
class TermSum:
    """A document's score is the sum over `terms`, in this order.

    any_term:  a document must hold at least one of the terms
    required:  clauses that it must match besides, terms that must be there among them
    excluded:  clauses that it must not match
    """

    terms: tuple[TermWeight, ...]
    any_term: bool
    required: tuple[Primitive, ...] = ()
    excluded: tuple[Primitive, ...] = ()

    @property
    def holds_terms(self) -> bool:
        """Whether each match holds one of the terms, and so has a score above 0."""
        return self.any_term or any(term.primitive in self.required for term in self.terms)

    def denied(self, context: SegmentContext) -> BitMap:
        """The documents that are deleted or match an excluded clause."""
        denied = match_any(self.excluded, context)
        return context.deleted | denied if denied else context.deleted


def has_bounds(weight: TermWeight) -> bool:
    """Whether the term adds to the score of each document that holds it, and float32 keeps what it adds."""
    return weight.value >= LEAST_VALUE


def plan_of(weight: Weight) -> TermSum | None:
    """The query as a sum of terms; None for queries of another shape."""
    if isinstance(weight, TermWeight):
        return TermSum((weight,), any_term=True) if has_bounds(weight) else None
    if not isinstance(weight, BooleanWeight):
        return None
    query = weight.primitive
    wraps = len(query.must) == 1 and not query.should and not query.minimum_should_match
    if wraps and isinstance(weight.must[0], BooleanWeight):
        inner = plan_of(weight.must[0])
        return None if inner is None else _narrowed(inner, query.filter, query.must_not)
    return _of_terms(weight)


def _of_terms(weight: BooleanWeight) -> TermSum | None:
    query = weight.primitive
    clauses = (*weight.must, *weight.should)
    terms = tuple(each for each in clauses if isinstance(each, TermWeight) and has_bounds(each))
    if not terms or len(terms) < len(clauses) or len(terms) > MOST_TERMS:
        return None
    needed, must = needed_should(query), query.must
    if needed == len(query.should):
        needed, must = 0, (*must, *query.should)
    # Where a term must be there and one of some others too, the others would have to be told apart.
    if needed > 1 or (needed and must):
        return None
    if len(terms) == 1 and must:
        # What a document that holds the one term must hold besides is nothing.
        needed, must = 1, ()
    plan = TermSum(terms, any_term=needed == 1)
    return _narrowed(plan, (*query.filter, *must), query.must_not)


def _narrowed(plan: TermSum, more: tuple[Primitive, ...], excluded: tuple[Primitive, ...]) -> TermSum:
    return replace(plan, required=(*plan.required, *more), excluded=(*plan.excluded, *excluded))
