"""How much one field of one document speaks for a term: BM25 and its relatives, as formulas on arrays.

source: Robertson et al., Okapi at TREC-3 (1994); the variant without the constant factor k1 + 1, which is
what Lucene computes today: Kamphuis et al., ECIR 2020 ("Lucene (accurate)").

Every score in Quidditch is `weight · tf / (tf + norm)` in float64, evaluated in this order and nowhere else,
so that scorers, explanations and checks agree bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from quidditch.interface import CollectionStats
from quidditch.types import F64s, Ints

K1 = 1.2
B = 0.75
LEGACY = "legacy_"

TABLE_SHARE = 4
"""Norms come from a table while the longest field is shorter than this many times the documents asked for."""


def idf(doc_freq: int, doc_count: int) -> float:
    """Rarity of a term: `doc_freq` of `doc_count` documents hold it. Always > 0."""
    return math.log(1 + (doc_count - doc_freq + 0.5) / (doc_freq + 0.5))


def length_norms(lengths: F64s, average: float) -> F64s:
    """float64[n]: the length normaliser of each document, `k1 · (1 − b + b · length / average)`."""
    return K1 * (1 - B + B * lengths / average)


def saturated(weight: float, frequencies: F64s, norms: F64s | float) -> F64s:
    """float64[n]: `weight · tf / (tf + norm)`, rising with tf and never beyond `weight`."""
    scores = frequencies * weight
    scores /= frequencies + norms
    return scores


class FieldSimilarity:
    """The similarity of one field, bound to the index-wide average length.

    `kind` is "bm25", "bm25_no_norms" or "keyword" (frequency 1, no norms), each with `LEGACY` before it for
    scores times `k1 + 1`, as Lucene computed them before 8.0. An object serves one search: it keeps a table of
    norms that grows with the lengths it meets.
    """

    __slots__ = ("_table", "average_length", "doc_count", "factor", "kind")

    def __init__(self, kind: str, doc_count: int, sum_length_tokens: int) -> None:
        self.kind = kind.removeprefix(LEGACY)
        self.factor = K1 + 1 if kind.startswith(LEGACY) else 1.0
        self.doc_count = doc_count
        self.average_length = sum_length_tokens / doc_count if doc_count and sum_length_tokens else 1.0
        self._table: F64s = np.empty(0)

    @property
    def uses_lengths(self) -> bool:
        return self.kind == "bm25"

    def idf(self, doc_freq: int) -> float:
        return idf(doc_freq, self.doc_count)

    def norms(self, lengths: Ints | None, count: int) -> F64s | float:
        """The normalisers of `count` documents, whose lengths are given where the field has any."""
        if lengths is None or not self.uses_lengths or not count:
            return K1
        longest = int(lengths.max())
        if longest >= TABLE_SHARE * count:
            return length_norms(lengths.astype(np.float64), self.average_length)
        return self._table_to(longest).take(lengths)

    def scores(
        self, weight: float, frequencies: Ints | F64s | None, lengths: Ints | None, count: int
    ) -> F64s:
        """float64[count]: the scores of `count` documents.

        frequencies:  per document, or None where each is 1; a keyword field's are never looked at
        lengths:      tokens in the field per document, aligned; None without norms
        """
        if self.kind == "keyword":
            frequencies = None
        if frequencies is None:
            return self._scores_of_single(weight, lengths, count)
        return saturated(weight, frequencies.astype(np.float64), self.norms(lengths, count))

    def _scores_of_single(self, weight: float, lengths: Ints | None, count: int) -> F64s:
        if lengths is None or not self.uses_lengths or not count:
            # One number for all, without an array behind it.
            return np.broadcast_to(saturated(weight, np.ones(1), K1), count)
        longest = int(lengths.max())
        if longest >= TABLE_SHARE * count:
            norms = length_norms(lengths.astype(np.float64), self.average_length)
            return saturated(weight, np.ones(count), norms)
        table = self._table_to(longest)
        return saturated(weight, np.ones(len(table)), table).take(lengths)

    def _table_to(self, longest: int) -> F64s:
        if len(self._table) <= longest:
            size = max(64, 2 * longest)
            self._table = length_norms(np.arange(size, dtype=np.float64), self.average_length)
        return self._table


def bind_similarities(similarities: Mapping[str, str], stats: CollectionStats) -> dict[str, FieldSimilarity]:
    """The similarity of each field that has statistics; other fields score constants."""
    return {
        name: FieldSimilarity(kind, stats.fields[name].doc_count, stats.fields[name].sum_length_tokens)
        for name, kind in similarities.items()
        if name in stats.fields
    }
