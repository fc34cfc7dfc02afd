"""A term's list with an upper bound of each posting's weight in one byte.

The impact of a posting is `tf / (tf + norm)` in units of 1/255, rounded up, under the segment's own average length,
which never changes; `stretch` says how far another average can move it. Impacts order documents almost as
scores do, at an eighth of their size, and add up as integers (as in Anh and Moffat, SIGIR 2006).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from quidditch.search.readers import ListReader, Postings
from quidditch.search.scorers.context import NO_DOCS, bitmap_bytes, chunks
from quidditch.search.similarity import K1, FieldSimilarity, length_norms
from quidditch.types import Bools, F64s, Ints, U8s, U32s

UNITS = 255
"""An impact of 1 in bytes."""

DENSE_SHARE = 4
"""A term in more than one document of so many keeps an array over all documents: no more bytes than a list, and
added up without an index."""

_COST_BYTES = 1500
_SAFETY = np.float32(1e-3)
"""Added before rounding up, far above what float32 can lose."""


class Stretch(NamedTuple):
    """How much smaller and larger an impact is under the index's average length than under the segment's."""

    least: float
    most: float


class Impacts:
    """One term of a segment, or of several joined. Arrays are by place in the list, or with `dense` by document, 0
    where the term is not.

    docs:     uint32, ascending; empty with `dense`
    impacts:  uint8, upper bounds in units of 1/255
    freqs:    the frequencies in the narrowest type; None where each is 1
    """

    __slots__ = (
        "_reaching",
        "bitmap",
        "dense",
        "doc_freq",
        "docs",
        "freqs",
        "impacts",
        "largest",
        "size_bytes",
    )

    def __init__(self, postings: Postings, impacts: U8s, freqs: U32s | None, doc_count: int) -> None:
        self.doc_freq = postings.doc_freq
        self.bitmap: BitMap = postings.bitmap()
        self.largest = int(impacts.max()) if len(impacts) else 0
        self.dense = self.doc_freq * DENSE_SHARE > doc_count
        self.docs = postings.docs()
        self.impacts = impacts
        self.freqs: NDArray[np.unsignedinteger[Any]] | None = None if freqs is None else _narrowed(freqs)
        if self.dense:
            self.impacts = _spread(impacts, self.docs, doc_count)
            self.freqs = None if self.freqs is None else _spread(self.freqs, self.docs, doc_count)
            self.docs = NO_DOCS
        held = self.docs.nbytes + self.impacts.nbytes + (0 if self.freqs is None else self.freqs.nbytes)
        self.size_bytes = held + _COST_BYTES
        self._reaching: Ints | None = None

    def reached_by(self, count: int) -> int:
        """The highest impact that at least `count` postings reach; 0 where there are not so many."""
        if self._reaching is None:
            times = np.bincount(self.impacts, minlength=UNITS + 1)
            times[0] = 0
            self._reaching = times[::-1].cumsum(dtype=np.uint32)
        return max(0, UNITS - int(self._reaching.searchsorted(count)))

    def frequencies(self, docs: Ints) -> F64s:
        """float64[n]: how often each of these documents holds the term, 0 for never."""
        if self.dense:
            held = self.impacts.take(docs) > 0
            return _times(None if self.freqs is None else self.freqs.take(docs), held)
        # Of another type than the list's they would have the whole of it converted.
        places = self.docs.searchsorted(docs.astype(np.uint32))
        # A place past the end is that of no document; the last one stands in for it.
        np.minimum(places, len(self.docs) - 1, out=places)
        held = self.docs.take(places) == docs
        return _times(None if self.freqs is None else self.freqs.take(places), held)


def _times(freqs: NDArray[Any] | None, held: Bools) -> F64s:
    found = held.astype(np.float64)
    if freqs is not None:
        found *= freqs
    return found


def _narrowed(freqs: U32s) -> NDArray[np.unsignedinteger[Any]] | None:
    most = int(freqs.max()) if len(freqs) else 0
    if most <= 1:
        return None
    return freqs.astype(np.min_scalar_type(most))


def _spread(values: NDArray[Any], docs: U32s, doc_count: int) -> NDArray[Any]:
    spread = np.zeros(doc_count, values.dtype)
    spread[docs.astype(np.intp)] = values
    return spread


def impacts_of(reader: ListReader, field: str, term: bytes, similarity: FieldSimilarity) -> Impacts | None:
    """The list of a term, from the reader's cache where it was asked for before; None without the term."""
    key = ("impacts", field, term, similarity.kind)
    found: Impacts | None = reader.recall(key)
    if found is None:
        postings = reader.postings(field, term)
        if postings is None or not postings.doc_freq:
            return None
        freqs = None if similarity.kind == "keyword" else postings.freqs()
        lengths = reader.lengths(field) if similarity.uses_lengths else None
        average = reader.average_length(field)
        found = Impacts(postings, _impacts(postings, freqs, lengths, average), freqs, reader.doc_count)
        reader.keep(key, found, found.size_bytes)
        reader.keep(("bitmap", field, term), found.bitmap, bitmap_bytes(found.doc_freq, reader.doc_count))
    return found


def stretch(reader: ListReader, field: str, similarity: FieldSimilarity) -> Stretch:
    """A norm is `k1 (1 - b + b l / average)`: of two of them the ratio lies between 1 and that of the averages."""
    own = reader.average_length(field)
    if not similarity.uses_lengths or own == similarity.average_length:
        return Stretch(1.0, 1.0)
    ratio = similarity.average_length / own
    return Stretch(min(1.0, ratio), max(1.0, ratio))


def _impacts(postings: Postings, freqs: U32s | None, lengths: Ints | None, average: float) -> U8s:
    docs = postings.docs()
    impacts = np.empty(len(docs), np.uint8)
    table = None
    if lengths is not None and len(lengths):
        longest = float(lengths.max())
        if longest < len(docs):
            table = length_norms(np.arange(longest + 1), average).astype(np.float32)
    for part in chunks(len(docs)):
        norms: NDArray[np.float32] | np.float32 = np.float32(K1)
        if lengths is not None:
            own = lengths.take(docs[part])
            if table is None:
                norms = length_norms(own.astype(np.float64), average).astype(np.float32)
            else:
                norms = table.take(own)
        tf = np.ones(1, np.float32) if freqs is None else freqs[part].astype(np.float32)
        share = np.float32(UNITS) * tf / (tf + norms) + _SAFETY
        impacts[part] = np.minimum(np.ceil(share), UNITS)
    return impacts
