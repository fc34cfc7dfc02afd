"""The Query DSL: parsing, rendering, operators, and messages that name the place of a mistake."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch import query as q
from quidditch.errors import LimitExceeded, QueryError
from quidditch.query.dsl import DEPTH_LIMIT, count_should_match

FIELDS = st.sampled_from(["title", "author.name", "year"])
VALUES = st.one_of(
    st.text(max_size=4), st.integers(-5, 5), st.booleans(), st.floats(0, 5), st.just(datetime(2020, 1, 1))
)
COMMON: dict[str, Any] = {
    "boost": st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    "name": st.none() | st.just("n"),
}
MINIMUM = st.none() | st.sampled_from([2, -1, "75%", "-25%", "3<90%", "2<-25% 9<-3"])
TEXTUAL: dict[str, Any] = {
    "analyzer": st.none() | st.just("english"),
    "zero_terms_query": st.sampled_from(["none", "all"]),
    **COMMON,
}
BOUND = st.none() | VALUES
LEAVES: st.SearchStrategy[q.Query] = st.one_of(
    st.builds(q.MatchAll, **COMMON),
    st.builds(q.MatchNone, **COMMON),
    st.builds(
        q.Match,
        FIELDS,
        VALUES,
        operator=st.sampled_from(["or", "and"]),
        minimum_should_match=MINIMUM,
        lenient=st.booleans(),
        **TEXTUAL,
    ),
    st.builds(q.Phrase, FIELDS, VALUES, slop=st.integers(0, 3), **TEXTUAL),
    st.builds(
        q.MultiMatch,
        VALUES,
        st.lists(st.sampled_from(["title^3", "title", "au*^0.5"])),
        type=st.sampled_from(["best_fields", "most_fields"]),
        tie_breaker=st.none() | st.just(0.3),
        operator=st.sampled_from(["or", "and"]),
        minimum_should_match=MINIMUM,
        lenient=st.none() | st.booleans(),
        **TEXTUAL,
    ),
    st.builds(q.Term, FIELDS, VALUES, **COMMON),
    st.builds(q.Terms, FIELDS, st.lists(VALUES, max_size=3), **COMMON),
    st.builds(
        q.Range,
        FIELDS,
        gte=BOUND,
        lt=BOUND,
        format=st.none() | st.just("yyyy"),
        time_zone=st.none() | st.just("+01:00"),
        **COMMON,
    ),
    st.builds(q.Range, FIELDS, gt=BOUND, lte=BOUND, **COMMON),
    st.builds(q.Exists, FIELDS, **COMMON),
    st.builds(q.Ids, st.lists(st.text(max_size=3), max_size=3), **COMMON),
    st.builds(q.Prefix, FIELDS, st.text(max_size=3), case_insensitive=st.booleans(), **COMMON),
)


def compounds(inner: st.SearchStrategy[q.Query]) -> st.SearchStrategy[q.Query]:
    some = st.lists(inner, max_size=2)
    return st.one_of(
        st.builds(
            q.Bool,
            some,
            some,
            some,
            some,
            minimum_should_match=MINIMUM,
            adjust_pure_negative=st.booleans(),
            **COMMON,
        ),
        st.builds(q.ConstantScore, inner, **COMMON),
        st.builds(
            q.DisMax,
            st.lists(inner, min_size=1, max_size=2),
            tie_breaker=st.sampled_from([0.0, 0.5]),
            **COMMON,
        ),
    )


QUERIES: st.SearchStrategy[q.Query] = st.recursive(LEAVES, compounds, max_leaves=6)


@given(QUERIES)
def test_parse_is_the_inverse_of_to_dict(query: q.Query) -> None:
    assert q.parse(query.to_dict()) == query


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"match": {"title": "x"}}, q.Match("title", "x")),
        ({"match": {"title": {"query": "x", "operator": "AND"}}}, q.Match("title", "x", operator="and")),
        ({"match_phrase": {"title": {"query": "x y", "slop": "1"}}}, q.Phrase("title", "x y", slop=1)),
        ({"term": {"year": {"value": 5, "boost": 2}}}, q.Term("year", 5, boost=2.0)),
        ({"terms": {"year": [1, 2], "boost": 2}}, q.Terms("year", [1, 2], boost=2.0)),
        ({"range": {"year": {"from": 1, "to": 5, "include_upper": False}}}, q.Range("year", gte=1, lt=5)),
        ({"range": {"year": {"gt": 1, "lte": None, "relation": "within"}}}, q.Range("year", gt=1)),
        ({"bool": {"must": {"match_all": {}}}}, q.Bool(must=[q.MatchAll()])),
        ({"bool": {"filter": [{"exists": {"field": "a"}}]}}, q.Bool(filter=q.Exists("a"))),
        ({"ids": {"values": "7"}}, q.Ids(["7"])),
        ({"ids": {"values": [7]}}, q.Ids(["7"])),
        ({"prefix": {"title": "ab"}}, q.Prefix("title", "ab")),
        ({"multi_match": {"query": "x", "fields": "title^2"}}, q.MultiMatch("x", ["title^2"])),
        ({"match_all": {"_name": "all"}}, q.MatchAll(name="all")),
    ],
)
def test_short_and_long_forms(body: dict[str, Any], query: q.Query) -> None:
    assert q.parse(body) == query


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "query: one clause expected, 0 found"),
        ([], "query: an object with one clause expected, not an array of 0"),
        ({"match": {"a": 1}, "term": {"b": 1}}, r"query: one clause expected, 2 found \(match, term\)"),
        (
            {"bool": {"must": [{"match_all": {}}, {"macth": {"a": 1}}]}},
            r"query\.bool\.must\[1\]\.macth: unknown clause \[macth\]; did you mean \[match\]\?",
        ),
        (
            {"bool": {"musst": []}},
            r"query\.bool\.musst: unknown parameter \[musst\]; did you mean \[must\]\?",
        ),
        ({"bool": {"must": 5}}, r"query\.bool\.must: a clause or an array of clauses expected, not 5"),
        (
            {"bool": {"minimum_should_match": "x"}},
            r"query\.bool\.minimum_should_match: a number, a percentage",
        ),
        (
            {"match": {"a": {"query": "x", "opertor": "or"}}},
            r"query\.match\.a\.opertor.*did you mean \[operator\]",
        ),
        (
            {"match": {"a": {"query": "x", "operator": "nor"}}},
            r"query\.match\.a\.operator: one of or, and expected",
        ),
        ({"match": {"a": {}}}, r"query\.match\.a: \[query\] is missing"),
        ({"match": {"a": ["x"]}}, r"query\.match\.a\.query: a string, a number or a boolean expected"),
        ({"match": {"a": 1, "b": 2}}, r"query\.match: one field expected, 2 found \(a, b\)"),
        ({"match": {"a": {"query": "x", "boost": -1}}}, r"query\.match\.a\.boost: a number of 0 or more"),
        ({"match": {"a": {"query": "x", "fuzziness": 1}}}, r"unknown parameter \[fuzziness\]"),
        ({"match_phrase": {"a": {"query": "x", "slop": -1}}}, r"query\.match_phrase\.a\.slop"),
        ({"multi_match": {"query": "x", "fields": ["a^b"]}}, r"query\.multi_match\.fields\[0\]"),
        (
            {"multi_match": {"query": "x", "type": "phrase"}},
            r"\[phrase\] is not supported yet; best_fields, most_fields",
        ),
        (
            {"term": {"a": {"value": "x", "case_insensitive": True}}},
            r"unknown parameter \[case_insensitive\]",
        ),
        ({"terms": {"a": 5}}, r"query\.terms\.a: an array of values expected, not 5"),
        ({"terms": {"a": [1, {}]}}, r"query\.terms\.a\[1\]"),
        ({"terms": {}}, r"query\.terms: one field expected, 0 found"),
        ({"range": {"a": 5}}, r"query\.range\.a: an object expected, not 5"),
        ({"range": {"a": {"gte": 1, "gt": 1}}}, r"query\.range\.a: \[gte\] and \[gt\] exclude each other"),
        ({"range": {"a": {"lt": {}}}}, r"query\.range\.a\.lt"),
        ({"exists": {}}, r"query\.exists: \[field\] is missing"),
        ({"ids": {"values": [[]]}}, r"query\.ids\.values\[0\]: an id expected"),
        ({"dis_max": {"queries": []}}, r"query\.dis_max\.queries: one query or more"),
        ({"constant_score": {}}, r"query\.constant_score: \[filter\] is missing"),
        ({"constant_score": {"filter": {}}}, r"query\.constant_score\.filter: one clause expected"),
        ({5: {}}, "unknown clause"),
    ],
)
def test_mistakes_are_named_with_their_path(body: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        q.parse(body)


def test_hostile_nesting_is_refused() -> None:
    body: dict[str, Any] = {"match_all": {}}
    for _ in range(5000):
        body = {"bool": {"must": [body]}}
    with pytest.raises(LimitExceeded, match=str(DEPTH_LIMIT)):
        q.parse(body)


A, B, C = q.Match("t", "a"), q.Term("y", 1), q.Exists("z")


def test_operators_build_flat_bools() -> None:
    assert q.Bool(must=[A, B, C]) == A & B & C
    assert q.Bool(should=[A, B, C]) == A | B | C
    assert q.Bool(must=[A], must_not=[B]) == A & ~B
    assert q.Bool(must=[B], must_not=[A]) == ~A & B
    assert q.Bool(filter=[A]) & B == q.Bool(must=[B], filter=[A])


def test_operators_keep_what_scores_otherwise_apart() -> None:
    heavy = q.Bool(must=[A], boost=2.0)
    assert heavy & B == q.Bool(must=[heavy, B])
    assert q.Bool(must=[q.Bool(should=[A, B]), C]) == (A | B) & C
    picky = q.Bool(should=[A, B], minimum_should_match=2)
    assert picky | C == q.Bool(should=[picky, C])
    assert q.Bool() & A == q.Bool(must=[q.Bool(), A])


def test_constructors_refuse_what_is_no_query() -> None:
    broken: Any = {"match_all": {}}
    with pytest.raises(QueryError, match=r"bool\.must"):
        q.Bool(must=[broken])
    with pytest.raises(QueryError, match=r"q\.parse"):
        q.ConstantScore(broken)
    with pytest.raises(QueryError, match="operator"):
        q.Match("a", "b", operator="nor")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: q.MultiMatch("x", 5), "multi_match.fields"),  # type: ignore[arg-type]
        (lambda: q.MultiMatch("x", ["t", 5]), "multi_match.fields"),  # type: ignore[list-item]
        (lambda: q.MultiMatch("x", "t", tie_breaker="a"), "multi_match.tie_breaker"),  # type: ignore[arg-type]
        (lambda: q.MultiMatch("x", "t", operator=1), "multi_match.operator"),  # type: ignore[arg-type]
        (lambda: q.DisMax(A, tie_breaker=None), "dis_max.tie_breaker"),  # type: ignore[arg-type]
        (lambda: q.Range("d", gte=1, time_zone=5), "range.d.time_zone"),  # type: ignore[arg-type]
        (lambda: q.Range("d", gte=1, format=[]), "range.d.format"),  # type: ignore[arg-type]
        (lambda: q.Ids(5), "ids.values"),  # type: ignore[arg-type]
        (lambda: q.Bool(must=5), "bool.must"),  # type: ignore[arg-type]
        (lambda: q.Bool(must=None), "bool.must"),  # type: ignore[arg-type]
    ],
)
def test_constructors_refuse_wrong_types_by_name(make: Callable[[], q.Query], named: str) -> None:
    with pytest.raises(QueryError, match=named):
        make()


def test_choices_may_be_written_in_capitals_as_in_a_body() -> None:
    assert q.Match("t", "x", operator="AND", zero_terms_query="ALL") == q.Match(
        "t", "x", operator="and", zero_terms_query="all"
    )
    assert q.MultiMatch("x", operator="AND") == q.MultiMatch("x", None, operator="and")
    assert q.Phrase("t", "x", zero_terms_query="All").zero_terms_query == "all"


@pytest.mark.parametrize(
    ("spec", "optional", "needed"),
    [
        (2, 5, 2),
        ("2", 5, 2),
        (7, 5, 7),
        (-1, 5, 4),
        (-9, 5, 0),
        ("75%", 4, 3),
        ("75%", 5, 3),
        ("-25%", 4, 3),
        ("-25%", 5, 4),
        ("0%", 5, 0),
        ("100%", 5, 5),
        ("3<90%", 3, 3),
        ("3<90%", 10, 9),
        ("3 < 90%", 10, 9),
        ("2<-25% 9<-3", 1, 1),
        ("2<-25% 9<-3", 2, 2),
        ("2<-25% 9<-3", 8, 6),
        ("2<-25% 9<-3", 10, 7),
    ],
)
def test_minimum_should_match(spec: int | str, optional: int, needed: int) -> None:
    assert count_should_match(spec, optional) == needed


@pytest.mark.parametrize("spec", ["", "x", "2<", "<3", "1.5", True, 1.5, "5%%"])
def test_bad_minimum_should_match(spec: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        count_should_match(spec, 3)
