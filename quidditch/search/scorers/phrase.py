"""Documents that hold terms in order: positions of all candidate documents intersected at once.

A position in the segment is one number, `place << 32 | position`, where `place` counts the candidate
documents. Each term's positions are shifted back by the term's own place in the phrase, so an exact match is
one number that all terms share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pyroaring import BitMap

from quidditch.index.codecs import bitmap_of, ids_of
from quidditch.query.primitive import ScoredPhrase
from quidditch.search.readers import Postings
from quidditch.search.scorers.context import NO_DOCS, NOTHING_SCORED, Scored, SegmentContext
from quidditch.search.scorers.sloppy import distinct_token_frequencies, window_frequencies
from quidditch.search.weight import PhraseWeight
from quidditch.types import F64s, Ints, U32s, U64s

MERGE_SHARE = 16
"""A list this many times shorter than the other is looked up in it; closer ones are merged."""


class Slot(NamedTuple):
    """One place of the phrase: its offset and the terms that will do there."""

    offset: int
    terms: tuple[bytes, ...]


class Frequencies(NamedTuple):
    """Matching documents (uint32[n], ascending) and how often the phrase stands in each (float64[n], > 0)."""

    docs: Ints
    counts: F64s


NO_FREQUENCIES = Frequencies(NO_DOCS, np.empty(0))


def match_phrase(query: ScoredPhrase, context: SegmentContext, within: BitMap | None) -> BitMap:
    return bitmap_of(phrase_frequencies(query, context, within).docs)


def score_phrase(weight: PhraseWeight, context: SegmentContext, within: BitMap | None) -> Scored:
    query, similarity = weight.primitive, weight.similarity
    docs, counts = phrase_frequencies(query, context, within)
    if within is not None:
        inside = np.isin(docs, ids_of(bitmap_of(docs) & within), assume_unique=True)
        docs, counts = docs[inside], counts[inside]
    if not len(docs):
        return NOTHING_SCORED
    lengths = context.lengths(query.field) if similarity.uses_lengths else None
    if lengths is not None:
        lengths = lengths.take(docs)
    return Scored(docs, similarity.scores(weight.value, counts, lengths, len(docs)))


def phrase_frequencies(query: ScoredPhrase, context: SegmentContext, within: BitMap | None) -> Frequencies:
    """Where and how often the phrase stands; documents outside `within` may be among them."""
    found: Frequencies = context.remembered(
        "phrase", query, within, lambda: _frequencies(query, context, within)
    )
    return found


def slots_of(query: ScoredPhrase) -> list[Slot]:
    """The places of the phrase in ascending order."""
    terms: dict[int, dict[bytes, None]] = {}
    for term, offset in zip(query.terms, query.positions, strict=True):
        terms.setdefault(offset, {})[term] = None
    return [Slot(offset, tuple(terms[offset])) for offset in sorted(terms)]


def _frequencies(query: ScoredPhrase, context: SegmentContext, within: BitMap | None) -> Frequencies:
    slots = slots_of(query)
    lists = [_lists(context, query.field, slot.terms) for slot in slots]
    if not all(lists):
        return NO_FREQUENCIES
    candidates = _candidates(lists, within)
    if not candidates:
        return NO_FREQUENCIES
    last = slots[-1].offset
    docs = ids_of(candidates)
    keys = [
        _slot_keys([_keys(each, candidates, docs, context) for each in group], last - slot.offset)
        for slot, group in zip(slots, lists, strict=True)
    ]
    counts = _counts(query, slots, keys, len(docs))
    matching = np.flatnonzero(counts)
    return Frequencies(docs.take(matching), counts.take(matching))


def _counts(query: ScoredPhrase, slots: Sequence[Slot], keys: Sequence[U64s], count: int) -> F64s:
    if not query.slop or len(keys) == 1:
        starts = _in_all(keys) >> np.uint64(32)
        return np.bincount(starts.astype(np.intp), minlength=count).astype(np.float64)
    counts = window_frequencies(keys, query.slop, count)
    if _repeats_a_term(slots):
        last = slots[-1].offset
        shifts = [last - slot.offset for slot in slots]
        return distinct_token_frequencies(keys, shifts, query.slop, counts)
    return counts


def _repeats_a_term(slots: Sequence[Slot]) -> bool:
    terms = [term for slot in slots for term in slot.terms]
    return len(set(terms)) < len(terms)


def _lists(context: SegmentContext, field: str, terms: Sequence[bytes]) -> list[Postings]:
    found = (context.postings(field, term) for term in terms)
    return [postings for postings in found if postings is not None]


def _candidates(lists: Sequence[Sequence[Postings]], within: BitMap | None) -> BitMap:
    """Documents that hold a term of every slot: rare slots first, so the intersection shrinks early."""
    found = within
    for group in sorted(lists, key=lambda group: sum(postings.doc_freq for postings in group)):
        own = group[0].bitmap() if len(group) == 1 else BitMap.union(*(each.bitmap() for each in group))
        found = own if found is None else found & own
        if not found:
            return found
    return BitMap() if found is None else found


def _slot_keys(parts: Sequence[U64s], shift: int) -> U64s:
    """uint64[n], ascending and distinct: where any of the terms stands, shifted so that starts coincide."""
    keys = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if len(parts) > 1 or (len(keys) > 1 and bool((keys[1:] == keys[:-1]).any())):
        keys = np.sort(keys, kind="stable")
        keys = keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys
    return keys + np.uint64(shift)


def _keys(postings: Postings, candidates: BitMap, candidate_docs: U32s, context: SegmentContext) -> U64s:
    """uint64[n], ascending: `place << 32 | position` of one list in the candidates it holds."""
    stored = postings.positions()
    if stored is None:
        return np.empty(0, np.uint64)
    offsets, positions = stored
    docs, places = context.places(postings, candidates)
    if places is None:
        counts = np.diff(offsets).astype(np.intp)
    else:
        starts = offsets.take(places).astype(np.intp)
        counts = offsets.take(places + 1).astype(np.intp) - starts
        positions = positions.take(_ranges(starts, counts))
    ranks = np.arange(len(docs)) if len(docs) == len(candidate_docs) else candidate_docs.searchsorted(docs)
    keys = np.repeat(ranks.astype(np.uint64) << np.uint64(32), counts)
    keys += positions
    return keys


def _ranges(starts: Ints, counts: Ints) -> Ints:
    """intp[sum(counts)]: the numbers from each start on, one run after another."""
    ends = np.cumsum(counts)
    return np.repeat(starts - (ends - counts), counts) + np.arange(int(ends[-1]) if len(ends) else 0)


def _in_all(keys: Sequence[U64s]) -> U64s:
    found, *others = sorted(keys, key=len)
    for other in others:
        if not len(found):
            break
        found = _intersect(found, other)
    return found


def _intersect(few: U64s, many: U64s) -> U64s:
    """What two ascending arrays without repeats share."""
    if len(few) * MERGE_SHARE < len(many):
        places = np.searchsorted(many, few)
        places[places == len(many)] = 0
        there: U64s = few[many.take(places) == few]
        return there
    # Two runs already in order: the stable sort only merges them.
    both = np.sort(np.concatenate((few, many)), kind="stable")
    shared: U64s = both[:-1][both[1:] == both[:-1]]
    return shared
