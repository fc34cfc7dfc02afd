"""Surface forms: the distinct byte strings met so far, found for whole arrays of words at once.

A word is its length and its bytes as uint64 lanes. The table is open addressing with linear probing over a
keyed 64-bit hash of the lanes (multiply-add with odd random factors, of which the top bits count:
Dietzfelbinger et al., "A reliable randomized algorithm for the closest-pair problem", 1997). A hash only says
where to look: every answer is compared byte for byte, so two forms that collide stay two forms.
"""

from __future__ import annotations

import os
from typing import TypeVar

import numpy as np

from quidditch.types import Bools, I64s, U32s, U64s

MAX_LANES = 128
"""A word has at most 255 characters, each of at most 4 bytes."""

PADDING = 8
"""Bytes that must follow the last word in a buffer, since lanes are read whole."""

_LANE = 8
_FIRST_SLOTS = 2048
_INSERT_SHARE = 16

_Array = TypeVar("_Array", U32s, I64s, U64s)


def random_keys() -> U64s:
    """Odd factors from the system's randomness, so that nobody can prepare words that collide."""
    return np.frombuffer(os.urandom(8 * MAX_LANES), np.uint64) | np.uint64(1)


_LANE_MASKS = np.array([(1 << 8 * size) - 1 for size in range(_LANE + 1)], np.uint64)


class Words:
    """Spans of a buffer as lanes, with their hashes."""

    __slots__ = ("first", "hashes", "lanes", "long", "sizes", "starts")

    def __init__(self, buffer: bytes, starts: I64s, ends: I64s, keys: U64s) -> None:
        """`starts` and `ends` are byte offsets; PADDING bytes follow the last end; no span is empty."""
        self.lanes: U64s = np.ndarray(max(len(buffer) - _LANE + 1, 0), "<u8", buffer, strides=(1,))
        self.starts = starts
        self.sizes = ends - starts
        self.first = self.lanes[starts]
        self.first &= _LANE_MASKS.take(self.sizes, mode="clip")
        self.hashes = self.first * keys[0]
        self.long: list[tuple[I64s, U64s]] = []
        """Per lane after the first: the words that have it, and that lane of theirs."""
        which = np.flatnonzero(self.sizes > _LANE)
        lane = 1
        while which.size:
            left = self.sizes.take(which) - lane * _LANE
            values = self.lanes[starts.take(which) + lane * _LANE] & _LANE_MASKS.take(left, mode="clip")
            self.hashes[which] += values * keys[lane]
            self.long.append((which, values))
            which = which[left > _LANE]
            lane += 1

    def lane(self, number: int, which: I64s) -> U64s:
        """Lane `number`, zero-padded, of the words `which`, all of which have it."""
        left = self.sizes.take(which) - number * _LANE
        found: U64s = self.lanes[self.starts.take(which) + number * _LANE]
        return found & _LANE_MASKS.take(left, mode="clip")


class SurfaceTable:
    """The surface forms seen so far; their ids are dense from 1 and stable. Not for several threads."""

    def __init__(self, keys: U64s | None = None) -> None:
        self._keys = random_keys() if keys is None else keys
        self._slots = np.zeros(_FIRST_SLOTS, np.uint32)
        self._shift = np.uint64(64 - _FIRST_SLOTS.bit_length() + 1)
        self._count = 0
        # Row 0 is the empty slot: no word has size 0, so nothing ever equals it.
        self._first = np.zeros(256, np.uint64)
        self._sizes = np.zeros(256, np.uint32)
        self._hashes = np.zeros(256, np.uint64)
        self._offsets = np.zeros(256, np.int64)
        self._pool = np.zeros(256, np.uint64)
        self._pool_used = 0

    def __len__(self) -> int:
        return self._count

    @property
    def size_bytes(self) -> int:
        """Bytes held by the arrays."""
        rows = (self._slots, self._first, self._sizes, self._hashes, self._offsets, self._pool)
        return sum(array.nbytes for array in rows)

    def look_up(self, buffer: bytes, starts: I64s, ends: I64s) -> tuple[U32s, list[bytes]]:
        """Id of each word, and the forms that were new, in the order of their ids."""
        words = Words(buffer, starts, ends, self._keys)
        ids, pending = self._find(words)
        new: list[bytes] = []
        while pending.size:
            room = self._make_room(pending.size)
            head, pending = pending[:room], pending[room:]
            added = self._insert(words, head, ids)
            spans = zip(starts[added].tolist(), ends[added].tolist(), strict=True)
            new.extend([buffer[start:end] for start, end in spans])
            if pending.size:
                pending = self._find_again(words, pending, ids)
        return ids, new

    def _find(self, words: Words) -> tuple[U32s, I64s]:
        """Ids by the first probe, and the words it did not settle."""
        ids = self._slots.take((words.hashes >> self._shift).view(np.int64))
        wrong = self._first.take(ids) != words.first
        # Shorter words hold no NUL, so their first lane tells their size too.
        full = np.flatnonzero(words.sizes >= _LANE)
        wrong[full] |= self._sizes.take(ids.take(full)) != words.sizes.take(full)
        for lane, (which, values) in enumerate(words.long):
            at = self._offsets.take(ids.take(which))
            wrong[which] |= self._pool.take(at + lane, mode="clip") != values
        return ids, np.flatnonzero(wrong)

    def _find_again(self, words: Words, pending: I64s, ids: U32s) -> I64s:
        """Set `ids` of the `pending` words that a first probe now finds; return the rest."""
        found = self._slots.take((words.hashes.take(pending) >> self._shift).view(np.int64))
        same = self._equal(words, pending, found)
        ids[pending[same]] = found[same]
        return pending[~same]

    def _insert(self, words: Words, pending: I64s, ids: U32s) -> I64s:
        """Set `ids` of the `pending` words, adding forms that are not there; return one word per new form.

        Words that meet at an empty slot all write to it; the one whose write stays becomes the form, and the
        others are compared with it like with any form that was there before.
        """
        added: list[I64s] = []
        at = (words.hashes.take(pending) >> self._shift).view(np.int64)
        last = self._slots.size - 1
        while pending.size:
            found = self._slots.take(at)
            empty = np.flatnonzero(found == 0)
            if empty.size:
                claims = np.arange(1, empty.size + 1, dtype=np.uint32)
                self._slots[at[empty]] = claims
                won = empty[self._slots.take(at[empty]) == claims]
                self._slots[at[won]] = self._append(words, pending[won])
                added.append(pending[won])
                found = self._slots.take(at)
            same = self._equal(words, pending, found)
            ids[pending[same]] = found[same]
            left = np.flatnonzero(~same)
            pending, at = pending.take(left), (at.take(left) + 1) & last
        return np.concatenate(added) if added else pending

    def _equal(self, words: Words, which: I64s, ids: U32s) -> Bools:
        """Whether the words `which` are the forms `ids`, byte for byte."""
        sizes = words.sizes.take(which)
        same: Bools = (self._first.take(ids) == words.first.take(which)) & (self._sizes.take(ids) == sizes)
        rest = np.flatnonzero(same & (sizes > _LANE))
        lane = 1
        while rest.size:
            stored = self._pool.take(self._offsets.take(ids.take(rest)) + lane - 1)
            same[rest] = stored == words.lane(lane, which.take(rest))
            lane += 1
            rest = rest[same.take(rest) & (sizes.take(rest) > lane * _LANE)]
        return same

    def _append(self, words: Words, which: I64s) -> U32s:
        """Store the words `which` as new forms; returns their ids."""
        first, self._count = self._count + 1, self._count + which.size
        rows = slice(first, self._count + 1)
        sizes = words.sizes.take(which)
        extra = np.maximum(-(-sizes // _LANE) - 1, 0)
        offsets = self._pool_used + np.cumsum(extra) - extra
        self._pool_used += int(extra.sum())
        self._first = _enlarged(self._first, self._count + 1)
        self._sizes = _enlarged(self._sizes, self._count + 1)
        self._hashes = _enlarged(self._hashes, self._count + 1)
        self._offsets = _enlarged(self._offsets, self._count + 1)
        self._pool = _enlarged(self._pool, self._pool_used)
        self._first[rows] = words.first.take(which)
        self._sizes[rows] = sizes
        self._hashes[rows] = words.hashes.take(which)
        self._offsets[rows] = offsets
        rest = np.flatnonzero(extra)
        lane = 1
        while rest.size:
            self._pool[offsets.take(rest) + lane - 1] = words.lane(lane, which.take(rest))
            rest = rest[extra.take(rest) > lane]
            lane += 1
        return np.arange(first, self._count + 1, dtype=np.uint32)

    def _make_room(self, wanted: int) -> int:
        """How many forms can be added; grows the table while that is little for `wanted` words.

        Most words of a batch repeat others, so a share of them is let in at a time and the rest looked up
        again: the table grows with the forms, not with the words, and frequent forms get neighbouring rows.
        """
        # Filled to a quarter at most: at a half, twice as many words miss at the first probe (measured).
        slots = self._slots.size
        while slots // 4 - self._count < max(wanted // _INSERT_SHARE, min(wanted, 256)):
            slots *= 2
        if slots != self._slots.size:
            self._rebuild(slots)
        return slots // 4 - self._count

    def _rebuild(self, slots: int) -> None:
        self._slots = np.zeros(slots, np.uint32)
        self._shift = np.uint64(64 - slots.bit_length() + 1)
        ids = np.arange(1, self._count + 1, dtype=np.uint32)
        at = (self._hashes[1 : self._count + 1] >> self._shift).view(np.int64)
        while ids.size:
            empty = self._slots.take(at) == 0
            # Backwards, so that of the forms that meet at a slot the one seen first stays: it is the most frequent.
            self._slots[at[empty][::-1]] = ids[empty][::-1]
            left = np.flatnonzero(self._slots.take(at) != ids)
            ids, at = ids.take(left), (at.take(left) + 1) & (slots - 1)


def _enlarged(array: _Array, size: int) -> _Array:
    """`array`, or a longer copy of it when it has fewer than `size` rows."""
    if size <= array.size:
        return array
    longer = np.zeros(max(size, 2 * array.size), array.dtype)
    longer[: array.size] = array
    return longer
