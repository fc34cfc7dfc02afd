"""How writes are cut into calls, segments and merges changes nothing that a reader can see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from law_documents import (
    IDS,
    Clause,
    Write,
    bulk_actions,
    documents,
    histories,
    new_index,
    queries,
    visible,
    write_one,
)
from law_limits import limits

import quidditch
from quidditch.interface import Database, Index


@pytest.fixture(scope="module", params=["as shipped", "tiny"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with limits(request.param), quidditch.connect(":memory:") as opened:
        yield opened


@dataclass(frozen=True)
class Cut:
    """How one stretch of writes goes in, and what is done to the index after it."""

    length: int
    how: Literal["one by one", "bulk"]
    then: Literal["nothing", "refresh", "flush", "force_merge", "search"]


cuts = st.lists(
    st.builds(
        Cut,
        st.integers(1, 8),
        st.sampled_from(("one by one", "bulk")),
        st.sampled_from(("nothing", "refresh", "flush", "force_merge", "search")),
    ),
    max_size=12,
)


def write_in_pieces(index: Index, history: list[Write], plan: list[Cut]) -> None:
    rest = history
    for cut in plan:
        piece, rest = rest[: cut.length], rest[cut.length :]
        if cut.how == "bulk":
            index.bulk(bulk_actions(piece))
        else:
            for write in piece:
                write_one(index, write)
        if cut.then == "search":
            index.search({"match_all": {}})
        elif cut.then != "nothing":
            getattr(index, cut.then)()
    for write in rest:
        write_one(index, write)


asked_queries = st.lists(queries, min_size=1, max_size=6)


@given(history=histories, one=cuts, other=cuts, asked=asked_queries)
def test_any_split_of_the_same_writes_looks_the_same(
    database: Database, history: list[Write], one: list[Cut], other: list[Cut], asked: list[Clause]
) -> None:
    with new_index(database) as first, new_index(database) as second:
        write_in_pieces(first, history, one)
        write_in_pieces(second, history, other)
        assert visible(first, asked) == visible(second, asked)


@given(docs=st.lists(documents, min_size=1, max_size=30), chunk=st.integers(1, 7), asked=asked_queries)
def test_any_chunk_of_add_many_looks_the_same(
    database: Database, docs: list[dict[str, object]], chunk: int, asked: list[Clause]
) -> None:
    named = [{"_id": IDS[number % len(IDS)], **doc} for number, doc in enumerate(docs)]
    with new_index(database) as chunked, new_index(database) as whole, new_index(database) as single:
        assert chunked.add_many(iter(named), chunk=chunk).ok == len(docs)
        assert whole.add_many(named).ok == len(docs)
        for doc in named:
            single.add(doc)
        assert visible(chunked, asked) == visible(whole, asked) == visible(single, asked)


@given(history=histories, plan=cuts, asked=asked_queries, max_segments=st.integers(1, 3))
def test_merging_changes_nothing_a_reader_sees(
    database: Database, history: list[Write], plan: list[Cut], asked: list[Clause], max_segments: int
) -> None:
    with new_index(database) as index:
        write_in_pieces(index, history, plan)
        before = visible(index, asked)
        index.force_merge(max_segments)
        assert visible(index, asked) == before
        assert index.stats().segments <= max_segments
