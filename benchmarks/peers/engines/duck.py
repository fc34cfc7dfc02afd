"""DuckDB's full-text extension, which uses all cores. It scores in SQL, over tables of terms and documents."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpora import Doc
from benchmarks.peers.engines import arrow
from benchmarks.peers.engines.contract import Need, Searcher, Writer, not_installed, static, version_of
from benchmarks.questions import Kind

FILE = "bench.duckdb"
# The package that carries the extension, for machines that cannot reach DuckDB's own server of extensions.
PACKAGED = "duckdb_extension_fts"
INDEX = """
PRAGMA create_fts_index('bench', '_id', 'title', 'text', stemmer = 'none', stopwords = 'none',
    ignore = '([^a-z0-9])+', strip_accents = 0, lower = 1)
"""


class DuckDb:
    name = "duckdb"
    module = "duckdb"
    anchor = False
    caches = True
    lacks: Mapping[Need, str] = {
        "phrase": "DuckDB's extension keeps no positions",
        "add": "DuckDB's full-text index does not follow the table: it must be built anew",
        "threads": "DuckDB chooses its threads itself",
    }

    def absence(self, documents: int) -> str | None:
        missing = not_installed("duckdb", "duckdb") or not_installed("pyarrow", "pyarrow")
        if missing:
            return missing
        import duckdb

        try:
            with duckdb.connect() as db:
                load_extension(db)
        except duckdb.Error as error:
            first = str(error).splitlines()[0]
            return f"its extension fts cannot be had here: {first}; pip install duckdb-extension-fts may help"
        return None

    def version(self) -> str:
        return version_of("duckdb")

    def build(self, docs: Iterable[Doc], folder: Path, threads: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with connect(folder, readonly=False) as db:
            db.execute('CREATE TABLE bench (_id TEXT, title TEXT, text TEXT, "group" TEXT[])')
            for batch in arrow.batches(docs):
                db.register("batch", batch)
                db.execute("INSERT INTO bench SELECT * FROM batch")
                db.unregister("batch")
            db.execute(INDEX)
            db.execute("CHECKPOINT")

    def open(self, folder: Path) -> Searcher:
        return DuckSearcher(folder)

    def open_writer(self, folder: Path) -> Writer:
        return static(self.name)


def connect(folder: Path, *, readonly: bool) -> Any:
    import duckdb

    db = duckdb.connect(folder / FILE, read_only=readonly)
    load_extension(db)
    return db


def load_extension(db: Any) -> None:
    """raises: duckdb.Error   when it is neither installed, nor in its package, nor to be downloaded"""
    if importlib.util.find_spec(PACKAGED):
        package = importlib.import_module(PACKAGED)
        for file in Path(str(package.__file__)).parent.rglob("fts.duckdb_extension"):
            db.execute(f"LOAD '{file}'")
            return
    db.execute("INSTALL fts")
    db.execute("LOAD fts")


class DuckSearcher:
    def __init__(self, folder: Path) -> None:
        self.db = connect(folder, readonly=True)

    def prepare(self, kind: Kind, words: Sequence[str], group: str | None) -> Any:
        score = (
            f"fts_main_bench.match_bm25(_id, $words, fields := 'text', conjunctive := {int(kind == 'and')})"
        )
        condition = """list_contains("group", $group)""" if group else "true"
        values = {"words": " ".join(words)} | ({"group": group} if group else {})
        return f"(SELECT _id, {score} AS score FROM bench WHERE {condition}) WHERE score IS NOT NULL", values

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]:
        found, values = prepared
        total = ", count(*) OVER ()" if totals else ""
        statement = f"SELECT _id{total} FROM {found} ORDER BY score DESC LIMIT {size}"
        return [row[0] for row in self.db.execute(statement, values).fetchall()]

    def close(self) -> None:
        self.db.close()
