"""The best documents for one term: how often each impact comes tells which postings can be among the best."""

from __future__ import annotations

import numpy as np

from quidditch.search.pruning.bounds import Part, Scale
from quidditch.search.pruning.exact import norms_of
from quidditch.search.pruning.impacts import UNITS, Impacts, stretch
from quidditch.search.scorers.context import NOTHING_SCORED, Scored, SegmentContext
from quidditch.search.similarity import saturated
from quidditch.search.weight import TermWeight


def best_of_one(term: TermWeight, held: Impacts, context: SegmentContext, count: int, floor: float) -> Scored:
    """Ascending documents and their scores: the best `count` are among them, if they score `floor` or more.

    cost: one pass over the list's impacts, a byte each, and the scores of the few that may be among the best
    """
    field = term.primitive.field
    own = stretch(context.reader, field, term.similarity)
    scale = Scale([Part(held, term.value * own.most)], own.least / own.most)
    (weight,) = scale.weights
    reached = held.reached_by(count)
    least = max(scale.least_sum(floor), scale.least_beside(reached * weight) if reached else 1)
    impact = -(-least // weight)
    if impact > UNITS:
        return NOTHING_SCORED
    places = np.flatnonzero(held.impacts >= np.uint8(impact))
    docs = places if held.dense else held.docs.take(places)
    freqs = np.ones(len(docs)) if held.freqs is None else held.freqs.take(places).astype(np.float64)
    return Scored(docs, saturated(term.value, freqs, norms_of(field, term.similarity, context, docs)))
