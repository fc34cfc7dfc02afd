"""The documents themselves: sources in zstd blocks of several documents, ids in chunks of their own.

A block is read for a get or a page of hits, never for matching; ids are apart, because every hit needs its id
and not every search its source.
"""

from __future__ import annotations

import struct
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, count, islice, pairwise

import numpy as np
import zstandard

from quidditch.errors import CorruptIndex
from quidditch.index.codecs import (
    ID_CHUNK_DOCS,
    Buffer,
    ascending_offsets,
    decodes,
    pack_strings,
    pack_uints,
    segment_chunk_key,
    unpack_uints,
)
from quidditch.index.postings import Row
from quidditch.index.storage import Rows, Table
from quidditch.types import U32s

BLOCK_BYTES = 1 << 14
"""Bytes of JSON a block gathers before it is compressed: reading one document decompresses that much."""

COMPRESSION_LEVEL = 1

MAX_BLOCK_BYTES = 1 << 30
"""Bytes a block may claim to hold; one source can be large, a damaged header must not ask for terabytes."""

_codecs = threading.local()


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_codecs, "compressor"):
        _codecs.compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL)
    return _codecs.compressor  # type: ignore[no-any-return]


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_codecs, "decompressor"):
        _codecs.decompressor = zstandard.ZstdDecompressor()
    return _codecs.decompressor  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------------------------------- writing


def pack_block(sources: Sequence[bytes]) -> bytes:
    """Sources as one zstd frame: count, packed lengths, the bytes.

    >>> unpack_block(pack_block([b'{}', b'{"a":1}']))
    [b'{}', b'{"a":1}']
    """
    lengths = np.fromiter(map(len, sources), np.uint32, len(sources))
    head = struct.pack("<I", len(sources)) + pack_uints(lengths)
    return _compressor().compress(head + b"".join(sources))


class SourceWriter:
    """Gathers sources into compressed blocks as they come; small in memory, whatever the segment's size."""

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._blocks: list[tuple[int, bytes]] = []
        self._blocked_docs = 0
        self.size_bytes = 0

    @property
    def doc_count(self) -> int:
        return self._blocked_docs + len(self._open)

    def add(self, sources: Sequence[bytes]) -> None:
        for source in sources:
            self._open.append(source)
            self._open_bytes += len(source)
            if self._open_bytes >= BLOCK_BYTES:
                self._close_block()

    def join(self, other: SourceWriter) -> None:
        """Take over what another has gathered, after what is here."""
        self._close_block()
        other._close_block()
        self._blocks += [(self._blocked_docs + first_doc, block) for first_doc, block in other._blocks]
        self._blocked_docs += other._blocked_docs
        self.size_bytes += other.size_bytes

    def _close_block(self) -> None:
        if not self._open:
            return
        block = pack_block(self._open)
        self._blocks.append((self._blocked_docs, block))
        self._blocked_docs += len(self._open)
        self.size_bytes += len(block)
        self._open, self._open_bytes = [], 0

    def copy(self, segment: int, block: bytes) -> Iterator[Row]:
        """Take a block over as it is, after everything given before."""
        self._close_block()
        self._blocks.append((self._blocked_docs, block))
        self.size_bytes += len(block)
        self._blocked_docs += block_count(block)
        yield from self.drain(segment)

    def drain(self, segment: int) -> Iterator[Row]:
        """Rows of the blocks that are full; they are no longer held."""
        for first_doc, block in self._blocks:
            yield Table.STORED, segment_chunk_key(segment, first_doc), block
            self.size_bytes -= len(block)
        self._blocks.clear()

    def rows(self, segment: int) -> Iterator[Row]:
        """Rows of everything that is still held."""
        self._close_block()
        yield from self.drain(segment)


def id_rows(segment: int, ids: Iterable[bytes]) -> Iterator[Row]:
    """Rows of the ids of all documents, in their order."""
    stream = iter(ids)
    for chunk in count():
        held = list(islice(stream, ID_CHUNK_DOCS))
        if not held:
            return
        yield Table.DOC_IDS, segment_chunk_key(segment, chunk), pack_strings(held)


# ---------------------------------------------------------------------------------------------------- reading


@decodes("stored block")
def unpack_block(block: Buffer) -> list[bytes]:
    """The sources of one block."""
    return OpenBlock(block).sources()


class OpenBlock:
    """A block, decompressed; a source is cut out of it when it is asked for."""

    __slots__ = ("_data", "_lengths", "_start")

    def __init__(self, block: Buffer) -> None:
        try:
            if zstandard.frame_content_size(block) > MAX_BLOCK_BYTES:
                raise CorruptIndex(f"stored block: claims more than {MAX_BLOCK_BYTES:,} bytes")
            self._data = _decompressor().decompress(block)
        except zstandard.ZstdError as error:
            raise CorruptIndex(
                f"stored block of {len(block)} bytes cannot be decompressed: {error}"
            ) from error
        (count,) = struct.unpack_from("<I", self._data)
        lengths, self._start = unpack_uints(self._data, 4, count)
        self._lengths: list[int] = lengths.tolist()

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, place: int) -> bytes:
        low = self._start + sum(self._lengths[:place])
        return self._data[low : low + self._lengths[place]]

    def sources(self) -> list[bytes]:
        edges = accumulate(self._lengths, initial=self._start)
        return [self._data[low:high] for low, high in pairwise(edges)]


@decodes("stored block")
def open_block(block: Buffer) -> OpenBlock:
    return OpenBlock(block)


@decodes("stored block")
def block_count(block: Buffer) -> int:
    """How many sources a block holds; its beginning alone is decompressed."""
    try:
        with _decompressor().stream_reader(bytes(block)) as stream:
            return int(struct.unpack("<I", stream.read(4))[0])
    except zstandard.ZstdError as error:
        raise CorruptIndex(f"stored block of {len(block)} bytes cannot be decompressed: {error}") from error


def read_block(rows: Rows, segment: int, doc: int) -> tuple[int, Buffer]:
    """The block that holds a document: its first document, and its bytes."""
    found = rows.floor(Table.STORED, segment_chunk_key(segment, doc))
    if found is None or not found[0].startswith(segment_chunk_key(segment, 0)[:4]):
        raise CorruptIndex(f"segment {segment}: no stored block holds document {doc}")
    return int.from_bytes(found[0][4:], "big"), found[1]


def read_sources(rows: Rows, segment: int, docs: U32s) -> list[bytes]:
    """The JSON of each document, in the order asked for; each block is decompressed once."""
    blocks: dict[int, OpenBlock] = {}
    sources = []
    first, end = -1, -1
    for doc in docs.tolist():
        if not first <= doc < end:
            first, data = read_block(rows, segment, doc)
            if first not in blocks:
                blocks[first] = open_block(data)
            end = first + len(blocks[first])
        if doc >= end:
            raise CorruptIndex(f"segment {segment}: the stored block at {first} ends before document {doc}")
        sources.append(blocks[first][doc - first])
    return sources


class IdChunk:
    """The `_id`s of consecutive documents, decoded when they are asked for."""

    __slots__ = ("_blob", "_offsets")

    def __init__(self, offsets: array[int], blob: bytes) -> None:
        """`offsets` of each one in `blob`, and where the last one ends."""
        self._offsets = offsets
        self._blob = blob

    def __getitem__(self, place: int) -> bytes:
        return self._blob[self._offsets[place] : self._offsets[place + 1]]

    @property
    def size_bytes(self) -> int:
        return 4 * len(self._offsets) + len(self._blob)


@decodes("ids")
def read_id_chunk(rows: Rows, segment: int, chunk: int, doc_count: int) -> IdChunk:
    """The chunk of `_id`s, decoded: an owned copy."""
    value = rows.get(Table.DOC_IDS, segment_chunk_key(segment, chunk))
    if value is None:
        raise CorruptIndex(f"segment {segment}: chunk {chunk} of its ids is missing")
    lengths, start = unpack_uints(value, 0, min(ID_CHUNK_DOCS, doc_count - chunk * ID_CHUNK_DOCS))
    offsets = array("I", ascending_offsets(lengths).astype(np.uint32).tobytes())
    blob = bytes(value[start:])
    if len(blob) < offsets[-1]:
        raise CorruptIndex(
            f"segment {segment}: chunk {chunk} of its ids ends after {len(blob)} of {offsets[-1]} bytes"
        )
    return IdChunk(offsets, blob)
