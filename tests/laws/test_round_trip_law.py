"""What went in comes out: `get(add(doc))` is the document, byte for byte as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from law_limits import limits

import quidditch
from quidditch.interface import Database, Index

# Refused: lone surrogates (they are no text), and names with an empty part between their dots. `_id` and the
# like belong to the engine.
characters = st.characters(exclude_categories=["Cs"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(characters, max_size=20),
)
keys = st.text(characters, min_size=1, max_size=8).filter(
    lambda key: not key.startswith("_") and all(part.strip() for part in key.split("."))
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)
sources: st.SearchStrategy[dict[str, Any]] = st.dictionaries(keys, values, max_size=6)


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    with quidditch.connect(":memory:") as database:
        yield opaque(database)


def opaque(database: Database) -> Index:
    """An index that keeps documents and reads nothing out of them, so that any JSON will do."""
    return database.create_index("opaque", mappings={"dynamic": False})


@given(source=sources)
def test_get_gives_what_add_took(index: Index, source: dict[str, Any]) -> None:
    given = json.dumps(source)
    written = index.add(source)
    assert json.dumps(index.get(written.id).source) == given
    assert json.dumps(source) == given, "add changed the caller's document"


@pytest.mark.parametrize("kind", ["as shipped", "tiny"])
@given(batch=st.lists(sources, min_size=1, max_size=40))
def test_segments_and_merges_keep_sources(kind: str, batch: list[dict[str, Any]]) -> None:
    with limits(kind), quidditch.connect(":memory:") as database:
        index = opaque(database)
        index.add_many({"_id": str(number), **source} for number, source in enumerate(batch))
        index.refresh()
        index.force_merge()
        for number, source in enumerate(batch):
            assert json.dumps(index[str(number)].source) == json.dumps(source)
        scanned = {hit.id: json.dumps(hit.source) for hit in index.scan()}
        assert scanned == {str(number): json.dumps(source) for number, source in enumerate(batch)}


@given(id=st.text(characters, min_size=1, max_size=128).filter(lambda id: len(id.encode()) <= 512))
def test_any_id_finds_its_document(index: Index, id: str) -> None:
    assert index.add({"own": id}, id=id).id == id
    assert index[id].source == {"own": id}
    assert id in index
    assert [hit.id for hit in index.search({"ids": {"values": [id]}})] == [id]
    assert index.delete(id).result == "deleted"
    assert id not in index
