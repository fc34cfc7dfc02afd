"""Judged collections read from their archives, and measures that compare a ranking with them."""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Collection:
    """Documents, queries by id, and by query the grades of the documents that answer it."""

    docs: list[dict[str, Any]]
    queries: dict[str, str]
    grades: dict[str, dict[str, int]]


def members(archive: Path) -> dict[str, bytes]:
    """The files of an archive by their path inside it."""
    with tarfile.open(archive) as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
        return {name.removeprefix("./"): file.read() for name, file in files if file is not None}


def read_collection(files: Mapping[str, bytes], folder: str) -> Collection:
    docs = list(json_lines(files[f"{folder}/docs.jsonl"]))
    queries = {row["_id"]: row["text"] for row in json_lines(files[f"{folder}/queries.jsonl"])}
    grades: dict[str, dict[str, int]] = {}
    rows = files[f"{folder}/qrels.tsv"].decode().splitlines()[1:]
    for query, doc, grade in (row.split("\t") for row in rows):
        grades.setdefault(query, {})[doc] = int(grade)
    return Collection(docs, queries, grades)


def json_lines(data: bytes) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in io.BytesIO(data))


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], depth: int = 10) -> float:
    """Normalised discounted cumulative gain: gain is the grade, the discount log2(rank + 1).

    source: Järvelin and Kekäläinen, TOIS 20 (2002); the variant of trec_eval's ndcg_cut
    """
    ideal = discounted(sorted(grades.values(), reverse=True)[:depth])
    return discounted([grades.get(doc, 0) for doc in ranking[:depth]]) / ideal if ideal else 0.0


def discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


def recall(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    relevant = {doc for doc, grade in grades.items() if grade > 0}
    return len(relevant & set(ranking)) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    ranks = [rank for rank, doc in enumerate(ranking, start=1) if grades.get(doc, 0) > 0]
    return 1 / ranks[0] if ranks else 0.0
