"""Documents that hold one term: its posting list, and BM25 over the whole list at once."""

from __future__ import annotations

from pyroaring import BitMap

from quidditch.query.primitive import ScoredTerm
from quidditch.search.scorers.context import NOTHING_SCORED, Scored, SegmentContext
from quidditch.search.weight import TermWeight


def match_term(query: ScoredTerm, context: SegmentContext, within: BitMap | None) -> BitMap:
    postings = context.postings(query.field, query.term)
    return BitMap() if postings is None else postings.bitmap()


def score_term(weight: TermWeight, context: SegmentContext, within: BitMap | None) -> Scored:
    query, similarity = weight.primitive, weight.similarity
    postings = context.postings(query.field, query.term)
    if postings is None:
        return NOTHING_SCORED
    docs, places = context.places(postings, within)
    if not len(docs):
        return NOTHING_SCORED
    frequencies = None if similarity.kind == "keyword" else postings.freqs()
    if frequencies is not None and places is not None:
        frequencies = frequencies.take(places)
    lengths = context.lengths(query.field) if similarity.uses_lengths else None
    if lengths is not None:
        lengths = lengths.take(docs)
    return Scored(docs, similarity.scores(weight.value, frequencies, lengths, len(docs)))
