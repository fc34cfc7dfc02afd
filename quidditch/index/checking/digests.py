"""What a segment holds of a field, as one number for each document: two of them are equal when the contents are.

A document's digest is a sum over its postings, so they may be added in any order, and two ways to the same contents
(dictionary and column, the segment and its sources) are compared without sorting either. 64 bits; the hashes are
Python's, keyed anew in each process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quidditch.index.checking.dictionary import Part
from quidditch.index.codecs import ascending_offsets
from quidditch.types import Ints, U32s, U64s

_STEP = np.uint64(0x9E3779B97F4A7C15)
_SPREAD = np.uint64(0xBF58476D1CE4E5B9)
_HALF = np.uint64(32)


def mixed(numbers: U64s) -> U64s:
    """The numbers, each scattered over all 64 bits; splitmix64's multiplier. Theirs to keep: a new array."""
    spread = numbers * _STEP
    spread ^= spread >> _HALF
    spread *= _SPREAD
    spread ^= spread >> _HALF
    return spread


def hashes(terms: Sequence[bytes]) -> U64s:
    """uint64[n]: one number for each term, the same in all of this process."""
    return np.fromiter(map(hash, terms), np.int64, len(terms)).view(np.uint64)


class Digest:
    """What one field holds of each document, deleted ones included.

    contents:  uint64[n]   terms, frequencies and positions, or values; 0 for a document without any
    tokens:    uint64[n]   the sum of its frequencies; its distinct terms where the field keeps no frequencies
    plain:     uint64[n]   the same of its ASCII terms alone
    """

    def __init__(self, doc_count: int) -> None:
        self.contents: U64s = np.zeros(doc_count, np.uint64)
        self.tokens: U64s = np.zeros(doc_count, np.uint64)
        self.plain: U64s = np.zeros(doc_count, np.uint64)
        self.ordinals: U64s = np.zeros(doc_count, np.uint64)

    def add(self, part: Part) -> None:
        """Take some terms with all their postings."""
        terms = np.repeat(hashes(part.terms), part.doc_freqs)
        self._add(self.contents, part.docs, _postings(part, terms))
        freqs = np.ones(len(part.docs), np.uint64) if part.freqs is None else part.freqs.astype(np.uint64)
        self._add(self.tokens, part.docs, freqs)
        ascii_terms = np.fromiter(map(bytes.isascii, part.terms), np.bool_, len(part.terms))
        self._add(self.plain, part.docs, freqs * np.repeat(ascii_terms, part.doc_freqs))

    def add_ordinals(self, docs: U32s, ordinals: Ints) -> None:
        """Take places in the dictionary, of postings or of a column."""
        self._add(self.ordinals, docs, mixed(ordinals.astype(np.uint64) + np.uint64(1)))

    def add_values(self, docs: U32s, values: NDArray[Any]) -> None:
        """Take numbers: int64 or float64."""
        self._add(self.contents, docs, mixed(values.view(np.uint64) ^ _SPREAD))

    @staticmethod
    def _add(into: U64s, docs: U32s, numbers: U64s) -> None:
        np.add.at(into, docs, numbers)


def _postings(part: Part, terms: U64s) -> U64s:
    """One number for each posting: of its term, and its frequency and positions as far as the field keeps them."""
    if part.freqs is None:
        return mixed(terms)
    if part.positions is None:
        return mixed(terms + part.freqs * _SPREAD)
    if not len(part.positions):
        return np.zeros(len(terms), np.uint64)
    tokens = mixed(np.repeat(terms, part.freqs) + part.positions * _SPREAD)
    return np.add.reduceat(tokens, ascending_offsets(part.freqs)[:-1])
