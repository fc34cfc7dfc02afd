"""Every match of a sum of terms scored, where a filter leaves few: each list is asked for what it shares with the
filter alone, so that most of a list, and most documents for most of the terms, are never looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyroaring import BitMap

from quidditch.index.codecs import ids_of
from quidditch.search.pruning.impacts import Impacts
from quidditch.search.scorers.context import Scored, SegmentContext
from quidditch.search.scorers.positions import places_of
from quidditch.search.weight import TermWeight
from quidditch.types import F64s, U32s

Held = tuple[TermWeight, Impacts]
"""A term and its list in this segment."""


def score_matches(
    held: Sequence[Held], context: SegmentContext, allowed: BitMap, *, any_term: bool
) -> Scored:
    """The documents of `allowed`, of those that hold a term with `any_term`, and their scores, added in the order
    of the terms; a term that is not there adds nothing.

    cost: some 30 microseconds for each list, and the postings that lie in `allowed`
    """
    shared = [impacts.bitmap & allowed for _, impacts in held]
    docs = ids_of(BitMap.union(BitMap(), *shared) if any_term else allowed)
    total = context.take_accumulator()
    for (term, impacts), bitmap in zip(held, shared, strict=True):
        context.check_time()
        own = ids_of(bitmap)
        if len(own):
            total[own.astype(np.intp)] += _scores(term, impacts, context, own)
    scores = total.take(docs)
    context.give_accumulator(total, docs)
    return Scored(docs, scores)


def _scores(term: TermWeight, impacts: Impacts, context: SegmentContext, docs: U32s) -> F64s:
    """float64[n]: what the term adds to documents that hold it."""
    similarity = term.similarity
    frequencies = impacts.freqs
    if frequencies is not None:
        places = docs if impacts.dense else places_of(docs, impacts.docs, context.doc_count)
        frequencies = frequencies.take(places)
    lengths = context.lengths(term.primitive.field) if similarity.uses_lengths else None
    own = None if lengths is None else lengths.take(docs)
    return similarity.scores(term.value, frequencies, own, len(docs))
