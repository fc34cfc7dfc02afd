"""Where words begin and end: the word boundary rules of UAX #29 over arrays of character classes.

Every character gets a class, every class run a label, and words are the runs of equal non-zero labels, so
one algorithm serves ASCII (classes by `bytes.translate`) and other text (classes by a table over code
points).

Scripts written without spaces (`IDEOGRAPH`: Han, kana; `COMPLEX`: Thai, Lao, Khmer, Myanmar ...) give one
word per character, marks included. So do Katakana and Hangul syllables, whose runs UAX #29 keeps whole:
that would hide the parts of compounds, and Korean nouns in front of their particles.
"""

from __future__ import annotations

import base64
import functools
import zlib

import numpy as np

from quidditch.analysis import word_break_table
from quidditch.types import Bools, I64s, U8s, U32s

# The classes. Ranges of them are tested with one subtraction, so the order matters.
OTHER = 0
LETTER, HEBREW, DIGIT, UNDERSCORE = 1, 2, 3, 4
IDEOGRAPH, COMPLEX, EMOJI, PICTOGRAPH, REGIONAL = 5, 6, 7, 8, 9
MID_LETTER, MID_DIGIT, MID_BOTH, QUOTE, DOUBLE_QUOTE = 10, 11, 12, 13, 14
IGNORED = 15
CLASS_MASK = 0x0F
LETTER_FLAG = 0x10
SPACE_FLAG = 0x20

# Labels: 1 for words that join; the others come in pairs, so that neighbouring words can be told apart.
_WORD, _SINGLE, _EMOJI_GROUP, _FLAG = 1, 2, 4, 6
_ZWJ = 0x200D
_EMOJI_STYLE = 0xFE0F


@functools.cache
def class_table() -> U8s:
    """uint8[0x110000]: the class and flags of every code point; 1.1 MB, made at first use."""
    packed = zlib.decompress(base64.b64decode(word_break_table.RUNS))
    runs = len(packed) // 5
    lengths = np.frombuffer(packed, "<u4", runs)
    return np.repeat(np.frombuffer(packed, np.uint8, runs, offset=4 * runs), lengths)


@functools.cache
def ascii_table() -> bytes:
    """The class and flags of the first 128 characters, as a table for `bytes.translate`."""
    letters = [c for c in range(128) if chr(c).isalpha()]
    classes = dict.fromkeys(letters, LETTER | LETTER_FLAG) | dict.fromkeys(range(0x30, 0x3A), DIGIT)
    classes |= dict.fromkeys((0, *range(0x09, 0x0E), *range(0x1C, 0x21)), SPACE_FLAG)
    marks = {"_": UNDERSCORE, ":": MID_LETTER, ",": MID_DIGIT, ";": MID_DIGIT, ".": MID_BOTH}
    classes |= {ord(mark): value for mark, value in marks.items()} | {ord("'"): QUOTE, ord('"'): DOUBLE_QUOTE}
    return bytes(classes.get(c, 0) for c in range(256))


def words(classes: U8s, codes: U32s | None) -> tuple[I64s, I64s, U8s]:
    """Starts and ends of the words, and the class of each word's first character.

    Args:
        classes: uint8[n + 2], the classes of the text between one character of class OTHER at either end.
        codes: the code points behind them, padded alike; None for ASCII.

    Returns:
        Offsets into the text without its padding.
    """
    kept: I64s | None = None
    if codes is not None:
        ignored = classes == IGNORED
        if ignored.any():
            kept = np.flatnonzero(~ignored)
            classes = classes[kept]
    labels, many = _labels(classes, codes, kept)
    edges = np.flatnonzero(labels[1:] != labels[:-1])
    if many:
        filled = np.flatnonzero(labels.take(edges + 1))
        starts, ends = edges.take(filled), edges.take(filled + 1)
    else:
        starts, ends = edges[0::2], edges[1::2]
    kinds = classes.take(starts + 1)
    if kept is not None:
        # A word ends before the next character that counts: marks after its last one belong to it (WB4).
        starts, ends = kept.take(starts + 1) - 1, kept.take(ends + 1) - 1
    return starts, ends, kinds


def runs(mask: Bools) -> tuple[I64s, I64s]:
    """Starts and ends of the runs of True in `mask`, padded by False at either end; offsets without that."""
    edges = np.flatnonzero(mask[1:] != mask[:-1])
    return edges[0::2], edges[1::2]


def _labels(classes: U8s, codes: U32s | None, kept: I64s | None) -> tuple[U8s, bool]:
    """A label per class, 0 outside words; and whether labels other than 0 and 1 occur."""
    labels = ((classes - np.uint8(LETTER)) < 4).view(np.uint8)
    middles = np.flatnonzero((classes - np.uint8(MID_LETTER)) < 5)
    if middles.size:
        labels[middles[_joins(classes, middles)]] = _WORD
    underscores = np.flatnonzero(classes == UNDERSCORE)
    if underscores.size:
        labels[_lone(classes, underscores)] = OTHER
    if codes is None:
        return labels, False
    singles = np.flatnonzero((classes - np.uint8(IDEOGRAPH)) < 5)
    if not singles.size:
        return labels, False
    labels[singles] = _SINGLE + (singles & 1)
    kinds = classes.take(singles)
    emoji = singles[(kinds == EMOJI) | (kinds == PICTOGRAPH)]
    if emoji.size:
        labels[emoji] = _emoji_labels(classes, codes, emoji, emoji if kept is None else kept.take(emoji))
    regional = singles[kinds == REGIONAL]
    if regional.size:
        labels[regional] = _flag_labels(regional)
    return labels, True


def _joins(classes: U8s, at: I64s) -> Bools:
    """Whether each middle character at `at` joins its neighbours: WB6, 7, 7a-c, 11 and 12."""
    middle, before, after = classes.take(at), classes.take(at - 1), classes.take(at + 1)
    letters = ((before - np.uint8(LETTER)) < 2) & ((after - np.uint8(LETTER)) < 2)
    letters &= (middle != MID_DIGIT) & (middle != DOUBLE_QUOTE)
    digits = (before == DIGIT) & (after == DIGIT) & (middle != MID_LETTER) & (middle != DOUBLE_QUOTE)
    hebrew = before == HEBREW
    if hebrew.any():
        # WB7a keeps a quote at a Hebrew word's end. Before a digit it is left out: a label cannot say that
        # the quote goes with what is before it and yet not with what follows.
        letters |= hebrew & (middle == QUOTE) & ((after - np.uint8(DIGIT)) >= 2)
        letters |= hebrew & (after == HEBREW) & (middle == DOUBLE_QUOTE)
    joins: Bools = letters | digits
    return joins


def _lone(classes: U8s, at: I64s) -> I64s:
    """Those underscores at `at` that touch no letter and no digit, and so make no word."""
    first = np.flatnonzero(np.diff(at, prepend=-1) != 1)
    last = np.append(first[1:], at.size) - 1
    before, after = classes.take(at[first] - 1), classes.take(at[last] + 1)
    lone = ((before - np.uint8(LETTER)) >= 3) & ((after - np.uint8(LETTER)) >= 3)
    found: I64s = at[np.repeat(lone, last - first + 1)]
    return found


def _emoji_labels(classes: U8s, codes: U32s, at: I64s, origin: I64s) -> U8s:
    """Labels of the pictographs at `at`: one per sequence joined by ZWJ (WB3c), 0 where text style is meant.

    `origin` holds their places in `codes`. One whose default is text style (©, ™) counts with U+FE0F only.
    """
    joined = (codes.take(origin - 1) == _ZWJ) & (np.diff(at, prepend=-1) == 1)
    group = np.cumsum(~joined) - 1
    shown = joined | (classes.take(at) == EMOJI) | (codes.take(origin + 1) == _EMOJI_STYLE)
    counts: I64s = np.bincount(group, weights=shown).astype(np.int64)
    labels: U8s = np.where(counts.take(group) > 0, _EMOJI_GROUP + (group & 1), OTHER).astype(np.uint8)
    return labels


def _flag_labels(at: I64s) -> U8s:
    """Labels of the regional indicators at `at`: one per pair (WB15, 16), 0 for one left over."""
    first = np.flatnonzero(np.diff(at, prepend=-1) != 1)
    sizes = np.diff(np.append(first, at.size))
    rank = np.arange(at.size) - np.repeat(first, sizes)
    paired = rank < np.repeat(sizes & ~1, sizes)
    labels: U8s = np.where(paired, _FLAG + (rank >> 1 & 1), OTHER).astype(np.uint8)
    return labels
