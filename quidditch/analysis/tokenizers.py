"""Tokenizers: text -> where its tokens lie, as arrays.

ASCII text and other text take different roads to the character classes; the same text gives the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from quidditch.analysis import word_break as wb
from quidditch.types import Bools, I64s, U8s, U32s

MAX_TOKEN_CHARS = 255
"""Longer tokens are split, as Lucene's tokenizers do."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The tokens of one text in order; `starts` never decrease.

    Attributes:
        starts, ends: int64[n] character offsets.
        kinds: uint8[n] class (`word_break`) of the first character; None where the tokenizer does not tell.
        overlaps: bool[n], true for a token at the position of the one before it; None if there is none.
    """

    starts: I64s
    ends: I64s
    kinds: U8s | None = None
    overlaps: Bools | None = None


Tokenizer: TypeAlias = Callable[[str], Cut]


def standard(text: str) -> Cut:
    """Words by UAX #29; for scripts without spaces each character and each pair of neighbours."""
    return standard_ascii(text) if text.isascii() else standard_unicode(text)


def standard_ascii(text: str) -> Cut:
    """`standard` for ASCII text."""
    starts, ends, kinds = wb.words(_ascii_classes(text) & np.uint8(wb.CLASS_MASK), None)
    return Cut(*_split_long(starts, ends, kinds))


def standard_unicode(text: str) -> Cut:
    """`standard` for any text."""
    codes = _codes(text)
    classes = wb.class_table().take(codes)
    classes &= np.uint8(wb.CLASS_MASK)
    starts, ends, kinds = _split_long(*wb.words(classes, codes))
    if kinds is None:
        return Cut(starts, ends)
    grams = ((kinds - np.uint8(wb.IDEOGRAPH)) < 2).nonzero()[0]
    if grams.size < 2:
        return Cut(starts, ends, kinds)
    return _with_pairs(starts, ends, kinds, grams)


def letters(text: str) -> Cut:
    """Runs of letters."""
    return Cut(*_split_runs((_flags(text) & np.uint8(wb.LETTER_FLAG)).view(np.bool_)))


def whitespace(text: str) -> Cut:
    """What lies between white space; NUL counts as such."""
    flags = _flags(text)
    return Cut(*_split_runs((flags & np.uint8(wb.SPACE_FLAG)) == 0))


def whole(text: str) -> Cut:
    """The text as one token, or none if it is empty."""
    some = int(bool(text))
    return Cut(np.zeros(some, np.int64), np.full(some, len(text), np.int64))


def _ascii_classes(text: str) -> U8s:
    return np.frombuffer(f"\n{text}\n".encode("ascii").translate(wb.ascii_table()), np.uint8)


def _codes(text: str) -> U32s:
    return np.frombuffer(f"\n{text}\n".encode("utf-32-le", "surrogatepass"), "<u4")


def _flags(text: str) -> U8s:
    if text.isascii():
        return _ascii_classes(text)
    return wb.class_table().take(_codes(text))


def _split_runs(mask: Bools) -> tuple[I64s, I64s]:
    starts, ends = wb.runs(mask)
    starts, ends, _ = _split_long(starts, ends, None)
    return starts, ends


def _split_long(starts: I64s, ends: I64s, kinds: U8s | None) -> tuple[I64s, I64s, U8s | None]:
    """The same tokens, those above MAX_TOKEN_CHARS cut into pieces of that size."""
    sizes = ends - starts
    if not sizes.size or int(sizes.max()) <= MAX_TOKEN_CHARS:
        return starts, ends, kinds
    pieces = -(-sizes // MAX_TOKEN_CHARS)
    first = np.cumsum(pieces) - pieces
    rank = np.arange(int(pieces.sum())) - np.repeat(first, pieces)
    starts = np.repeat(starts, pieces) + rank * MAX_TOKEN_CHARS
    ends = np.minimum(starts + MAX_TOKEN_CHARS, np.repeat(ends, pieces))
    return starts, ends, None if kinds is None else np.repeat(kinds, pieces)


def _with_pairs(starts: I64s, ends: I64s, kinds: U8s, grams: I64s) -> Cut:
    """The tokens, and after each single character at `grams` its pair with the next one of its kind."""
    left, right = grams[:-1], grams[1:]
    touching = (ends.take(left) == starts.take(right)) & (kinds.take(left) == kinds.take(right))
    left = left[touching]
    left = left[ends.take(left) == starts.take(left + 1)]
    copies = np.ones(starts.size, np.uint8)
    copies[left] = 2
    source = np.repeat(np.arange(starts.size), copies)
    overlaps = np.zeros(source.size, np.bool_)
    pairs = left + np.arange(1, left.size + 1)
    overlaps[pairs] = True
    joined_ends = ends.take(source)
    joined_ends[pairs] = ends.take(left + 1)
    return Cut(starts.take(source), joined_ends, kinds.take(source), overlaps)
