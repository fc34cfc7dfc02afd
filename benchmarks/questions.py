"""Queries by class, drawn from a corpus with a fixed seed: what people ask of an index of such documents."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.corpora import SEED, Doc

Kind = Literal["or", "and", "phrase"]

TEMPLATES = (
    "what is the {} of the {}",
    "how does the {} of a {} depend on the {}",
    "is there a {} for the {} in the {}",
    "why is a {} not a {}",
)
SAMPLE_DOCUMENTS = 20_000


@dataclass(frozen=True)
class QueryClass:
    """Queries of one shape: each is a list of words, joined by `kind`."""

    name: str
    kind: Kind
    queries: Sequence[Sequence[str]]


def words_of(text: str) -> list[str]:
    """Lower-case ASCII words of two letters or more: every engine's tokenizer agrees on those."""
    return re.findall(r"(?<![\w'’.-])[a-z]{2,30}(?![\w'’-]|\.\w)", text.lower())


def query_classes(docs: Sequence[Doc], count: int, seed: int = SEED) -> list[QueryClass]:
    """The ten classes, `count` queries each."""
    dice = random.Random(seed)
    texts = [
        words
        for doc in dice.sample(docs, min(len(docs), SAMPLE_DOCUMENTS))
        if (words := words_of(doc["text"]))
    ]
    common = {word for word, _ in Counter(word for words in texts for word in set(words)).most_common(40)}
    draw = _Draw(texts, common, dice)
    titles = [
        words for doc in dice.sample(docs, min(len(docs), 20 * count)) if (words := words_of(doc["title"]))
    ]
    return [
        QueryClass("one word", "or", [draw.words(1) for _ in range(count)]),
        QueryClass("two words", "or", [draw.words(2) for _ in range(count)]),
        QueryClass("three words", "or", [draw.words(3) for _ in range(count)]),
        QueryClass("five words", "or", [draw.words(5) for _ in range(count)]),
        QueryClass("titles", "or", titles[:count]),
        QueryClass("stop-word questions", "or", [draw.question() for _ in range(count)]),
        QueryClass("AND of two", "and", [draw.words(2) for _ in range(count)]),
        QueryClass("AND of three", "and", [draw.words(3) for _ in range(count)]),
        QueryClass("phrase of two", "phrase", [draw.phrase(2) for _ in range(count)]),
        QueryClass("phrase of three", "phrase", [draw.phrase(3) for _ in range(count)]),
    ]


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
