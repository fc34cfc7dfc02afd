"""The primitives as plain loops over token lists: slow, and the measure of the scorers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from quidditch.query.primitive import (
    BestOf,
    Boolean,
    Constant,
    Everything,
    HasId,
    HasValue,
    Nothing,
    NumberInterval,
    NumberSet,
    Primitive,
    ScoredPhrase,
    ScoredTerm,
    TermInterval,
    TermPrefix,
    TermSet,
)

TEXT = ("title", "body")


def as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]


class PlainIndex:
    """Documents by id; every question looks at all of them."""

    def __init__(self, docs: Mapping[str, Mapping[str, Any]]) -> None:
        self.docs = docs

    def tokens(self, id: str, field: str) -> list[str]:
        if field in TEXT:
            return [
                word for text in as_list(self.docs[id].get(field)) for word in re.findall("[a-z0-9]+", text)
            ]
        source = field.removesuffix(".raw")
        return [str(value) for value in as_list(self.docs[id].get(source))]

    def idf(self, field: str, term: str) -> float:
        filled = [set(tokens) for id in self.docs if (tokens := self.tokens(id, field))]
        there = sum(term in tokens for tokens in filled)
        return math.log(1 + (len(filled) - there + 0.5) / (there + 0.5))

    def bm25(self, id: str, field: str, weight: float, frequency: float) -> float:
        norm = 1.2
        if field == "title":
            lengths = [length for other in self.docs if (length := len(self.tokens(other, field)))]
            norm = 1.2 * (1 - 0.75 + 0.75 * len(self.tokens(id, field)) / (sum(lengths) / len(lengths)))
        elif field not in TEXT:
            frequency = 1.0
        return weight * frequency / (frequency + norm)

    def scores(self, query: Primitive) -> dict[str, float]:
        found = {id: self.score(query, id) for id in self.docs}
        return {id: float(np.float32(score)) for id, score in found.items() if score is not None}

    def score(self, query: Any, id: str) -> float | None:
        scorer = _SCORERS.get(type(query))
        if scorer is not None:
            return scorer(self, query, id)
        return query.boost if self.matches(query, id) else None

    def term(self, query: ScoredTerm, id: str) -> float | None:
        frequency = self.tokens(id, query.field).count(query.term.decode())
        if not frequency:
            return None
        weight = query.boost * self.idf(query.field, query.term.decode())
        return self.bm25(id, query.field, weight, frequency)

    def phrase(self, query: ScoredPhrase, id: str) -> float | None:
        words = [term.decode() for term in query.terms]
        frequency = phrase_frequency(self.tokens(id, query.field), words, query.positions, query.slop)
        if not frequency:
            return None
        idf = 0.0
        for word in words:
            if any(word in self.tokens(other, query.field) for other in self.docs):
                idf += self.idf(query.field, word)
        return self.bm25(id, query.field, query.boost * idf, frequency)

    def boolean(self, query: Boolean, id: str) -> float | None:
        if any(self.score(each, id) is None for each in query.filter):
            return None
        if any(self.score(each, id) is not None for each in query.must_not):
            return None
        must = [self.score(each, id) for each in query.must]
        should = [score for each in query.should if (score := self.score(each, id)) is not None]
        needed = query.minimum_should_match
        if not query.must and not query.filter:
            needed = max(1, needed)
        if None in must or len(should) < needed:
            return None
        total = 0.0
        for score in [*must, *should]:
            total += score or 0.0
        return total

    def best(self, query: BestOf, id: str) -> float | None:
        scores = [score for each in query.children if (score := self.score(each, id)) is not None]
        if not scores:
            return None
        best, others = 0.0, 0.0
        for score in scores:
            others += min(best, score)
            best = max(best, score)
        return best + query.tie_breaker * others

    def constant(self, query: Constant, id: str) -> float | None:
        return None if self.score(query.child, id) is None else query.boost

    def matches(self, query: Any, id: str) -> bool:
        if isinstance(query, Everything):
            return True
        if isinstance(query, Nothing):
            return False
        if isinstance(query, HasId):
            return id in query.ids
        if isinstance(query, NumberInterval | NumberSet):
            values = as_list(self.docs[id].get(query.field))
            if isinstance(query, NumberSet):
                return any(value in query.values for value in values)
            return any(query.lower <= value <= query.upper for value in values)
        if isinstance(query, HasValue):
            return bool(as_list(self.docs[id].get(query.field)))
        return any(_holds(query, token.encode()) for token in self.tokens(id, query.field))


_SCORERS: dict[type, Callable[[PlainIndex, Any, str], float | None]] = {
    ScoredTerm: PlainIndex.term,
    ScoredPhrase: PlainIndex.phrase,
    Boolean: PlainIndex.boolean,
    BestOf: PlainIndex.best,
    Constant: PlainIndex.constant,
}


def _holds(query: Any, term: bytes) -> bool:
    if isinstance(query, TermSet):
        return term in query.terms
    if isinstance(query, TermPrefix):
        if query.ignore_case:
            return term.decode().casefold().startswith(query.prefix.decode().casefold())
        return term.startswith(query.prefix)
    assert isinstance(query, TermInterval)
    above = query.lower is None or query.lower < term or (query.include_lower and query.lower == term)
    below = query.upper is None or term < query.upper or (query.include_upper and query.upper == term)
    return above and below


def phrase_frequency(
    tokens: Sequence[str], words: Sequence[str], positions: Sequence[int], slop: int
) -> float:
    """Exact phrases by trying every start; with slop, every start position against the next of each other
    slot."""
    slots: dict[int, set[str]] = {}
    for word, position in zip(words, positions, strict=True):
        slots.setdefault(position, set()).add(word)
    if slop == 0 or len(slots) == 1:
        return float(
            sum(
                all(
                    0 <= start + offset < len(tokens) and tokens[start + offset] in wanted
                    for offset, wanted in slots.items()
                )
                for start in range(-max(slots), len(tokens))
            )
        )
    places = [
        [at - offset for at, token in enumerate(tokens) if token in wanted]
        for offset, wanted in sorted(slots.items())
    ]
    starts = sorted((place, slot) for slot, own in enumerate(places) for place in own)
    total = 0.0
    for at, (place, slot) in enumerate(starts):
        following: dict[int, int] = {}
        for later, other in starts[at + 1 :]:
            following.setdefault(other, later)
        again = following.pop(slot, None)
        if len(following) < len(places) - 1 or (again is not None and again <= min(following.values())):
            continue
        distance = max(following.values()) - place
        if distance <= slop:
            total += 1 / (1 + distance)
    return total
