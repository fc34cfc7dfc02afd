"""Values in document order to terms in byte order: what a field's inversion gives, and that of keywords.

Text is inverted in `text_inversion.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from quidditch.index.codecs import ascending_offsets
from quidditch.types import Ints, U32s


@dataclass(frozen=True, slots=True)
class Inverted:
    """Terms of one field in byte order with their postings, laid end to end.

    terms:      t distinct terms, ascending
    doc_freqs:  uint32[t]   documents per term; sums to p
    docs:       uint32[p]   ascending inside a term
    freqs:      uint32[p]   occurrences per posting, or None where the field keeps none; sums to k
    positions:  uint32[k]   distances: inside a posting the first from 0, each later one from its predecessor
    """

    terms: list[bytes]
    doc_freqs: U32s
    docs: U32s
    freqs: U32s | None = None
    positions: U32s | None = None

    def token_freqs(self, offsets: Ints) -> Ints:
        """Positions per term, zeros where the field keeps none; `offsets` are where its postings begin."""
        if self.positions is None or self.freqs is None or not len(self.freqs):
            return np.zeros(len(self.terms), np.int64)
        return np.add.reduceat(self.freqs, offsets[:-1], dtype=np.uint32)


class KeywordInversion:
    """Collects one keyword field of one segment to be: whole values, each counted once a document."""

    def __init__(self) -> None:
        self._ordinals: defaultdict[bytes, int] = defaultdict(count().__next__)
        self._docs: list[U32s] = []
        self._values: list[U32s] = []
        self.size_bytes = 0

    def add(self, docs: U32s, values: Sequence[bytes]) -> None:
        before = len(self._ordinals)
        self._values.append(np.fromiter(map(self._ordinals.__getitem__, values), np.uint32, len(values)))
        self._docs.append(docs)
        self.size_bytes += 8 * len(docs) + 150 * (len(self._ordinals) - before)

    def finish(self) -> tuple[Inverted, U32s, U32s]:
        """The postings, and the column: (doc, ordinal in byte order) pairs, ascending, without repeats."""
        if not self._docs:
            empty = np.zeros(0, np.uint32)
            return Inverted([], empty, empty), empty, empty
        names = list(self._ordinals)
        order = sorted(range(len(names)), key=names.__getitem__)
        rank = np.empty(len(names), np.uint32)
        rank[order] = np.arange(len(names), dtype=np.uint32)
        ordinals = rank[np.concatenate(self._values)]
        docs, ordinals = distinct_pairs(np.concatenate(self._docs), ordinals)
        by_term = stable_order(ordinals)
        doc_freqs = np.bincount(ordinals, minlength=len(names)).astype(np.uint32)
        return Inverted([names[i] for i in order], doc_freqs, docs[by_term]), docs, ordinals


# ----------------------------------------------------------------------------------------------------- arrays


def stable_order(keys: U32s) -> Ints:
    """The stable ascending order of uint32 keys: NumPy's radix sort of uint16, once or twice."""
    if not len(keys):
        return np.zeros(0, np.intp)
    low = np.argsort(keys.astype(np.uint16), kind="stable")
    if int(keys.max()) < 1 << 16:
        return low
    high = (keys >> np.uint32(16)).astype(np.uint16)
    return low[np.argsort(high[low], kind="stable")]


def distinct_pairs(docs: U32s, values: U32s) -> tuple[U32s, U32s]:
    """The distinct (doc, value) pairs in ascending order; `docs` does not fall."""
    if len(docs) < 2 or bool((docs[1:] > docs[:-1]).all()):
        return docs, values
    keys = np.unique((docs.astype(np.uint64) << np.uint64(32)) | values)
    return (keys >> np.uint64(32)).astype(np.uint32), keys.astype(np.uint32)


def runs_to_indices(starts: Ints, counts: Ints) -> Ints:
    """Indices of consecutive runs: `counts[i]` numbers from `starts[i]` on, laid end to end.

    >>> runs_to_indices(np.array([10, 0]), np.array([2, 3])).tolist()
    [10, 11, 0, 1, 2]
    """
    offsets = ascending_offsets(counts)
    return np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])
