"""Integers in as many bits as most of them need; the few that need more are patched.

The bits lie in planes, a bit of every value each, eight values to a byte; eight planes make a column, the bytes of
all values one after the other. NumPy splits and joins them a whole array at a time, and one value is read from a
byte of each. `FORMAT.md` draws the bytes.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quidditch.errors import CorruptIndex
from quidditch.types import Ints, U8s, U32s

PLANES = 0x40
"""Set in the first byte of bit planes, where other packed integers have their width in bytes."""

PATCHED = 0x80
"""Set in the first byte where patches follow the planes."""

PATCH_BYTES = 3
"""What most patches take: a place of two bytes, and the high bits in one."""

PATCHES_WORTH = 64
"""Bytes that patches must spare beside their own: reading them costs as much as reading some hundred values."""

MAX_WIDTH = 32

NEARLY_BYTES = 6
"""From this width on values get whole bytes."""

_PATCH_HEAD = struct.Struct("<IBB")
_WIDTHS = np.arange(MAX_WIDTH + 1)
_SHIFTS = np.arange(8, dtype="<u8")[:, None]
_BITS = np.left_shift(np.uint8(1), np.arange(8, dtype=np.uint8))[:, None]
_SPREAD = (
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").view("<u8").ravel()
)
"""Byte -> its eight bits, each in a byte of its own."""

_DTYPES: dict[int, np.dtype[np.unsignedinteger]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
}

Buffer = bytes | memoryview


# ---------------------------------------------------------------------------------------------------- writing


def pack_runs(values: U32s, edges: Ints) -> list[bytes]:
    """Consecutive runs of values, each by itself: run i is `values[edges[i]:edges[i + 1]]`.

    What must be known of each value is found for all runs at once: there are many short ones.
    """
    counts = np.diff(edges)
    # The exponent of a float32 is the length in bits plus 126; past 24 bits rounding may make it one more.
    exponents = (values.astype(np.float32).view(np.uint32) >> np.uint32(23)).astype(np.int16) - np.int16(126)
    lengths = np.clip(exponents, 0, MAX_WIDTH).astype(np.uint8)
    widths = _best_widths(lengths, counts)
    outliers = np.flatnonzero(lengths > np.repeat(widths, counts))
    outlier_edges = np.searchsorted(outliers, edges).tolist()
    packed = []
    for width, (low, high), (first, last) in zip(
        widths.tolist(), pairwise(edges.tolist()), pairwise(outlier_edges), strict=True
    ):
        run = values[low:high]
        if first == last:
            packed.append(bytes((PLANES | width,)) + _split(run, width))
        else:
            patches = _pack_patches(run, outliers[first:last] - low, width)
            packed.append(bytes((PLANES | PATCHED | width,)) + _split(run, width) + patches)
    return packed


def _best_widths(lengths: U8s, counts: Ints) -> U8s:
    """Of each run the width in which it takes the least room, patches included."""
    stride = MAX_WIDTH + 1
    keys = np.repeat(np.arange(len(counts)) * stride, counts)
    keys += lengths
    histograms = np.bincount(keys, minlength=len(counts) * stride).reshape(len(counts), stride)
    patched = counts[:, None] - np.cumsum(histograms, axis=1)
    costs = _WIDTHS * ((counts + 7) // 8)[:, None] + PATCH_BYTES * patched + PATCHES_WORTH * (patched > 0)
    best: U8s = costs.argmin(axis=1).astype(np.uint8)
    # A column of bytes is read some times faster than six or seven planes, and hardly longer.
    best[(best >= NEARLY_BYTES) & (best < 8)] = 8
    return best


def _split(values: U32s, width: int) -> bytes:
    """The lowest `width` bits of every value: columns, then planes."""
    columns, planes = divmod(width, 8)
    head = b"".join((values >> np.uint32(8 * place)).astype(np.uint8).tobytes() for place in range(columns))
    if not planes:
        return head
    top = (values >> np.uint32(8 * columns) if columns else values).astype(np.uint8)
    return head + np.packbits(top & _BITS[:planes], axis=1, bitorder="little").tobytes()


def _pack_patches(values: U32s, places: Ints, width: int) -> bytes:
    high = values[places] >> np.uint32(width)
    place_width = 2 if len(values) <= 1 << 16 else 4
    largest = int(high.max())
    high_width = 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4
    head = _PATCH_HEAD.pack(len(places), place_width, high_width)
    return head + places.astype(_DTYPES[place_width]).tobytes() + high.astype(_DTYPES[high_width]).tobytes()


# ---------------------------------------------------------------------------------------------------- reading


class Planes(NamedTuple):
    """Views of what is stored of `size` values, and where it ends.

    columns:  uint8[size] each   the lowest bytes of all values
    planes:   uint8[w, size / 8]   the bits above them
    places:   values with a patch, ascending; None where none has
    high:     what the patches add to them
    """

    size: int
    columns: tuple[U8s, ...]
    planes: U8s
    places: Ints | None
    high: U32s | None
    end: int

    @property
    def width(self) -> int:
        return 8 * len(self.columns) + len(self.planes)


def view(data: Buffer, start: int, count: int) -> Planes:
    """The planes of `count` values whose first byte is at `start`; valid for as long as `data` is."""
    head = data[start]
    columns, planes = divmod(head & (PLANES - 1), 8)
    plane_bytes = (count + 7) // 8
    first_plane = start + 1 + columns * count
    end = first_plane + planes * plane_bytes
    if 8 * columns + planes > MAX_WIDTH or end > len(data):
        raise CorruptIndex(
            f"bit planes: {8 * columns + planes} bits for {count} values at byte {start} do not fit a value of "
            f"{len(data)} bytes"
        )
    first_bytes = range(start + 1, first_plane, max(1, count))
    stored = np.frombuffer(data, np.uint8, end - first_plane, first_plane)
    places, high = None, None
    if head & PATCHED:
        places, high, end = _patches(data, end, count, 8 * columns + planes)
    return Planes(
        count,
        tuple(np.frombuffer(data, np.uint8, count, first) for first in first_bytes),
        stored.reshape(planes, plane_bytes),
        places,
        high,
        end,
    )


def _patches(data: Buffer, start: int, count: int, width: int) -> tuple[Ints, U32s, int]:
    """(places, what to add there, where the patches end)."""
    patched, place_width, high_width = _PATCH_HEAD.unpack_from(data, start)
    first = start + _PATCH_HEAD.size
    end = first + patched * (place_width + high_width)
    if not 0 < patched <= count or not {place_width, high_width} <= _DTYPES.keys() or end > len(data):
        raise CorruptIndex(f"bit planes: {patched} patches at byte {start} for {count} values")
    places = np.frombuffer(data, _DTYPES[place_width], patched, first).astype(np.intp)
    high = np.frombuffer(data, _DTYPES[high_width], patched, end - patched * high_width).astype(np.uint32)
    return places, high << np.uint32(width), end


def join(packed: Planes) -> NDArray[np.unsignedinteger[Any]]:
    """All values, as an owned array no wider than it must be.

    raises: IndexError   a patch lies past the last value
    """
    values = _join_columns(packed)
    if packed.places is not None and packed.high is not None:
        values = values.astype(np.uint32)
        values[packed.places] += packed.high
    return values


def _join_columns(packed: Planes) -> NDArray[np.unsignedinteger[Any]]:
    columns, planes, width = packed.columns, packed.planes, packed.width
    if not len(columns):
        return _join_planes(planes, packed.size)
    dtype = _DTYPES[1 if width <= 8 else 2 if width <= 16 else 4]
    values: NDArray[np.unsignedinteger[Any]] = columns[0].astype(dtype)
    for place, column in enumerate(columns[1:], 1):
        values |= column.astype(dtype) << dtype.type(8 * place)
    if len(planes):
        values |= _join_planes(planes, packed.size).astype(dtype) << dtype.type(8 * len(columns))
    return values


def _join_planes(planes: U8s, count: int) -> U8s:
    if not len(planes):
        return np.zeros(count, np.uint8)
    if len(planes) == 1:
        return np.unpackbits(planes[0], count=count, bitorder="little")
    # Eight values at a time.
    spread = _SPREAD[planes]
    spread <<= _SHIFTS[: len(planes)]
    joined: U8s = np.bitwise_or.reduce(spread, axis=0).view(np.uint8)[:count]
    return joined


def pick(packed: Planes, chosen: Ints) -> U32s:
    """The values at these places alone."""
    values = np.zeros(len(chosen), np.uint32)
    for place, column in enumerate(packed.columns):
        values |= column[chosen].astype(np.uint32) << np.uint32(8 * place)
    byte, bit = chosen >> 3, (chosen & 7).astype(np.uint8)
    for place, plane in enumerate(packed.planes, 8 * len(packed.columns)):
        values |= ((plane[byte] >> bit) & np.uint8(1)).astype(np.uint32) << np.uint32(place)
    if packed.places is not None and packed.high is not None:
        patch = np.minimum(np.searchsorted(packed.places, chosen), len(packed.places) - 1)
        values += np.where(packed.places[patch] == chosen, packed.high[patch], np.uint32(0))
    return values
