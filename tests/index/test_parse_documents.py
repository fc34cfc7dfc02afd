"""Documents and a mapping to typed values: who fails, alone, and what of a document is indexed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.index.document import MAX_NESTING, ParsedBatch, parse_documents
from quidditch.schema.mapping import Mapping

ANALYZERS = ("standard",)


def mapping_of(dynamic: str | None = None, **properties: Any) -> Mapping:
    body: dict[str, Any] = {"properties": properties}
    if dynamic is not None:
        body["dynamic"] = dynamic
    return Mapping.parse(body, analyzers=ANALYZERS)


def parsed(docs: list[Any], mapping: Mapping | None = None) -> ParsedBatch:
    return parse_documents(docs, mapping or mapping_of(), ANALYZERS)


def values(batch: ParsedBatch, path: str) -> list[tuple[int, Any]]:
    """(document, value) of one field, in order."""
    return [
        (doc, value)
        for one in batch.values
        if one.field.path == path
        for doc, value in zip(one.docs.tolist(), np.asarray(one.values).tolist(), strict=True)
    ]


YEAR = mapping_of(year={"type": "integer"}, tag={"type": "keyword"})

GOOD: list[dict[str, Any]] = [{"year": 1}, {"year": "2"}, {"year": [3, 4]}, {}, {"tag": "a"}, {"year": None}]
BAD: list[Any] = [
    {"year": "soon"},
    {"year": {"deep": 1}},
    {"year": 2**40},
    {"tag": float("nan")},
    {"": 1},
    {"a..b": 1},
    {5: 1},
    {"tag": "\ud800"},
    "no object",
    {"year": 1, "fresh": 2, "tag": {"x": 1}},
]


@given(
    st.lists(st.sampled_from([*((doc, True) for doc in GOOD), *((doc, False) for doc in BAD)]), max_size=12)
)
def test_a_bad_document_fails_alone(choice: list[tuple[Any, bool]]) -> None:
    docs = [doc for doc, _ in choice]
    batch = parsed(docs, YEAR)
    assert list(batch.accepted) == [place for place, (_, good) in enumerate(choice) if good]
    assert sorted(batch.errors) == [place for place, (_, good) in enumerate(choice) if not good]
    assert len(batch.sources) == len(batch.accepted)
    alone = parsed([doc for doc, good in choice if good], YEAR)
    assert batch.sources == alone.sources
    assert values(batch, "year") == values(alone, "year")
    assert batch.mapping == YEAR, "a document that failed left a field behind"


@pytest.mark.parametrize(
    ("doc", "says"),
    [
        ({"year": "soon"}, [r"[year]", "soon", "integer"]),
        ({"year": 2**40}, [r"[year]", str(2**40)]),
        ({"tag": {"x": 1}}, [r"[tag]", "keyword"]),
        ({"a..b": 1}, ["empty"]),
        ("words", ["object", "words"]),
    ],
)
def test_errors_name_the_field_the_value_and_what_was_expected(doc: Any, says: list[str]) -> None:
    message = str(parsed([doc], YEAR).errors[0])
    for part in says:
        assert part in message


def test_the_fields_of_a_failing_document_decide_nothing() -> None:
    """`n` was text in the document that failed, so the next may make it a number."""
    batch = parsed([{"n": "words", "year": "never"}, {"n": 5}], YEAR)
    assert list(batch.accepted) == [1]
    found = batch.mapping.field("n")
    assert found is not None
    assert found.type == "long"


def test_the_first_document_decides_a_new_field() -> None:
    batch = parsed([{"n": 5}, {"n": "words"}, {"n": "6"}])
    assert sorted(batch.errors) == [1]
    assert values(batch, "n") == [(0, 5), (1, 6)]


def test_dotted_keys_are_objects() -> None:
    batch = parsed([{"a.b": 1}, {"a": {"b": 2}}, {"a": [{"b": 3}, {"b": [4, 5]}]}, {"x.y.z": 6}])
    assert not batch.errors
    assert values(batch, "a.b") == [(0, 1), (1, 2), (2, 3), (2, 4), (2, 5)]
    assert values(batch, "x.y.z") == [(3, 6)]


def test_a_dotted_key_goes_below_a_known_object() -> None:
    batch = parsed([{"a.b": 1}, {"a.c.d": 6, "a.c.e": 7}])
    assert not batch.errors
    assert values(batch, "a.c.d") == [(1, 6)]
    assert values(batch, "a.c.e") == [(1, 7)]


def test_an_object_and_a_value_do_not_share_a_path() -> None:
    batch = parsed([{"a": 1}, {"a": {"b": 2}}, {"a.b": 3}, {"a": 4}])
    assert sorted(batch.errors) == [1, 2]
    assert values(batch, "a") == [(0, 1), (1, 4)]


@given(st.recursive(st.none() | st.integers(-5, 5), lambda inner: st.lists(inner, max_size=3), max_leaves=8))
def test_arrays_are_flat_and_nulls_nothing(value: Any) -> None:
    def flat(one: Any) -> list[int]:
        if isinstance(one, list):
            return [number for inner in one for number in flat(inner)]
        return [] if one is None else [one]

    batch = parsed([{"year": value}], YEAR)
    assert not batch.errors
    assert [number for _, number in values(batch, "year")] == flat(value)


def test_null_values_stand_for_nulls_in_their_field_alone() -> None:
    mapping = mapping_of(
        n={"type": "long", "null_value": 7, "fields": {"word": {"type": "keyword"}}},
    )
    batch = parsed([{"n": None}, {"n": [1, None]}, {}, {"n": []}], mapping)
    assert values(batch, "n") == [(0, 7), (1, 1), (1, 7)]
    assert values(batch, "n.word") == [(1, b"1")]


def test_null_and_empty_bring_no_field() -> None:
    assert parsed([{"n": None, "m": [], "o": [None]}]).mapping == mapping_of()


@pytest.mark.parametrize("kind", ["objects", "arrays", "unindexed"])
def test_nesting_beyond_the_limit_is_refused_and_below_is_not_a_crash(kind: str) -> None:
    def nested(depth: int) -> dict[str, Any]:
        value: Any = 1
        for _ in range(depth):
            value = [value] if kind == "arrays" else {"a": value}
        return {"a": value}

    mapping = mapping_of("false") if kind == "unindexed" else mapping_of()
    batch = parsed([nested(2), nested(MAX_NESTING + 1), nested(5_000), {"b": 1}], mapping)
    assert sorted(batch.errors) == [1, 2]


def test_strict_and_unindexed_parts() -> None:
    strict = mapping_of("strict", n={"type": "long"})
    assert sorted(parsed([{"n": 1}, {"m": 1}], strict).errors) == [1]
    unindexed = mapping_of("false", n={"type": "long"})
    batch = parsed([{"n": 1, "m": {"x": [1, "a"]}}, {"m": float("inf")}], unindexed)
    assert sorted(batch.errors) == [1]
    assert batch.mapping == unindexed
    assert batch.sources == [b'{"n":1,"m":{"x":[1,"a"]}}']


def test_documents_rise_in_every_field() -> None:
    docs = [{"a": n % 3, "b": [n, n]} if n % 2 else {"b": n} for n in range(20)]
    for one in parsed(docs).values:
        assert one.docs.dtype == np.uint32
        assert (np.diff(one.docs.astype(np.int64)) >= 0).all()
