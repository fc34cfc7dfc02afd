"""Which tokens of a text a query means: its terms, prefixes, intervals and phrases, by field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from quidditch.analysis.analyzer import Token
from quidditch.query.primitive import (
    BestOf,
    Boolean,
    Constant,
    Primitive,
    ScoredPhrase,
    ScoredTerm,
    TermInterval,
    TermPrefix,
    TermSet,
)


class Mark(NamedTuple):
    """A stretch of text to mark, in characters, and the term that stands there."""

    start: int
    end: int
    term: str


@dataclass(slots=True)
class Wanted:
    """What a query looks for in one field. Exclusions are not in here."""

    terms: set[str] = field(default_factory=set)
    prefixes: list[TermPrefix] = field(default_factory=list)
    intervals: list[TermInterval] = field(default_factory=list)
    phrases: list[ScoredPhrase] = field(default_factory=list)

    def marks(self, tokens: Sequence[Token]) -> list[Mark]:
        """The tokens that are meant, in order, overlapping ones joined."""
        in_phrases: set[int] = set()
        for phrase in self.phrases:
            in_phrases.update(_phrase_tokens(phrase, tokens))
        verdicts: dict[str, bool] = {}
        found = []
        for number, token in enumerate(tokens):
            if token.term not in verdicts:
                verdicts[token.term] = self._means(token.term)
            if verdicts[token.term] or number in in_phrases:
                found.append(Mark(token.start, token.end, token.term))
        return join(found)

    def _means(self, term: str) -> bool:
        if term in self.terms:
            return True
        if not self.prefixes and not self.intervals:
            return False
        text = term.encode(errors="replace")
        return any(_starts(prefix, text) for prefix in self.prefixes) or any(
            _inside(interval, text) for interval in self.intervals
        )


def wanted_by(query: Primitive) -> dict[str, Wanted]:
    """What a query looks for, by field."""
    found: dict[str, Wanted] = {}
    for leaf in _leaves(query):
        own = found.setdefault(leaf.field, Wanted())
        if isinstance(leaf, ScoredTerm):
            own.terms.add(leaf.term.decode(errors="replace"))
        elif isinstance(leaf, TermSet):
            own.terms.update(term.decode(errors="replace") for term in leaf.terms)
        elif isinstance(leaf, ScoredPhrase):
            own.phrases.append(leaf)
        elif isinstance(leaf, TermPrefix):
            own.prefixes.append(leaf)
        else:
            own.intervals.append(leaf)
    return found


def joined(parts: Iterable[Wanted]) -> Wanted:
    """Everything that any field looks for."""
    whole = Wanted()
    for part in parts:
        whole.terms |= part.terms
        whole.prefixes += part.prefixes
        whole.intervals += part.intervals
        whole.phrases += part.phrases
    return whole


def _leaves(query: Primitive) -> Iterator[ScoredTerm | ScoredPhrase | TermSet | TermPrefix | TermInterval]:
    if isinstance(query, ScoredTerm | ScoredPhrase | TermSet | TermPrefix | TermInterval):
        yield query
    elif isinstance(query, Constant):
        yield from _leaves(query.child)
    elif isinstance(query, Boolean):
        for child in (*query.must, *query.should, *query.filter):
            yield from _leaves(child)
    elif isinstance(query, BestOf):
        for child in query.children:
            yield from _leaves(child)


def _starts(prefix: TermPrefix, term: bytes) -> bool:
    if not prefix.ignore_case:
        return term.startswith(prefix.prefix)
    wanted = prefix.prefix.decode(errors="replace").casefold()
    return term.decode(errors="replace").casefold().startswith(wanted)


def _inside(interval: TermInterval, term: bytes) -> bool:
    lower, upper = interval.lower, interval.upper
    above = lower is None or term > lower or (interval.include_lower and term == lower)
    below = upper is None or term < upper or (interval.include_upper and term == upper)
    return above and below


def _phrase_tokens(phrase: ScoredPhrase, tokens: Sequence[Token]) -> set[int]:
    """Numbers of the tokens that stand in the phrase; with slop, of all its terms, which is near enough."""
    slots: dict[int, set[str]] = {}
    for term, offset in zip(phrase.terms, phrase.positions, strict=True):
        slots.setdefault(offset, set()).add(term.decode(errors="replace"))
    standing: dict[int, dict[int, int]] = {offset: {} for offset in slots}
    for number, token in enumerate(tokens):
        for offset, terms in slots.items():
            if token.term in terms:
                standing[offset][token.position - offset] = number
    if phrase.slop:
        return {number for places in standing.values() for number in places.values()}
    starts = set.intersection(*(set(places) for places in standing.values()))
    return {places[start] for places in standing.values() for start in starts}


def join(marks: Iterable[Mark]) -> list[Mark]:
    """Marks in order of the text, those that overlap or touch made one: pairs of characters do overlap."""
    out: list[Mark] = []
    for mark in sorted(marks):
        if mark.end <= mark.start:
            continue
        if out and mark.start <= out[-1].end:
            last = out[-1]
            out[-1] = Mark(last.start, max(last.end, mark.end), last.term)
        else:
            out.append(mark)
    return out
