"""A page of the best phrases, where nobody asks how many there are."""

from __future__ import annotations

from dataclasses import dataclass

from pyroaring import BitMap

from quidditch.query.primitive import Primitive
from quidditch.search.scorers.context import Scored, SegmentContext
from quidditch.search.scorers.filters import match_any, match_every
from quidditch.search.scorers.phrase import top_phrase
from quidditch.search.weight import BooleanWeight, PhraseWeight, Weight


@dataclass(frozen=True, slots=True)
class PhrasePlan:
    """A phrase, and what its documents must match besides, and must not."""

    phrase: PhraseWeight
    required: tuple[Primitive, ...] = ()
    excluded: tuple[Primitive, ...] = ()


def phrase_plan_of(weight: Weight) -> PhrasePlan | None:
    """The query as one phrase, filtered perhaps; None for any other."""
    if isinstance(weight, PhraseWeight):
        return PhrasePlan(weight)
    if not isinstance(weight, BooleanWeight) or len(weight.must) != 1 or weight.should:
        return None
    inner = phrase_plan_of(weight.must[0])
    if inner is None or weight.primitive.minimum_should_match:
        return None
    query = weight.primitive
    return PhrasePlan(inner.phrase, (*inner.required, *query.filter), (*inner.excluded, *query.must_not))


class PhraseSearch:
    """One such query in one segment."""

    def __init__(self, plan: PhrasePlan, context: SegmentContext) -> None:
        self._plan = plan
        self._context = context

    def total(self) -> int:
        """0: telling how many there are would take looking at all of them."""
        return 0

    def top(self, count: int, floor: float) -> Scored:
        """Ascending documents and their scores: the best `count`, if they score `floor` or more."""
        return top_phrase(self._plan.phrase, self._context, count, self._within(), floor)

    def _within(self) -> BitMap | None:
        found = match_every(self._plan.required, self._context, None)
        if self._plan.excluded:
            denied = match_any(self._plan.excluded, self._context)
            found = (BitMap(range(self._context.doc_count)) if found is None else found) - denied
        return found
