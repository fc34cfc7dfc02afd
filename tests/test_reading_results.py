"""Hits and documents read like the mappings they hold; what cannot be gone through says so."""

from __future__ import annotations

import pytest

import quidditch


def test_hits_and_documents_read_like_their_sources() -> None:
    with quidditch.connect(":memory:") as database:
        index = database.create_index("books")
        index.add({"title": "Dune", "year": 1965}, id="1")
        for found in (index["1"], index.search("dune")[0]):
            assert "title" in found
            assert "author" not in found
            assert dict(found) == {"title": "Dune", "year": 1965}
            assert found.get("author", "?") == "?"
        assert list(database) == ["books"]
        with pytest.raises(TypeError, match="scan"):
            list(index)
