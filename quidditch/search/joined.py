"""Several segments with their lists end to end, scored as one.

A search pays for every NumPy call in every segment. Lists, lengths and deletes of the large segments are therefore
joined when first asked for, and kept; the small ones, which the next writes replace, are searched one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from quidditch.interface import FieldStats
from quidditch.search.readers import Postings, SegmentReader
from quidditch.types import Ints, U32s

JOIN_SHARE = 32
"""The joined segments end with the last one that holds at least one document in so many: what comes after changes
too often, and costs too little, to be joined."""

MOST_DOCS = 1 << 32

_COST_BYTES = 400


def joined_count(segments: Sequence[SegmentReader]) -> int:
    """How many segments, counted from the first, are worth searching as one; 0 or 2 and more."""
    sizes = [segment.doc_count for segment in segments]
    docs = sum(sizes)
    if docs >= MOST_DOCS:
        return 0
    found = 0
    for count, (segment, size) in enumerate(zip(segments, sizes, strict=True), 1):
        if not segment.lasting:
            break
        if size * JOIN_SHARE >= docs:
            found = count
    return found if found > 1 else 0


class Lists(NamedTuple):
    """The documents of a term, as an array and as a bitmap, and how often it stands in each."""

    docs: U32s
    bitmap: BitMap
    freqs: U32s | None

    @property
    def nbytes(self) -> int:
        """Bytes held in memory, about."""
        freqs = 0 if self.freqs is None else self.freqs.nbytes
        return self.docs.nbytes + 2 * len(self.docs) + freqs


class JoinedPostings:
    """The lists of one term, end to end. Arrays are shared: do not write."""

    def __init__(self, lists: Lists, read: Callable[[], Sequence[Postings]]) -> None:
        """`read` gives the segments' own lists, which positions alone are read with."""
        self.lists = lists
        self._read = read
        self.doc_freq = len(lists.docs)

    @cached_property
    def _parts(self) -> Sequence[Postings]:
        return self._read()

    def docs(self) -> U32s:
        return self.lists.docs

    def freqs(self) -> U32s | None:
        return self.lists.freqs

    def bitmap(self) -> BitMap:
        return self.lists.bitmap

    def positions(self) -> tuple[U32s, U32s] | None:
        return _joined_positions([part.positions() for part in self._parts])

    def positions_at(self, places: Ints) -> tuple[U32s, U32s] | None:
        edges = list(accumulate((part.doc_freq for part in self._parts), initial=0))
        cuts = places.searchsorted(edges).tolist()
        return _joined_positions(
            [
                part.positions_at(places[low:high] - edge)
                for part, edge, low, high in zip(self._parts, edges, cuts, cuts[1:], strict=False)
                if low < high
            ]
        )


class JoinedSegments:
    """`ListReader` over some segments of a snapshot, their documents numbered on.

    cost: a list is read from each segment and copied once; after that it is one list
    """

    def __init__(self, segments: Sequence[SegmentReader]) -> None:
        self._segments = segments
        # Kept with the first: a segment's number is never used twice, so the numbers say what was joined.
        self._key = tuple(segment.segment_id for segment in segments)
        *self.starts, self.doc_count = accumulate((segment.doc_count for segment in segments), initial=0)

    @cached_property
    def deleted(self) -> BitMap:
        if not any(segment.deleted for segment in self._segments):
            return BitMap()
        return shifted_union((segment.deleted for segment in self._segments), self.starts)

    def recall(self, key: Hashable) -> Any:
        return self._segments[0].recall((self._key, key))

    def keep(self, key: Hashable, answer: Any, size_bytes: int) -> None:
        self._segments[0].keep((self._key, key), answer, size_bytes)

    def postings(self, field: str, term: bytes) -> JoinedPostings | None:
        parts, starts = self._parts(segment.postings(field, term) for segment in self._segments)
        return JoinedPostings(_joined(parts, starts), lambda: parts) if parts else None

    def shared_postings(self, field: str, term: bytes) -> JoinedPostings | None:
        """As `postings`, kept for the next search; the segments' own lists are kept only where positions are asked
        for again, or memory would hold each list twice."""
        key = ("lists", field, term)
        lists: Lists | None = self.recall(key)
        if lists is not None:
            return JoinedPostings(lists, lambda: self._shared_parts(field, term))
        found = self.postings(field, term)
        if found is not None:
            self.keep(key, found.lists, found.lists.nbytes + _COST_BYTES)
        return found

    def _shared_parts(self, field: str, term: bytes) -> list[Postings]:
        return self._parts(segment.shared_postings(field, term) for segment in self._segments)[0]

    def _parts(self, lists: Iterable[Postings | None]) -> tuple[list[Postings], list[int]]:
        """The lists of the segments that have the term, and where these begin."""
        found = [(part, start) for part, start in zip(lists, self.starts, strict=False) if part is not None]
        return [part for part, _ in found], [start for _, start in found]

    def doc_freq(self, field: str, term: bytes) -> int:
        """Live documents that hold the term."""
        known: BitMap | None = self.recall(("bitmap", field, term))
        if known is None:
            return sum(segment.doc_freq(field, term) for segment in self._segments)
        return known.difference_cardinality(self.deleted) if self.deleted else len(known)

    def field_stats(self, field: str) -> FieldStats:
        if self.deleted:
            return self._field_stats(field)
        found: FieldStats = self._once(("field_stats", field), lambda: self._field_stats(field))
        return found

    def _field_stats(self, field: str) -> FieldStats:
        found = [segment.field_stats(field) for segment in self._segments]
        return FieldStats(
            sum(each.doc_count for each in found), sum(each.sum_length_tokens for each in found)
        )

    def average_length(self, field: str) -> float:
        found: float = self._once(("average_length", field), lambda: self._average_length(field))
        return found

    def _average_length(self, field: str) -> float:
        lengths = self.lengths(field)
        if lengths is None:
            return 1.0
        tokens, docs = int(lengths.sum(dtype=np.uint64)), int(np.count_nonzero(lengths))
        return tokens / docs if tokens else 1.0

    def lengths(self, field: str) -> NDArray[np.unsignedinteger[Any]] | None:
        found: NDArray[np.unsignedinteger[Any]] = self._once(("lengths", field), lambda: self._lengths(field))
        return found if len(found) else None

    def _lengths(self, field: str) -> NDArray[np.unsignedinteger[Any]]:
        own = [segment.lengths(field) for segment in self._segments]
        if all(each is None for each in own):
            return np.empty(0, np.uint8)
        return np.concatenate(
            [
                np.zeros(segment.doc_count, np.uint8) if each is None else each
                for segment, each in zip(self._segments, own, strict=True)
            ]
        )

    def _once(self, key: Hashable, find: Callable[[], Any]) -> Any:
        known = self.recall(key)
        if known is None:
            known = find()
            self.keep(key, known, getattr(known, "nbytes", 0) + _COST_BYTES)
        return known


def shifted_union(bitmaps: Iterable[BitMap], starts: Sequence[int]) -> BitMap:
    """Documents of several segments, numbered on from each one's start."""
    return BitMap.union(*(each.shift(start) for each, start in zip(bitmaps, starts, strict=False)))


def _joined(parts: Sequence[Postings], starts: Sequence[int]) -> Lists:
    docs = _end_to_end(part.docs() + np.uint32(start) for part, start in zip(parts, starts, strict=True))
    return Lists(docs, shifted_union((part.bitmap() for part in parts), starts), _joined_freqs(parts))


def _joined_freqs(parts: Sequence[Postings]) -> U32s | None:
    own = [part.freqs() for part in parts]
    if all(each is None for each in own):
        return None
    return _end_to_end(
        np.ones(part.doc_freq, np.uint32) if each is None else each
        for part, each in zip(parts, own, strict=True)
    )


def _joined_positions(parts: Sequence[tuple[U32s, U32s] | None]) -> tuple[U32s, U32s] | None:
    """As one segment gives them; None where one of them keeps none."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if len(known) == 1:
        return known[0]
    ends = accumulate((int(offsets[-1]) for offsets, _ in known), initial=0)
    offsets = [offsets[1:] + np.uint32(end) for (offsets, _), end in zip(known, ends, strict=False)]
    first = np.zeros(1, np.uint32)
    return _end_to_end([first, *offsets]), _end_to_end([first[:0], *(positions for _, positions in known)])


def _end_to_end(parts: Iterable[U32s]) -> U32s:
    arrays = list(parts)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
