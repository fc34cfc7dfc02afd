"""One segment, or several joined, during one search: what was read of it, what is already known to match, and
room to add up scores."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from pyroaring import BitMap

from quidditch.index.codecs import bitmap_of, ids_of
from quidditch.query.primitive import Primitive
from quidditch.search.readers import ListReader, Postings, SegmentReader
from quidditch.search.weight import Weight
from quidditch.types import DocId, F64s, Ints, U32s

SEARCHSORTED_COST = 20
"""A binary search costs about this many times a pass over one posting (measured, 200,000 postings)."""

MAX_KEPT_SCRATCH = 4
"""Accumulators kept by a thread; nested disjunctions use one each."""

_scratch = threading.local()


CHUNK = 32_768
"""Long arrays are worked off in pieces of this many documents: what is in between stays in the cache and
does not become fresh memory, whose pages cost more than the arithmetic (measured: a factor of three)."""


class Scored(NamedTuple):
    """Documents in ascending order (integers[n]) and their scores (float64[n]), aligned."""

    docs: Ints
    scores: F64s


class TimeIsUp(Exception):
    """The search's time ran out in the middle of a segment. Never leaves `search/`."""


class _Known(NamedTuple):
    query: Primitive
    within: BitMap | None
    value: Any


NO_DOCS = np.empty(0, np.uint32)
NOTHING_SCORED = Scored(NO_DOCS, np.empty(0))

Matcher: TypeAlias = "Callable[[Any, SegmentContext, BitMap | None], BitMap]"
Scorer: TypeAlias = "Callable[[Any, SegmentContext, BitMap | None], Scored]"
Adder: TypeAlias = "Callable[[Any, SegmentContext, F64s], None]"


class SegmentContext:
    """Matches and scores in one segment, or in several joined: their lists are those of `reader`, what else they
    hold each has for itself. What has been read or found once is kept until the search ends.

    `matchers` and `scorers` say which function serves which kind of Primitive and Weight; they reach each
    other through this object, so a compound needs to know nothing of its children.

    Bitmaps that it returns are shared: never change them in place.
    """

    __slots__ = (
        "_adders",
        "_known",
        "_lengths",
        "_matchers",
        "_postings",
        "_scorers",
        "deadline",
        "deleted",
        "doc_count",
        "find",
        "reader",
        "segments",
        "starts",
    )

    def __init__(
        self,
        reader: ListReader,
        segments: Sequence[SegmentReader],
        starts: Sequence[int],
        find: Callable[[str], DocId | None],
        matchers: Mapping[type, Matcher],
        scorers: Mapping[type, Scorer],
        adders: Mapping[type, Adder],
    ) -> None:
        """`starts`: the reader's number of each segment's first document. `find` gives the live document of an `_id`
        where it lies in these segments."""
        self.reader = reader
        self.segments = segments
        self.starts = starts
        self.find = find
        self.doc_count = reader.doc_count
        self.deleted = reader.deleted
        self.deadline = math.inf
        self._matchers = matchers
        self._scorers = scorers
        self._adders = adders
        self._postings: dict[tuple[str, bytes], Postings | None] = {}
        self._lengths: dict[str, Ints | None] = {}
        self._known: dict[tuple[str, int], _Known] = {}

    # ------------------------------------------------------------------------------------ what matches

    def matches(self, query: Primitive, within: BitMap | None = None) -> BitMap:
        """Matching documents, deleted ones included.

        With `within`, only documents in it need be looked at; the result may hold others all the same, so the
        caller intersects.
        """
        self.check_time()
        matcher = self._matchers[type(query)]
        found: BitMap = self.remembered("match", query, within, lambda: matcher(query, self, within))
        return found

    def check_time(self) -> None:
        """raises: TimeIsUp   asked before each clause, and inside the long ones"""
        if time.monotonic() > self.deadline:
            raise TimeIsUp

    def live_matches(self, query: Primitive) -> BitMap:
        """Matching documents that are not deleted: a filter's answer."""
        found = self.matches(query)
        return found - self.deleted if self.deleted else found

    def score(self, weight: Weight, within: BitMap | None = None) -> Scored:
        """Matching documents and scores, exactly those in `within` where it is given; else some may be
        deleted."""
        self.check_time()
        return self._scorers[type(weight)](weight, self, within)

    def add_scores(self, weight: Weight, within: BitMap | None, total: F64s) -> None:
        """Add what `score` gives to an accumulator."""
        adder = self._adders.get(type(weight)) if within is None else None
        if adder is not None:
            self.check_time()
            adder(weight, self, total)
            return
        docs, scores = self.score(weight, within)
        # A document is listed once, so each score is added once; `at` is the faster road for that too.
        np.add.at(total, docs.astype(np.intp), scores)

    def score_live(self, weight: Weight) -> Scored:
        """Every live match with its score."""
        scored = self.score(weight)
        if not self.deleted or not len(scored.docs):
            return scored
        dead = np.zeros(self.doc_count, np.bool_)
        dead[ids_of(self.deleted)] = True
        alive = np.flatnonzero(~dead.take(scored.docs))
        if len(alive) == len(scored.docs):
            return scored
        return Scored(scored.docs.take(alive), scored.scores.take(alive))

    def remembered(self, kind: str, query: Primitive, within: BitMap | None, find: Callable[[], Any]) -> Any:
        """What `find` gives for `query`, looked for once for any `within` that an earlier one covers.

        By identity of the query object: trees are small, and comparing them would cost more than it saves.
        """
        key = (kind, id(query))
        known = self._known.get(key)
        if known is not None and _covers(known.within, within):
            return known.value
        value = find()
        # The query is kept with its answer, or another might come to stand under its identity.
        self._known[key] = _Known(query, within, value)
        return value

    def in_each(self, match: Callable[[SegmentReader], BitMap]) -> BitMap:
        """What matches by a function of one segment's rows, in all of them."""
        if len(self.segments) == 1:
            return match(self.segments[0])
        found = [
            match(segment).shift(start) for segment, start in zip(self.segments, self.starts, strict=True)
        ]
        return BitMap.union(*found)

    def located(self, docs: Ints, first: int) -> tuple[list[int], list[DocId]]:
        """Of each document: its segment's place, the first of `segments` being at `first`, and its number there."""
        if len(self.segments) == 1:
            return [first] * len(docs), docs.tolist()
        starts = np.array(self.starts)
        places = starts.searchsorted(docs, side="right") - 1
        return (places + first).tolist(), (docs - starts.take(places)).tolist()

    # ------------------------------------------------------------------------------------ what is read

    def postings(self, field: str, term: bytes) -> Postings | None:
        key = (field, term)
        try:
            return self._postings[key]
        except KeyError:
            found = self._postings[key] = self.reader.shared_postings(field, term)
            return found

    def bitmap(self, field: str, term: bytes) -> BitMap:
        """The documents that hold a term; shared by searches for as long as there is room."""
        found: BitMap | None = self.reader.recall(("bitmap", field, term))
        if found is None:
            postings = self.postings(field, term)
            if postings is None:
                return BitMap()
            found = postings.bitmap()
            size_bytes = bitmap_bytes(postings.doc_freq, self.doc_count)
            self.reader.keep(("bitmap", field, term), found, size_bytes)
        return found

    def lengths(self, field: str) -> Ints | None:
        try:
            return self._lengths[field]
        except KeyError:
            found = self._lengths[field] = self.reader.lengths(field)
            return found

    def places(self, postings: Postings, within: BitMap | None) -> tuple[U32s, Ints | None]:
        """The documents of a list that lie in `within`, and where they stand in it (None: all of
        it)."""
        docs = postings.docs()
        if within is None:
            return docs, None
        chosen = ids_of(postings.bitmap() & within)
        if len(chosen) == len(docs):
            return chosen, None
        if len(chosen) * SEARCHSORTED_COST < len(docs):
            return chosen, docs.searchsorted(chosen)
        mask = np.zeros(self.doc_count, np.bool_)
        mask[chosen] = True
        return chosen, np.flatnonzero(mask.take(docs))

    # ------------------------------------------------------------------------------------- where it adds up

    def take_accumulator(self) -> F64s:
        """float64[>= doc_count] of zeros, this caller's until it is given back."""
        free: list[F64s] = getattr(_scratch, "free", [])
        if free and len(free[-1]) >= self.doc_count:
            return free.pop()
        return np.zeros(self.doc_count)

    def give_accumulator(self, room: F64s, touched: Ints) -> None:
        """Hand one back; `touched` are the only documents where it is not zero."""
        if 4 * len(touched) > len(room):
            room.fill(0.0)
        else:
            room[touched] = 0.0
        if not hasattr(_scratch, "free"):
            _scratch.free = []
        free: list[F64s] = _scratch.free
        free.append(room)
        free.sort(key=len)
        del free[:-MAX_KEPT_SCRATCH]


def _covers(known: BitMap | None, asked: BitMap | None) -> bool:
    if known is None or known is asked:
        return True
    return asked is not None and bool(asked.issubset(known))


def bitmap_bytes(count: int, doc_count: int) -> int:
    """About what a bitmap of `count` documents holds in memory."""
    return min(2 * count, doc_count // 8) + 100


def docs_of(bitmap: BitMap, within: BitMap | None) -> U32s:
    """uint32[n]: the documents of a bitmap, of those in `within`."""
    return ids_of(bitmap if within is None else bitmap & within)


def chunks(size: int) -> Iterator[slice]:
    """Slices that cover `size` places in order."""
    return (slice(start, start + CHUNK) for start in range(0, size, CHUNK))


def gathered(values: F64s, docs: Ints) -> F64s:
    """float64[n]: the values of these documents."""
    found = np.empty(len(docs))
    for part in chunks(len(docs)):
        found[part] = values.take(docs[part])
    return found


def bitmap_of_mask(mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> BitMap:
    return bitmap_of(np.flatnonzero(mask))
