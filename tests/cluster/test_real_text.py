"""Real text, at some size: scores of a cluster are a directory's to the last bit, after updates and deletes too."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quidditch
from quidditch.interface import Database

from .one_server import OneServer
from .small_cluster import SmallCluster

DOCUMENTS = 50_000
QUERIES = 300


def abstracts(archive: Path) -> list[str]:
    """The texts of the archive's documents."""
    with tarfile.open(archive) as packed:
        name = next(each for each in packed.getnames() if each.endswith("docs.jsonl"))
        file = packed.extractfile(name)
        assert file is not None
        return [json.loads(line)["text"] for line in io.TextIOWrapper(file, "utf-8")]


def documents(texts: list[str], dice: random.Random) -> Iterator[dict[str, Any]]:
    """So many documents: the texts as they are, and then again, each with its sentences in another order."""
    for number in range(DOCUMENTS):
        sentences = texts[number % len(texts)].split(". ")
        if number >= len(texts):
            dice.shuffle(sentences)
        yield {"_id": f"d{number}", "text": ". ".join(sentences), "year": 1990 + number % 30}


def changed(texts: list[str], dice: random.Random) -> list[object]:
    """A tenth of them replaced, changed in part, or deleted."""
    actions: list[object] = []
    for number in dice.sample(range(DOCUMENTS), DOCUMENTS // 10):
        id = f"d{number}"
        text = dice.choice(texts)
        actions += dice.choice(
            (
                [{"index": {"_id": id}}, {"text": text, "year": 2020}],
                [{"update": {"_id": id}}, {"doc": {"text": text}}],
                [{"delete": {"_id": id}}],
            )
        )
    return actions


def queries(texts: list[str], dice: random.Random) -> Iterator[dict[str, Any]]:
    """Words that stand in one text; every third time as a phrase, every fifth filtered."""
    for number in range(QUERIES):
        words = dice.choice(texts).split()
        at = dice.randrange(max(1, len(words) - 4))
        text = " ".join(words[at : at + dice.randrange(1, 5)])
        kind = "match_phrase" if number % 3 == 0 else "match"
        clause: dict[str, Any] = {kind: {"text": text}}
        if number % 5 == 0:
            clause = {"bool": {"must": clause, "filter": {"range": {"year": {"gte": 2005}}}}}
        yield {"query": clause, "size": 50, "sort": ["_score", {"_id": "asc"}]}


def answered(database: Database, body: dict[str, Any]) -> tuple[object, ...]:
    result = database.search("papers", body)
    return (result.total, *((hit.id, hit.score) for hit in result.hits))


@pytest.mark.long
@pytest.mark.parametrize(("shards", "replicas"), [(2, 1), (5, 2)])
def test_fifty_thousand_documents_score_as_in_one_directory(
    nats_server: OneServer, shared_data: Path, tmp_path: Path, shards: int, replicas: int
) -> None:
    texts = abstracts(shared_data / "arxiv-20k.tar.gz")
    cluster = SmallCluster(nats_server, tmp_path / "cluster")
    try:
        with cluster.coordinator(replicas) as database, quidditch.connect(tmp_path / "alone") as alone:
            settings = {"number_of_shards": shards, "number_of_replicas": replicas}
            mappings = {"properties": {"text": {"type": "text", "analyzer": "english"}}}
            database.create_index("papers", mappings, settings)
            alone.create_index("papers", mappings)
            for one in (database, alone):
                dice = random.Random(7)
                one.index("papers").add_many(documents(texts, dice))
                assert not one.index("papers").bulk(changed(texts, dice)).errors
            assert len(database.index("papers")) == len(alone.index("papers"))
            for body in queries(texts, random.Random(11)):
                assert answered(database, body) == answered(alone, body), body
        cluster.empty()
    finally:
        cluster.close()
