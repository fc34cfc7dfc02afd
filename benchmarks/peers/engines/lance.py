"""LanceDB's full-text index, on a local folder; it uses all cores, for building and for searching."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpora import Doc
from benchmarks.peers.engines import arrow
from benchmarks.peers.engines.contract import Need, Searcher, Writer, not_installed, version_of
from benchmarks.questions import Kind

# Words as they stand: as the other engines are set up.
PLAIN_WORDS = {"stem": False, "remove_stop_words": False, "ascii_folding": False}
TABLE = "bench"


class LanceDb:
    name = "lancedb"
    module = "lancedb"
    anchor = False
    caches = True
    lacks: Mapping[Need, str] = {
        "totals": "LanceDB does not count the hits of a full-text query",
        "threads": "LanceDB chooses its threads itself",
    }

    def absence(self, documents: int) -> str | None:
        return not_installed("lancedb", "lancedb") or not_installed("pyarrow", "pyarrow")

    def version(self) -> str:
        return version_of("lancedb")

    def build(self, docs: Iterable[Doc], folder: Path, threads: int) -> None:
        import lancedb

        table = lancedb.connect(folder).create_table(TABLE, arrow.batches(docs), schema=arrow.schema())
        for field in ("title", "text"):
            table.create_fts_index(field, with_position=True, **PLAIN_WORDS)
        table.create_scalar_index("group", index_type="LABEL_LIST")

    def open(self, folder: Path) -> Searcher:
        return LanceIndex(folder)

    def open_writer(self, folder: Path) -> Writer:
        return LanceIndex(folder)


class LanceIndex:
    def __init__(self, folder: Path) -> None:
        import lancedb

        self.table = lancedb.connect(folder).open_table(TABLE)

    def prepare(self, kind: Kind, words: Sequence[str], group: str | None) -> Any:
        from lancedb.query import FullTextOperator, MatchQuery, PhraseQuery

        condition = f"array_has(\"group\", '{group}')" if group else None
        text = " ".join(words)
        if kind == "phrase":
            return PhraseQuery(text, "text"), condition
        operator = FullTextOperator.AND if kind == "and" else FullTextOperator.OR
        return MatchQuery(text, "text", operator=operator), condition

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]:
        asked, condition = prepared
        query = self.table.search(asked, query_type="fts").select(["_id", "_score"]).limit(size)
        if condition:
            query = query.where(condition, prefilter=True)
        ids: list[str] = query.to_arrow().column("_id").to_pylist()
        return ids

    def add(self, doc: Doc) -> None:
        # What the index has not seen is searched beside it.
        self.table.add(next(arrow.batches([doc])))

    def close(self) -> None:
        del self.table
