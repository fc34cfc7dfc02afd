"""The index behaves as a dict does, whatever order its calls come in, through merges and reopening."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from law_documents import IDS, MAPPINGS, documents, queries
from law_limits import limits
from oracle import merge_objects

import quidditch
from quidditch import DocumentNotFound, VersionConflict
from quidditch.interface import Database, Index

ids = st.sampled_from(IDS)


@dataclass
class Known:
    source: dict[str, Any]
    version: int
    seq_no: int


class IndexAgainstDict(RuleBasedStateMachine):
    """Each rule does one thing to the index and to the dict; the invariants compare them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="quidditch-model-"))
        self.model: dict[str, Known] = {}
        self.last_seq_no = -1
        self.open()
        self.database.create_index("model", mappings=MAPPINGS)
        self.index: Index = self.database["model"]

    def open(self) -> None:
        self.database: Database = quidditch.connect(self.folder)

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)

    def wrote(self, id: str, source: dict[str, Any], version: int, seq_no: int) -> None:
        assert seq_no > self.last_seq_no
        self.last_seq_no = seq_no
        self.model[id] = Known(source, version, seq_no)

    @rule(id=ids, source=documents)
    def add(self, id: str, source: dict[str, Any]) -> None:
        written = self.index.add(source, id=id)
        known = self.model.get(id)
        assert written.result == ("updated" if known else "created")
        if known:
            assert written.version == known.version + 1
        self.wrote(id, source, written.version, written.seq_no)

    @rule(id=ids, source=documents)
    def create(self, id: str, source: dict[str, Any]) -> None:
        if id in self.model:
            with pytest.raises(VersionConflict):
                self.index.add(source, id=id, op="create")
            return
        written = self.index.add(source, id=id, op="create")
        assert written.result == "created"
        self.wrote(id, source, written.version, written.seq_no)

    @rule(batch=st.lists(st.tuples(ids, documents), max_size=8), chunk=st.sampled_from((None, 1, 3)))
    def add_many(self, batch: list[tuple[str, dict[str, Any]]], chunk: int | None) -> None:
        done = self.index.add_many(({"_id": id, **source} for id, source in batch), chunk=chunk)
        assert done.ok == len(batch)
        assert not done.errors
        for id, source in batch:
            stored = self.index[id]
            self.model[id] = Known(source, stored.version, stored.seq_no)
        self.last_seq_no = max([self.last_seq_no, *(self.model[id].seq_no for id, _ in batch)])

    @rule(id=ids, partial=documents)
    def update(self, id: str, partial: dict[str, Any]) -> None:
        known = self.model.get(id)
        if known is None:
            with pytest.raises(DocumentNotFound):
                self.index.update(id, partial)
            return
        merged = merge_objects(known.source, partial)
        written = self.index.update(id, partial)
        if merged == known.source:
            assert (written.result, written.version, written.seq_no) == ("noop", known.version, known.seq_no)
        else:
            assert (written.result, written.version) == ("updated", known.version + 1)
            self.wrote(id, merged, written.version, written.seq_no)

    @rule(id=ids, partial=documents, upsert=documents)
    def upsert(self, id: str, partial: dict[str, Any], upsert: dict[str, Any]) -> None:
        known = self.model.get(id)
        if known is not None:
            return self.update(id, partial)
        written = self.index.update(id, partial, upsert=upsert)
        assert written.result == "created"
        return self.wrote(id, upsert, written.version, written.seq_no)

    @rule(id=ids)
    def delete(self, id: str) -> None:
        known = self.model.pop(id, None)
        done = self.index.delete(id)
        assert done.result == ("deleted" if known else "not_found")
        if known:
            assert done.seq_no > self.last_seq_no
            self.last_seq_no = done.seq_no

    @rule(id=ids, source=documents, stale=st.booleans())
    def add_if_unchanged(self, id: str, source: dict[str, Any], stale: bool) -> None:
        known = self.model.get(id)
        if known is None or stale:
            seq_no = known.seq_no + 1 if known else 0
            with pytest.raises(VersionConflict):
                self.index.add(source, id=id, if_seq_no=seq_no, if_primary_term=1)
            return
        written = self.index.add(source, id=id, if_seq_no=known.seq_no, if_primary_term=1)
        self.wrote(id, source, known.version + 1, written.seq_no)

    @rule(call=st.sampled_from(("refresh", "flush", "force_merge")))
    def maintain(self, call: str) -> None:
        getattr(self.index, call)()

    @rule(clause=queries)
    def search(self, clause: dict[str, Any]) -> None:
        found = {hit.id for hit in self.index.search(clause, size=50)}
        assert found <= set(self.model)
        assert self.index.count(clause) == len(found)

    @precondition(lambda self: self.model)
    @rule()
    def reopen(self) -> None:
        self.database.close()
        self.open()
        self.index = self.database["model"]

    @invariant()
    def same_documents(self) -> None:
        assert len(self.index) == len(self.model)
        for id, document in zip(IDS, self.index.mget(list(IDS)), strict=True):
            known = self.model.get(id)
            assert (id in self.index) == (known is not None)
            if known is None:
                assert document is None
            else:
                assert document is not None
                assert (document.source, document.version, document.seq_no) == (
                    known.source,
                    known.version,
                    known.seq_no,
                )

    @invariant()
    def same_order(self) -> None:
        by_write = sorted(self.model, key=lambda id: self.model[id].seq_no)
        assert [hit.id for hit in self.index.search(size=50)] == by_write


class TinyIndexAgainstDict(IndexAgainstDict):
    """The same with limits so tiny that each example fills buffers, segments and chunks, and merges them."""

    def __init__(self) -> None:
        self.limits = limits("tiny")
        self.limits.__enter__()
        super().__init__()

    def teardown(self) -> None:
        super().teardown()
        self.limits.__exit__(None, None, None)


# Each example is a life of its own, on disk: a few of them cost as much as all examples of another property.
FEW = settings(max_examples=max(10, settings().max_examples // 4))
TestIndexAgainstDict = IndexAgainstDict.TestCase
TestIndexAgainstDict.settings = FEW
TestTinyIndexAgainstDict = TinyIndexAgainstDict.TestCase
TestTinyIndexAgainstDict.settings = FEW
