"""The engine answers as plain loops over dicts do: ids, order, totals, and scores bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from law_documents import (
    Clause,
    Write,
    as_answer,
    bulk_actions,
    histories,
    new_index,
    queries,
    sorts,
    write_one,
    write_oracle,
)
from law_limits import limits

import quidditch
from quidditch import query as q
from quidditch.interface import Database


@pytest.fixture(scope="module", params=["as shipped", "tiny"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with limits(request.param), quidditch.connect(":memory:") as opened:
        yield opened


@given(history=histories, asked=st.lists(queries, min_size=1, max_size=12))
def test_engine_equals_oracle(database: Database, history: list[Write], asked: list[Clause]) -> None:
    oracle = write_oracle(history)
    with new_index(database) as index:
        assert not index.bulk(bulk_actions(history)).errors
        assert len(index) == len(oracle.docs)
        for clause in asked:
            assert as_answer(index.search(clause, size=50)) == oracle.search(clause, size=50), clause
            assert index.count(clause) == len(oracle.matching(clause)), clause


@given(history=histories, clause=queries, size=st.integers(0, 5), from_=st.integers(0, 5), sort=sorts)
def test_sorted_pages_equal_oracle(
    database: Database,
    history: list[Write],
    clause: Clause,
    size: int,
    from_: int,
    sort: list[dict[str, str]],
) -> None:
    expected = write_oracle(history).search(clause, size=size, from_=from_, sort=sort)
    with new_index(database) as index:
        index.bulk(bulk_actions(history))
        result = index.search(clause, size=size, from_=from_, sort=sort or None)
        assert [hit.id for hit in result] == expected.ids
        assert result.total == expected.total
        if any("_score" in level for level in sort):
            assert [hit.score for hit in result] == expected.scores


@given(history=histories, clause=queries, restriction=queries)
def test_filter_parameter_restricts_and_keeps_scores(
    database: Database, history: list[Write], clause: Clause, restriction: Clause
) -> None:
    oracle = write_oracle(history)
    both = {"bool": {"must": [clause], "filter": [restriction]}}
    with new_index(database) as index:
        index.bulk(bulk_actions(history))
        assert as_answer(index.search(clause, filter=restriction, size=50)) == oracle.search(both, size=50)


@given(history=histories, asked=st.lists(queries, min_size=1, max_size=5))
def test_explanation_is_the_score(database: Database, history: list[Write], asked: list[Clause]) -> None:
    with new_index(database) as index:
        for write in history:
            write_one(index, write)
        for clause in asked:
            for hit in index.search(clause, size=50, explain=True):
                assert hit.explanation is not None
                assert hit.explanation.value == hit.score
                assert index.explain(hit.id, clause).value == hit.score


@given(history=histories, clause=queries)
def test_query_objects_and_dicts_are_one(database: Database, history: list[Write], clause: Clause) -> None:
    parsed = q.parse(clause)
    rendered = parsed.to_dict()
    assert q.parse(rendered) == parsed
    assert q.parse(rendered).to_dict() == rendered
    with new_index(database) as index:
        index.bulk(bulk_actions(history))
        first = as_answer(index.search(clause, size=50))
        assert as_answer(index.search(parsed, size=50)) == first
        assert as_answer(index.search(rendered, size=50)) == first
