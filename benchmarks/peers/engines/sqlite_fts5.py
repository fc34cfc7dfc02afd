"""SQLite FTS5: the index in one transaction, ranked by its own bm25, groups in a table of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpora import Doc
from benchmarks.peers.engines.contract import Need, Searcher, Writer
from benchmarks.questions import Kind

FILE = "bench.db"
TABLES = """
CREATE VIRTUAL TABLE bench USING fts5(_id UNINDEXED, title, text, tokenize = 'unicode61 remove_diacritics 0');
CREATE TABLE groups (name TEXT, doc INTEGER, PRIMARY KEY (name, doc)) WITHOUT ROWID;
"""


class Fts5:
    name = "fts5"
    module = "sqlite3"
    anchor = False
    caches = True
    lacks: Mapping[Need, str] = {"threads": "SQLite writes with one thread"}

    def absence(self, documents: int) -> str | None:
        try:
            db = sqlite3.connect(":memory:")
            db.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
            db.close()
        except sqlite3.OperationalError as error:
            return f"this Python's SQLite has no FTS5: {error}"
        return None

    def version(self) -> str:
        return sqlite3.sqlite_version

    def build(self, docs: Iterable[Doc], folder: Path, threads: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(folder / FILE)
        groups: list[tuple[str, int]] = []
        db.executescript(TABLES)
        with db:
            db.executemany(
                "INSERT INTO bench (rowid, _id, title, text) VALUES (?, ?, ?, ?)", _rows(docs, groups)
            )
            db.executemany("INSERT INTO groups VALUES (?, ?)", groups)
        db.close()

    def open(self, folder: Path) -> Searcher:
        return Fts5Index(folder, "ro")

    def open_writer(self, folder: Path) -> Writer:
        return Fts5Index(folder, "rw")


def _rows(docs: Iterable[Doc], groups: list[tuple[str, int]]) -> Iterator[tuple[int, str, str, str]]:
    """Rows of the documents; their groups are added to `groups` by the way."""
    for number, doc in enumerate(docs, 1):
        groups += [(name, number) for name in doc["group"]]
        yield number, doc["_id"], doc["title"], doc["text"]


class Fts5Index:
    def __init__(self, folder: Path, mode: str) -> None:
        self.db = sqlite3.connect(f"file:{folder / FILE}?mode={mode}", uri=True)

    def prepare(self, kind: Kind, words: Sequence[str], group: str | None) -> Any:
        if kind == "phrase":
            match = f'text : "{" ".join(words)}"'
        else:
            match = f"text : ({f' {kind.upper()} '.join(f'{chr(34)}{word}{chr(34)}' for word in words)})"
        if group is None:
            return "bench MATCH ?", (match,)
        # The plus keeps SQLite from asking the index once for every document of the group.
        return "bench MATCH ? AND +rowid IN (SELECT doc FROM groups WHERE name = ?)", (match, group)

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]:
        condition, values = prepared
        statement = f"SELECT _id FROM bench WHERE {condition} ORDER BY rank LIMIT ?"
        ids = [row[0] for row in self.db.execute(statement, (*values, size))]
        if totals:
            self.db.execute(f"SELECT count(*) FROM bench WHERE {condition}", values).fetchone()
        return ids

    def add(self, doc: Doc) -> None:
        row = (doc["_id"], doc["title"], doc["text"])
        with self.db:
            number = self.db.execute("INSERT INTO bench (_id, title, text) VALUES (?, ?, ?)", row).lastrowid
            self.db.executemany("INSERT INTO groups VALUES (?, ?)", [(name, number) for name in doc["group"]])

    def close(self) -> None:
        self.db.close()
