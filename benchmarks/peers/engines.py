"""The engines that are compared, behind one small interface.

Each indexes `title` and `text` with positions and keeps both, so that a hit can be shown.
"""

from __future__ import annotations

import importlib.metadata
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.corpora import Doc
from benchmarks.questions import Kind, as_clause

WRITER_MEMORY_BYTES = 512 << 20
MAPPINGS = {"properties": {"title": {"type": "text"}, "text": {"type": "text"}}}


class Engine(Protocol):
    """One way to index and to search; `module` is what a user's code imports for it."""

    name: str
    module: str

    def version(self) -> str | None:
        """None when the engine is not installed."""

    def build(self, docs: Iterable[Doc], folder: Path) -> None: ...

    def open(self, folder: Path) -> Searcher: ...


class Searcher(Protocol):
    """An open index."""

    def prepare(self, kind: Kind, words: Sequence[str]) -> Any:
        """What a user's code would hold of a query; not timed."""

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]: ...

    def close(self) -> None: ...


# ----------------------------------------------------------------------------------------------- Quidditch


class Quidditch:
    name = "quidditch"
    module = "quidditch.local"

    def version(self) -> str | None:
        from quidditch.version import __version__

        return __version__

    def build(self, docs: Iterable[Doc], folder: Path) -> None:
        import quidditch

        with quidditch.connect(folder) as database:
            index = database.create_index("bench", mappings=MAPPINGS)
            failed = index.add_many(docs).errors
            if failed:
                raise RuntimeError(f"quidditch refused {len(failed)} documents: {failed[0].error}")
            index.flush()

    def open(self, folder: Path) -> Searcher:
        return QuidditchSearcher(folder)


class QuidditchSearcher:
    def __init__(self, folder: Path) -> None:
        import quidditch

        self.database = quidditch.connect(folder)
        self.index = self.database["bench"]

    def prepare(self, kind: Kind, words: Sequence[str]) -> Any:
        return as_clause(kind, words)

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]:
        result = self.index.search(prepared, size=size, source=False, track_total_hits=totals)
        return [hit.id for hit in result]

    def close(self) -> None:
        self.database.close()


# ------------------------------------------------------------------------------------------------- tantivy


class Tantivy:
    """tantivy-py with one indexing thread and 512 MB for its writer."""

    name = "tantivy"
    module = "tantivy"

    def version(self) -> str | None:
        try:
            return importlib.metadata.version("tantivy")
        except importlib.metadata.PackageNotFoundError:
            return None

    def build(self, docs: Iterable[Doc], folder: Path) -> None:
        import tantivy

        builder = tantivy.SchemaBuilder()
        builder.add_text_field("_id", stored=True, tokenizer_name="raw", index_option="basic")
        for field in ("title", "text"):
            builder.add_text_field(field, stored=True, index_option="position")
        folder.mkdir(parents=True, exist_ok=True)
        index = tantivy.Index(builder.build(), path=str(folder))
        writer = index.writer(WRITER_MEMORY_BYTES, 1)
        for doc in docs:
            writer.add_document(tantivy.Document(**doc))
        writer.commit()
        writer.wait_merging_threads()

    def open(self, folder: Path) -> Searcher:
        return TantivySearcher(folder)


class TantivySearcher:
    def __init__(self, folder: Path) -> None:
        import tantivy

        self.tantivy = tantivy
        self.index = tantivy.Index.open(str(folder))
        self.searcher = self.index.searcher()

    def prepare(self, kind: Kind, words: Sequence[str]) -> Any:
        return kind, list(words)

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]:
        found = self.searcher.search(self._query(*prepared), size, count=totals)
        return [self.searcher.doc(address)["_id"][0] for _, address in found.hits]

    def _query(self, kind: Kind, words: list[str]) -> Any:
        query, schema = self.tantivy.Query, self.index.schema
        if len(words) == 1:
            return query.term_query(schema, "text", words[0], index_option="freq")
        if kind == "phrase":
            return query.phrase_query(schema, "text", [*words])
        occur = self.tantivy.Occur.Must if kind == "and" else self.tantivy.Occur.Should
        terms = [query.term_query(schema, "text", word, index_option="freq") for word in words]
        return query.boolean_query([(occur, term) for term in terms])

    def close(self) -> None:
        del self.searcher, self.index


# -------------------------------------------------------------------------------------------- SQLite FTS5


class Fts5:
    """SQLite's full-text index, in one transaction, ranked by its own bm25."""

    name = "fts5"
    module = "sqlite3"

    def version(self) -> str | None:
        try:
            with sqlite3.connect(":memory:") as db:
                db.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
        except sqlite3.OperationalError:
            return None
        return sqlite3.sqlite_version

    def build(self, docs: Iterable[Doc], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(folder / "bench.db")
        with db:
            db.execute(
                "CREATE VIRTUAL TABLE bench USING fts5(_id UNINDEXED, title, text, "
                "tokenize = 'unicode61 remove_diacritics 0')"
            )
            rows = ((doc["_id"], doc["title"], doc["text"]) for doc in docs)
            db.executemany("INSERT INTO bench VALUES (?, ?, ?)", rows)
        db.close()

    def open(self, folder: Path) -> Searcher:
        return Fts5Searcher(folder)


class Fts5Searcher:
    def __init__(self, folder: Path) -> None:
        self.db = sqlite3.connect(f"file:{folder / 'bench.db'}?mode=ro", uri=True)

    def prepare(self, kind: Kind, words: Sequence[str]) -> Any:
        if kind == "phrase":
            return f'text : "{" ".join(words)}"'
        joined = f" {kind.upper()} ".join(f'"{word}"' for word in words)
        return f"text : ({joined})"

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]:
        statement = "SELECT _id FROM bench WHERE bench MATCH ? ORDER BY rank LIMIT ?"
        ids = [row[0] for row in self.db.execute(statement, (prepared, size))]
        if totals:
            self.db.execute("SELECT count(*) FROM bench WHERE bench MATCH ?", (prepared,)).fetchone()
        return ids

    def close(self) -> None:
        self.db.close()


ENGINES: dict[str, Engine] = {engine.name: engine for engine in (Quidditch(), Tantivy(), Fts5())}
