"""Analyzers: a tokenizer and a chain of filters under a name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from quidditch.analysis import word_break as wb
from quidditch.analysis.filters import Filter, lowercase
from quidditch.analysis.tokenizers import Cut, Tokenizer, standard
from quidditch.analysis.vocabulary import TokenBatch, Vocabulary
from quidditch.types import Bools, I64s

__all__ = ["Analyzer", "Token", "TokenBatch", "Vocabulary"]

_SURROGATES = re.compile("[\ud800-\udfff]")
_SIMPLE = re.compile("[A-Za-z0-9 ]{0,250}")
_WORD = re.compile("[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Token:
    """One term of a text.

    Attributes:
        position: place among the text's tokens, from 0; equal to the one before for a token on top of it.
        start, end: character offsets of what it was made from.
        type: `<ALPHANUM>`, `<NUM>`, `<IDEOGRAPHIC>`, `<HIRAGANA>`, `<KATAKANA>`, `<HANGUL>`, `<EMOJI>`,
            `<SOUTHEAST_ASIAN>`, `<DOUBLE>` (a pair of characters) or `word`.
    """

    term: str
    position: int
    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Analyzer:
    """Text -> terms. Immutable; equal to any analyzer of the same name."""

    name: str
    tokenizer: Tokenizer = field(compare=False)
    filters: tuple[Filter, ...] = field(default=(), compare=False)

    def normalize(self, token: str) -> str | None:
        """The term of one token: what the filters make of it; None if they remove it."""
        term: str | None = token
        for step in self.filters:
            if not term:
                return None
            term = step(term)
        return term or None

    def analyze(self, text: str) -> list[Token]:
        """The tokens that indexing `text` gives. Lone surrogates count as U+FFFD."""
        return self._tokens(text, query=False)

    def analyze_query(self, text: str) -> list[Token]:
        """The tokens to search for: of characters that come in pairs, the pairs only."""
        if self.tokenizer is standard and _SIMPLE.fullmatch(text):
            return self._simple_tokens(text)
        return self._tokens(text, query=True)

    def _simple_tokens(self, text: str) -> list[Token]:
        """`analyze_query` for a few words and nothing else, without arrays, which would cost more than the words."""
        tokens = []
        for position, word in enumerate(_WORD.finditer(text)):
            term = self.normalize(word[0])
            if term is not None:
                kind = "<NUM>" if word[0].isdigit() else "<ALPHANUM>"
                tokens.append(Token(term, position, word.start(), word.end(), kind))
        return tokens

    def vocabulary(self) -> Vocabulary:
        """A new, empty vocabulary, which turns batches of values to terms."""
        folds = bool(self.filters) and self.filters[0] is lowercase
        only = self.filters == (lowercase,)
        return Vocabulary(self.tokenizer, self.normalize, folds_ascii=folds, only_folds=only)

    def _tokens(self, text: str, *, query: bool) -> list[Token]:
        if not text.isascii():
            text = _SURROGATES.sub("\ufffd", text)
        cut = self.tokenizer(text)
        positions, wanted = _positions(cut), None
        if query and cut.overlaps is not None:
            wanted = ~_paired(cut, cut.overlaps)
        tokens = []
        kinds = [-1] * cut.starts.size if cut.kinds is None else cut.kinds.tolist()
        overlaps = [False] * cut.starts.size if cut.overlaps is None else cut.overlaps.tolist()
        rows = zip(positions.tolist(), cut.starts.tolist(), cut.ends.tolist(), kinds, overlaps, strict=True)
        for number, (position, start, end, kind, overlap) in enumerate(rows):
            if wanted is not None and not wanted[number]:
                continue
            surface = text[start:end]
            term = self.normalize(surface)
            if term is not None:
                kind_name = "<DOUBLE>" if overlap else _type(surface, kind)
                tokens.append(Token(term, position, start, end, kind_name))
        return tokens


def _positions(cut: Cut) -> I64s:
    if cut.overlaps is None:
        return np.arange(cut.starts.size)
    positions: I64s = np.cumsum(~cut.overlaps) - 1
    return positions


def _paired(cut: Cut, overlaps: Bools) -> Bools:
    """The single characters that are in a pair too: one follows them, or precedes them and ends with them."""
    paired = np.zeros(overlaps.size, np.bool_)
    paired[:-1] = overlaps[1:]
    paired[1:] |= overlaps[:-1] & (cut.ends[1:] == cut.ends[:-1])
    return paired & ~overlaps


def _type(surface: str, kind: int) -> str:
    """Lucene's name for the kind of a token."""
    if kind == -1:
        return "word"
    if kind == wb.IDEOGRAPH:
        return _script(ord(surface[0]))
    if kind == wb.COMPLEX:
        return "<SOUTHEAST_ASIAN>"
    if kind in (wb.EMOJI, wb.PICTOGRAPH, wb.REGIONAL):
        return "<EMOJI>"
    return "<ALPHANUM>" if any(map(str.isalpha, surface)) else "<NUM>"


def _script(code: int) -> str:
    for name, ranges in _SCRIPTS.items():
        if any(first <= code <= last for first, last in ranges):
            return name
    return "<IDEOGRAPHIC>"


_SCRIPTS = {
    "<HIRAGANA>": ((0x3041, 0x309F),),
    "<KATAKANA>": ((0x30A0, 0x30FF), (0x31F0, 0x31FF), (0x3300, 0x3357), (0xFF66, 0xFF9F)),
    "<HANGUL>": ((0xAC00, 0xD7A3), (0x3131, 0x318E), (0xFFA0, 0xFFDC)),
}
