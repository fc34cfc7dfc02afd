"""Filters that were asked before: their bitmaps, kept with the segment.

A segment's rows never change, and what matches holds deleted documents too; so a bitmap stays true for as long
as the segment lives, in every snapshot. It is kept from the second time on that its filter is asked, since
most queries come once, and only where finding it costs more than looking it up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyroaring import BitMap

from quidditch.query.primitive import (
    BestOf,
    Boolean,
    Constant,
    HasId,
    NumberSet,
    Primitive,
    ScoredPhrase,
    TermSet,
)
from quidditch.search.scorers.context import Matcher, SegmentContext, bitmap_bytes

ENTRY_BYTES = 500
"""Of the cache's budget for an entry, beside its bitmap: a key of a few values, and what holds them."""

VALUE_BYTES = 80
"""The same for each value of a set in the key."""

MOST_VALUES = 10_000
"""Filters with more values than this are not kept: their keys would weigh as much as bitmaps."""

NARROW_SHARE = 8
"""A compound or a phrase is looked for in all documents only where the other clauses leave more than this part
of them."""

_ASKED = "asked"
_FOUND = "found"


def kept(matcher: Matcher) -> Matcher:
    """The matcher of a leaf that is costly to match wherever it stands, and that never looks at `within`."""

    def match(query: Any, context: SegmentContext, within: BitMap | None) -> BitMap:
        values = _values(query)
        # One term is a list that is read as fast as it is looked up.
        if values > MOST_VALUES or (values == 1 and isinstance(query, TermSet)):
            return matcher(query, context, within)
        return _looked_up(query, context, within, lambda within: matcher(query, context, within))

    return match


def match_filter(query: Primitive, context: SegmentContext, within: BitMap | None) -> BitMap:
    """As `context.matches`, for a clause that scores nothing: phrases and whole booleans are kept too."""
    while isinstance(query, Constant):
        query = query.child
    if not isinstance(query, ScoredPhrase | Boolean | BestOf) or not _lasts(query):
        return context.matches(query, within)
    found: BitMap = context.remembered("filter", query, within, lambda: _match_costly(query, context, within))
    return found


def match_every(clauses: Sequence[Primitive], context: SegmentContext, found: BitMap | None) -> BitMap | None:
    """The documents of `found` (None: all) that match each of the clauses; None for all, where there are none."""
    for clause in clauses:
        matched = match_filter(clause, context, found)
        found = matched if found is None else found & matched
    return found


def match_any(clauses: Sequence[Primitive], context: SegmentContext) -> BitMap:
    """The documents that match at least one of the clauses."""
    return BitMap.union(*(match_filter(clause, context, None) for clause in clauses)) if clauses else BitMap()


def known_filter(query: Primitive, context: SegmentContext) -> BitMap | None:
    """What an earlier search has found for the same filter."""
    found: BitMap | None = context.reader.recall((_FOUND, query))
    return found


def _match_costly(query: Primitive, context: SegmentContext, within: BitMap | None) -> BitMap:
    if is_narrow(within, context):
        known = known_filter(query, context)
        return context.matches(query, within) if known is None else known
    return _looked_up(query, context, within, lambda within: context.matches(query, within))


def is_narrow(within: BitMap | None, context: SegmentContext) -> bool:
    """Are so few documents left that it is worth looking at these alone?"""
    return within is not None and len(within) * NARROW_SHARE < context.doc_count


def _looked_up(
    query: Primitive,
    context: SegmentContext,
    within: BitMap | None,
    find: Callable[[BitMap | None], BitMap],
) -> BitMap:
    segment = context.reader
    known = known_filter(query, context)
    if known is not None:
        return known
    key_bytes = ENTRY_BYTES + VALUE_BYTES * _values(query)
    if segment.recall((_ASKED, query)) is None:
        segment.keep((_ASKED, query), True, key_bytes)
        return find(within)
    found = find(None)
    segment.keep((_FOUND, query), found, key_bytes + bitmap_bytes(len(found), context.doc_count))
    return found


def _lasts(query: Primitive) -> bool:
    """Whether the answer follows from the segment's rows alone (which document has an id does not), and the
    key is no burden."""
    if isinstance(query, HasId):
        return False
    return all(map(_lasts, _children(query))) and _values(query) <= MOST_VALUES


def _children(query: Primitive) -> tuple[Primitive, ...]:
    if isinstance(query, Boolean):
        return (*query.must, *query.filter, *query.should, *query.must_not)
    if isinstance(query, BestOf):
        return query.children
    return (query.child,) if isinstance(query, Constant) else ()


def _values(query: Primitive) -> int:
    """How many values a leaf has, and all leaves of a compound."""
    if isinstance(query, TermSet):
        return len(query.terms)
    if isinstance(query, NumberSet):
        return len(query.values)
    return sum(map(_values, _children(query))) or 1
