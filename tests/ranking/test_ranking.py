"""How good the order is, on collections that people judged; `title` and `text` are joined to one field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import pytest
from judged import Collection, members, ndcg, read_collection, recall, reciprocal_rank

import quidditch
from quidditch.interface import Database, Index

# Chosen by what is usual for the language; `standard` where Snowball has no algorithm, or people use none.
XQUAD_ANALYZERS = {
    "ar": "arabic",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "hi": "hindi",
    "ro": "romanian",
    "ru": "russian",
    "th": "standard",
    "tr": "turkish",
    "vi": "standard",
    "zh": "standard",
}
XQUAD_LEAST = 0.88
XQUAD_LEAST_STANDARD = 0.86
SCIFACT_LEAST = 0.675
ARXIV_LEAST_MRR = 0.85

Measure = Callable[[Sequence[str], Mapping[str, int]], float]


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with quidditch.connect(":memory:") as opened:
        yield opened


def indexed(
    database: Database, name: str, collection: Collection, analyzer: str, titles: bool = True
) -> Index:
    index = database.create_index(
        name, mappings={"dynamic": False, "properties": {"all": {"type": "text", "analyzer": analyzer}}}
    )
    docs = (
        {"_id": doc["_id"], "all": f"{doc['title']} {doc['text']}" if titles else doc["text"]}
        for doc in collection.docs
    )
    assert index.add_many(docs).errors == []
    return index


def measured(
    index: Index, collection: Collection, measures: Mapping[str, Measure], size: int
) -> dict[str, float]:
    """The mean of each measure over all judged queries."""
    rankings = {
        query: [hit.id for hit in index.search({"match": {"all": text}}, size=size, source=False)]
        for query, text in collection.queries.items()
        if query in collection.grades
    }
    return {
        name: fmean(measure(ranking, collection.grades[query]) for query, ranking in rankings.items())
        for name, measure in measures.items()
    }


def archive(folder: Path, name: str) -> dict[str, bytes]:
    file = folder / name
    if not file.exists():
        pytest.skip(f"../shared/data has no {name}")
    return members(file)


def test_scifact(database: Database, shared_data: Path) -> None:
    collection = read_collection(archive(shared_data, "scifact.tar.gz"), "scifact")
    index = indexed(database, "scifact", collection, "english")
    found = measured(index, collection, {"nDCG@10": ndcg, "R@100": recall}, size=100)
    print("SciFact, english:", report(found))
    assert found["nDCG@10"] >= SCIFACT_LEAST


@pytest.fixture(scope="module")
def xquad(shared_data: Path) -> dict[str, bytes]:
    return archive(shared_data, "xquad.tar.gz")


@pytest.mark.parametrize(("language", "analyzer"), list(XQUAD_ANALYZERS.items()))
def test_xquad(database: Database, xquad: dict[str, bytes], language: str, analyzer: str) -> None:
    assert xquad_ndcg(database, xquad, language, analyzer) >= XQUAD_LEAST


@pytest.mark.long
@pytest.mark.parametrize("language", XQUAD_ANALYZERS)
def test_xquad_with_standard(database: Database, xquad: dict[str, bytes], language: str) -> None:
    """What a user gets who chooses no analyzer: less in languages with rich endings, and never little."""
    assert xquad_ndcg(database, xquad, language, "standard") >= XQUAD_LEAST_STANDARD


def xquad_ndcg(database: Database, xquad: dict[str, bytes], language: str, analyzer: str) -> float:
    collection = read_collection(xquad, f"xquad/{language}")
    index = indexed(database, f"xquad-{language}-{analyzer}", collection, analyzer)
    found = measured(index, collection, {"nDCG@10": ndcg}, size=10)
    print(f"XQuAD {language}, {analyzer}:", report(found))
    return found["nDCG@10"]


def test_arxiv_known_items(database: Database, shared_data: Path) -> None:
    """A title must find its abstract among 19,982, searched in the text alone."""
    collection = read_collection(archive(shared_data, "arxiv-20k.tar.gz"), "arxiv-20k")
    index = indexed(database, "arxiv", collection, "english", titles=False)
    found = measured(index, collection, {"MRR": reciprocal_rank}, size=100)
    print("arXiv-20k, english:", report(found))
    assert found["MRR"] >= ARXIV_LEAST_MRR


def report(found: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in found.items())
