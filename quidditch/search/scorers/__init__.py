"""Weight x segment -> documents and scores, a whole segment at once; one module for each family.

Elsewhere a scorer is an iterator over documents. Here it is a function over arrays: Python's cost is per
call, so it must not be paid per document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyroaring import BitMap

from quidditch.query.primitive import (
    BestOf,
    Boolean,
    Constant,
    Everything,
    HasId,
    HasValue,
    IdSlice,
    Nothing,
    NumberInterval,
    NumberSet,
    ScoredPhrase,
    ScoredTerm,
    TermInterval,
    TermPrefix,
    TermSet,
)
from quidditch.search.readers import ListReader, SegmentReader
from quidditch.search.scorers import compound, phrase, sets, term
from quidditch.search.scorers.context import Adder, Matcher, Scored, Scorer, SegmentContext
from quidditch.search.scorers.filters import kept
from quidditch.search.weight import BestOfWeight, BooleanWeight, ConstantWeight, PhraseWeight, TermWeight
from quidditch.types import DocId


def in_each(match: Callable[[Any, SegmentReader], BitMap]) -> Matcher:
    """The matcher of a leaf that is found by each segment's own rows."""

    def matcher(query: Any, context: SegmentContext, within: BitMap | None) -> BitMap:
        return context.in_each(lambda segment: match(query, segment))

    return matcher


MATCHERS: dict[type, Matcher] = {
    Everything: sets.match_everything,
    Nothing: sets.match_nothing,
    ScoredTerm: term.match_term,
    ScoredPhrase: phrase.match_phrase,
    TermSet: kept(sets.match_term_set),
    TermInterval: kept(in_each(sets.match_term_interval)),
    TermPrefix: kept(in_each(sets.match_term_prefix)),
    NumberInterval: kept(in_each(sets.match_number_interval)),
    NumberSet: kept(in_each(sets.match_number_set)),
    HasValue: kept(in_each(sets.match_value)),
    HasId: sets.match_ids,
    IdSlice: kept(in_each(sets.match_id_slice)),
    Constant: compound.match_constant,
    Boolean: compound.match_boolean,
    BestOf: compound.match_best,
}

SCORERS: dict[type, Scorer] = {
    ConstantWeight: sets.score_constant,
    TermWeight: term.score_term,
    PhraseWeight: phrase.score_phrase,
    BooleanWeight: compound.score_boolean,
    BestOfWeight: compound.score_best,
}

ADDERS: dict[type, Adder] = {TermWeight: term.add_term}
"""Scorers that add into an accumulator without building whole arrays: the road of plain disjunctions."""


def open_segment(segment: SegmentReader, find: Callable[[str], DocId | None]) -> SegmentContext:
    """The segment as one search sees it; `find` gives the live document of an `_id` if it lies in this
    segment."""
    return SegmentContext(segment, (segment,), (0,), find, MATCHERS, SCORERS, ADDERS)


def open_joined(
    reader: ListReader,
    segments: Sequence[SegmentReader],
    starts: Sequence[int],
    find: Callable[[str], DocId | None],
) -> SegmentContext:
    """Several segments as one; `reader` has their lists end to end, their documents beginning at
    `starts`."""
    return SegmentContext(reader, segments, starts, find, MATCHERS, SCORERS, ADDERS)


__all__ = ["Scored", "SegmentContext", "open_joined", "open_segment"]
