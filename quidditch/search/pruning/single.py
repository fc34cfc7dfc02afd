"""The best documents for one term: how often each impact comes tells which postings can be among the best."""

from __future__ import annotations

import math

import numpy as np

from quidditch.search.pruning.bounds import Narrowing, Part, Scale
from quidditch.search.pruning.exact import norms_of
from quidditch.search.pruning.impacts import UNITS, Impacts, stretch
from quidditch.search.scorers.context import Scored, SegmentContext
from quidditch.search.similarity import saturated
from quidditch.search.weight import TermWeight
from quidditch.types import Ints


def best_of_one(
    term: TermWeight,
    held: Impacts,
    context: SegmentContext,
    narrowing: Narrowing,
    count: int,
    floor: float,
) -> Scored:
    """Ascending documents and their scores: the best `count` are among them, if they score `floor` or more.

    cost: one pass over the list's impacts, a byte each, or a few; and the scores of what may be among the best
    """
    field = term.primitive.field
    own = stretch(context.reader, field, term.similarity)
    scale = Scale([Part(held, term.value * own.most)], own.least / own.most)
    places = _places(held, scale, narrowing, count, scale.least_sum(floor))
    docs = places if held.dense else held.docs.take(places)
    freqs = np.ones(len(docs)) if held.freqs is None else held.freqs.take(places).astype(np.float64)
    return Scored(docs, saturated(term.value, freqs, norms_of(field, term.similarity, context, docs)))


def _places(held: Impacts, scale: Scale, narrowing: Narrowing, count: int, lowest: int) -> Ints:
    """Where documents stand that count and may be among the best, none with a sum below `lowest`."""
    (weight,) = scale.weights
    wanted = narrowing.wanted(count, len(held.impacts) if held.dense else held.doc_freq)
    while True:
        reached = held.reached_by(math.ceil(wanted))
        least = max(lowest, scale.least_beside(reached * weight)) if reached else lowest
        places = _kept(held, np.flatnonzero(held.impacts >= min(-(-least // weight), UNITS + 1)), narrowing)
        if narrowing.leaves_all or least == lowest:
            return places
        if len(places) >= count:
            nth = np.partition(held.impacts.take(places), len(places) - count)[len(places) - count]
            if scale.least_beside(int(nth) * weight) >= least:
                return places
        # Of those that count, fewer than thought have a high impact: look further down.
        wanted *= 4


def _kept(held: Impacts, places: Ints, narrowing: Narrowing) -> Ints:
    """Those of these places whose documents count."""
    if narrowing.leaves_all:
        return places
    if held.dense:
        return narrowing.kept(places)
    return held.docs.searchsorted(narrowing.kept(held.docs.take(places)))
