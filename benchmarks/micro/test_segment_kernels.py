"""One segment of an index on disk: look a term up, decode its postings, read a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.questions import words_of
from quidditch.index.reader import SegmentReader
from quidditch.local.database import LocalDatabase
from quidditch.local.index import LocalIndex

PLACES = {"the most frequent": 0, "a frequent": 50, "a rare": 2000}


@pytest.fixture(scope="module")
def segment(database: LocalDatabase, index: LocalIndex) -> Iterator[SegmentReader]:
    with (
        database.directory.use(index.name) as shard,
        shard.snapshots.open(shard.schema.current) as snapshot,
    ):
        yield snapshot.segments[0]


@pytest.fixture(scope="module")
def ranked(texts: list[str]) -> list[bytes]:
    """The words of the corpus, most frequent first."""
    counts = Counter(word for text in texts for word in set(words_of(text)))
    return [word.encode() for word, _ in counts.most_common()]


@pytest.mark.parametrize("which", PLACES)
def test_term_lookup(
    benchmark: BenchmarkFixture, segment: SegmentReader, ranked: list[bytes], which: str
) -> None:
    term = ranked[min(PLACES[which], len(ranked) - 1)]
    assert benchmark(segment.doc_freq, "text", term) > 0


def test_absent_term(benchmark: BenchmarkFixture, segment: SegmentReader) -> None:
    assert benchmark(segment.postings, "text", b"zzzzzzzz") is None


@pytest.mark.parametrize("which", PLACES)
def test_postings_decode(
    benchmark: BenchmarkFixture, segment: SegmentReader, ranked: list[bytes], which: str
) -> None:
    term = ranked[min(PLACES[which], len(ranked) - 1)]

    def decode() -> int:
        postings = segment.postings("text", term)
        assert postings is not None
        freqs = postings.freqs()
        return len(postings.docs()) + (len(freqs) if freqs is not None else 0)

    assert benchmark(decode) >= 2


@pytest.mark.parametrize("which", PLACES)
def test_positions_decode(
    benchmark: BenchmarkFixture, segment: SegmentReader, ranked: list[bytes], which: str
) -> None:
    postings = segment.postings("text", ranked[min(PLACES[which], len(ranked) - 1)])
    assert postings is not None
    assert benchmark(postings.positions) is not None


def test_sources_of_a_page(benchmark: BenchmarkFixture, segment: SegmentReader) -> None:
    docs = np.linspace(0, segment.doc_count - 1, 10).astype(np.uint32)
    assert len(benchmark(segment.sources, docs)) == 10


def test_documents_of_a_prefix(
    benchmark: BenchmarkFixture, segment: SegmentReader, ranked: list[bytes]
) -> None:
    prefix = ranked[0][:1]
    after = bytes((prefix[0] + 1,))
    assert len(benchmark(segment.documents_between, "text", prefix, after)) > 0
