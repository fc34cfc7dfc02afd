"""Integers in about as many bits as most of them need; the few that need more are patched.

Whole bytes of the width are columns, each the bytes of all values; what is left of it, 1, 2 or 4 bits, shares bytes.
Shared bytes are looked up in a table, a whole array at a time, and one value is read from a byte of each column and
one shared. `FORMAT.md` draws the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quidditch.errors import CorruptIndex
from quidditch.types import Ints, U8s, U32s

BITS = 0x40
"""Set in the first byte of packed bits, where other packed integers have their width in bytes."""

PATCHED = 0x80
"""Set in the first byte where patches follow the bits."""

PATCH_BYTES = 3
"""What most patches take: a place of two bytes, and the high bits in one."""

PATCHES_WORTH = 64
"""Bytes that patches must spare beside their own: reading them costs as much as reading some hundred values."""

MAX_WIDTH = 32

_PATCH_HEAD = struct.Struct("<IBB")
SHARES = (0, 1, 2, 4)
"""Bits of a value that may share a byte."""

_WIDTHS = np.array([8 * columns + bits for columns in range(4) for bits in SHARES] + [MAX_WIDTH])
_SPREAD = {
    bits: ((np.arange(256)[:, None] >> np.arange(0, 8, bits)) & ((1 << bits) - 1))
    .astype(np.uint8)
    .view(f"<u{8 // bits}")
    .ravel()
    for bits in (2, 4)
}
"""Bits -> byte -> the values that share it, each in a byte of its own."""

_DTYPES: dict[int, np.dtype[np.unsignedinteger]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
}

Buffer = bytes | memoryview


# ---------------------------------------------------------------------------------------------------- writing


def pack_runs(values: U32s, edges: Ints) -> list[bytes]:
    """Consecutive runs of values, each by itself: run i is `values[edges[i]:edges[i + 1]]`.

    Whatever takes array code is done for all runs at once, since many are short; a run then takes slices of bytes.
    """
    counts = np.diff(edges)
    lengths = _bit_lengths(values)
    widths = _best_widths(lengths, counts)
    outliers = np.flatnonzero(lengths > np.repeat(widths, counts))
    patches = _pack_patches(values, edges, widths, outliers) if outliers.size else repeat(b"")
    split = _Split(values)
    return [
        bytes((BITS | (PATCHED if patch else 0) | width,)) + split.run(low, high, width) + patch
        for width, (low, high), patch in zip(widths.tolist(), pairwise(edges.tolist()), patches, strict=False)
    ]


def _bit_lengths(values: U32s) -> U8s:
    """How many bits each value has; of more than 24, sometimes one more than it has."""
    # The exponent of a float32 is the length in bits plus 126, which rounding may raise by one past 24 bits.
    exponents: U8s = (values.astype(np.float32).view(np.uint32) >> np.uint32(23)).astype(np.uint8)
    np.maximum(exponents, np.uint8(126), out=exponents)
    exponents -= np.uint8(126)
    return np.minimum(exponents, np.uint8(MAX_WIDTH), out=exponents)


def _best_widths(lengths: U8s, counts: Ints) -> U8s:
    """Of each run the width in which it takes the least room, patches included."""
    stride = MAX_WIDTH + 1
    keys = np.repeat(np.arange(len(counts)) * stride, counts)
    keys += lengths
    histograms = np.bincount(keys, minlength=len(counts) * stride).reshape(len(counts), stride)
    patched = counts[:, None] - np.cumsum(histograms, axis=1)[:, _WIDTHS]
    costs = _WIDTHS * counts[:, None] // 8 + PATCH_BYTES * patched + PATCHES_WORTH * (patched > 0)
    best: U8s = _WIDTHS[costs.argmin(axis=1)].astype(np.uint8)
    return best


class _Split:
    """The lowest bits of values, of whichever run and in whichever width: columns, then shared bytes."""

    def __init__(self, values: U32s) -> None:
        self._bytes = np.ascontiguousarray(values, "<u4").view(np.uint8)
        self._columns: dict[int, bytes] = {}
        self._shared: dict[tuple[int, int], bytes] = {}

    def run(self, low: int, high: int, width: int) -> bytes:
        """Values `low` to `high` in so many bits."""
        columns, bits = divmod(width, 8)
        parts = [self._column(place)[low:high] for place in range(columns)]
        if bits:
            parts.append(self._share(low, high, columns, bits))
        return b"".join(parts)

    def _column(self, place: int) -> bytes:
        if place not in self._columns:
            self._columns[place] = self._bytes[place::4].tobytes()
        return self._columns[place]

    def _share(self, low: int, high: int, place: int, bits: int) -> bytes:
        """Bits of a column, as many values to a byte as fit, the first lowest."""
        if (place, bits) not in self._shared:
            self._shared[place, bits] = _shared_from(self._bytes[place::4], bits)
        shared = self._shared[place, bits][low : high : 8 // bits]
        over = (high - low) * bits % 8
        # A last byte that is not full has bits of the next run's values.
        return shared[:-1] + bytes((shared[-1] & ((1 << over) - 1),)) if over else shared


def _shared_from(column: U8s, bits: int) -> bytes:
    """At each value's place the byte that it shares with those after it, if it is the first in one."""
    shared = column & np.uint8((1 << bits) - 1)
    step = 1
    while step * bits < 8:
        shared[:-step] |= shared[step:] << np.uint8(step * bits)
        step *= 2
    return shared.tobytes()


def _share_bytes(count: int, bits: int) -> int:
    return (bits * count + 7) // 8


def _pack_patches(values: U32s, edges: Ints, widths: U8s, outliers: Ints) -> Iterator[bytes]:
    """What each run is patched with: nothing where no value of it is among the outliers."""
    bounds = np.searchsorted(outliers, edges)
    counts = np.diff(bounds)
    places = outliers - np.repeat(edges[:-1], counts)
    high = values[outliers] >> np.repeat(widths, counts)
    # Nearly all are of these widths, so that most runs take slices of bytes here too.
    usual = places.astype("<u2").tobytes(), high.astype(np.uint8).tobytes()
    patched = counts > 0
    largest = np.zeros(len(counts), np.uint32)
    largest[patched] = np.maximum.reduceat(high, bounds[:-1][patched])
    for size, (first, last), most in zip(
        np.diff(edges).tolist(), pairwise(bounds.tolist()), largest.tolist(), strict=True
    ):
        if first == last:
            yield b""
        elif size <= 1 << 16 and most < 1 << 8:
            head = _PATCH_HEAD.pack(last - first, 2, 1)
            yield head + usual[0][2 * first : 2 * last] + usual[1][first:last]
        else:
            yield _pack_wide_patches(places[first:last], high[first:last], size, most)


def _pack_wide_patches(places: Ints, high: U32s, size: int, largest: int) -> bytes:
    place_width = 2 if size <= 1 << 16 else 4
    high_width = 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4
    head = _PATCH_HEAD.pack(len(places), place_width, high_width)
    return head + places.astype(_DTYPES[place_width]).tobytes() + high.astype(_DTYPES[high_width]).tobytes()


# ---------------------------------------------------------------------------------------------------- reading


class Packed(NamedTuple):
    """Views of what is stored of `size` values, and where it ends.

    columns:  uint8[size] each  the lowest bytes of all values
    shared:   uint8[..]         the bits above them, `width` modulo 8 of each value
    places:   values with a patch, ascending; None where none has
    high:     what the patches add to them
    """

    size: int
    width: int
    columns: tuple[U8s, ...]
    shared: U8s
    places: Ints | None
    high: U32s | None
    end: int


def view(data: Buffer, start: int, count: int) -> Packed:
    """What is stored of `count` values whose first byte is at `start`; valid for as long as `data` is."""
    head = data[start]
    width = head & (BITS - 1)
    columns, bits = divmod(width, 8)
    first_shared = start + 1 + columns * count
    end = first_shared + _share_bytes(count, bits)
    if bits not in SHARES or width > MAX_WIDTH or end > len(data):
        raise CorruptIndex(
            f"packed bits: {width} bits for {count} values at byte {start} do not fit a value of {len(data)} bytes"
        )
    first_bytes = range(start + 1, first_shared, max(1, count))
    stored = tuple(np.frombuffer(data, np.uint8, count, first) for first in first_bytes)
    shared = np.frombuffer(data, np.uint8, end - first_shared, first_shared)
    places, high = None, None
    if head & PATCHED:
        places, high, end = _patches(data, end, count, width)
    return Packed(count, width, stored, shared, places, high, end)


def _patches(data: Buffer, start: int, count: int, width: int) -> tuple[Ints, U32s, int]:
    """(places, what to add there, where the patches end)."""
    patched, place_width, high_width = _PATCH_HEAD.unpack_from(data, start)
    first = start + _PATCH_HEAD.size
    end = first + patched * (place_width + high_width)
    if not 0 < patched <= count or not {place_width, high_width} <= _DTYPES.keys() or end > len(data):
        raise CorruptIndex(f"packed bits: {patched} patches at byte {start} for {count} values")
    places = np.frombuffer(data, _DTYPES[place_width], patched, first).astype(np.intp)
    high = np.frombuffer(data, _DTYPES[high_width], patched, end - patched * high_width).astype(np.uint32)
    return places, high << np.uint32(width), end


def join(packed: Packed) -> NDArray[np.unsignedinteger[Any]]:
    """All values, as an owned array no wider than it must be.

    raises: IndexError   a patch lies past the last value
    """
    values = _join_columns(packed)
    if packed.places is not None and packed.high is not None:
        values = values.astype(np.uint32)
        values[packed.places] += packed.high
    return values


def _join_columns(packed: Packed) -> NDArray[np.unsignedinteger[Any]]:
    columns, bits = packed.columns, packed.width % 8
    if not columns:
        return _unshare(packed.shared, bits, packed.size)
    dtype = _DTYPES[1 if packed.width <= 8 else 2 if packed.width <= 16 else 4]
    values: NDArray[np.unsignedinteger[Any]] = columns[0].astype(dtype)
    for place, column in enumerate(columns[1:], 1):
        values |= column.astype(dtype) << dtype.type(8 * place)
    if bits:
        values |= _unshare(packed.shared, bits, packed.size).astype(dtype) << dtype.type(8 * len(columns))
    return values


def _unshare(shared: U8s, bits: int, count: int) -> U8s:
    if not bits:
        return np.zeros(count, np.uint8)
    if bits == 1:
        return np.unpackbits(shared, count=count, bitorder="little")
    values: U8s = _SPREAD[bits][shared].view(np.uint8)[:count]
    return values


def pick(packed: Packed, chosen: Ints) -> U32s:
    """The values at these places alone."""
    values = np.zeros(len(chosen), np.uint32)
    for place, column in enumerate(packed.columns):
        values |= column[chosen].astype(np.uint32) << np.uint32(8 * place)
    bits = packed.width % 8
    if bits:
        byte, place_bits = chosen * bits >> 3, (chosen * bits & 7).astype(np.uint8)
        own = (packed.shared[byte] >> place_bits) & np.uint8((1 << bits) - 1)
        values |= own.astype(np.uint32) << np.uint32(8 * len(packed.columns))
    if packed.places is not None and packed.high is not None:
        patch = np.minimum(np.searchsorted(packed.places, chosen), len(packed.places) - 1)
        values += np.where(packed.places[patch] == chosen, packed.high[patch], np.uint32(0))
    return values
