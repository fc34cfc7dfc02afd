"""Names for the numbers and arrays that every room passes on."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

DocId: TypeAlias = int
"""A document's number inside one segment, dense from 0; it changes when segments merge."""

SegmentId: TypeAlias = int
"""A segment's number inside one shard; never used twice."""

SeqNo: TypeAlias = int
"""The number of a write inside one shard; rises by one with every write."""

Bools: TypeAlias = NDArray[np.bool_]
U8s: TypeAlias = NDArray[np.uint8]
U16s: TypeAlias = NDArray[np.uint16]
U32s: TypeAlias = NDArray[np.uint32]
U64s: TypeAlias = NDArray[np.uint64]
I64s: TypeAlias = NDArray[np.int64]
F32s: TypeAlias = NDArray[np.float32]
F64s: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.integer[Any]]
"""Any integer array: an index, an offset, a count."""

OpName: TypeAlias = Literal["index", "create", "update", "delete"]
"""What a write does."""

Outcome: TypeAlias = Literal["created", "updated", "deleted", "noop", "not_found"]
"""What a write did."""

Json: TypeAlias = Any
"""A value as JSON has it: dict, list, str, int, float, bool or None."""


class DocAddress(NamedTuple):
    """Where a hit lies for as long as its snapshot is open."""

    shard: int
    segment: int
    doc: DocId
