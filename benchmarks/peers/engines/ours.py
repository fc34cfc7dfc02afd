"""Quidditch, in its default durability."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpora import Doc
from benchmarks.peers.engines.contract import Need, Searcher, Writer
from benchmarks.questions import Kind, as_clause

MAPPINGS = {"properties": {"title": {"type": "text"}, "text": {"type": "text"}, "group": {"type": "keyword"}}}
NAME = "bench"


class Quidditch:
    name = "quidditch"
    module = "quidditch.local"
    anchor = True
    caches = True

    @property
    def lacks(self) -> Mapping[Need, str]:
        from quidditch.local.index import LocalIndex

        if "workers" in inspect.signature(LocalIndex.add_many).parameters:
            return {}
        return {"threads": "this version's add_many has no parameter workers"}

    def absence(self, documents: int) -> str | None:
        return None

    def version(self) -> str:
        from quidditch.version import __version__

        return __version__

    def build(self, docs: Iterable[Doc], folder: Path, threads: int) -> None:
        import quidditch

        options: dict[str, Any] = {"workers": threads} if threads > 1 else {}
        with quidditch.connect(folder) as database:
            index = database.create_index(NAME, mappings=MAPPINGS)
            failed = index.add_many(docs, **options).errors
            if failed:
                raise RuntimeError(f"quidditch refused {len(failed)} documents: {failed[0].error}")
            index.flush()

    def open(self, folder: Path) -> Searcher:
        return QuidditchIndex(folder)

    def open_writer(self, folder: Path) -> Writer:
        return QuidditchIndex(folder)


class QuidditchIndex:
    def __init__(self, folder: Path) -> None:
        import quidditch

        self.database = quidditch.connect(folder)
        self.index = self.database[NAME]

    def prepare(self, kind: Kind, words: Sequence[str], group: str | None) -> Any:
        return as_clause(kind, words), {"term": {"group": group}} if group else None

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]:
        clause, filter = prepared
        result = self.index.search(clause, filter=filter, size=size, source=False, track_total_hits=totals)
        return [hit.id for hit in result]

    def add(self, doc: Doc) -> None:
        self.index.add(doc)

    def close(self) -> None:
        self.database.close()
