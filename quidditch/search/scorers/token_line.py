"""Phrases without a look at single documents: all tokens of a field laid in one line, document after document.

A token's *place* is where its document begins in the line, plus its position there. A term is a roaring bitmap of
its places, and a phrase the intersection of its terms' bitmaps, each moved by the term's place in the phrase. Only
what is left is told apart by documents. Bitmaps are kept with the segment, two bytes a token at most; a long list is
made into one from the second time on that it is asked for, since it costs more than the phrase of most queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pyroaring import BitMap

from quidditch.index.codecs import ascending_bitmap, bitmap_of, ids_of
from quidditch.search.readers import ListReader
from quidditch.search.scorers.context import SegmentContext, bitmap_bytes
from quidditch.types import Ints, U32s

ROOMS = ((1, 0), (3, 200), (101, 200))
"""A document's room in the line: so many times its tokens, and so many more. Most fields fit the first, where
positions count tokens; texts without their stop words, and arrays, whose values are 100 apart, need more."""

FARTHEST = 0xFFFF
"""Phrases that reach farther from their first place to the last are not looked for in the line."""

LONGEST_LINE = (1 << 32) - 1 - FARTHEST
"""Places are 32-bit numbers, moved as far as a phrase reaches."""

SHORT = 20_000
"""Lists of up to so many documents in all are made into bitmaps at once."""

_COST_BYTES = 400


class Slot(NamedTuple):
    """One place of the phrase: its offset and the terms that will do there."""

    offset: int
    terms: tuple[bytes, ...]


def in_reach(slots: Sequence[Slot]) -> bool:
    return slots[-1].offset - slots[0].offset <= FARTHEST


class Line(NamedTuple):
    """`starts` (uint32[documents + 1]): where each document begins, and where the last one ends."""

    starts: U32s

    def docs_of(self, places: U32s) -> Ints:
        """The document of each place."""
        return self.starts.searchsorted(places, side="right") - 1


def in_line(slots: Sequence[Slot], field: str, context: SegmentContext) -> tuple[U32s, Ints] | None:
    """(documents uint32[n] ascending, how often the phrase stands in each, integers[n]), deleted ones too; None
    where positions had better be read document by document this time, or must be."""
    reader = context.reader
    for room in range(len(ROOMS)):
        if reader.recall(_narrow_key(field, room)):
            continue
        line = _line(reader, field, room)
        if line is None or not _worth(reader, field, room, slots):
            return None
        bitmaps = _bitmaps(slots, field, context, line, room)
        if bitmaps is not None:
            return _told_apart(_meeting(slots, bitmaps), slots[-1].offset - slots[0].offset, line)
        reader.keep(_narrow_key(field, room), True, _COST_BYTES)
    return None


def is_laid(reader: ListReader, field: str) -> bool:
    """Whether the field has a line, so that lists read now need not be kept for the next phrase."""
    rooms = [room for room in range(len(ROOMS)) if not reader.recall(_narrow_key(field, room))]
    return bool(rooms) and reader.recall(_line_key(field, rooms[0])) is not None


def _line(reader: ListReader, field: str, room: int) -> Line | None:
    """None where there is none, or it would not be kept for the next search."""
    key = _line_key(field, room)
    found: Line | None = reader.recall(key)
    if found is not None:
        return found
    lengths = reader.lengths(field)
    if lengths is None:
        return None
    times, more = ROOMS[room]
    if int(lengths.sum(dtype=np.int64)) * times + len(lengths) * more > LONGEST_LINE:
        return None
    starts = np.zeros(len(lengths) + 1, np.uint32)
    np.cumsum(lengths.astype(np.uint32) * np.uint32(times) + np.uint32(more), out=starts[1:])
    line = Line(starts)
    reader.keep(key, line, starts.nbytes + _COST_BYTES)
    return None if reader.recall(key) is None else line


# ------------------------------------------------------------------------------------------- bitmaps of terms


def _worth(reader: ListReader, field: str, room: int, slots: Sequence[Slot]) -> bool:
    """Whether every list has its bitmap, or should get it now."""
    terms = {term for slot in slots for term in slot.terms}
    new = [term for term in terms if reader.recall(_places_key(field, term, room)) is None]
    if sum(reader.doc_freq(field, term) for term in new) <= SHORT:
        return True
    asked = True
    for term in new:
        key = ("asked in line", field, term)
        if reader.recall(key) is None:
            reader.keep(key, True, _COST_BYTES)
            asked = False
    return asked


def _bitmaps(
    slots: Sequence[Slot], field: str, context: SegmentContext, line: Line, room: int
) -> list[BitMap] | None:
    """The places of each slot; None where a position lies outside its document's room, or none are kept."""
    found = []
    for slot in slots:
        own = []
        for term in slot.terms:
            context.check_time()
            places = _places(context.reader, field, term, line, room)
            if places is None:
                return None
            own.append(places)
        found.append(own[0] if len(own) == 1 else BitMap.union(*own))
    return found


def _places(reader: ListReader, field: str, term: bytes, line: Line, room: int) -> BitMap | None:
    key = _places_key(field, term, room)
    found: BitMap | None = reader.recall(key)
    if found is None:
        found = _read_places(reader, field, term, line)
        if found is not None:
            reader.keep(key, found, _held_bytes(found))
    return found


def _read_places(reader: ListReader, field: str, term: bytes, line: Line) -> BitMap | None:
    postings = reader.postings(field, term)
    if postings is None:
        return BitMap()
    read = postings.positions()
    if read is None:
        return None
    offsets, positions = read
    docs = postings.docs().astype(np.intp)
    places = line.starts.take(docs).repeat(np.diff(offsets))
    places += positions
    last = places.take(offsets[1:].astype(np.intp) - 1)
    if (last >= line.starts.take(docs + 1)).any():
        return None
    bitmap = postings.bitmap()
    # Who looks for the term's documents, to count them above all, need not read the list again.
    reader.keep(("bitmap", field, term), bitmap, bitmap_bytes(len(bitmap), reader.doc_count))
    # What a text has twice at one position is there once.
    return ascending_bitmap(places) if (places[1:] > places[:-1]).all() else bitmap_of(places)


def _held_bytes(bitmap: BitMap) -> int:
    counts = bitmap.get_statistics()
    held = counts["n_bytes_array_containers"] + counts["n_bytes_bitset_containers"]
    return int(held + 20 * counts["n_containers"] + _COST_BYTES)


def _places_key(field: str, term: bytes, room: int) -> tuple[str, str, bytes, int]:
    return "places in line", field, term, room


def _line_key(field: str, room: int) -> tuple[str, str, int]:
    return "line", field, room


def _narrow_key(field: str, room: int) -> tuple[str, str, int]:
    return "too narrow a line", field, room


# --------------------------------------------------------------------------------------------------- matches


def _meeting(slots: Sequence[Slot], bitmaps: Sequence[BitMap]) -> U32s:
    """Places of the last slot where all slots meet, as though documents had no ends; rare slots first, so that
    few places are moved."""
    first, *others = sorted(range(len(slots)), key=lambda slot: len(bitmaps[slot]))
    found, offset = bitmaps[first], slots[first].offset
    for slot in others:
        if not found:
            break
        moved = found.shift(slots[slot].offset - offset)
        found, offset = moved & bitmaps[slot], slots[slot].offset
    return ids_of(found) + np.uint32(slots[-1].offset - offset)


def _told_apart(places: U32s, reach: int, line: Line) -> tuple[U32s, Ints]:
    """(documents, counts) of matches by their last places, which lie `reach` behind the first ones."""
    docs = line.docs_of(places)
    inside = places - line.starts.take(docs) >= reach
    if not inside.all():
        docs = docs[inside]
    if not len(docs):
        return docs.astype(np.uint32), docs
    new = np.flatnonzero(docs[1:] != docs[:-1]) + 1
    edges = np.concatenate(([0], new, [len(docs)]))
    return docs.take(edges[:-1]).astype(np.uint32), np.diff(edges)
