"""The order of hits by fields: keys as arrays inside a segment, as plain values across segments and shards.

Documents without a value come last in either direction, unless the sort says otherwise. An array sorts by its
lowest value ascending and its highest descending, unless `mode` says otherwise.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quidditch.interface import QueryRequest, ShardHit, SortKey
from quidditch.search.readers import Column, SegmentReader
from quidditch.search.scorers.sets import term_rank
from quidditch.search.topk import split_at_threshold
from quidditch.types import Bools, F32s, Ints, Json, U32s

LOOKUP_SHARE = 8
"""Values are looked up one by one for fewer documents than this part of the column, else through a full
table."""

_INT64 = np.iinfo(np.int64)
_LARGEST = float(np.finfo(np.float32).max)


class Keys(NamedTuple):
    """The values of one level for some documents: which have one (None: all), and the values, any where
    not."""

    present: Bools | None
    values: NDArray[Any]


# ------------------------------------------------------------------------------------- inside a segment


class Level:
    """One level of a sort in one segment. Values are read for the documents asked for, when they are asked
    for."""

    def __init__(self, segment: SegmentReader, key: SortKey, docs: Ints) -> None:
        self.segment = segment
        self.key = key
        self.docs = docs

    def keys(self, places: Ints) -> Keys:
        """Comparable values of the documents at these places; comparable within one call only."""
        raise NotImplementedError

    def values(self, places: Ints) -> list[Json]:
        """What a hit shows, and what compares across segments: None where there is no value."""
        raise NotImplementedError

    def compare(self, keys: Keys, value: Json) -> tuple[Bools, Bools]:
        """Which values are below `value`, and which equal it."""
        return _compare_numbers(keys.values, value)

    def ranks(self, places: Ints) -> list[NDArray[Any]]:
        """Arrays to order by, one after the other; the higher comes first."""
        present, values = self.keys(places)
        values = values if self.key.descending else _reversed(values)
        if present is None or present.all():
            return [values]
        first = ~present if self.key.missing_first else present
        return [first.astype(np.int8), np.where(present, values, values.dtype.type(0))]

    def split(self, places: Ints, value: Json) -> tuple[Bools, Bools]:
        """Which documents come after one with `value`, and which are equal to it."""
        keys = self.keys(places)
        present = np.ones(len(places), np.bool_) if keys.present is None else keys.present
        if value is None:
            later = present if self.key.missing_first else np.zeros(len(places), np.bool_)
            return later, ~present
        below, equal = self.compare(keys, value)
        later = below if self.key.descending else ~(below | equal)
        later = np.where(present, later, not self.key.missing_first)
        return later, equal & present


class ScoreLevel(Level):
    def __init__(self, segment: SegmentReader, key: SortKey, docs: Ints, scores: F32s) -> None:
        super().__init__(segment, key, docs)
        self.scores = scores

    def keys(self, places: Ints) -> Keys:
        return Keys(None, self.scores[places])

    def values(self, places: Ints) -> list[Json]:
        found: list[Json] = self.scores[places].tolist()
        return found

    def compare(self, keys: Keys, value: Json) -> tuple[Bools, Bools]:
        # Beyond float32 there is no score; an integer may even be beyond float64.
        score = np.float32(min(max(value, -_LARGEST), _LARGEST))
        return keys.values < score, keys.values == score


class WriteOrderLevel(Level):
    """`_doc`: the order of the last writes, shown as their sequence numbers."""

    def keys(self, places: Ints) -> Keys:
        return Keys(None, self.segment.seq_nos(self.docs[places].astype(np.uint32)).astype(np.int64))

    def values(self, places: Ints) -> list[Json]:
        found: list[Json] = self.keys(places).values.tolist()
        return found


class IdLevel(Level):
    """`_id` in the order of its bytes. The one level that compares in plain Python."""

    def keys(self, places: Ints) -> Keys:
        ids = self.values(places)
        order = sorted(range(len(ids)), key=ids.__getitem__)
        ranks = np.empty(len(ids), np.int64)
        ranks[order] = np.arange(len(ids))
        return Keys(None, ranks)

    def values(self, places: Ints) -> list[Json]:
        found: list[Json] = list(self.segment.ids(self.docs[places].astype(np.uint32)))
        return found

    def split(self, places: Ints, value: Json) -> tuple[Bools, Bools]:
        ids = self.values(places)
        equal = np.fromiter((id == value for id in ids), np.bool_, len(ids))
        below = np.fromiter((id < value for id in ids), np.bool_, len(ids))
        return (below if self.key.descending else ~(below | equal)), equal


class MissingLevel(Level):
    """A field that no document of this segment has."""

    def keys(self, places: Ints) -> Keys:
        if self.key.missing is not None and not isinstance(self.key.missing, str):
            return Keys(None, np.full(len(places), self.key.missing))
        return Keys(np.zeros(len(places), np.bool_), np.zeros(len(places), np.int64))

    def values(self, places: Ints) -> list[Json]:
        return [self.key.missing] * len(places)

    def split(self, places: Ints, value: Json) -> tuple[Bools, Bools]:
        own, size = self.key.missing, len(places)
        if own is None or value is None:
            later = own is None and value is not None and not self.key.missing_first
            return np.full(size, later), np.full(size, own is value)
        later = own < value if self.key.descending else own > value
        return np.full(size, later), np.full(size, own == value)


class ColumnLevel(Level):
    def __init__(self, segment: SegmentReader, key: SortKey, docs: Ints, column: Column) -> None:
        super().__init__(segment, key, docs)
        self.column = column
        lowest = (key.mode or ("max" if key.descending else "min")) == "min"
        self.side: Any = "left" if lowest else "right"

    def entries(self, places: Ints) -> Ints:
        """intp[n]: where in the column each document's value stands, -1 without one."""
        docs, held = self.docs[places], self.column.docs
        if self.column.single and len(held) == self.segment.doc_count:
            return docs
        if len(docs) * LOOKUP_SHARE < len(held):
            return _searched(held, docs, self.side)
        table = np.full(self.segment.doc_count, -1, np.intp)
        order = np.arange(len(held))
        # Of several assignments to one place the last stays.
        if self.side == "left":
            table[held[::-1]] = order[::-1]
        else:
            table[held] = order
        return table[docs]

    def keys(self, places: Ints) -> Keys:
        entries = self.entries(places)
        values = self.column.values[np.maximum(entries, 0)]
        present = entries >= 0
        if self.key.missing is None:
            return Keys(None if present.all() else present, values)
        return Keys(None, np.where(present, values, self.key.missing))

    def values(self, places: Ints) -> list[Json]:
        present, values = self.keys(places)
        shown: list[Json] = values.tolist()
        if present is None:
            return shown
        return [value if there else None for value, there in zip(shown, present.tolist(), strict=True)]


class TermLevel(ColumnLevel):
    """Terms by their ordinals, four codes apart.

    Between two there is room for terms that the segment lacks: `missing` and a `search_after` value may
    fall into one gap.
    """

    def keys(self, places: Ints) -> Keys:
        entries = self.entries(places)
        codes = self.column.values[np.maximum(entries, 0)].astype(np.int64) * 4
        present = entries >= 0
        if self.key.missing is not None:
            return Keys(None, np.where(present, codes, self._code(self.key.missing)))
        return Keys(None if present.all() else present, codes)

    def values(self, places: Ints) -> list[Json]:
        entries = self.entries(places)
        found = entries[entries >= 0]
        ordinals: U32s = self.column.values[found].astype(np.uint32)
        terms = iter(self.segment.ordinal_terms(self.key.field, ordinals))
        return [next(terms).decode() if entry >= 0 else self.key.missing for entry in entries.tolist()]

    def compare(self, keys: Keys, value: Json) -> tuple[Bools, Bools]:
        code = self._code(value)
        return keys.values < code, keys.values == code

    def _code(self, text: str) -> int:
        rank, there = term_rank(self.segment, self.key.field, self.column, text.encode())
        if there:
            return 4 * rank
        stand_in = text if self.key.missing is None else self.key.missing
        return 4 * rank - 2 + (text > stand_in) - (text < stand_in)


def _searched(held: U32s, docs: Ints, side: Any) -> Ints:
    wanted = docs.astype(np.uint32)
    found = held.searchsorted(wanted, side)
    entries = found if side == "left" else found - 1
    inside = (entries >= 0) & (entries < len(held))
    hit = inside & (held.take(np.where(inside, entries, 0)) == wanted)
    return np.where(hit, entries, -1)


def _reversed(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers in the opposite order; for integers without overflow."""
    return ~values if np.issubdtype(values.dtype, np.integer) else -values


def _compare_numbers(values: NDArray[Any], number: int | float) -> tuple[Bools, Bools]:
    """Exact where an integer column meets a fraction, or a number beyond 64 bits."""
    if np.issubdtype(values.dtype, np.floating):
        return values < number, values == number
    if isinstance(number, float) and math.isinf(number):
        return np.full(len(values), number > 0), np.zeros(len(values), np.bool_)
    whole = math.floor(number)
    if not _INT64.min <= whole <= _INT64.max:
        return np.full(len(values), whole > 0), np.zeros(len(values), np.bool_)
    if whole != number:
        return values <= whole, np.zeros(len(values), np.bool_)
    return values < whole, values == whole


def _level(segment: SegmentReader, key: SortKey, docs: Ints, scores: F32s | None) -> Level:
    if key.field == "_score":
        return ScoreLevel(segment, key, docs, np.zeros(len(docs), np.float32) if scores is None else scores)
    if key.field == "_doc":
        return WriteOrderLevel(segment, key, docs)
    if key.field == "_id":
        return IdLevel(segment, key, docs)
    column = segment.column(key.field)
    if column is None or not len(column.docs):
        return MissingLevel(segment, key, docs)
    kind = TermLevel if column.kind == "ordinal" else ColumnLevel
    return kind(segment, key, docs, column)


def select_sorted(
    segment: SegmentReader, docs: Ints, scores: F32s | None, request: QueryRequest
) -> tuple[Ints, list[tuple[Json, ...]]]:
    """The places in `docs` of a segment's first `request.size` documents, in order, and their sort values.

    cost: a few passes over the first level's keys; deeper levels are read only for ties at the threshold.
    """
    if len(request.sort) == 1 and request.sort[0].field == "_doc" and not request.sort[0].descending:
        return _in_write_order(segment, docs, request)
    levels = [_level(segment, key, docs, scores) for key in request.sort]
    places: Ints = np.arange(len(docs))
    if request.search_after is not None:
        places = places[_after(levels, places, request.search_after)]
    chosen = _narrowed(levels, places, request.size)
    if not len(chosen):
        return chosen, []
    ranks = [rank for level in levels for rank in level.ranks(chosen)]
    chosen = chosen[np.lexsort([_reversed(rank) for rank in reversed(ranks)])]
    return chosen, list(zip(*(level.values(chosen) for level in levels), strict=True))


def _in_write_order(
    segment: SegmentReader, docs: Ints, request: QueryRequest
) -> tuple[Ints, list[tuple[Json, ...]]]:
    """Documents lie in this order already; a scan that goes on by `search_after` touches only its own
    batch."""
    start = 0
    if request.search_after is not None:
        (after,) = request.search_after
        start = bisect_right(
            range(len(docs)), after, key=lambda place: _seq_nos(segment, docs[place : place + 1])[0]
        )
    places = np.arange(start, min(len(docs), start + request.size))
    return places, [(seq_no,) for seq_no in _seq_nos(segment, docs[places])]


def _seq_nos(segment: SegmentReader, docs: Ints) -> list[int]:
    found: list[int] = segment.seq_nos(docs.astype(np.uint32)).tolist()
    return found


def _after(levels: Sequence[Level], places: Ints, values: Sequence[Json]) -> Bools:
    later = np.zeros(len(places), np.bool_)
    equal = np.ones(len(places), np.bool_)
    for level, value in zip(levels, values, strict=True):
        beyond, same = level.split(places, value)
        later |= equal & beyond
        equal &= same
    return later


def _narrowed(levels: Sequence[Level], places: Ints, count: int) -> Ints:
    """intp[<= count], ascending: the documents that come first, in no order yet; equal ones by place."""
    settled: list[Ints] = []
    for level in levels:
        if len(places) <= count or not count:
            break
        ties = np.arange(len(places))
        for rank in level.ranks(places):
            if len(ties) <= count:
                break
            above, equal = split_at_threshold(rank[ties], count)
            settled.append(places[ties[above]])
            ties = ties[equal]
            count -= len(above)
        places = places[ties]
    return np.sort(np.concatenate([*settled, places[:count]]))


# ------------------------------------------------------------------------------- across segments and shards


class _Descending:
    """Turns the order of a value around, for values that have no negative."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(other.value == self.value)

    __hash__ = None  # type: ignore[assignment]


def order_key(sort: Sequence[SortKey]) -> Callable[[ShardHit], Any]:
    """A key for `sorted` that puts hits in order; without a sort, by score."""
    if not sort:
        return lambda hit: -hit.score
    return lambda hit: tuple(_comparable(key, value) for key, value in zip(sort, hit.sort, strict=True))


def _comparable(key: SortKey, value: Json) -> tuple[Any, ...]:
    if value is None:
        return (0,) if key.missing_first else (2,)
    return (1, _Descending(value)) if key.descending else (1, value)
