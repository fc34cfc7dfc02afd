"""`similarity: LegacyBM25`: BM25 with the constant factor k1 + 1, as OpenSearch before 3.0 scores."""

from __future__ import annotations

import numpy as np
import pytest

import quidditch
from quidditch import MappingError

CLAUSES = (
    {"match": {"title": "dune messiah"}},
    {"match_phrase": {"title": "dune messiah"}},
    {"term": {"tag": {"value": "new", "boost": 3}}},
)


def test_scores_are_times_k1_plus_one_and_explained() -> None:
    with quidditch.connect(":memory:") as database:
        indices = []
        for name in ("BM25", "LegacyBM25"):
            fields = {
                "title": {"type": "text", "similarity": name},
                "tag": {"type": "keyword", "similarity": name},
            }
            indices.append(database.create_index(name.lower(), {"properties": fields}))
            indices[-1].add({"title": "Dune Messiah", "tag": "new"}, id="1")
            indices[-1].add({"title": "Dune", "tag": "old"}, id="2")
        today, legacy = indices
        for clause in CLAUSES:
            first, second = today.search(clause), legacy.search(clause, explain=True)
            assert [hit.id for hit in first] == [hit.id for hit in second]
            for hit, other in zip(first, second, strict=True):
                assert other.score == pytest.approx(2.2 * np.float64(hit.score or 0), rel=1e-6)
                assert other.explanation is not None
                assert other.explanation.value == other.score
        assert legacy.mappings["properties"]["title"] == {"type": "text", "similarity": "LegacyBM25"}


def test_other_similarities_are_refused() -> None:
    with quidditch.connect(":memory:") as database, pytest.raises(MappingError, match="LegacyBM25"):
        database.create_index("i", {"properties": {"t": {"type": "text", "similarity": "boolean"}}})
