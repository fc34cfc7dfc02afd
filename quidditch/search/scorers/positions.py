"""Where terms stand in candidate documents: read for these documents alone, and compared slot by slot.

Everything here is about some candidate documents, which are known by their *row*, their number among them.
"""

from __future__ import annotations

import threading
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

_scratch = threading.local()


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
    """Positions of candidates, ascending in each: row `i` has `positions[offsets[i]:offsets[i + 1]]`, one at
    least."""

    offsets: Ints
    positions: Ints

    @property
    def counts(self) -> Ints:
        counts: Ints = self.offsets[1:] - self.offsets[:-1]
        return counts


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
    flags = _take_flags(doc_count)
    flags[chosen] = True
    places = np.flatnonzero(flags.take(docs))
    flags[chosen] = False
    _scratch.flags = flags
    return places


def _take_flags(count: int) -> Bools:
    """At least so many flags, none of them set: fresh memory would cost more than the look-up. Whoever has cleared
    them puts them back; until then they are nobody else's."""
    flags: Bools | None = getattr(_scratch, "flags", None)
    _scratch.flags = None
    return np.zeros(count, np.bool_) if flags is None or len(flags) < count else flags


def spots_of(group: Sequence[Occurrences], shift: int, count: int) -> Spots | None:
    """Where any of a slot's terms stands in `count` candidates, `shift` added to each position; None where the
    field keeps no positions."""
    read = [each.postings.positions_at(each.places) for each in group]
    known = [
        (each.rows, Spots(found[0].astype(np.intp), found[1] + np.uint32(shift) if shift else found[1]))
        for each, found in zip(group, read, strict=True)
        if found is not None
    ]
    if len(group) == 1 or not known:
        return known[0][1] if known else None
    # Several terms may stand at one place of the text; as a place for the slot it is one.
    parts = [_keys(spots) if rows is None else _keys(spots, rows) for rows, spots in known]
    keys = _distinct(np.sort(np.concatenate(parts), kind="stable"))
    counts = np.bincount((keys >> _ROW).astype(np.intp), minlength=count)
    return Spots(ascending_offsets(counts), keys.astype(np.uint32))


def row_keys(spots: Spots) -> U64s:
    """uint64[n], ascending and distinct: `row << 32 | position`."""
    return _distinct(_keys(spots))


def _keys(spots: Spots, rows: Ints | None = None) -> U64s:
    numbers = np.arange(len(spots.offsets) - 1) if rows is None else rows
    keys: U64s = (numbers.astype(np.uint64) << _ROW).repeat(spots.counts)
    keys += spots.positions.astype(np.uint64)
    return keys


def _distinct(keys: U64s) -> U64s:
    new = np.append(True, keys[1:] != keys[:-1])
    return keys if len(keys) < 2 or new.all() else keys[new]


def in_both(few: Spots, many: Spots) -> tuple[Ints, Spots]:
    """(rows, spots): the positions that both have, each once, and the rows that have one; cheapest with the
    fewer positions first."""
    bases = ascending_offsets(np.maximum(_ends(few), _ends(many)))
    if bases[-1] <= SPARSE * (len(few.positions) + len(many.positions)):
        keys, there = _marked(few, many, bases)
    else:
        keys, there = _looked_up(few, many)
    hits = there.nonzero()[0]
    hit_keys = keys.take(hits)
    repeated = (hit_keys[1:] == hit_keys[:-1]).nonzero()[0]
    if len(repeated):
        hits = np.delete(hits, repeated + 1)
    offsets = hits.searchsorted(few.offsets)
    rows = (offsets[1:] > offsets[:-1]).nonzero()[0]
    return rows, Spots(np.append(offsets.take(rows), len(hits)), few.positions.take(hits))


def _ends(spots: Spots) -> Ints:
    """int64[rows]: one more than each row's last position."""
    ends: Ints = spots.positions.take(spots.offsets[1:] - 1).astype(np.int64) + 1
    return ends


def _marked(few: Spots, many: Spots, bases: Ints) -> tuple[Ints, Bools]:
    """Through flags for every position that a candidate may have, one candidate after the other."""
    flags = np.zeros(int(bases[-1]), np.bool_)
    flags[bases[:-1].repeat(many.counts) + many.positions] = True
    keys = bases[:-1].repeat(few.counts) + few.positions
    return keys, flags.take(keys)


def _looked_up(few: Spots, many: Spots) -> tuple[Ints, Bools]:
    """Through a binary search: long documents with few positions."""
    keys, hay = _keys(few), _keys(many)
    places = hay.searchsorted(keys)
    places[places == len(hay)] = 0
    return keys, hay.take(places) == keys
