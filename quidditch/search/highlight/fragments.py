"""Cutting a text into fragments around its marks, and choosing the best of them."""

from __future__ import annotations

import html
import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from quidditch.search.highlight.marks import Mark
from quidditch.search.highlight.options import HighlightOptions

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*\s+|[。！？｡]+[」』）]*\s*|\n+")

LEAD_SHARE = 4
"""A fragment that cannot start with its sentence starts this part of its size before the first mark."""


class Fragment(NamedTuple):
    """A stretch of text and the marks inside it."""

    start: int
    end: int
    marks: tuple[Mark, ...]

    @property
    def score(self) -> float:
        """Distinct terms count in full, repeats by the logarithm, so variety wins over repetition."""
        counts = Counter(mark.term for mark in self.marks)
        return sum(1.0 + math.log(count) for count in counts.values())


def fragments_of(text: str, marks: Sequence[Mark], size: int) -> list[Fragment]:
    """Fragments of about `size` characters, at sentence ends where they fit and between words elsewhere."""
    found: list[Fragment] = []
    starts = [0, *(match.end() for match in _SENTENCE_END.finditer(text))]
    waiting = list(reversed(marks))
    edge = 0
    while waiting:
        first = waiting.pop()
        start = _start(text, starts, first, edge, size)
        end = _end(text, starts, start, first, size)
        inside = [first]
        while waiting and waiting[-1].end <= end:
            inside.append(waiting.pop())
        if waiting and waiting[-1].start < end:
            end = waiting[-1].start
        found.append(Fragment(start, end, tuple(inside)))
        edge = end
    return found


def _start(text: str, starts: Sequence[int], first: Mark, edge: int, size: int) -> int:
    sentence = max(edge, starts[bisect_right(starts, first.start) - 1])
    if first.end - sentence <= size:
        return sentence
    wanted = max(edge, first.start - size // LEAD_SHARE)
    return _word_start(text, wanted, first.start)


def _word_start(text: str, wanted: int, limit: int) -> int:
    """The first start of a word from `wanted` on, not beyond `limit`."""
    if wanted and not text[wanted - 1].isspace():
        space = re.compile(r"\s").search(text, wanted, limit)
        return space.end() if space else (wanted if limit - wanted > 1 else limit)
    return wanted


def _end(text: str, starts: Sequence[int], start: int, first: Mark, size: int) -> int:
    wanted = max(first.end, start + size)
    if wanted >= len(text):
        return len(text)
    sentence = starts[bisect_right(starts, wanted) - 1]
    if sentence >= first.end and sentence > start:
        return sentence
    space = max(text.rfind(" ", first.end, wanted + 1), text.rfind("\n", first.end, wanted + 1))
    if space >= first.end:
        return space
    # No space far and wide: a script without spaces is cut where the size ends, a long word is kept whole.
    return wanted if not text[first.end : wanted].isascii() else _word_end(text, first.end)


def _word_end(text: str, start: int) -> int:
    space = re.compile(r"\s").search(text, start)
    return space.start() if space else len(text)


def best_of(
    fragments: Sequence[tuple[int, Fragment]], options: HighlightOptions
) -> list[tuple[int, Fragment]]:
    """The best (value number, fragment) pairs, in the order of the text or by score."""
    ranked = sorted(fragments, key=lambda item: -item[1].score)[: options.number_of_fragments]
    return ranked if options.order == "score" else sorted(ranked)


def render(text: str, fragment: Fragment, options: HighlightOptions) -> str:
    """The fragment with its marks, white space at the ends cut off."""
    out, at = [], fragment.start
    for mark in fragment.marks:
        out += [_encoded(text[at : mark.start], options), options.pre_tag]
        out += [_encoded(text[mark.start : mark.end], options), options.post_tag]
        at = mark.end
    out.append(_encoded(text[at : fragment.end], options))
    whole = "".join(out)
    return whole.strip() if options.number_of_fragments else whole


def _encoded(text: str, options: HighlightOptions) -> str:
    return html.escape(text) if options.encoder == "html" else text


def opening(text: str, size: int, options: HighlightOptions) -> str:
    """The start of a text without marks, at most `size` characters, whole words where there are any."""
    if len(text) > size:
        cut = text.rfind(" ", 0, size + 1)
        text = text[: cut if cut > 0 else size]
    return _encoded(text, options)
