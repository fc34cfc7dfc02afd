"""What scoring reads of a segment: the contract that `index/snapshot.py` fulfils, and that tests imitate.

Every array is the reader's: owned or immutable, aligned as said here, and never written to by a search.
Postings, columns and lengths hold deleted documents too; only statistics leave them out.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from quidditch.types import Ints, SegmentId, U32s, U64s


class Postings(Protocol):
    """The documents that hold one term, in ascending order."""

    @property
    def doc_freq(self) -> int: ...

    def docs(self) -> U32s: ...

    def bitmap(self) -> BitMap: ...

    def freqs(self) -> U32s | None:
        """uint32[doc_freq], or None where every frequency is 1."""

    def positions(self) -> tuple[U32s, U32s] | None:
        """Offsets uint32[doc_freq + 1] into the second array, which holds each document's positions,
        ascending."""

    def positions_at(self, places: Ints) -> tuple[U32s, U32s] | None:
        """As `positions`, of the postings at these ascending indices into `docs()` alone; at their cost."""


class Column(Protocol):
    """The values of one field: `values[i]` belongs to `docs[i]`, ascending inside a document."""

    @property
    def docs(self) -> U32s: ...

    @property
    def values(self) -> NDArray[Any]: ...

    @property
    def single(self) -> bool: ...

    @property
    def kind(self) -> Literal["int64", "float64", "ordinal"]: ...

    @property
    def minimum(self) -> int | float | None: ...

    @property
    def maximum(self) -> int | float | None: ...


class FieldCounts(Protocol):
    """Of one field of a segment: live documents with a token in it, and the tokens they hold."""

    @property
    def doc_count(self) -> int: ...

    @property
    def sum_length_tokens(self) -> int: ...


class ListReader(Protocol):
    """What scores are made of: the lists and lengths of some documents, numbered from 0."""

    @property
    def doc_count(self) -> int: ...

    @property
    def deleted(self) -> BitMap: ...

    def average_length(self, field: str) -> float:
        """Tokens in the field per document that has any, deleted ones included: fixed when the segment was written.
        1 where there are none."""

    def postings(self, field: str, term: bytes) -> Postings | None: ...

    def shared_postings(self, field: str, term: bytes) -> Postings | None:
        """As `postings`, kept decoded for the next search. Do not write."""

    def doc_freq(self, field: str, term: bytes) -> int: ...

    def field_stats(self, field: str) -> FieldCounts: ...

    def lengths(self, field: str) -> NDArray[np.unsignedinteger[Any]] | None: ...

    def recall(self, key: Hashable) -> Any:
        """What an earlier search has kept under this key; None when nothing is kept."""

    def keep(self, key: Hashable, answer: Any, size_bytes: int) -> None:
        """Keep for later searches, within the cache's budget, what follows from the rows alone, whatever is
        deleted."""


class SegmentReader(ListReader, Protocol):
    """One immutable segment inside an open snapshot."""

    @property
    def segment_id(self) -> SegmentId: ...

    @property
    def lasting(self) -> bool:
        """Whether later snapshots will have the segment too, so that something may be kept for it."""

    def terms(
        self,
        field: str,
        lower: bytes | None = None,
        upper: bytes | None = None,
        include_lower: bool = True,
        include_upper: bool = True,
    ) -> list[bytes]: ...

    def documents_between(
        self,
        field: str,
        lower: bytes | None,
        upper: bytes | None,
        include_lower: bool = True,
        include_upper: bool = True,
    ) -> BitMap:
        """Documents with a term between two bounds, deleted ones included."""

    def column(self, field: str) -> Column | None: ...

    def ordinal_terms(self, field: str, ordinals: U32s) -> list[bytes]: ...

    def exists(self, field: str) -> BitMap: ...

    def ids(self, docs: U32s) -> list[str]: ...

    def seq_nos(self, docs: U32s) -> U64s: ...

    def sources(self, docs: U32s) -> list[bytes]: ...


class Snapshot(Protocol):
    """One consistent view of a shard; (segment, document) order is the order of the last writes."""

    @property
    def segments(self) -> Sequence[SegmentReader]: ...

    def locate(self, id: str) -> tuple[int, int] | None:
        """(place in `segments`, document) of a live document."""

    def entry(self, id: str) -> tuple[int, int, bool] | None:
        """(sequence number, version, deleted) of the last write to this id."""

    def routings(self, ids: Sequence[str]) -> dict[str, str]:
        """The routings of those of these live documents that have one."""


def distinct_docs(column: Column) -> Ints:
    """The documents with a value, each once."""
    return column.docs if column.single else np.unique(column.docs)
