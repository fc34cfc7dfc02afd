"""tantivy-py: the Rust engine, with 512 MB for its writer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpora import Doc
from benchmarks.peers.engines.contract import Need, Searcher, Writer, not_installed, version_of
from benchmarks.questions import Kind

WRITER_MEMORY_BYTES = 512 << 20
SMALL_WRITER_MEMORY_BYTES = 64 << 20


class Tantivy:
    name = "tantivy"
    module = "tantivy"
    anchor = True
    caches = True
    lacks: Mapping[Need, str] = {}

    def absence(self, documents: int) -> str | None:
        return not_installed("tantivy", "tantivy")

    def version(self) -> str:
        return version_of("tantivy")

    def build(self, docs: Iterable[Doc], folder: Path, threads: int) -> None:
        import tantivy

        builder = tantivy.SchemaBuilder()
        for field in ("_id", "group"):
            builder.add_text_field(field, stored=True, tokenizer_name="raw", index_option="basic")
        for field in ("title", "text"):
            builder.add_text_field(field, stored=True, index_option="position")
        folder.mkdir(parents=True, exist_ok=True)
        index = tantivy.Index(builder.build(), path=str(folder))
        writer = index.writer(WRITER_MEMORY_BYTES, threads)
        for doc in docs:
            writer.add_document(tantivy.Document(**doc))
        writer.commit()
        writer.wait_merging_threads()

    def open(self, folder: Path) -> Searcher:
        return TantivySearcher(folder)

    def open_writer(self, folder: Path) -> Writer:
        return TantivyWriter(folder)


class TantivySearcher:
    def __init__(self, folder: Path) -> None:
        import tantivy

        self.tantivy = tantivy
        self.index = tantivy.Index.open(str(folder))
        self.searcher = self.index.searcher()

    def prepare(self, kind: Kind, words: Sequence[str], group: str | None) -> Any:
        return kind, list(words), group

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]:
        found = self.searcher.search(self._query(*prepared), size, count=totals)
        return [self.searcher.doc(address)["_id"][0] for _, address in found.hits]

    def _query(self, kind: Kind, words: list[str], group: str | None) -> Any:
        query, must = self.tantivy.Query, self.tantivy.Occur.Must
        asked = self._words(kind, words)
        if group is None:
            return asked
        term = query.term_query(self.index.schema, "group", group, index_option="basic")
        return query.boolean_query([(must, asked), (must, query.const_score_query(term, 0.0))])

    def _words(self, kind: Kind, words: list[str]) -> Any:
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


class TantivyWriter(TantivySearcher):
    """One writer for all adds; each is committed and the searcher taken anew."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.writer = self.index.writer(SMALL_WRITER_MEMORY_BYTES, 1)

    def add(self, doc: Doc) -> None:
        self.writer.add_document(self.tantivy.Document(**doc))
        self.writer.commit()
        self.index.reload()
        self.searcher = self.index.searcher()

    def close(self) -> None:
        self.writer.wait_merging_threads()
        super().close()
