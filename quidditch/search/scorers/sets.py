"""Documents that match and score one constant: sets of terms or numbers, intervals, prefixes, ids,
presence."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from zlib import crc32

import numpy as np
from pyroaring import BitMap

from quidditch.index.codecs import bitmap_of
from quidditch.query.primitive import (
    Everything,
    HasId,
    HasValue,
    IdSlice,
    Nothing,
    NumberInterval,
    NumberSet,
    TermInterval,
    TermPrefix,
    TermSet,
)
from quidditch.search.readers import Column, Postings, SegmentReader, distinct_docs
from quidditch.search.scorers.context import Scored, SegmentContext, bitmap_of_mask, docs_of
from quidditch.search.scorers.filters import match_filter
from quidditch.search.weight import ConstantWeight
from quidditch.types import Bools, U32s

FEW_LISTS = 8
"""Up to so many posting lists are united as bitmaps; more go through one array of flags."""

FEW_ORDINALS = 64
"""An interval of more terms than this is read off the column, where the field has one, instead of as
lists."""

LISTS_AT_ONCE = 4096

_HASHES = "id_hashes"
_HASHED_AT_ONCE = 65_536

FEW_NUMBERS = 8
"""Up to so many numbers are compared one by one, which is faster than looking each value up."""


def score_constant(weight: ConstantWeight, context: SegmentContext, within: BitMap | None) -> Scored:
    docs = docs_of(match_filter(weight.primitive, context, within), within)
    return Scored(docs, np.broadcast_to(np.float64(weight.value), len(docs)))


def match_everything(query: Everything, context: SegmentContext, within: BitMap | None) -> BitMap:
    return BitMap(range(context.doc_count))


def match_nothing(query: Nothing, context: SegmentContext, within: BitMap | None) -> BitMap:
    return BitMap()


def match_value(query: HasValue, segment: SegmentReader) -> BitMap:
    return segment.exists(query.field)


def match_ids(query: HasId, context: SegmentContext, within: BitMap | None) -> BitMap:
    found = (context.find(id) for id in query.ids)
    return BitMap([doc for doc in found if doc is not None])


def match_id_slice(query: IdSlice, segment: SegmentReader) -> BitMap:
    return BitMap(np.flatnonzero(_id_hashes(segment) % query.count == query.number).astype(np.uint32))


def _id_hashes(segment: SegmentReader) -> U32s:
    """uint32[doc_count]; of all ids once, and then kept with the segment."""
    known: U32s | None = segment.recall(_HASHES)
    if known is None:
        known = np.empty(segment.doc_count, np.uint32)
        for start in range(0, segment.doc_count, _HASHED_AT_ONCE):
            ids = segment.ids(np.arange(start, min(start + _HASHED_AT_ONCE, len(known)), dtype=np.uint32))
            known[start : start + len(ids)] = [crc32(id.encode()) for id in ids]
        segment.keep(_HASHES, known, known.nbytes)
    return known


# ------------------------------------------------------------------------------------------------- terms


def match_term_set(query: TermSet, context: SegmentContext, within: BitMap | None) -> BitMap:
    if len(query.terms) == 1:
        (term,) = query.terms
        return context.bitmap(query.field, term)
    return context.in_each(lambda segment: _union(segment, query.field, query.terms))


def match_term_interval(query: TermInterval, segment: SegmentReader) -> BitMap:
    field = query.field
    column = segment.column(field)
    if column is None or column.kind != "ordinal":
        return segment.documents_between(
            field, query.lower, query.upper, query.include_lower, query.include_upper
        )
    terms_of = _Dictionary(segment, field, column)
    first = 0 if query.lower is None else terms_of.rank(query.lower, after=not query.include_lower)
    last = len(terms_of) if query.upper is None else terms_of.rank(query.upper, after=query.include_upper)
    return _ordinal_range(segment, field, column, first, last)


def match_term_prefix(query: TermPrefix, segment: SegmentReader) -> BitMap:
    field = query.field
    if query.ignore_case:
        return _union(segment, field, folded_prefix_terms(segment, field, query.prefix))
    column = segment.column(field)
    beyond = after_prefix(query.prefix)
    if column is None or column.kind != "ordinal":
        return segment.documents_between(field, query.prefix, beyond, include_upper=False)
    terms_of = _Dictionary(segment, field, column)
    first = terms_of.rank(query.prefix, after=False)
    last = len(terms_of) if beyond is None else terms_of.rank(beyond, after=False)
    return _ordinal_range(segment, field, column, first, last)


def folded_prefix_terms(segment: SegmentReader, field: str, prefix: bytes) -> list[bytes]:
    """Terms that start with `prefix` once both are case-folded. Cost: a look at every term of the field."""
    wanted = prefix.decode(errors="replace").casefold()
    return [
        term for term in segment.terms(field) if term.decode(errors="replace").casefold().startswith(wanted)
    ]


def after_prefix(prefix: bytes) -> bytes | None:
    """The least bytes beyond everything that starts with `prefix`; None when nothing is."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


class _Dictionary(Sequence[bytes]):
    """The terms of an ordinal column in order, read one at a time, for binary search."""

    def __init__(self, segment: SegmentReader, field: str, column: Column) -> None:
        self._segment = segment
        self._field = field
        self._size = 0 if column.maximum is None else int(column.maximum) + 1

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, ordinal: int) -> bytes:  # type: ignore[override]
        return self._segment.ordinal_terms(self._field, np.array([ordinal], np.uint32))[0]

    def rank(self, term: bytes, *, after: bool) -> int:
        """How many terms come before `term`, or with `after`, how many come no later."""
        place = bisect_left(self, term)
        return place + 1 if after and place < len(self) and self[place] == term else place


def term_rank(segment: SegmentReader, field: str, column: Column, term: bytes) -> tuple[int, bool]:
    """How many terms of an ordinal column come before `term`, and whether it is itself among them."""
    terms = _Dictionary(segment, field, column)
    place = terms.rank(term, after=False)
    return place, place < len(terms) and terms[place] == term


def _ordinal_range(segment: SegmentReader, field: str, column: Column, first: int, last: int) -> BitMap:
    if first >= last:
        return BitMap()
    if last - first <= FEW_ORDINALS:
        terms = segment.ordinal_terms(field, np.arange(first, last, dtype=np.uint32))
        lists = _lists(segment, field, terms)
        if len(lists) == last - first:
            return _union_of_lists(segment, lists)
    # Also the road of fields that keep a column and no postings.
    return _column_docs(column, (column.values >= first) & (column.values < last))


def _union(segment: SegmentReader, field: str, terms: Iterable[bytes]) -> BitMap:
    return _union_of_lists(segment, _lists(segment, field, terms))


def _lists(segment: SegmentReader, field: str, terms: Iterable[bytes]) -> list[Postings]:
    found = (segment.postings(field, term) for term in terms)
    return [postings for postings in found if postings is not None]


def _union_of_lists(segment: SegmentReader, lists: Sequence[Postings]) -> BitMap:
    """Documents in any list. Cost: one pass over the postings, whatever the number of lists."""
    if len(lists) <= FEW_LISTS:
        return BitMap.union(*(postings.bitmap() for postings in lists)) if lists else BitMap()
    flags = np.zeros(segment.doc_count, np.bool_)
    for start in range(0, len(lists), LISTS_AT_ONCE):
        flags[np.concatenate([postings.docs() for postings in lists[start : start + LISTS_AT_ONCE]])] = True
    return bitmap_of_mask(flags)


# ------------------------------------------------------------------------------------------------ numbers


def match_number_interval(query: NumberInterval, segment: SegmentReader) -> BitMap:
    column = segment.column(query.field)
    if column is None or column.minimum is None or column.maximum is None:
        return BitMap()
    lower, upper = query.lower, query.upper
    if lower > column.maximum or upper < column.minimum or lower > upper:
        return BitMap()
    # A limit beyond the column's own is never compared, so it need not fit the column's type either.
    above = None if lower <= column.minimum else column.values >= lower
    below = None if upper >= column.maximum else column.values <= upper
    if above is None:
        return bitmap_of(distinct_docs(column)) if below is None else _column_docs(column, below)
    return _column_docs(column, above if below is None else above & below)


def match_number_set(query: NumberSet, segment: SegmentReader) -> BitMap:
    column = segment.column(query.field)
    if column is None or column.minimum is None or column.maximum is None:
        return BitMap()
    wanted = [value for value in query.values if column.minimum <= value <= column.maximum]
    if not wanted:
        return BitMap()
    if len(wanted) <= FEW_NUMBERS:
        chosen = np.logical_or.reduce([column.values == value for value in wanted])
    else:
        chosen = np.isin(column.values, np.array(wanted, column.values.dtype))
    return _column_docs(column, chosen)


def _column_docs(column: Column, chosen: Bools) -> BitMap:
    docs: U32s = column.docs[chosen]
    return bitmap_of(docs)
