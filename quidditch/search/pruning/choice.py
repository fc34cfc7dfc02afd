"""Which way of pruning a query goes, if any."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias

from quidditch.search.pruning.bounded import BoundedSearch, terms_of
from quidditch.search.pruning.phrases import PhraseSearch, phrase_plan_of
from quidditch.search.pruning.plan import plan_of
from quidditch.search.pruning.top import TermSumSearch
from quidditch.search.scorers.context import Scored, SegmentContext
from quidditch.search.weight import Weight


class PrunedSearch(Protocol):
    """One query in one segment, or in several joined."""

    def top(self, count: int, floor: float) -> Scored | None:
        """Ascending documents and their scores: the best `count` are among them, if they score `floor` or more.
        None where scoring everything is the better way after all."""

    def total(self) -> int:
        """How many live documents match."""


OpenPruned: TypeAlias = Callable[[SegmentContext], PrunedSearch]


def pruned_search(weight: Weight, *, total: bool) -> OpenPruned | None:
    """What opens the search in a segment; None for queries that no bounds are known for. `total`: it must tell how
    many documents match, too."""
    plan = plan_of(weight)
    if plan is not None:
        return partial(TermSumSearch, plan)
    terms = terms_of(weight)
    if terms is not None:
        return partial(BoundedSearch, weight, terms)
    phrase = None if total else phrase_plan_of(weight)
    return None if phrase is None else partial(PhraseSearch, phrase)
