"""Queries by class, drawn from a corpus with a fixed seed: what people ask of an index of such documents."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmarks.corpora import GROUPS, SEED, Doc

Kind = Literal["or", "and", "phrase"]

TEMPLATES = (
    "what is the {} of the {}",
    "how does the {} of a {} depend on the {}",
    "is there a {} for the {} in the {}",
    "why is a {} not a {}",
)
SAMPLE_DOCUMENTS = 20_000
FILTERED = ("one word", "three words", "five words")
SIZES = (100, 1000)


@dataclass(frozen=True)
class QueryClass:
    """Queries of one shape: each is a list of words, joined by `kind`, and the way they are asked.

    family: what it measures: "plain", "totals", "filters" or "sizes"
    plain:  the class of the same queries, asked plainly
    group:  the group of documents that hits are limited to
    """

    name: str
    kind: Kind
    queries: Sequence[Sequence[str]]
    family: str = "plain"
    plain: str = ""
    size: int = 10
    totals: bool = False
    group: str | None = None


def words_of(text: str) -> list[str]:
    """Lower-case ASCII words of two letters or more: every engine's tokenizer agrees on those."""
    return re.findall(r"(?<![\w'’.-])[a-z]{2,30}(?![\w'’-]|\.\w)", text.lower())


def query_classes(docs: Sequence[Doc], count: int, seed: int = SEED) -> list[QueryClass]:
    """The ten classes, `count` different queries each, or as many as the documents give."""
    dice = random.Random(seed)
    texts = [
        words
        for doc in dice.sample(docs, min(len(docs), SAMPLE_DOCUMENTS))
        if (words := words_of(doc["text"]))
    ]
    common = {word for word, _ in Counter(word for words in texts for word in set(words)).most_common(40)}
    draw = _Draw(texts, common, dice)
    titles = [words for doc in docs if (words := words_of(doc["title"]))]
    kinds: list[tuple[str, Kind, Callable[[], list[str]]]] = [
        ("one word", "or", lambda: draw.words(1)),
        ("two words", "or", lambda: draw.words(2)),
        ("three words", "or", lambda: draw.words(3)),
        ("five words", "or", lambda: draw.words(5)),
        ("titles", "or", lambda: dice.choice(titles)),
        ("stop-word questions", "or", draw.question),
        ("AND of two", "and", lambda: draw.words(2)),
        ("AND of three", "and", lambda: draw.words(3)),
        ("phrase of two", "phrase", lambda: draw.phrase(2)),
        ("phrase of three", "phrase", lambda: draw.phrase(3)),
    ]
    return [QueryClass(name, kind, _different(draw_one, count)) for name, kind, draw_one in kinds]


def _different(draw: Callable[[], list[str]], count: int) -> list[list[str]]:
    """So many different queries; fewer when twenty draws for each do not find them."""
    found: dict[tuple[str, ...], list[str]] = {}
    for _ in range(20 * count):
        words = draw()
        found.setdefault(tuple(words), words)
        if len(found) == count:
            break
    return list(found.values())


def variants(classes: Sequence[QueryClass]) -> list[QueryClass]:
    """The same queries asked otherwise: with exact totals, filtered to the groups, with larger pages."""
    by_name = {each.name: each for each in classes}
    totals = [
        replace(each, name=f"{each.name}, totals", family="totals", plain=each.name, totals=True)
        for each in classes
    ]
    filtered = [
        replace(
            by_name[name],
            name=f"{name}, {share * 100:g}% of documents",
            family="filters",
            plain=name,
            group=group,
        )
        for name in FILTERED
        for group, share in GROUPS.items()
    ]
    sized = [
        replace(by_name[name], name=f"{name}, top {size:,}", family="sizes", plain=name, size=size)
        for name in FILTERED
        for size in SIZES
    ]
    return totals + filtered + sized


class _Draw:
    """Draws words as often as texts use them, the commonest forty left out but for phrases."""

    def __init__(self, texts: Sequence[list[str]], common: set[str], dice: random.Random) -> None:
        self.texts = texts
        self.common = common
        self.dice = dice

    def words(self, count: int) -> list[str]:
        """Words of one document, so that AND has an answer."""
        for _ in range(1000):
            choice = sorted(set(self.dice.choice(self.texts)) - self.common)
            if len(choice) >= count:
                return self.dice.sample(choice, count)
        raise ValueError(
            f"no document of the sample has {count} words beyond the {len(self.common)} commonest"
        )

    def question(self) -> list[str]:
        template = self.dice.choice(TEMPLATES)
        return template.format(*self.words(template.count("{}"))).split()

    def phrase(self, count: int) -> list[str]:
        text = self.dice.choice([text for text in self.dice.choices(self.texts, k=50) if len(text) > count])
        start = self.dice.randrange(len(text) - count)
        return text[start : start + count]


def as_clause(kind: Kind, words: Sequence[str], field: str = "text") -> dict[str, Any]:
    """The query as Query DSL."""
    text = " ".join(words)
    if kind == "phrase":
        return {"match_phrase": {field: text}}
    return {"match": {field: {"query": text, "operator": kind}}}
