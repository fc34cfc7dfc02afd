"""Documents that hold terms in order: by bitmaps of all tokens' places (`token_line.py`) where these are at hand;
else, and with slop, their candidates by bitmaps, then the positions of those alone.

Candidates are worked off a few thousand at a time. Each slot's positions are shifted back by the slot's own
place in the phrase, so an exact match is a position that all slots share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from pyroaring import BitMap

from quidditch.index.codecs import bitmap_of, ids_of
from quidditch.query.primitive import ScoredPhrase
from quidditch.search.readers import Postings
from quidditch.search.scorers.context import NO_DOCS, NOTHING_SCORED, Scored, SegmentContext, chunks
from quidditch.search.scorers.positions import Occurrences, in_both, locate, row_keys, spots_of
from quidditch.search.scorers.sloppy import distinct_token_frequencies, window_frequencies
from quidditch.search.scorers.token_line import Slot, in_line, in_reach, is_laid
from quidditch.search.topk import best, top_places
from quidditch.search.weight import PhraseWeight
from quidditch.types import Bools, F32s, F64s, Ints, U32s

CANDIDATES_AT_ONCE = 16_384
"""Candidates whose positions are read together: what is in between stays in the cache, and the deadline is
asked in between."""

FIRST_VERIFIED = 2048
"""Candidates looked at before there is a threshold; each later batch is `GROWTH` times larger."""

GROWTH = 8

ROUNDED_UP = 1 + 2.0**-50
"""A score under a frequency's upper bound, times this, is no lower than the score itself whatever the
rounding of the formula's three steps."""


class Frequencies(NamedTuple):
    """Matching documents (uint32[n], ascending) and how often the phrase stands in each (float64[n], > 0)."""

    docs: Ints
    counts: F64s

    def among(self, chosen: BitMap) -> Frequencies:
        """The same of some of the documents alone."""
        if len(chosen) == len(self.docs):
            return self
        places = self.docs.searchsorted(ids_of(chosen))
        return Frequencies(self.docs.take(places), self.counts.take(places))


NO_FREQUENCIES = Frequencies(NO_DOCS, np.empty(0))


class Candidates(NamedTuple):
    """Documents that hold a term of every slot, and where they stand in each slot's lists."""

    slots: Sequence[Slot]
    docs: U32s
    found: Sequence[Sequence[Occurrences]]

    def frequencies(self, query: ScoredPhrase, rows: Ints) -> F64s:
        """float64[n]: how often the phrase stands in the documents of some rows, ascending."""
        found = [[each.among(rows) for each in group] for group in self.found]
        if query.slop and len(self.slots) > 1:
            return _sloppy(query, self.slots, found, len(rows))
        return _exact(self.slots, found, len(rows))

    def most(self, query: ScoredPhrase) -> Ints:
        """integers[n]: as often at most. Each match takes a position of every slot; with slop a position may
        begin one match, so there are no more matches than positions in all."""
        totals = [_total([each.freqs(len(self.docs)) for each in group]) for group in self.found]
        return _total(totals) if query.slop else np.minimum.reduce(totals)


def _total(parts: Sequence[Ints]) -> Ints:
    return parts[0] if len(parts) == 1 else np.add.reduce(parts)


# ---------------------------------------------------------------------------------------- matches and scores


def match_phrase(query: ScoredPhrase, context: SegmentContext, within: BitMap | None) -> BitMap:
    return bitmap_of(phrase_frequencies(query, context, within).docs)


def score_phrase(weight: PhraseWeight, context: SegmentContext, within: BitMap | None) -> Scored:
    found = phrase_frequencies(weight.primitive, context, within)
    return _scored(weight, context, found if within is None else found.among(bitmap_of(found.docs) & within))


def _scored(weight: PhraseWeight, context: SegmentContext, found: Frequencies) -> Scored:
    if not len(found.docs):
        return NOTHING_SCORED
    return Scored(found.docs, _scores(weight, context, found.docs, found.counts))


def _scores(weight: PhraseWeight, context: SegmentContext, docs: Ints, counts: Ints | F64s) -> F64s:
    similarity = weight.similarity
    lengths = context.lengths(weight.primitive.field) if similarity.uses_lengths else None
    own = None if lengths is None else lengths.take(docs)
    return similarity.scores(weight.value, counts, own, len(docs))


def phrase_frequencies(query: ScoredPhrase, context: SegmentContext, within: BitMap | None) -> Frequencies:
    """Where and how often the phrase stands; documents outside `within` may be among them."""
    found: Frequencies = context.remembered(
        "phrase", query, within, lambda: _frequencies(query, context, within)
    )
    return found


def _frequencies(query: ScoredPhrase, context: SegmentContext, within: BitMap | None) -> Frequencies:
    found = _in_line(query, context)
    if found is not None:
        return found
    candidates = _candidates(query, context, within)
    if candidates is None:
        return NO_FREQUENCIES
    counts = np.empty(len(candidates.docs))
    for rows in _pieces(np.arange(len(counts)), context):
        counts[rows] = candidates.frequencies(query, rows)
    matching = np.flatnonzero(counts)
    return Frequencies(candidates.docs.take(matching), counts.take(matching))


def _in_line(query: ScoredPhrase, context: SegmentContext) -> Frequencies | None:
    """As `phrase_frequencies` of all documents, by bitmaps of places; None where these are not the way."""
    slots = slots_of(query)
    if (query.slop and len(slots) > 1) or not in_reach(slots):
        return None
    found = in_line(slots, query.field, context)
    return None if found is None else Frequencies(found[0], found[1].astype(np.float64))


def _pieces(rows: Ints, context: SegmentContext) -> Iterator[Ints]:
    for start in range(0, len(rows), CANDIDATES_AT_ONCE):
        context.check_time()
        yield rows[start : start + CANDIDATES_AT_ONCE]


# --------------------------------------------------------------------------------------------- the best alone


def top_phrase(
    weight: PhraseWeight,
    context: SegmentContext,
    count: int,
    within: BitMap | None,
    above: float = -math.inf,
) -> Scored:
    """The best `count` live documents, those that all scores and a stable selection would give, bit by bit.

    Documents that score less than `above`, as float32, may be missing: where other segments have `count`
    that reach it, these cannot be among the best.

    Ascending, with float64 scores; they are compared as float32, and of equal ones the first documents are
    kept.
    """
    if count <= 0:
        return NOTHING_SCORED
    found = _in_line(weight.primitive, context)
    if found is None:
        return _top_verified(weight, context, count, within, above)
    verified = _Verified(count)
    scored = _scored(weight, context, found.among(_live(found.docs, context, within)))
    verified.add(scored.docs, scored.scores)
    return verified.best()


def _live(docs: Ints, context: SegmentContext, within: BitMap | None) -> BitMap:
    found = bitmap_of(docs)
    if within is not None:
        found = found & within
    return found - context.deleted if context.deleted else found


def _top_verified(
    weight: PhraseWeight, context: SegmentContext, count: int, within: BitMap | None, above: float
) -> Scored:
    """As `top_phrase`, by the positions of the candidates.

    A phrase is no more frequent than its rarest term, which bounds a document's score before any position is
    read: candidates are verified in falling order of their bounds, until these are below the `count`-th best
    score.
    """
    candidates = _candidates(weight.primitive, context, within, live=True)
    if candidates is None:
        return NOTHING_SCORED
    bounds = _bounds(weight, context, candidates)
    verified = _Verified(count)
    left: Ints = np.flatnonzero(bounds >= np.float32(above))
    size = max(FIRST_VERIFIED, 2 * count)
    while len(left):
        batch, left = _highest(left, bounds, size)
        for rows in _pieces(batch, context):
            counts = candidates.frequencies(weight.primitive, rows)
            matching = np.flatnonzero(counts)
            docs = candidates.docs.take(rows.take(matching))
            if len(docs):
                verified.add(docs, _scores(weight, context, docs, counts.take(matching)))
        left = left[verified.may_enter(candidates.docs.take(left), bounds.take(left))]
        size *= GROWTH
    return verified.best()


def _bounds(weight: PhraseWeight, context: SegmentContext, candidates: Candidates) -> F32s:
    """float32[n]: no candidate scores more, once its score is rounded too."""
    most = candidates.most(weight.primitive)
    bounds = np.empty(len(most), np.float32)
    for part in chunks(len(most)):
        bounds[part] = _scores(weight, context, candidates.docs[part], most[part]) * ROUNDED_UP
    return bounds


def _highest(rows: Ints, bounds: F32s, size: int) -> tuple[Ints, Ints]:
    """The `size` rows of the highest bounds, and the others; both ascending."""
    if len(rows) <= size:
        return rows, rows[:0]
    chosen = np.zeros(len(rows), np.bool_)
    chosen[top_places(bounds.take(rows), size)] = True
    return rows[chosen], rows[~chosen]


class _Verified:
    """The best `count` of the documents seen so far."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._docs: Ints = NO_DOCS
        self._scores: F64s = np.empty(0)
        self._last: tuple[np.float32, int] | None = None

    def add(self, docs: Ints, scores: F64s) -> None:
        docs, scores = np.append(self._docs, docs), np.append(self._scores, scores)
        # In the order of documents, so that ties fall as among all of them.
        order = np.argsort(docs)
        docs, scores = docs.take(order), scores.take(order)
        rounded = scores.astype(np.float32)
        places = best(rounded, self._count)
        if len(places) == self._count:
            self._last = rounded[places[-1]], int(docs[places[-1]])
        kept = np.sort(places)
        self._docs, self._scores = docs.take(kept), scores.take(kept)

    def may_enter(self, docs: U32s, bounds: F32s) -> Bools:
        """bool[n]: which documents could still be among the best, scoring no more than these bounds."""
        if self._last is None:
            return np.ones(len(docs), np.bool_)
        score, doc = self._last
        entering: Bools = (bounds > score) | ((bounds == score) & (docs < doc))
        return entering

    def best(self) -> Scored:
        return Scored(self._docs, self._scores)


# ------------------------------------------------------------------------------------------------ candidates


def slots_of(query: ScoredPhrase) -> list[Slot]:
    """The places of the phrase in ascending order."""
    terms: dict[int, dict[bytes, None]] = {}
    for term, offset in zip(query.terms, query.positions, strict=True):
        terms.setdefault(offset, {})[term] = None
    return [Slot(offset, tuple(terms[offset])) for offset in sorted(terms)]


def _candidates(
    query: ScoredPhrase, context: SegmentContext, within: BitMap | None, *, live: bool = False
) -> Candidates | None:
    """None where no document holds a term of every slot; with `live`, deleted ones are left out."""
    slots = slots_of(query)
    read = _read(query, context)
    lists = [[own for own in map(read, slot.terms) if own is not None] for slot in slots]
    shared = _in_every_slot(lists, within) if all(lists) else BitMap()
    if live and context.deleted:
        shared = shared - context.deleted
    if not shared:
        return None
    docs = ids_of(shared)
    return Candidates(slots, docs, [locate(group, docs, shared, context) for group in lists])


def _read(query: ScoredPhrase, context: SegmentContext) -> Callable[[bytes], Postings | None]:
    """What gives the list of a term: one that is kept, unless the next such phrase will do without it."""
    if query.slop or not is_laid(context.reader, query.field):
        return partial(context.postings, query.field)
    return cache(partial(context.reader.postings, query.field))


def _in_every_slot(lists: Sequence[Sequence[Postings]], within: BitMap | None) -> BitMap:
    """Documents that hold a term of every slot: rare slots first, so the intersection shrinks early."""
    found = within
    for group in sorted(lists, key=lambda group: sum(postings.doc_freq for postings in group)):
        own = group[0].bitmap() if len(group) == 1 else BitMap.union(*(each.bitmap() for each in group))
        found = own if found is None else found & own
        if not found:
            return found
    return BitMap() if found is None else found


# ----------------------------------------------------------------------------------------------- frequencies


def _exact(slots: Sequence[Slot], found: Sequence[Sequence[Occurrences]], count: int) -> F64s:
    """float64[count]: rare slots first; each further one is read only where a match may still be."""
    last = slots[-1].offset
    counts = np.zeros(count)
    first, *others = sorted(range(len(found)), key=lambda slot: _doc_freq(found[slot]))
    spots = spots_of(found[first], last - slots[first].offset, count)
    alive: Ints = np.arange(count)
    # A phrase of one slot is met with itself: what a text has twice at one position counts once.
    for slot in others or [first]:
        if spots is None or not len(alive):
            return counts
        group = found[slot] if len(alive) == count else [each.among(alive) for each in found[slot]]
        there = spots_of(group, last - slots[slot].offset, len(alive))
        if there is None:
            return counts
        rows, spots = in_both(spots, there)
        alive = alive.take(rows)
    if spots is not None:
        counts[alive] = spots.counts
    return counts


def _doc_freq(group: Sequence[Occurrences]) -> int:
    return sum(each.postings.doc_freq for each in group)


def _sloppy(
    query: ScoredPhrase, slots: Sequence[Slot], found: Sequence[Sequence[Occurrences]], count: int
) -> F64s:
    last = slots[-1].offset
    shifts = [last - slot.offset for slot in slots]
    spots = [spots_of(group, shift, count) for group, shift in zip(found, shifts, strict=True)]
    keys = [row_keys(each) for each in spots if each is not None]
    if len(keys) < len(slots):
        return np.zeros(count)
    counts = window_frequencies(keys, query.slop, count)
    if _repeats_a_term(slots):
        return distinct_token_frequencies(keys, shifts, query.slop, counts)
    return counts


def _repeats_a_term(slots: Sequence[Slot]) -> bool:
    terms = [term for slot in slots for term in slot.terms]
    return len(set(terms)) < len(terms)
