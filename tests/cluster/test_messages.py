"""What processes say to each other comes back as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from quidditch.cluster import messages
from quidditch.cluster.messages import LogEntry, LoggedOperation
from quidditch.errors import DocumentError, StorageError
from quidditch.index.operations import Operation
from quidditch.interface import (
    CollectionStats,
    Explanation,
    Fetched,
    FetchRequest,
    FieldStats,
    QueryRequest,
    QueryResult,
    ShardHit,
    ShownField,
    SortKey,
)
from quidditch.query import primitive
from quidditch.query.primitive import (
    BestOf,
    Boolean,
    Constant,
    Everything,
    HasId,
    IdSlice,
    NumberInterval,
    NumberSet,
    ScoredPhrase,
    ScoredTerm,
    TermInterval,
    TermSet,
)
from quidditch.types import DocAddress

floats = st.floats(allow_nan=False, width=32)
leaves = st.one_of(
    st.builds(Everything, floats),
    st.builds(ScoredTerm, st.text(max_size=4), st.binary(max_size=4), floats),
    st.builds(
        ScoredPhrase,
        st.text(max_size=3),
        st.tuples(st.binary(), st.binary()),
        st.just((0, 1)),
        st.integers(0, 3),
    ),
    st.builds(TermSet, st.text(max_size=3), st.lists(st.binary(max_size=3)).map(tuple)),
    st.builds(TermInterval, st.text(max_size=3), st.none() | st.binary(), st.none() | st.binary()),
    st.builds(NumberInterval, st.text(max_size=3), st.integers(-(1 << 63), 0), st.integers(0, (1 << 63) - 1)),
    st.builds(NumberSet, st.text(max_size=3), st.lists(floats, max_size=3).map(tuple)),
    st.builds(HasId, st.lists(st.text(max_size=4)).map(tuple)),
    st.builds(IdSlice, st.integers(0, 3), st.just(4)),
)
queries = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Constant, inner),
        st.builds(Boolean, must=st.lists(inner, max_size=2).map(tuple), should=st.tuples(inner, inner)),
        st.builds(BestOf, st.tuples(inner, inner), floats),
    ),
    max_leaves=6,
)


def sent(value: Any) -> Any:
    return messages.decode(messages.encode(value))


@given(queries)
def test_queries_come_back_equal_and_hashable(query: primitive.Primitive) -> None:
    back = messages.query_from_wire(sent(messages.query_to_wire(query)))
    assert back == query
    assert hash(back) == hash(query)


@given(queries, st.lists(floats, max_size=2))
def test_requests_come_back(query: primitive.Primitive, after: list[float]) -> None:
    request = QueryRequest(
        query,
        CollectionStats({"title": FieldStats(3, 17)}, {("title", b"\xff"): 2}),
        {"title": "bm25"},
        size=7,
        sort=(SortKey("year", descending=True, missing=3), SortKey("_score")),
        search_after=tuple(after) if after else None,
        min_score=0.5,
        timeout_s=1.5,
        total=False,
    )
    assert messages.request_from_wire(sent(messages.request_to_wire(request))) == request


@given(st.lists(st.builds(ShardHit, st.just(DocAddress(0, 1, 2)), floats, st.tuples(st.text() | floats))))
def test_hits_come_back_with_the_shard_that_the_coordinator_gives(hits: list[ShardHit]) -> None:
    result = QueryResult(hits, 12, 3.25, True)
    back = messages.result_from_wire(sent(messages.result_to_wire(result)), 4)
    assert [(hit.score, hit.sort) for hit in back.hits] == [(hit.score, hit.sort) for hit in hits]
    assert {hit.address for hit in back.hits} <= {DocAddress(4, 1, 2)}
    assert (back.total, back.max_score, back.timed_out) == (12, 3.25, True)


def test_what_is_fetched_comes_back() -> None:
    request = FetchRequest(
        {"includes": ["a"], "excludes": []}, {"fields": {}}, True, None, True, (ShownField("d"),)
    )
    wanted = [DocAddress(0, 1, 2), DocAddress(0, 0, 9)]
    addresses, back = messages.fetch_from_wire(sent(messages.fetch_to_wire(wanted, request)), 5)
    assert back == request
    assert addresses == [DocAddress(5, 1, 2), DocAddress(5, 0, 9)]
    explanation = Explanation(1.5, "sum of", (Explanation(1.5, "weight"),))
    found = [
        Fetched("1", {"a": [1, None]}, {"a": ["<em>x</em>"]}, explanation, {"d": [3]}, 2, 8),
        Fetched("2", {}, {}),
    ]
    assert messages.fetched_from_wire(sent(messages.fetched_to_wire(found))) == found


def test_an_entry_of_the_log_comes_back() -> None:
    operation = Operation("update", b"\xc3\xa9", {"a": 1}, 3, 1, {"b": [2]}, True, False)
    entry = LogEntry("batch", 17, 2, [LoggedOperation.of(operation)])
    back = messages.unpack_entry(messages.pack_entry(entry))
    assert back == entry
    assert back.operations[0].operation() == operation


def test_dates_of_documents_are_said_as_they_are_stored() -> None:
    operation = Operation("index", b"1", {"at": datetime(2024, 5, 1, tzinfo=UTC)})
    assert LoggedOperation.of(operation).operation().doc == {"at": "2024-05-01T00:00:00Z"}
    with pytest.raises(DocumentError):
        LoggedOperation.of(Operation("index", b"1", {"at": object()}))


def test_what_is_of_a_newer_release_is_refused_by_name() -> None:
    newer = LogEntry("b", 0, 0, version=99)
    with pytest.raises(StorageError, match=r"entry of the log is of protocol 99.*upgrade"):
        messages.unpack_entry(messages.pack_entry(newer))
    with pytest.raises(StorageError, match=r"\[Fuzzy\] is not known"):
        messages.query_from_wire({"Fuzzy": ["title"]})


@pytest.mark.parametrize("data", [b"", b"no entry", zstandard.compress(b"\xc1"), zstandard.compress(b"\x80")])
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    with pytest.raises(StorageError, match="unreadable"):
        messages.unpack_entry(data)
