"""Search as plain loops over dicts: slow, obvious, and the measure of the engine.

One `Oracle` is one index. It holds documents in a dict, looks at every one of them for every question, and
counts its statistics anew each time. It shares no code with the engine; where both agree bit for bit, the
engine is right about scores, order and totals.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np

Source: TypeAlias = dict[str, Any]
Clause: TypeAlias = Mapping[str, Any]
Tokenize: TypeAlias = Callable[[str], list[str]]

K1 = 1.2
B = 0.75
POSITION_GAP = 100
EXACT_TYPES = frozenset({"long", "double", "boolean", "date"})


@dataclass
class Stored:
    """One live document: as it was given, the number of its last write, and how often it was written."""

    source: Source
    seq_no: int
    version: int


@dataclass
class Answer:
    """What a search must give: ids in order, float32 scores beside them, how many matched in all."""

    ids: list[str]
    scores: list[float | None]
    total: int


def ascii_words(text: str) -> list[str]:
    """Lower-case runs of ASCII letters and digits; for such text it is what `standard` does."""
    return re.findall("[a-z0-9]+", text.lower())


def rounded(score: float) -> float:
    """The float64 sum as the one float32 that everybody compares."""
    return float(np.float32(score))


class Oracle:
    """A dict that answers Query DSL."""

    def __init__(self, types: Mapping[str, str], tokenize: Tokenize = ascii_words) -> None:
        """`types` maps each field's dotted path to text, keyword, long, double, boolean or date."""
        self.types = dict(types)
        self.tokenize = tokenize
        self.docs: dict[str, Stored] = {}
        self.next_seq_no = 0

    # ------------------------------------------------------------------------------------------ writes

    def add(self, id: str, source: Source) -> None:
        old = self.docs.pop(id, None)
        self.docs[id] = Stored(source, self.next_seq_no, old.version + 1 if old else 1)
        self.next_seq_no += 1

    def update(self, id: str, partial: Source) -> None:
        """Merge objects key by key; everything else is replaced. A change of nothing is no write."""
        merged = merge_objects(self.docs[id].source, partial)
        if merged != self.docs[id].source:
            self.add(id, merged)

    def delete(self, id: str) -> None:
        self.docs.pop(id, None)
        self.next_seq_no += 1

    # ----------------------------------------------------------------------------------------- values

    def values(self, doc: Stored, path: str) -> list[Any]:
        """What the field holds, nulls left out, as the engine compares it (dates as milliseconds)."""
        found = list(leaves(doc.source, path.split(".")))
        return [comparable(self.types[path], value) for value in found]

    def tokens(self, doc: Stored, path: str) -> list[tuple[str, int]]:
        """(term, position) in order; values of an array stand 100 positions apart."""
        out: list[tuple[str, int]] = []
        base = 0
        for value in self.values(doc, path):
            words = self.tokenize(value) if self.types[path] == "text" else [value]
            out += [(word, base + place) for place, word in enumerate(words)]
            if words:
                base += len(words) + POSITION_GAP
        return out

    # ------------------------------------------------------------------------------------- statistics

    def idf(self, path: str, term: str) -> float:
        holding = [self.tokens(doc, path) for doc in self.docs.values()]
        n = sum(1 for tokens in holding if tokens)
        df = sum(1 for tokens in holding if any(word == term for word, _ in tokens))
        return math.log(1 + (n - df + 0.5) / (df + 0.5))

    def norm(self, path: str, doc: Stored) -> float:
        """k1 · (1 − b + b · length / average) over live documents that have a token in the field."""
        if self.types[path] != "text":
            return K1
        lengths = [len(self.tokens(other, path)) for other in self.docs.values()]
        filled = [length for length in lengths if length]
        average = sum(filled) / len(filled)
        return K1 * (1 - B + B * len(self.tokens(doc, path)) / average)

    def bm25(self, path: str, doc: Stored, idf: float, tf: float, boost: float) -> float:
        return boost * idf * tf / (tf + self.norm(path, doc))

    # ---------------------------------------------------------------------------------------- clauses

    def score(self, clause: Clause, doc_id: str, boost: float = 1.0) -> float | None:
        """The score before rounding; None when the document does not match."""
        ((name, body),) = clause.items()
        return cast("float | None", getattr(self, f"_{name}")(body, doc_id, boost))

    def _match_all(self, body: Clause, doc_id: str, boost: float) -> float | None:
        return float(boost * body.get("boost", 1.0))

    def _match_none(self, body: Clause, doc_id: str, boost: float) -> float | None:
        return None

    def _term(self, body: Clause, doc_id: str, boost: float) -> float | None:
        path, options = field_and_options(body, "value")
        return self._word(path, options["value"], doc_id, boost * options.get("boost", 1.0))

    def _word(self, path: str, value: Any, doc_id: str, boost: float) -> float | None:
        doc = self.docs[doc_id]
        if self.types[path] in EXACT_TYPES:
            return boost if comparable(self.types[path], value) in self.values(doc, path) else None
        tf = sum(1 for word, _ in self.tokens(doc, path) if word == value)
        if not tf:
            return None
        frequency = tf if self.types[path] == "text" else 1
        return self.bm25(path, doc, self.idf(path, value), frequency, boost)

    def _terms(self, body: Clause, doc_id: str, boost: float) -> float | None:
        ((path, wanted),) = ((key, value) for key, value in body.items() if key != "boost")
        own = boost * body.get("boost", 1.0)
        doc = self.docs[doc_id]
        kind = self.types[path]
        there = self.values(doc, path)
        if kind == "text":
            there = [word for word, _ in self.tokens(doc, path)]
        return own if any(comparable(kind, value) in there for value in wanted) else None

    def _prefix(self, body: Clause, doc_id: str, boost: float) -> float | None:
        path, options = field_and_options(body, "value")
        words = [word for word, _ in self.tokens(self.docs[doc_id], path)]
        matches = any(word.startswith(options["value"]) for word in words)
        return boost * options.get("boost", 1.0) if matches else None

    def _range(self, body: Clause, doc_id: str, boost: float) -> float | None:
        ((path, limits),) = body.items()
        kind = self.types[path]
        for value in self.values(self.docs[doc_id], path):
            if all(
                within(comparable(kind, limit), op, value) for op, limit in limits.items() if op != "boost"
            ):
                return boost * float(limits.get("boost", 1.0))
        return None

    def _exists(self, body: Clause, doc_id: str, boost: float) -> float | None:
        there = self.values(self.docs[doc_id], body["field"])
        return boost * body.get("boost", 1.0) if there else None

    def _ids(self, body: Clause, doc_id: str, boost: float) -> float | None:
        return boost * body.get("boost", 1.0) if doc_id in body["values"] else None

    def _match(self, body: Clause, doc_id: str, boost: float) -> float | None:
        path, options = field_and_options(body, "query")
        own = boost * options.get("boost", 1.0)
        if self.types[path] != "text":
            return self._word(path, options["query"], doc_id, own)
        words = self.tokenize(str(options["query"]))
        scores = [self._word(path, word, doc_id, own) for word in words]
        needed = required(options, len(words))
        return summed(scores, needed)

    def _match_phrase(self, body: Clause, doc_id: str, boost: float) -> float | None:
        path, options = field_and_options(body, "query")
        own = boost * options.get("boost", 1.0)
        words = self.tokenize(options["query"])
        if len(words) < 2:
            return self._word(path, words[0], doc_id, own) if words else None
        doc = self.docs[doc_id]
        frequency = phrase_frequency(self.tokens(doc, path), words, options.get("slop", 0))
        if not frequency:
            return None
        idf = sum(self.idf(path, word) for word in words)
        return self.bm25(path, doc, idf, frequency, own)

    def _multi_match(self, body: Clause, doc_id: str, boost: float) -> float | None:
        shared = {key: body[key] for key in ("query", "operator", "minimum_should_match") if key in body}
        scores = []
        for name in body["fields"]:
            path, _, own = name.partition("^")
            match = {"match": {path: {**shared, "boost": float(own or 1)}}}
            scores.append(self.score(match, doc_id, boost * body.get("boost", 1.0)))
        tie = 1.0 if body.get("type") == "most_fields" else body.get("tie_breaker", 0.0)
        return best(scores, tie)

    def _dis_max(self, body: Clause, doc_id: str, boost: float) -> float | None:
        own = boost * body.get("boost", 1.0)
        return best([self.score(each, doc_id, own) for each in body["queries"]], body.get("tie_breaker", 0.0))

    def _constant_score(self, body: Clause, doc_id: str, boost: float) -> float | None:
        return boost * body.get("boost", 1.0) if self.score(body["filter"], doc_id) is not None else None

    def _bool(self, body: Clause, doc_id: str, boost: float) -> float | None:
        own = boost * body.get("boost", 1.0)
        must, should = as_list(body.get("must")), as_list(body.get("should"))
        filters, excluded = as_list(body.get("filter")), as_list(body.get("must_not"))
        if any(self.score(each, doc_id) is None for each in filters):
            return None
        if any(self.score(each, doc_id) is not None for each in excluded):
            return None
        scores = [self.score(each, doc_id, own) for each in must]
        if None in scores:
            return None
        if not (must or should or filters):
            # Exclusions alone leave everything else, each with the score 0; nothing at all is match_all.
            return 0.0 if excluded else own
        optional = [self.score(each, doc_id, own) for each in should]
        implied = 0 if must or filters else min(1, len(should))
        needed = count_of(body.get("minimum_should_match", implied), len(should))
        if sum(score is not None for score in optional) < needed:
            return None
        total = 0.0
        for score in scores + optional:
            total += score or 0.0
        return total

    # ---------------------------------------------------------------------------------------- searches

    def matching(self, clause: Clause) -> dict[str, float]:
        """Every matching id with its float32 score."""
        scores = {doc_id: self.score(clause, doc_id) for doc_id in self.docs}
        return {doc_id: rounded(score) for doc_id, score in scores.items() if score is not None}

    def search(
        self, clause: Clause, size: int = 10, from_: int = 0, sort: Sequence[Mapping[str, str]] = ()
    ) -> Answer:
        """Best first; equal ones by the number of their last write."""
        found = self.matching(clause)
        order = sorted(found, key=lambda doc_id: self.docs[doc_id].seq_no)
        levels = list(sort) or [{"_score": "desc"}]
        for level in reversed(levels):
            ((name, direction),) = level.items()
            order = self.sorted_by(order, name, direction == "desc", found)
        page = order[from_ : from_ + size]
        by_score = any("_score" in level for level in levels)
        scores: list[float | None] = [found[doc_id] if by_score else None for doc_id in page]
        return Answer(page, scores, len(found))

    def sorted_by(self, order: list[str], name: str, descending: bool, found: dict[str, float]) -> list[str]:
        """Stable; documents without a value come last in either direction."""
        level = {name: "desc" if descending else "asc"}
        keys = {doc_id: self.sort_value(doc_id, level, found) for doc_id in order}
        present = [doc_id for doc_id in order if keys[doc_id] is not None]
        missing = [doc_id for doc_id in order if keys[doc_id] is None]
        # `reverse` keeps equal ones in their order.
        return sorted(present, key=lambda doc_id: keys[doc_id], reverse=descending) + missing

    def sort_value(self, doc_id: str, level: Mapping[str, str], found: Mapping[str, float]) -> Any:
        ((name, direction),) = level.items()
        if name == "_score":
            return found[doc_id]
        if name == "_id":
            return doc_id.encode()
        values = self.values(self.docs[doc_id], name)
        if self.types[name] == "keyword":
            values = [value.encode() for value in values]
        if not values:
            return None
        return max(values) if direction == "desc" else min(values)


# ---------------------------------------------------------------------------------------------- plain pieces


def leaves(value: Any, path: list[str]) -> Iterator[Any]:
    """What lies at a path, through objects and arrays, nulls left out."""
    if isinstance(value, list):
        for each in value:
            yield from leaves(each, path)
    elif path and isinstance(value, dict):
        for end in range(1, len(path) + 1):
            name = ".".join(path[:end])
            if name in value:
                yield from leaves(value[name], path[end:])
    elif not path and value is not None:
        yield value


def comparable(kind: str, value: Any) -> Any:
    if kind == "date" and isinstance(value, str):
        moment = dt.datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return round(moment.timestamp() * 1000)
    if kind == "boolean":
        return {"true": True, "false": False, "": False}.get(value, value)
    return value


def within(limit: Any, op: str, value: Any) -> bool:
    if isinstance(limit, str):
        limit, value = limit.encode(), value.encode()
    return bool({"gt": value > limit, "gte": value >= limit, "lt": value < limit, "lte": value <= limit}[op])


def field_and_options(body: Clause, shorthand: str) -> tuple[str, dict[str, Any]]:
    """`{"title": "dune"}` reads as `{"title": {"query": "dune"}}`."""
    ((path, options),) = body.items()
    return path, dict(options) if isinstance(options, Mapping) else {shorthand: options}


def as_list(clauses: Any) -> list[Clause]:
    if clauses is None:
        return []
    return list(clauses) if isinstance(clauses, list | tuple) else [clauses]


def required(options: Mapping[str, Any], words: int) -> int:
    if str(options.get("operator", "or")).lower() == "and":
        return words
    return max(1, count_of(options.get("minimum_should_match", 1), words))


def count_of(asked: int | str, clauses: int) -> int:
    """`2`, `-1`, `"75%"`, `"-25%"`: how many of the clauses must match."""
    text = str(asked)
    if text.endswith("%"):
        share = int(text[:-1])
        part = abs(share) * clauses // 100
        count = part if share >= 0 else clauses - part
    else:
        count = int(text) if int(text) >= 0 else clauses + int(text)
    return max(0, count)


def summed(scores: Sequence[float | None], needed: int) -> float | None:
    there = [score for score in scores if score is not None]
    if not scores or len(there) < needed:
        return None
    total = 0.0
    for score in there:
        total += score
    return total


def best(scores: Sequence[float | None], tie_breaker: float) -> float | None:
    there = [score for score in scores if score is not None]
    if not there:
        return None
    top = there.index(max(there))
    others = 0.0
    for place, score in enumerate(there):
        others += score if place != top else 0.0
    return there[top] + tie_breaker * others


def phrase_frequency(tokens: Sequence[tuple[str, int]], words: Sequence[str], slop: int) -> float:
    """How often the words stand in a row; with slop, the sum of 1 / (1 + distance) over matching windows.

    Each word's places are shifted back by its place in the phrase, so that a perfect match is one number. A
    window starts at one word's place and reaches to the furthest of the others' next places; it is left out
    when the same word comes again before any other does (that start is the better one). For slop the words
    must differ.
    """
    shifted = [
        [position - offset for word, position in tokens if word == wanted]
        for offset, wanted in enumerate(words)
    ]
    if slop == 0:
        return sum(all(start in places for places in shifted) for start in shifted[0])
    starts = sorted((place, slot) for slot, places in enumerate(shifted) for place in places)
    total = 0.0
    for at, (place, slot) in enumerate(starts):
        following: dict[int, int] = {}
        for later, other in starts[at + 1 :]:
            following.setdefault(other, later)
        again = following.pop(slot, None)
        if len(following) < len(words) - 1 or (again is not None and again <= min(following.values())):
            continue
        distance = max(following.values()) - place
        if distance <= slop:
            total += 1 / (1 + distance)
    return total


def merge_objects(old: Source, new: Source) -> Source:
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_objects(merged[key], value) if both else value
    return merged
