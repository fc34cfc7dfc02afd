"""Values to bytes and back: pure functions, each the owner of one shape that `FORMAT.md` draws.

Keys are big-endian, because LMDB compares bytes; values are little-endian. Every decoder copies: what it
returns outlives the transaction that the bytes came from.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from array import array
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from quidditch.errors import CorruptIndex
from quidditch.index import packed_bits
from quidditch.types import I64s, Ints, U32s

FORMAT_VERSION = 3
OLDEST_READABLE = 1

Buffer: TypeAlias = bytes | memoryview

WINDOW_DOCS = 1 << 16
"""Documents a postings chunk spans: one roaring container."""

COLUMN_CHUNK_DOCS = 1 << 14
"""Documents a chunk of a column or of field lengths spans: at most 128 KiB, so that free pages are found."""

ID_CHUNK_DOCS = 1 << 10
"""Documents a chunk of `_id`s spans; one id costs the decoding of one chunk's lengths."""

LONGEST_PLAIN_ID = 480
"""Bytes of the longest `_id` that is its own key; LMDB's keys end at 511."""

_DTYPES: dict[int, np.dtype[np.unsignedinteger]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}


_Decoder = TypeVar("_Decoder", bound=Callable[..., Any])


def decodes(what: str) -> Callable[[_Decoder], _Decoder]:
    """Marks a function that reads stored bytes: whatever damaged ones make it raise becomes CorruptIndex."""

    def mark(decoder: _Decoder) -> _Decoder:
        @functools.wraps(decoder)
        def guarded(*arguments: Any, **options: Any) -> Any:
            try:
                return decoder(*arguments, **options)
            except (struct.error, ValueError, IndexError, OverflowError, EOFError, RuntimeError) as error:
                raise CorruptIndex(f"{what}: the stored bytes are damaged ({error})") from error

        return cast(_Decoder, guarded)

    return mark


# ------------------------------------------------------------------------------------------------------ keys


def segment_key(segment: int) -> bytes:
    """
    >>> segment_key(258).hex()
    '00000102'
    """
    return struct.pack(">I", segment)


def field_key(segment: int, field: int) -> bytes:
    """
    >>> field_key(1, 2).hex()
    '000000010002'
    """
    return struct.pack(">IH", segment, field)


def field_chunk_key(segment: int, field: int, chunk: int) -> bytes:
    """
    >>> field_chunk_key(1, 2, 3).hex()
    '00000001000200000003'
    """
    return struct.pack(">IHI", segment, field, chunk)


def postings_key(segment: int, field: int, ordinal: int, window: int) -> bytes:
    """
    >>> postings_key(1, 2, 3, 4).hex()
    '000000010002000000030004'
    """
    return struct.pack(">IHIH", segment, field, ordinal, window)


def segment_chunk_key(segment: int, chunk: int) -> bytes:
    """
    >>> segment_chunk_key(1, 2).hex()
    '0000000100000002'
    """
    return struct.pack(">II", segment, chunk)


def seq_no_key(seq_no: int) -> bytes:
    """
    >>> seq_no_key(258).hex()
    '0000000000000102'
    """
    return struct.pack(">Q", seq_no)


def id_key(id_bytes: bytes) -> bytes:
    """The id itself, or for one past LMDB's limit a byte no UTF-8 starts with, its head, and its 128-bit hash.

    >>> id_key(b"doc-1")
    b'doc-1'
    >>> len(id_key(b"x" * 512))
    81
    """
    if len(id_bytes) <= LONGEST_PLAIN_ID:
        return id_bytes
    return b"\xff" + id_bytes[:64] + hashlib.blake2b(id_bytes, digest_size=16).digest()


# --------------------------------------------------------------------------------------------------- integers


def pack_uints(values: Ints) -> bytes:
    """One byte of width (0, 1, 2, 4 or 8), then every value in that many bytes; width 0 means all are zero.

    >>> pack_uints(np.array([1, 300])).hex()
    '0201002c01'
    >>> pack_uints(np.zeros(5, np.uint32)).hex()
    '00'
    """
    largest = int(values.max()) if len(values) else 0
    if largest == 0:
        return b"\0"
    width = 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4 if largest < 1 << 32 else 8
    return bytes((width,)) + values.astype(_DTYPES[width]).tobytes()


def pack_bits(values: U32s) -> bytes:
    """As `pack_uints`, in bits: an outlier does not widen the others.

    >>> pack_bits(np.array([1, 0, 1, 1, 0, 0, 1, 0, 1], np.uint32)).hex()
    '414d01'
    """
    return packed_bits.pack_run(values)


def unpack_narrow(data: Buffer, start: int, count: int) -> tuple[NDArray[np.unsignedinteger], int]:
    """`count` values packed at `start`, an owned array (where they are packed by bytes no wider than it must be),
    and where they end."""
    if _head(data, start) < packed_bits.BITS:
        values, end = _view_narrow(data, start, count)
        return values.copy(), end
    packed = packed_bits.view(data, start, count)
    return packed_bits.join(packed), packed.end


def _head(data: Buffer, start: int) -> int:
    """The first byte of packed integers."""
    if not 0 <= start < len(data):
        raise CorruptIndex(
            f"packed integers: expected a width at byte {start} of a value of {len(data)} bytes"
        )
    return data[start]


def _view_narrow(data: Buffer, start: int, count: int) -> tuple[NDArray[np.unsignedinteger], int]:
    """Values packed by bytes, valid for as long as `data` is, and where they end."""
    width = data[start]
    if width == 0:
        return np.zeros(count, np.uint8), start + 1
    end = start + 1 + width * count
    if width not in _DTYPES or end > len(data):
        raise CorruptIndex(
            f"packed integers: width {width} for {count} values at byte {start} does not fit a value of "
            f"{len(data)} bytes"
        )
    return np.frombuffer(data, _DTYPES[width], count, start + 1), end


def pick_uints(data: Buffer, start: int, count: int, places: Ints) -> U32s:
    """Of `count` values packed at `start` those at `places`, an owned uint32 array; the rest are not read."""
    if _head(data, start) < packed_bits.BITS:
        return _view_narrow(data, start, count)[0][places].astype(np.uint32)
    return packed_bits.pick(packed_bits.view(data, start, count), places)


def unpack_uints(data: Buffer, start: int, count: int) -> tuple[U32s, int]:
    """`count` values packed at `start`, as an owned uint32 array, and where they end."""
    if _head(data, start) < packed_bits.BITS:
        values, end = _view_narrow(data, start, count)
        return values.astype(np.uint32), end
    packed = packed_bits.view(data, start, count)
    return packed_bits.join(packed), packed.end


def unpack_part(data: Buffer, start: int, count: int, low: int, high: int) -> tuple[U32s, int]:
    """Of `count` values packed at `start` those at places `low` to `high`, as an owned uint32 array, and where all
    of them end; the rest are not read."""
    if _head(data, start) < packed_bits.BITS:
        values, end = _view_narrow(data, start, count)
        return values[low:high].astype(np.uint32), end
    packed = packed_bits.view(data, start, count)
    return packed_bits.part(packed, low, high), packed.end


def pack_integers(values: I64s) -> bytes:
    """Signed 64-bit integers as their minimum and the packed distances from it.

    >>> pack_integers(np.array([-2, 0, 5])).hex()
    'feffffffffffffff01000207'
    """
    lowest = int(values.min()) if len(values) else 0
    # Unsigned wrap-around keeps the distance exact even from the lowest int64 to the highest.
    distances = values.astype(np.int64).view(np.uint64) - np.uint64(lowest & 0xFFFFFFFFFFFFFFFF)
    return struct.pack("<q", lowest) + pack_uints(distances)


@decodes("packed integers")
def unpack_integers(data: Buffer, start: int, count: int) -> tuple[I64s, int]:
    """`count` signed integers packed at `start`, and where they end."""
    (lowest,) = struct.unpack_from("<q", data, start)
    distances, end = unpack_narrow(data, start + 8, count)
    return (distances.astype(np.uint64) + np.uint64(lowest & 0xFFFFFFFFFFFFFFFF)).view(np.int64), end


def pack_strings(strings: list[bytes]) -> bytes:
    """Packed lengths, then the strings one after the other; how many there are is known from elsewhere.

    >>> pack_strings([b"ab", b"c"]).hex()
    '010201616263'
    """
    lengths = np.fromiter(map(len, strings), np.uint32, len(strings))
    return pack_uints(lengths) + b"".join(strings)


# --------------------------------------------------------------------------------------------------- bitmaps


def bitmap_of(ids: Ints) -> BitMap:
    """A bitmap of these ids. Built through `array`, which pyroaring reads as a block rather than one by one."""
    numbers = array("I")
    numbers.frombytes(np.ascontiguousarray(ids, np.uint32).tobytes())
    return BitMap(numbers)


def array_bitmap(docs: U32s) -> BitMap:
    """A bitmap of one window's documents, counted from its beginning and ascending; at least one.

    Spelt as RoaringFormatSpec has it, one array container, whose bytes are then taken over as they are; made of the
    numbers it would take thirty times as long.

    >>> list(array_bitmap(np.array([3, 7], np.uint32)))
    [3, 7]
    """
    if len(docs) > _ARRAY_DOCS:
        return bitmap_of(docs)
    head = struct.pack("<IIHHI", _NO_RUN_CONTAINERS, 1, 0, len(docs) - 1, _ARRAY_HEAD_BYTES)
    return BitMap.deserialize(head + docs.astype("<u2").tobytes())


def ascending_bitmap(ids: U32s) -> BitMap:
    """As `bitmap_of`, of distinct ascending ids: in half the time where they are many, spelt as above.

    >>> list(ascending_bitmap(np.array([3, 7], np.uint32)))
    [3, 7]
    """
    if not len(ids) or int(ids[-1] - ids[0]) > len(ids) * (_CONTAINER // _WORTH_SPELLING):
        return bitmap_of(ids)
    lows = ids.astype("<u2")
    keys, counts, containers = [], [], []
    for key, own in split_by(ids, _CONTAINER):
        keys.append(key)
        counts.append(own.stop - own.start)
        containers.append(lows[own].tobytes() if counts[-1] <= _ARRAY_DOCS else _bitset(lows[own]))
    head = np.array([keys, np.array(counts) - 1], "<u2").T.tobytes()
    first = 8 + len(head) + 4 * len(keys)
    offsets = np.array([first, *map(len, containers)][:-1], "<u4").cumsum(dtype="<u4").tobytes()
    lead = struct.pack("<II", _NO_RUN_CONTAINERS, len(keys))
    return BitMap.deserialize(b"".join((lead, head, offsets, *containers)))


def _bitset(lows: NDArray[np.uint16]) -> bytes:
    flags = np.zeros(_CONTAINER, np.bool_)
    flags[lows] = True
    return np.packbits(flags, bitorder="little").tobytes()


_CONTAINER = 1 << 16
_WORTH_SPELLING = 256
"""Ids that a container must hold, on average."""

_NO_RUN_CONTAINERS = 12346
_ARRAY_HEAD_BYTES = 16
_ARRAY_DOCS = 4096
"""An array container holds no more."""


def ids_of(bitmap: BitMap) -> U32s:
    """The ids of a bitmap, ascending, as an owned uint32 array."""
    # The numbers are in memory of their own by now.
    return np.asarray(bitmap.to_array(), np.uint32)


def pack_bitmap(bitmap: BitMap) -> bytes:
    """The portable roaring serialisation, run containers where they are smaller."""
    bitmap.run_optimize()
    return bytes(bitmap.serialize())


@decodes("bitmap")
def unpack_bitmap(data: Buffer) -> BitMap:
    return BitMap.deserialize(bytes(data))


def split_by(ids: U32s, span: int) -> list[tuple[int, slice]]:
    """Where ascending ids fall by chunks of `span`: (chunk number, slice of `ids`), chunks without ids left out.

    >>> split_by(np.array([1, 5, 12], np.uint32), 10)
    [(0, slice(0, 2, None)), (1, slice(2, 3, None))]
    """
    if not len(ids):
        return []
    first, last = int(ids[0]) // span, int(ids[-1]) // span
    if first == last:
        return [(first, slice(0, len(ids)))]
    # In the ids' own type: of any other, searching would make a copy of all ids.
    inner = np.arange(first + 1, last + 1, dtype=ids.dtype) * ids.dtype.type(span)
    edges = [0, *np.searchsorted(ids, inner).tolist(), len(ids)]
    return [(first + i, slice(low, high)) for i, (low, high) in enumerate(pairwise(edges)) if low < high]


def ascending_offsets(counts: Ints) -> NDArray[np.int64]:
    """int64[n + 1]: where each of n consecutive runs begins, and where the last one ends."""
    offsets = np.empty(len(counts) + 1, np.int64)
    offsets[0] = 0
    # Widened before it is summed: a sum that also converts runs ten times slower.
    counts.astype(np.int64).cumsum(out=offsets[1:])
    return offsets


# ---------------------------------------------------------------------------------------------------- records


LONGEST_SEQ_NO = 8
"""Bytes of an entry of the id map that is a sequence number alone: at most so many."""


def pack_id_entry(seq_no: int, version: int, deleted: bool, long_id: bytes = b"") -> bytes:
    """An entry of the id map; ids that are hashed in the key are spelt out here.

    Most documents are written once: their entry is the sequence number alone, without its zeros.

    >>> pack_id_entry(5, 2, False).hex(), pack_id_entry(261, 1, False).hex()
    ('0500000000000000020000000000000000', '0501')
    """
    if version == 1 and not deleted and not long_id:
        return seq_no.to_bytes(max(1, (seq_no.bit_length() + 7) // 8), "little")
    return struct.pack("<QQ?", seq_no, version, deleted) + long_id


@decodes("entry of the id map")
def unpack_id_entry(data: Buffer) -> tuple[int, int, bool]:
    """Sequence number and version of the last write, and whether it was a delete."""
    if 0 < len(data) <= LONGEST_SEQ_NO:
        return int.from_bytes(data, "little"), 1, False
    seq_no, version, deleted = struct.unpack_from("<QQ?", data)
    return seq_no, version, deleted


def long_id_of(data: Buffer) -> bytes:
    """The id that an entry spells out, because its key holds a hash of it."""
    return bytes(data[struct.calcsize("<QQ?") :])
