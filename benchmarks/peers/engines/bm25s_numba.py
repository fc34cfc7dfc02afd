"""bm25s with numba: a matrix of scores, computed once, held in memory whole; ids are mapped from row numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora import GROUPS, Doc
from benchmarks.peers.engines.contract import Need, Searcher, Writer, not_installed, static, version_of
from benchmarks.questions import Kind

FIELDS = ("title", "text")


class Bm25s:
    name = "bm25s"
    module = "bm25s"
    anchor = True
    caches = False
    lacks: Mapping[Need, str] = {
        "and": "bm25s has no AND",
        "phrase": "bm25s keeps no positions",
        "totals": "bm25s does not count hits",
        "add": "a bm25s index is static",
        "threads": "bm25s indexes with one thread",
    }

    def absence(self, documents: int) -> str | None:
        return not_installed("bm25s", "bm25s") or not_installed("numba", "numba")

    def version(self) -> str:
        return f"{version_of('bm25s')} with numba {version_of('numba')}"

    def build(self, docs: Iterable[Doc], folder: Path, threads: int) -> None:
        import bm25s

        folder.mkdir(parents=True, exist_ok=True)
        corpus = list(docs)
        for field in FIELDS:
            tokens = bm25s.tokenize([doc[field] for doc in corpus], stopwords=None, show_progress=False)
            index = bm25s.BM25(method="lucene", backend="numba")
            index.index(tokens, show_progress=False)
            index.save(folder / field, corpus=corpus if field == "text" else None, show_progress=False)
        (folder / "ids.json").write_text(json.dumps([doc["_id"] for doc in corpus]))
        masks = np.array([[group in doc["group"] for doc in corpus] for group in GROUPS])
        np.save(folder / "groups.npy", masks)

    def open(self, folder: Path) -> Searcher:
        return Bm25sSearcher(folder)

    def open_writer(self, folder: Path) -> Writer:
        return static(self.name)


class Bm25sSearcher:
    def __init__(self, folder: Path) -> None:
        import bm25s

        self.index = bm25s.BM25.load(folder / "text", show_progress=False)
        self.index.backend = "numba"
        self.ids = json.loads((folder / "ids.json").read_text())
        masks = np.load(folder / "groups.npy").astype(np.float32)
        self.masks = dict(zip(GROUPS, masks, strict=True))

    def prepare(self, kind: Kind, words: Sequence[str], group: str | None) -> Any:
        return list(words), self.masks[group] if group else None

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]:
        words, mask = prepared
        asked = [self.index.get_tokens_ids(words)]
        if not asked[0]:
            return []
        found, scores = self.index.retrieve(
            asked, k=min(size, len(self.ids)), show_progress=False, n_threads=0, weight_mask=mask
        )
        # Rows without a single word of the query, or masked, have a score of 0 and fill the page up.
        return [
            self.ids[row] for row, score in zip(found[0].tolist(), scores[0].tolist(), strict=True) if score
        ]

    def close(self) -> None:
        del self.index, self.ids, self.masks
