"""Documents that hold one term: its posting list, and BM25 over the whole list."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pyroaring import BitMap

from quidditch.query.primitive import ScoredTerm
from quidditch.search.readers import Postings
from quidditch.search.scorers.context import NOTHING_SCORED, Scored, SegmentContext, chunks
from quidditch.search.weight import TermWeight
from quidditch.types import F64s, Ints, U32s


def match_term(query: ScoredTerm, context: SegmentContext, within: BitMap | None) -> BitMap:
    return context.bitmap(query.field, query.term)


def score_term(weight: TermWeight, context: SegmentContext, within: BitMap | None) -> Scored:
    postings = context.postings(weight.primitive.field, weight.primitive.term)
    if postings is None:
        return NOTHING_SCORED
    docs, places = context.places(postings, within)
    scores = np.empty(len(docs))
    for part, _, some in _parts(weight, context, postings, docs, places):
        scores[part] = some
    return Scored(docs, scores)


def add_term(weight: TermWeight, context: SegmentContext, total: F64s) -> None:
    """Add the scores of the whole list to an accumulator, piece by piece."""
    postings = context.postings(weight.primitive.field, weight.primitive.term)
    if postings is not None:
        for _, docs, some in _parts(weight, context, postings, postings.docs(), None):
            np.add.at(total, docs, some)


def _parts(
    weight: TermWeight, context: SegmentContext, postings: Postings, docs: U32s, places: Ints | None
) -> Iterator[tuple[slice, Ints, F64s]]:
    """(where in `docs`, those documents as intp, their scores) for one piece of the list after the other."""
    similarity = weight.similarity
    frequencies = None if similarity.kind == "keyword" else postings.freqs()
    lengths = context.lengths(weight.primitive.field) if similarity.uses_lengths else None
    for part in chunks(len(docs)):
        some = docs[part].astype(np.intp)
        tf = frequencies
        if tf is not None:
            tf = tf[part] if places is None else tf.take(places[part])
        dl = None if lengths is None else lengths.take(some)
        yield part, some, similarity.scores(weight.value, tf, dl, len(some))
