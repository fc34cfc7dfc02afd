"""How often terms stand near each other in order: the sum over minimal windows of 1 / (1 + distance).

A window holds one position of each slot of the phrase; its distance is how far the slots' shifted positions
spread, 0 for the phrase itself. A window starts at one slot's position and reaches to the next position of
every other slot; it is not minimal, and does not count, when its own slot comes again before any other does.
This is what Lucene's sloppy phrases sum, except where shifted positions coincide: there Lucene's outcome
depends on which slot its queue was moving, and here every start counts alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quidditch.types import Bools, F64s, Ints, U64s

_PLACE = np.uint64(32)


def window_frequencies(keys: Sequence[U64s], slop: int, count: int) -> F64s:
    """float64[count]: the sum for each candidate document.

    keys:  one array for each slot, ascending, `place << 32 | shifted position`
    cost:  O(slots · positions), all documents at once
    """
    merged, owners = _merge(keys)
    size = len(merged)
    nearest = np.full(size, size, np.intp)
    furthest = np.zeros(size, np.intp)
    again = np.full(size, size, np.intp)
    for slot in range(len(keys)):
        own = owners == slot
        coming = _next_of(own)
        np.copyto(again, coming, where=own)
        # Its own next position says nothing of the others: it counts as none, and as the first.
        np.minimum(nearest, np.where(own, size, coming), out=nearest)
        np.maximum(furthest, np.where(own, 0, coming), out=furthest)
    return _sum_windows(merged, nearest, furthest, again, slop, count)


def _merge(keys: Sequence[U64s]) -> tuple[U64s, Ints]:
    """All positions in ascending order, those that coincide in the order of the slots, and whose each one
    is."""
    # The slot goes behind the position, so one sort of plain numbers does for both; above them there is room
    # for the places of one piece of candidates.
    bits = np.uint64(max(1, (len(keys) - 1).bit_length()))
    marked = [each << bits | np.uint64(slot) for slot, each in enumerate(keys)]
    order = np.sort(np.concatenate(marked))
    owners = (order & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.intp)
    return order >> bits, owners


def _next_of(own: Bools) -> Ints:
    """intp[n]: for each place the next later place that is set; n where there is none."""
    size = len(own)
    coming = np.full(size + 1, size)
    np.copyto(coming[:-1], np.arange(size), where=own)
    return np.minimum.accumulate(coming[:0:-1])[::-1]


def _sum_windows(merged: U64s, nearest: Ints, furthest: Ints, again: Ints, slop: int, count: int) -> F64s:
    size = len(merged)
    # Behind the last position stands one of a document that does not exist.
    keys = np.append(merged, np.uint64(count) << _PLACE)
    places = merged >> _PLACE
    whole = (furthest < size) & (keys[furthest] >> _PLACE == places)
    minimal = (again == size) | (keys[again] > keys[nearest])
    distance = keys[furthest] - merged
    starts = np.flatnonzero(whole & minimal & (distance <= np.uint64(slop)))
    worth = 1.0 / (1.0 + distance[starts].astype(np.float64))
    sums: F64s = np.bincount(places[starts].astype(np.intp), worth, minlength=count).astype(np.float64)
    return sums


def distinct_token_frequencies(keys: Sequence[U64s], shifts: Sequence[int], slop: int, counts: F64s) -> F64s:
    """The same sums where a term is in the phrase twice, so that one token of the text must not serve twice.

    `counts` are the sums without that rule: a document that is 0 there is 0 here. Cost: plain Python over the
    positions of the documents left, the one road that is; phrases that repeat a word with slop are rare.
    """
    exact = np.zeros_like(counts)
    for place in np.flatnonzero(counts):
        bounds = np.array([place, place + 1], np.uint64) << _PLACE
        lists = []
        for each in keys:
            first, last = np.searchsorted(each, bounds)
            lists.append((each[first:last] - bounds[0]).astype(np.int64).tolist())
        exact[place] = _distinct_sum(lists, shifts, slop)
    return exact


def _distinct_sum(lists: Sequence[list[int]], shifts: Sequence[int], slop: int) -> float:
    """The sum over the windows of one document, moving the hindmost slot forward as Lucene does."""
    walk = _Walk(lists, shifts)
    total = 0.0
    moving = walk.resolve()
    while moving:
        slot = walk.hindmost()
        distance = walk.end() - walk.at(slot)
        moving = walk.advance(slot) and walk.resolve()
        while moving and walk.at(slot) <= walk.second(slot):
            distance = min(distance, walk.end() - walk.at(slot))
            moving = walk.advance(slot) and walk.resolve()
        if distance <= slop:
            total += 1.0 / (1.0 + distance)
    return total


class _Walk:
    """One position of each slot at a time, no two of them the same token."""

    def __init__(self, lists: Sequence[list[int]], shifts: Sequence[int]) -> None:
        self.lists = lists
        self.shifts = shifts
        self.places = [0] * len(lists)

    def at(self, slot: int) -> int:
        return self.lists[slot][self.places[slot]]

    def end(self) -> int:
        return max(self.at(slot) for slot in range(len(self.lists)))

    def hindmost(self) -> int:
        return min(range(len(self.lists)), key=self.at)

    def second(self, slot: int) -> int:
        return min(self.at(other) for other in range(len(self.lists)) if other != slot)

    def advance(self, slot: int) -> bool:
        self.places[slot] += 1
        return self.places[slot] < len(self.lists[slot])

    def resolve(self) -> bool:
        """Move the hindmost of two slots on one token until every slot has its own; False when one runs
        out."""
        while True:
            holders: dict[int, int] = {}
            for slot in range(len(self.lists)):
                other = holders.setdefault(self.at(slot) - self.shifts[slot], slot)
                if other != slot:
                    if not self.advance(min(slot, other, key=self.at)):
                        return False
                    break
            else:
                return True
