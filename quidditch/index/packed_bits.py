"""Integers in about as many bits as most of them need; the few that need more are patched.

Whole bytes of the width are columns, each the bytes of all values; what is left of it, 1, 2 or 4 bits, shares bytes.
Shared bytes are looked up in a table, a whole array at a time, and one value is read from a byte of each column and
one shared. `FORMAT.md` draws the bytes.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise, repeat
from typing import NamedTuple

import numpy as np

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
    (bits, columns): ((np.arange(256)[:, None] >> np.arange(0, 8, bits)) & ((1 << bits) - 1)).astype(
        np.uint32
    )
    << np.uint32(8 * columns)
    for bits in (1, 2, 4)
    for columns in range(4)
}
"""(bits, columns below them) -> uint32[256, 8 // bits]: byte -> the values that share it, at their place."""

_DTYPES: dict[int, np.dtype[np.unsignedinteger]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
}

Buffer = bytes | memoryview


# ---------------------------------------------------------------------------------------------------- writing


def pack_run(values: U32s) -> bytes:
    """All the values as one run: what `pack_runs` makes of it, in a tenth of the time where it is short."""
    count = len(values)
    lengths = _bit_lengths(values)
    patched = count - np.bincount(lengths, minlength=MAX_WIDTH + 1).cumsum()[_WIDTHS]
    costs = _WIDTHS * count // 8 + PATCH_BYTES * patched + PATCHES_WORTH * (patched > 0)
    best = int(costs.argmin())
    width = int(_WIDTHS[best])
    split = _Split(values).run(0, count, width)
    if not patched[best]:
        return bytes((BITS | width,)) + split
    widths, outliers = np.array([width], np.uint8), np.flatnonzero(lengths > width)
    (patches,) = _pack_patches(values, np.array([0, count]), widths, outliers)
    return bytes((BITS | PATCHED | width,)) + split + patches


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
    """A view of what is stored of `size` values, and where it ends.

    columns:  how many whole bytes of each value are columns
    bits:     of each value, above those, share bytes: 0, 1, 2 or 4
    stored:   uint8[..]  the columns, `size` bytes each, then the shared bytes
    places:   values with a patch, ascending; None where none has
    high:     what the patches add to them, in units of the first bit that is not stored
    """

    size: int
    columns: int
    bits: int
    stored: U8s
    places: Ints | None
    high: Ints | None
    end: int


def view(data: Buffer, start: int, count: int) -> Packed:
    """What is stored of `count` values whose first byte is at `start`; valid for as long as `data` is."""
    head = data[start]
    width = head & (BITS - 1)
    columns, bits = width >> 3, width & 7
    end = start + 1 + columns * count + (bits * count + 7 >> 3)
    if bits not in SHARES or width > MAX_WIDTH or end > len(data):
        raise CorruptIndex(
            f"packed bits: {width} bits for {count} values at byte {start} do not fit a value of {len(data)} bytes"
        )
    stored = np.frombuffer(data, np.uint8, end - start - 1, start + 1)
    if not head & PATCHED:
        return Packed(count, columns, bits, stored, None, None, end)
    return Packed(count, columns, bits, stored, *_patches(data, end, count))


def _patches(data: Buffer, start: int, count: int) -> tuple[Ints, Ints, int]:
    """(places, what to add there, where the patches end)."""
    patched, place_width, high_width = _PATCH_HEAD.unpack_from(data, start)
    first = start + _PATCH_HEAD.size
    middle = first + patched * place_width
    end = middle + patched * high_width
    place_type, high_type = _DTYPES.get(place_width), _DTYPES.get(high_width)
    if not 0 < patched <= count or place_type is None or high_type is None or end > len(data):
        raise CorruptIndex(f"packed bits: {patched} patches at byte {start} for {count} values")
    places = np.frombuffer(data, place_type, patched, first)
    return places, np.frombuffer(data, high_type, patched, middle), end


def join(packed: Packed) -> U32s:
    """All values, as an owned array.

    raises: CorruptIndex   a patch lies past the last value
    """
    values = _unpatched(packed, 0, packed.size)
    if packed.places is not None and packed.high is not None:
        _patch(values, packed.places.astype(np.intp), packed.high, packed)
    return values


def part(packed: Packed, low: int, high: int) -> U32s:
    """The values at places `low` to `high`, as an owned array, at the cost of these.

    raises: CorruptIndex   there are not so many; a patch lies where none can
    """
    if not 0 <= low <= high <= packed.size:
        raise CorruptIndex(f"packed bits: places {low} to {high} of {packed.size} values")
    values = _unpatched(packed, low, high)
    if packed.places is not None and packed.high is not None:
        first = bisect_left(packed.places, low)
        last = bisect_left(packed.places, high, first)
        if first < last:
            _patch(values, packed.places[first:last].astype(np.intp) - low, packed.high[first:last], packed)
    return values


def _unpatched(packed: Packed, low: int, high: int) -> U32s:
    size, columns, bits, stored = packed[:4]
    if not columns:
        return _unshare(packed, low, high) if bits else np.zeros(high - low, np.uint32)
    values = stored[low:high].astype(np.uint32)
    for place in range(1, columns):
        column = stored[place * size + low : place * size + high]
        values |= column.astype(np.uint32) << np.uint32(8 * place)
    if bits:
        values |= _unshare(packed, low, high)
    return values


def _unshare(packed: Packed, low: int, high: int) -> U32s:
    """What shares bytes, at its place above the columns."""
    size, columns, bits, stored = packed[:4]
    # From where a byte begins: eight values end with one in any width.
    first = low & ~7
    shared = stored[columns * size + (bits * first >> 3) : columns * size + (bits * high + 7 >> 3)]
    values: U32s = _SPREAD[bits, columns].take(shared, axis=0).reshape(-1)[low - first : high - first]
    return values


def _patch(values: U32s, places: Ints, high: Ints, packed: Packed) -> None:
    try:
        values[places] += high.astype(np.uint32) << np.uint32(8 * packed.columns + packed.bits)
    except IndexError as error:
        raise CorruptIndex(f"packed bits: a patch past the last of {packed.size} values") from error


def pick(packed: Packed, chosen: Ints) -> U32s:
    """The values at these places alone."""
    values = np.zeros(len(chosen), np.uint32)
    count, bits = packed.size, packed.bits
    for place in range(packed.columns):
        column = packed.stored[place * count : (place + 1) * count]
        values |= column.take(chosen).astype(np.uint32) << np.uint32(8 * place)
    if bits:
        first_bits = chosen * bits
        shared = packed.stored[packed.columns * count :].take(first_bits >> 3)
        own = (shared >> (first_bits & 7).astype(np.uint8)) & np.uint8((1 << bits) - 1)
        values |= own.astype(np.uint32) << np.uint32(8 * packed.columns)
    if packed.places is not None and packed.high is not None:
        patch = np.minimum(np.searchsorted(packed.places, chosen), len(packed.places) - 1)
        high = packed.high[patch].astype(np.uint32) << np.uint32(8 * packed.columns + bits)
        values += np.where(packed.places[patch] == chosen, high, np.uint32(0))
    return values
