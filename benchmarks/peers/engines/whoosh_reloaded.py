"""whoosh-reloaded: the pure Python engine, for small corpora only."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpora import Doc
from benchmarks.peers.engines.contract import Need, Searcher, Writer, not_installed, version_of
from benchmarks.questions import Kind

MOST_DOCUMENTS = 25_000
WRITER_MEMORY_MB = 512


class Whoosh:
    name = "whoosh"
    module = "whoosh.index"
    anchor = False
    caches = True
    lacks: Mapping[Need, str] = {"threads": "measured with one process only"}

    def absence(self, documents: int) -> str | None:
        if documents > MOST_DOCUMENTS:
            return f"measured with up to {MOST_DOCUMENTS:,} documents only, because indexing takes it so long"
        return not_installed("whoosh", "whoosh-reloaded")

    def version(self) -> str:
        return version_of("whoosh-reloaded")

    def build(self, docs: Iterable[Doc], folder: Path, threads: int) -> None:
        import whoosh.index
        from whoosh import analysis, fields

        words = analysis.RegexTokenizer() | analysis.LowercaseFilter()
        text = fields.TEXT(stored=True, phrase=True, analyzer=words)
        schema = fields.Schema(
            key=fields.ID(stored=True), title=text, text=text, group=fields.KEYWORD(stored=True)
        )
        folder.mkdir(parents=True, exist_ok=True)
        with whoosh.index.create_in(folder, schema).writer(limitmb=WRITER_MEMORY_MB) as writer:
            for doc in docs:
                writer.add_document(**_row(doc))

    def open(self, folder: Path) -> Searcher:
        return WhooshIndex(folder)

    def open_writer(self, folder: Path) -> Writer:
        return WhooshIndex(folder)


def _row(doc: Doc) -> dict[str, Any]:
    return {
        "key": doc["_id"],
        "title": doc["title"],
        "text": doc["text"],
        "group": " ".join(doc["group"]),
    }


class WhooshIndex:
    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import whoosh.index
            import whoosh.query

        self.query = whoosh.query
        self.index = whoosh.index.open_dir(folder)
        self.searcher = self.index.searcher()

    def prepare(self, kind: Kind, words: Sequence[str], group: str | None) -> Any:
        query = self.query
        if kind == "phrase":
            asked = query.Phrase("text", list(words))
        else:
            asked = (query.And if kind == "and" else query.Or)([query.Term("text", word) for word in words])
        return asked, query.Term("group", group) if group else None

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]:
        asked, filter = prepared
        found = self.searcher.search(asked, limit=size, filter=filter, scored=True)
        if totals:
            len(found)
        return [hit["key"] for hit in found]

    def add(self, doc: Doc) -> None:
        with self.index.writer() as writer:
            writer.add_document(**_row(doc))
        self.searcher = self.searcher.refresh()

    def close(self) -> None:
        self.searcher.close()
        self.index.close()
