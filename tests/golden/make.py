"""Makes the golden index of the format that this release writes: `python tests/golden/make.py`.

Run it once for each new format version and keep what it writes beside it: `format-<version>.tar.gz`, the
directory as it lies on disk, and `format-<version>.json`, what it must answer. Never make an old version's again:
those bytes are the proof that they can still be read.

The same release makes the same documents, sequence numbers and answers; LMDB's free pages hold chance bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import quidditch
from quidditch import Index
from quidditch.index.codecs import FORMAT_VERSION

HERE = Path(__file__).parent
NAME = "golden"
LONG_ID = "long-" + "x" * 480 + "-é"

MAPPINGS: dict[str, Any] = {
    "properties": {
        "title": {"type": "text", "analyzer": "english", "fields": {"raw": {"type": "keyword"}}},
        "body": {"type": "text"},
        "brief": {"type": "text", "index_options": "freqs"},
        "mark": {"type": "text", "index_options": "docs", "norms": False},
        "tags": {"type": "keyword", "null_value": "none"},
        "hidden": {"type": "keyword", "index": False},
        "year": {"type": "integer"},
        "price": {"type": "double"},
        "seen": {"type": "date"},
        "open": {"type": "boolean"},
        "author": {"properties": {"name": {"type": "text"}, "born": {"type": "short"}}},
    }
}

WORDS = [
    *("river", "stone", "maple", "copper", "lantern", "winter"),
    *("harbour", "falcon", "meadow", "thunder", "orchard", "velvet"),
]
FOREIGN = ("日本語の全文検索", "今日は良い天気です", "ภาษาไทยง่ายนิดเดียว", "Größe und Maß", "Ёлка в лесу")


def document(number: int, chance: random.Random) -> dict[str, Any]:
    doc: dict[str, Any] = {
        "_id": LONG_ID if number == 7 else f"doc-{number:03}",
        "title": f"The {chance.choice(WORDS)} {chance.choice(WORDS)}s",
        # In every document: its postings lie in rows of their own, the others' inside the dictionary.
        "body": " ".join(["common", *chance.choices(WORDS, k=chance.randrange(2, 9))]),
        "year": 1950 + number % 70,
    }
    if number % 3 == 0:
        doc["tags"] = chance.sample(WORDS, 2)
        doc["price"] = number / 8
    if number % 4 == 0:
        doc |= {"seen": f"20{number % 90 + 10}-03-0{number % 9 + 1}", "open": number % 8 == 0, "tags": None}
    if number % 5 == 0:
        doc["author"] = {"name": f"Writer {chance.choice(WORDS)}", "born": 1900 + number % 90}
        doc["brief"] = doc["mark"] = " ".join(chance.choices(WORDS[:3], k=4))
    if number % 10 == 0:
        doc["body"] = [doc["body"], FOREIGN[number // 10 % len(FOREIGN)]]
        doc["hidden"] = f"kept-{number}"
    return doc


def write(index: Index) -> None:
    """Two segments, the second with gaps in its numbers; deletes and updates in both; the rest in the buffer."""
    chance = random.Random(1)
    docs = [document(number, chance) for number in range(170)]
    index.add_many(docs[:140])
    index.flush()
    index.delete("doc-003")
    index.update("doc-004", {"title": "An updated lantern", "price": 4.5})
    for doc in docs[140:160]:
        index.add(doc)
    index.add({"title": "Replaced in the buffer", "body": "common falcon", "year": 1999}, "doc-145")
    index.flush()
    index.delete("doc-150")
    index.update(LONG_ID, {"body": "common but updated"})
    for doc in docs[160:]:
        index.add(doc)
    index.add({"body": "only ever 検索"}, "doc-165")
    index.delete("doc-010")


QUESTIONS: list[dict[str, Any]] = [
    {"query": None},
    {"query": {"match": {"body": "common river"}}},
    {"query": {"match": {"body": {"query": "common falcon stone", "operator": "and"}}}},
    {"query": {"match": {"title": "updating lanterns"}}},
    {"query": {"match_phrase": {"body": {"query": "common river", "slop": 2}}}},
    {"query": {"match": {"body": "検索"}}},
    {"query": {"match": {"body": "grösse maß"}}},
    {"query": {"match": {"brief": "river"}}},
    {"query": {"match": {"mark": "river"}}},
    {"query": {"term": {"tags": "none"}}},
    {"query": {"terms": {"tags": ["maple", "copper"]}}},
    {"query": {"prefix": {"title.raw": "The m"}}},
    {"query": {"range": {"year": {"gte": 1960, "lt": 1970}}}, "sort": ["year:desc", "_score"]},
    {"query": {"range": {"price": {"gt": 1.5, "lte": 9}}}, "sort": ["price"]},
    {"query": {"range": {"seen": {"gte": "2030-01-01"}}}, "sort": ["seen"]},
    {"query": {"term": {"open": True}}},
    {"query": {"exists": {"field": "author.born"}}},
    {"query": {"ids": {"values": [LONG_ID, "doc-003", "doc-145"]}}},
    {"query": {"match": {"author.name": "writer"}}, "sort": ["title.raw", "year"]},
]
IDS = [
    LONG_ID,
    "doc-000",
    "doc-003",
    "doc-004",
    "doc-010",
    "doc-145",
    "doc-150",
    "doc-160",
    "doc-165",
    "doc-169",
]


def answers(index: Index) -> dict[str, Any]:
    """What a reader can see of the index, as JSON."""
    stats = index.stats()
    found = index.mget(IDS)
    return {
        "searches": [_search(index, question) for question in QUESTIONS],
        "documents": [
            None if doc is None else [doc.id, doc.version, doc.seq_no, doc.source] for doc in found
        ],
        "stats": {
            "documents": stats.documents,
            "deleted": stats.deleted,
            "segments": stats.segments,
            "buffered": stats.buffered,
            "fields": stats.fields,
        },
        "mappings": index.mappings,
    }


def _search(index: Index, question: dict[str, Any]) -> dict[str, Any]:
    result = index.search(size=200, **question)
    return {"total": result.total, "hits": [[hit.id, hit.score, hit.sort] for hit in result]}


def pack(folder: Path, archive: Path) -> None:
    """The data files alone: locks are made anew by whoever opens them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(folder.rglob("data.mdb")):
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            entry.size = path.stat().st_size
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    archive.write_bytes(gzip.compress(packed.getvalue(), 9, mtime=0))


def spelt(expected: dict[str, Any]) -> str:
    """JSON with a line for each search and each document."""
    parts = []
    for name, value in expected.items():
        one_by_one = isinstance(value, list)
        lines = [json.dumps(one, ensure_ascii=False) for one in (value if one_by_one else [value])]
        body = ",\n".join(lines)
        parts.append(f'"{name}": [\n{body}\n]' if one_by_one else f'"{name}": {body}')
    return "{" + ",\n".join(parts) + "}\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with (
            mock.patch("uuid.uuid4", return_value=UUID(int=FORMAT_VERSION)),
            quidditch.connect(folder) as database,
        ):
            index = database.create_index(NAME, MAPPINGS)
            write(index)
            expected = answers(index)
        pack(Path(folder), HERE / f"format-{FORMAT_VERSION}.tar.gz")
    (HERE / f"format-{FORMAT_VERSION}.json").write_text(spelt(expected), encoding="utf-8")


if __name__ == "__main__":
    main()
