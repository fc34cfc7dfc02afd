"""Values by document: columns of numbers and ordinals, field lengths, and which documents have a value at all.

All are chunked by 16,384 documents, so that no LMDB value grows with the segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from quidditch.errors import CorruptIndex
from quidditch.index.codecs import (
    COLUMN_CHUNK_DOCS,
    bitmap_of,
    field_chunk_key,
    ids_of,
    pack_bitmap,
    pack_integers,
    pack_uints,
    split_by,
    unpack_bitmap,
    unpack_integers,
    unpack_narrow,
    unpack_uints,
)
from quidditch.index.postings import Row
from quidditch.index.storage import Rows, Table
from quidditch.types import U32s

ColumnKind: TypeAlias = Literal["int64", "float64", "ordinal"]


@dataclass(frozen=True, slots=True)
class Column:
    """A field's values by document: pairs sorted by document, then by value. Shared: never write into it.

    docs:    uint32[m]   document of each value
    values:  int64[m], float64[m], or uint32[m] ordinals into the segment's dictionary of the field
    single:  no document has two values
    """

    kind: ColumnKind
    docs: U32s
    values: NDArray[Any]
    single: bool
    minimum: float | int | None
    maximum: float | int | None

    @property
    def size_bytes(self) -> int:
        return self.docs.nbytes + self.values.nbytes


# ---------------------------------------------------------------------------------------------------- writing


def column_rows(
    segment: int, field: int, kind: ColumnKind, docs: U32s, values: NDArray[Any]
) -> Iterator[Row]:
    """Rows of one column; `docs` does not fall."""
    for chunk, part in split_by(docs, COLUMN_CHUNK_DOCS):
        chunk_docs, chunk_values = docs[part], values[part]
        _, counts = np.unique(chunk_docs, return_counts=True)
        value = pack_uints(counts - 1) + _pack_values(kind, chunk_values)
        yield Table.COLUMNS, field_chunk_key(segment, field, chunk), value


def _pack_values(kind: ColumnKind, values: NDArray[Any]) -> bytes:
    if kind == "int64":
        return pack_integers(values)
    if kind == "float64":
        return values.astype("<f8").tobytes()
    return pack_uints(values)


def length_rows(segment: int, field: int, lengths: U32s) -> Iterator[Row]:
    """Rows of one text field's lengths in tokens; one number for every document."""
    for start in range(0, len(lengths), COLUMN_CHUNK_DOCS):
        key = field_chunk_key(segment, field, start // COLUMN_CHUNK_DOCS)
        yield Table.LENGTHS, key, pack_uints(lengths[start : start + COLUMN_CHUNK_DOCS])


def presence_rows(segment: int, field: int, docs: U32s, doc_count: int) -> Iterator[Row]:
    """Rows saying which documents have a value; none at all where every document has one."""
    if len(docs) == doc_count:
        return
    for chunk, part in split_by(docs, COLUMN_CHUNK_DOCS):
        low = docs[part] - np.uint32(chunk * COLUMN_CHUNK_DOCS)
        yield Table.PRESENCE, field_chunk_key(segment, field, chunk), pack_bitmap(bitmap_of(low))


# ---------------------------------------------------------------------------------------------------- reading


def _chunks(doc_count: int) -> range:
    return range((doc_count + COLUMN_CHUNK_DOCS - 1) // COLUMN_CHUNK_DOCS)


def read_presence(rows: Rows, segment: int, field: int, present: int, doc_count: int) -> BitMap:
    """Documents with a value."""
    everyone = BitMap()
    if present == doc_count:
        everyone.add_range(0, doc_count)
        return everyone
    for chunk in _chunks(doc_count):
        value = rows.get(Table.PRESENCE, field_chunk_key(segment, field, chunk))
        if value is not None:
            everyone |= unpack_bitmap(value).shift(chunk * COLUMN_CHUNK_DOCS)
    return everyone


def read_lengths(rows: Rows, segment: int, field: int, doc_count: int) -> NDArray[np.unsignedinteger[Any]]:
    """Tokens of every document, in the narrowest unsigned integers that hold them."""
    parts = []
    for chunk in _chunks(doc_count):
        value = rows.get(Table.LENGTHS, field_chunk_key(segment, field, chunk))
        if value is None:
            raise CorruptIndex(f"segment {segment}, field {field}: chunk {chunk} of its lengths is missing")
        count = min(COLUMN_CHUNK_DOCS, doc_count - chunk * COLUMN_CHUNK_DOCS)
        parts.append(unpack_narrow(value, 0, count)[0])
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def read_column(rows: Rows, segment: int, field: int, kind: ColumnKind, present: BitMap) -> Column:
    """The whole column; `present` are the documents with a value."""
    docs_with_value = ids_of(present)
    docs, values = [], []
    for chunk, part in split_by(docs_with_value, COLUMN_CHUNK_DOCS):
        value = rows.get(Table.COLUMNS, field_chunk_key(segment, field, chunk))
        if value is None:
            raise CorruptIndex(f"segment {segment}, field {field}: chunk {chunk} of its column is missing")
        chunk_docs = docs_with_value[part]
        extra, end = unpack_uints(value, 0, len(chunk_docs))
        docs.append(np.repeat(chunk_docs, extra + np.uint32(1)) if extra.any() else chunk_docs)
        values.append(_unpack_values(kind, value, end, len(docs[-1])))
    if not docs:
        return Column(kind, np.zeros(0, np.uint32), _empty(kind), True, None, None)
    all_docs, all_values = np.concatenate(docs), np.concatenate(values)
    return Column(
        kind,
        all_docs,
        all_values,
        len(all_docs) == len(docs_with_value),
        all_values.min().item(),
        all_values.max().item(),
    )


def _empty(kind: ColumnKind) -> NDArray[Any]:
    return np.zeros(0, {"int64": np.int64, "float64": np.float64, "ordinal": np.uint32}[kind])


def _unpack_values(kind: ColumnKind, data: bytes | memoryview, start: int, count: int) -> NDArray[Any]:
    if kind == "int64":
        return unpack_integers(data, start, count)[0]
    if kind == "float64":
        if len(data) < start + 8 * count:
            raise CorruptIndex(f"float column: expected {count} values, found {(len(data) - start) // 8}")
        return np.frombuffer(data, "<f8", count, start).astype(np.float64)
    return unpack_uints(data, start, count)[0]


def last_of_each(docs: U32s) -> U32s:
    """Distinct documents of a column, ascending."""
    return docs[np.flatnonzero(np.append(docs[1:] != docs[:-1], True))] if len(docs) else docs
