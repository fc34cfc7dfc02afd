"""Documents to measure with: real ones from a JSONL file, larger sets made of them, or made-up Zipf text.

Everything is drawn with a fixed seed, so two runs index and ask the same.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np

Doc: TypeAlias = dict[str, Any]

SEED = 20240229
SHORT_DOCUMENTS = 500_000
SHORT_WORDS = (12, 28)
GROUPS = {"half": 0.5, "tenth": 0.1, "hundredth": 0.01, "thousandth": 0.001}


def read_jsonl(path: Path) -> Iterator[Doc]:
    """`_id`, `title`, `text` and `group` of every line; other fields are left out, as peers would not index them."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            doc = decode(line)
            yield {
                "_id": str(doc.get("_id", number)),
                "title": doc.get("title") or "",
                "text": doc.get("text") or "",
                "group": doc.get("group") or [],
            }


def grouped(docs: Iterable[Doc], seed: int = SEED) -> Iterator[Doc]:
    """The documents, each with a list `group`: every group of `GROUPS` holds its share, drawn independently."""
    dice = random.Random(seed)
    for doc in docs:
        yield {**doc, "group": [name for name, share in GROUPS.items() if dice.random() < share]}


def write_jsonl(path: Path, docs: Iterable[Doc]) -> int:
    """How many documents the file now holds."""
    encode = msgspec.json.Encoder().encode
    written = 0
    with path.open("wb") as lines:
        for doc in docs:
            lines.write(encode(doc) + b"\n")
            written += 1
    return written


def repeated(docs: Sequence[Doc], times: int, seed: int = SEED) -> Iterator[Doc]:
    """The documents once as they are, then again and again with their words shuffled."""
    yield from docs
    shuffle = random.Random(seed)
    for copy in range(1, times):
        for doc in docs:
            words = doc["text"].split()
            shuffle.shuffle(words)
            yield {"_id": f"{doc['_id']}-{copy}", "title": doc["title"], "text": " ".join(words)}


def short(
    docs: Sequence[Doc],
    count: int = SHORT_DOCUMENTS,
    seed: int = SEED,
    words: tuple[int, int] = SHORT_WORDS,
) -> Iterator[Doc]:
    """`count` documents of about twenty words (or as many as said), cut out of the texts one after the other."""
    dice = random.Random(seed)
    pieces = _pieces(itertools.count(), docs, dice, words)
    for number, (title, cut) in enumerate(itertools.islice(pieces, count)):
        yield {"_id": str(number), "title": title, "text": " ".join(cut)}


def _pieces(
    passes: Iterable[int], docs: Sequence[Doc], dice: random.Random, size: tuple[int, int]
) -> Iterator[tuple[str, list[str]]]:
    for turn in passes:
        for doc in docs:
            words = doc["text"].split()
            if turn:
                dice.shuffle(words)
            start = 0
            while start < len(words):
                end = start + dice.randint(*size)
                yield doc["title"], words[start:end]
                start = end


def synthetic(count: int, words: int = 60, vocabulary: int = 20_000, seed: int = SEED) -> Iterator[Doc]:
    """Made-up text whose words are as unevenly frequent as real ones, for machines without real text."""
    dice = np.random.default_rng(seed)
    names = np.array([_name(number) for number in range(vocabulary)])
    for number in range(count):
        ranks = (dice.zipf(1.15, size=max(4, int(dice.poisson(words)))) - 1) % vocabulary
        text = names[ranks]
        yield {"_id": str(number), "title": " ".join(text[:4]), "text": " ".join(text)}


def _name(number: int) -> str:
    """A pronounceable word of its own for every number."""
    syllables = []
    while True:
        number, last = divmod(number, 85)
        syllables.append("bcdfghjklmnprstvw"[last // 5] + "aeiou"[last % 5])
        if not number:
            return "".join(syllables)
