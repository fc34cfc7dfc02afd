"""Text to sorted postings: the part of indexing that sees every token."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from quidditch.analysis.registry import get_analyzer
from quidditch.index.inversion import stable_order
from quidditch.index.text_inversion import TextInversion

SEED = 7


@pytest.mark.parametrize("analyzer", ["standard", "english", "whitespace"])
def test_invert_known_words(benchmark: BenchmarkFixture, texts: list[str], analyzer: str) -> None:
    """Every surface form was seen before: what the millionth batch costs."""
    vocabulary = get_analyzer(analyzer).vocabulary()
    first = vocabulary.invert(texts)
    batch = benchmark(vocabulary.invert, texts)
    assert len(batch.term) == len(first.term) > 0
    benchmark.extra_info["tokens"] = len(batch.term)


def test_invert_new_words(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    """A vocabulary that has seen nothing: what the first batch costs."""
    batch = benchmark(lambda: get_analyzer("english").vocabulary().invert(texts))
    assert len(batch.term) > 0


def test_invert_beyond_ascii(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    accented = [text.replace("a", "ä") for text in texts]
    vocabulary = get_analyzer("standard").vocabulary()
    vocabulary.invert(accented)
    assert len(benchmark(vocabulary.invert, accented).term) > 0


def test_postings_of_a_segment(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    vocabulary = get_analyzer("standard").vocabulary()
    docs = np.arange(len(texts), dtype=np.uint32)

    def build() -> int:
        inversion = TextInversion(vocabulary, with_positions=True, with_freqs=True)
        for start in range(0, len(texts), 1000):
            inversion.add(docs[start : start + 1000], texts[start : start + 1000])
        return sum(len(part.docs) for part in inversion.finish())

    assert benchmark(build) > 0


def test_radix_order(benchmark: BenchmarkFixture) -> None:
    keys = np.random.default_rng(SEED).integers(0, 1 << 20, 500_000, dtype=np.uint32)
    order = benchmark(stable_order, keys)
    assert (np.diff(keys[order].astype(np.int64)) >= 0).all()


def test_analyze_a_query(benchmark: BenchmarkFixture) -> None:
    tokens = benchmark(get_analyzer("english").analyze_query, "what is the age of the universe")
    assert [token.term for token in tokens][-1] == "univers"
