"""Mappings: parsing, rendering, growing, and what they refuse."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.errors import LimitExceeded, MappingError
from quidditch.schema import DEPTH_LIMIT, TOTAL_FIELDS_LIMIT, Mapping, TextField, infer

ANALYZERS = frozenset({"standard", "english", "whitespace"})
TITLE = {"type": "text", "analyzer": "english", "fields": {"keyword": {"type": "keyword", "ignore_above": 9}}}
BODY = {
    "dynamic": "strict",
    "properties": {
        "title": TITLE,
        "author.name": {"type": "keyword"},
        "free": {"type": "object", "dynamic": True},
        "day": {"type": "date", "format": "yyyy/MM/dd"},
    },
}


def parse(body: Any) -> Mapping:
    return Mapping.parse(body, analyzers=ANALYZERS)


def test_fields_are_known_by_path_and_by_source() -> None:
    mapping = parse(BODY)
    assert list(mapping.fields) == ["title", "title.keyword", "author.name", "day"]
    assert [field.path for field in mapping.at("title")] == ["title", "title.keyword"]
    assert mapping.at("nowhere") == ()
    assert mapping.object("author") is not None
    assert mapping.expand("t*") == ["title", "title.keyword"]
    assert mapping.expand("*e*[") == []
    assert mapping.expand("day") == ["day"]
    assert [field.path for field in mapping.under("author")] == ["author.name"]


def test_dynamic_is_inherited() -> None:
    mapping = parse(BODY)
    assert mapping.dynamic() == "strict"
    assert mapping.dynamic("author.deeper") == "strict"
    assert mapping.dynamic("free.deeper") == "true"


def test_rendering_is_opensearch_and_reads_back() -> None:
    mapping = parse(BODY)
    assert mapping.to_dict()["properties"]["title"] == TITLE
    assert mapping.to_dict()["properties"]["author"] == {"properties": {"name": {"type": "keyword"}}}
    assert parse(mapping.to_dict()) == mapping


NAMES = st.sampled_from(["a", "b", "c.d", "e"])
LEAVES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["long", "double", "boolean"])}, optional={"index": st.booleans()}
    ),
    st.fixed_dictionaries(
        {"type": st.just("text")},
        optional={
            "analyzer": st.sampled_from(sorted(ANALYZERS)),
            "norms": st.booleans(),
            "index_options": st.sampled_from(["docs", "freqs", "positions"]),
            "fields": st.dictionaries(st.sampled_from(["k", "l"]), st.just({"type": "keyword"})),
        },
    ),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.fixed_dictionaries({"properties": st.dictionaries(NAMES, inner, max_size=3)}),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, TREES, max_size=3))
def test_any_mapping_reads_back(properties: dict[str, Any]) -> None:
    mapping = parse({"properties": properties})
    assert parse(mapping.to_dict()) == mapping
    assert mapping.merged(mapping.to_dict(), analyzers=ANALYZERS) == mapping


def test_merging_adds_fields_and_leaves_the_old_mapping_alone() -> None:
    mapping = parse(BODY)
    grown = mapping.merged(
        {"properties": {"author": {"properties": {"age": {"type": "byte"}}}}}, analyzers=ANALYZERS
    )
    assert grown.field("author.age") is not None
    assert grown.field("author.name") is not None
    assert mapping.field("author.age") is None


def test_what_may_change_changes() -> None:
    title = {**TITLE, "search_analyzer": "standard", "norms": False}
    title["fields"] = {"keyword": {"type": "keyword", "ignore_above": 20}, "raw": {"type": "keyword"}}
    grown = parse(BODY).merged({"properties": {"title": title}, "dynamic": "false"}, analyzers=ANALYZERS)
    found = grown.field("title")
    assert isinstance(found, TextField)
    assert (found.query_analyzer, found.norms, grown.dynamic()) == ("standard", False, "false")
    assert [field.path for field in grown.at("title")] == ["title", "title.keyword", "title.raw"]


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"title": {"type": "keyword"}}, r"\[title\]: \[type\] cannot change from \[text\] to \[keyword\]"),
        ({"title": {"type": "text"}}, r'\[title\]: \[analyzer\] cannot change from "english" to "standard"'),
        ({"title": {**TITLE, "index_options": "docs"}}, r"\[index_options\] cannot change"),
        ({"day": {"type": "date"}}, r"\[format\] cannot change"),
        (
            {"author.name": {"type": "keyword", "doc_values": False}},
            r"\[doc_values\] cannot change from true to false",
        ),
        ({"author": {"type": "long"}}, r"\[author\]: is \[object\] and cannot become \[long\]"),
        ({"title.x": {"type": "long"}}, r"\[title\]: is \[text\] and cannot become \[object\]"),
    ],
)
def test_incompatible_changes_name_field_old_and_new(properties: Any, message: str) -> None:
    with pytest.raises(MappingError, match=message):
        parse(BODY).merged({"properties": properties}, analyzers=ANALYZERS)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "mapping: an object expected, not an array"),
        ({"propertys": {}}, r"unknown parameter \[propertys\]; did you mean \[properties\]\?"),
        ({"dynamic": "maybe"}, "true, false or strict expected"),
        ({"properties": []}, "an object expected"),
        ({"properties": {"f": "text"}}, r"mapping of \[f\]: an object expected"),
        ({"properties": {"f": {"type": "txt"}}}, r'unknown type "txt"; did you mean \[text\]'),
        ({"properties": {"f": {"type": ["text"]}}}, "unknown type"),
        ({"properties": {"f": {"analyzer": "english"}}}, r"no \[type\]"),
        (
            {"properties": {"f": {"type": "text", "analyser": "x"}}},
            r"\[analyser\] of \[text\]; did you mean \[analyzer\]",
        ),
        (
            {"properties": {"f": {"type": "text", "analyzer": "englsh"}}},
            r"\[englsh\]; did you mean \[english\]",
        ),
        ({"properties": {"f": {"type": "text", "doc_values": True}}}, r"unknown parameter \[doc_values\]"),
        (
            {"properties": {"f": {"type": "long", "index": "perhaps"}}},
            r"\[index\] is \"perhaps\"; true or false",
        ),
        ({"properties": {"f": {"type": "byte", "null_value": 300}}}, r"\[null_value\].* -128 and 127"),
        ({"properties": {"f": {"type": "keyword", "ignore_above": -1}}}, r"\[ignore_above\]"),
        ({"properties": {"f": {"type": "date", "format": "qqq"}}}, r"\[format\].*'qqq'"),
        ({"properties": {"a..b": {"type": "long"}}}, "without empty parts"),
        ({"properties": {"": {"type": "long"}}}, "without empty parts"),
        ({"properties": {"\ud800": {"type": "long"}}}, "lone surrogate"),
        ({"properties": {"x" * 300: {"type": "long"}}}, "300 bytes"),
        (
            {"properties": {".".join("a" * (DEPTH_LIMIT + 1)): {"type": "long"}}},
            "deeper than the limit of 20",
        ),
        (
            {"properties": {"o": {"type": "object", "index": True}}},
            r"unknown parameter \[index\] of \[object\]",
        ),
        ({"properties": {"f": {"type": "text", "fields": {"a.b": {"type": "long"}}}}}, "may not hold a dot"),
        ({"properties": {"f": {"type": "text", "fields": {"k": {"type": "object"}}}}}, r"mapping of \[f.k\]"),
    ],
)
def test_malformed_mappings_are_refused_by_name(body: Any, message: str) -> None:
    with pytest.raises(MappingError, match=message):
        parse(body)


def test_too_many_fields_are_refused() -> None:
    properties = {f"f{number}": {"type": "long"} for number in range(TOTAL_FIELDS_LIMIT)}
    parse({"properties": properties})
    with pytest.raises(LimitExceeded, match="1000"):
        parse({"properties": {**properties, "one_more": {"type": "long"}}})


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("words", "text"),
        ("2020", "text"),
        ("2020-01-01", "date"),
        ("2020-01-01T10:00:00Z", "date"),
        ("2020/01/01 10:00:00", "date"),
        ("2020-99-99", "text"),
        (True, "boolean"),
        (5, "long"),
        (5.5, "float"),
        (Decimal(5), "double"),
        (date(2020, 1, 1), "date"),
        (UUID(int=1), "keyword"),
        ({"a": 1}, "object"),
        ([None, [], [3]], "long"),
    ],
)
def test_new_fields_are_inferred_as_opensearch_does(value: Any, kind: str) -> None:
    body = infer(value)
    assert body is not None
    assert body["type"] == kind
    mapping = parse({"properties": {"f": body}})
    if kind not in ("object", "long"):
        mapping.at("f")[0].convert(value)
    if kind == "text":
        assert body["fields"] == {"keyword": {"type": "keyword", "ignore_above": 256}}


def test_nothing_tells_nothing() -> None:
    assert infer(None) is None
    assert infer([[], None]) is None
    with pytest.raises(ValueError, match="bytes"):
        infer(b"x")
