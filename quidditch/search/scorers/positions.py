"""Where terms stand in candidate documents: read for these documents alone, and compared slot by slot.

Everything here is about some candidate documents, which are known by their *row*, their number among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pyroaring import BitMap

from quidditch.index.codecs import ascending_offsets
from quidditch.search.readers import Postings
from quidditch.search.scorers.context import SEARCHSORTED_COST, SegmentContext
from quidditch.types import Bools, Ints, U32s, U64s

SPARSE = 64
"""Positions are marked in an array of flags while it is at most so many times as long as they are many."""

_ROW = np.uint64(32)


class Occurrences(NamedTuple):
    """The postings of one list in candidate documents: `places[i]`, an index into the list, belongs to the row
    `rows[i]`. Without `rows` the list holds all candidates, in order."""

    postings: Postings
    places: Ints
    rows: Ints | None

    def among(self, chosen: Ints) -> Occurrences:
        """The same of some rows alone, ascending; they are numbered anew."""
        if self.rows is None:
            return Occurrences(self.postings, self.places.take(chosen), None)
        new = np.searchsorted(chosen, self.rows)
        new[new == len(chosen)] = 0
        kept = np.flatnonzero(chosen.take(new) == self.rows) if len(chosen) else new[:0]
        return Occurrences(self.postings, self.places.take(kept), new.take(kept))

    def freqs(self, count: int) -> Ints:
        """integers[count]: how often the term stands in each candidate."""
        stored = self.postings.freqs()
        found = np.ones(len(self.places), np.uint32) if stored is None else stored.take(self.places)
        if self.rows is None:
            return found
        spread = np.zeros(count, np.uint32)
        spread[self.rows] = found
        return spread


class Spots(NamedTuple):
    """Positions of candidates, ascending in each: row `i` has the next `counts[i]` of `positions`."""

    counts: Ints
    positions: Ints


def locate(
    lists: Sequence[Postings], docs: U32s, candidates: BitMap, context: SegmentContext
) -> list[Occurrences]:
    """Where the candidates (`docs`, the same as ascending numbers) stand in the lists of one slot.

    A slot's only list holds every candidate.
    """
    if len(lists) == 1:
        return [Occurrences(lists[0], places_of(docs, lists[0].docs(), context.doc_count), None)]
    found = []
    for postings in lists:
        own, places = context.places(postings, candidates)
        rows = docs.searchsorted(own)
        found.append(Occurrences(postings, np.arange(len(own)) if places is None else places, rows))
    return found


def places_of(chosen: U32s, docs: U32s, doc_count: int) -> Ints:
    """intp[n]: where documents stand in a list that holds them all; both ascend."""
    if len(chosen) == len(docs):
        return np.arange(len(docs))
    if len(chosen) * SEARCHSORTED_COST < len(docs):
        return docs.searchsorted(chosen)
    mask = np.zeros(doc_count, np.bool_)
    mask[chosen] = True
    return np.flatnonzero(mask.take(docs))


def spots_of(group: Sequence[Occurrences], shift: int, count: int) -> Spots:
    """Where any of a slot's terms stands in `count` candidates, `shift` added to each position."""
    if len(group) == 1:
        return _spots(group[0], shift, count)
    # Several terms may stand at one place of the text; as a place for the slot it is one.
    keys = _distinct(
        np.sort(np.concatenate([_keys(_spots(each, shift, count)) for each in group]), kind="stable")
    )
    counts: Ints = np.bincount((keys >> _ROW).astype(np.intp), minlength=count)
    return Spots(counts, keys.astype(np.uint32))


def _spots(found: Occurrences, shift: int, count: int) -> Spots:
    stored = found.postings.positions_at(found.places)
    if stored is None:
        return Spots(np.zeros(count, np.intp), np.empty(0, np.uint32))
    offsets, positions = stored
    counts: Ints = offsets[1:].astype(np.intp) - offsets[:-1].astype(np.intp)
    if found.rows is not None:
        spread = np.zeros(count, np.intp)
        spread[found.rows] = counts
        counts = spread
    return Spots(counts, positions + np.uint32(shift) if shift else positions)


def row_keys(spots: Spots) -> U64s:
    """uint64[n], ascending and distinct: `row << 32 | position`."""
    return _distinct(_keys(spots))


def _keys(spots: Spots) -> U64s:
    rows = np.arange(len(spots.counts), dtype=np.uint64) << _ROW
    keys: U64s = np.repeat(rows, spots.counts)
    keys += spots.positions.astype(np.uint64)
    return keys


def _distinct(keys: U64s) -> U64s:
    new = np.append(True, keys[1:] != keys[:-1])
    return keys if len(keys) < 2 or new.all() else keys[new]


def in_both(few: Spots, many: Spots) -> Spots:
    """The positions that both have, each once; cheapest with the fewer ones first."""
    ends = np.maximum(_ends(few), _ends(many))
    bases = ascending_offsets(ends)
    total = int(bases[-1])
    if total <= SPARSE * (len(few.positions) + len(many.positions)):
        keys, there = _marked(few, many, bases)
    else:
        keys, there = _looked_up(few, many)
    hits = np.flatnonzero(there)
    repeated = np.flatnonzero(keys.take(hits[1:]) == keys.take(hits[:-1]))
    there[hits.take(repeated)] = False
    return Spots(_counts_where(there, few.counts), few.positions[there])


def _marked(few: Spots, many: Spots, bases: Ints) -> tuple[Ints, Bools]:
    """Through flags for every position that a candidate may have, one candidate after the other."""
    flags = np.zeros(int(bases[-1]), np.bool_)
    flags[np.repeat(bases[:-1], many.counts) + many.positions] = True
    keys = np.repeat(bases[:-1], few.counts) + few.positions
    return keys, flags.take(keys)


def _looked_up(few: Spots, many: Spots) -> tuple[Ints, Bools]:
    """Through a binary search: long documents with few positions."""
    keys, hay = _keys(few), _keys(many)
    places = np.searchsorted(hay, keys)
    places[places == len(hay)] = 0
    return keys, hay.take(places) == keys if len(hay) else np.zeros(len(keys), np.bool_)


def _ends(spots: Spots) -> Ints:
    """int64[rows]: one more than each row's last position, 0 where it has none."""
    ends = np.zeros(len(spots.counts), np.int64)
    if len(spots.positions):
        last = np.cumsum(spots.counts) - 1
        ends = np.where(spots.counts > 0, spots.positions.take(np.maximum(last, 0)).astype(np.int64) + 1, 0)
    return ends


def _counts_where(there: Bools, counts: Ints) -> Ints:
    """int64[rows]: how many of each row's positions are marked."""
    if len(there) == 0:
        return np.zeros(len(counts), np.int64)
    before = ascending_offsets(there.view(np.uint8))
    return np.diff(before.take(ascending_offsets(counts)))
