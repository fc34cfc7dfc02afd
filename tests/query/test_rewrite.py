"""Rewriting: what each clause becomes over each kind of field."""

from __future__ import annotations

import math
from datetime import date, datetime
from functools import reduce
from typing import Any

import numpy as np
import pytest

from quidditch import query as q
from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.errors import LimitExceeded, QueryError
from quidditch.query.primitive import (
    BestOf,
    Boolean,
    Constant,
    Everything,
    HasId,
    HasValue,
    Nothing,
    NumberInterval,
    NumberSet,
    Primitive,
    ScoredPhrase,
    ScoredTerm,
    TermInterval,
    TermPrefix,
    TermSet,
)
from quidditch.query.rewrite import rewrite
from quidditch.query.rewriting import CLAUSE_LIMIT, TERMS_LIMIT, RewriteContext
from quidditch.schema import Mapping, parse_date

MAPPING = Mapping.parse(
    {
        "properties": {
            "t": {"type": "text", "fields": {"k": {"type": "keyword"}}},
            "s": {"type": "text", "analyzer": "stop"},
            "bare": {"type": "text", "index_options": "freqs"},
            "k": {"type": "keyword"},
            "n": {"type": "long"},
            "b": {"type": "byte"},
            "x": {"type": "double"},
            "f": {"type": "float"},
            "ok": {"type": "boolean"},
            "d": {"type": "date"},
            "hidden": {"type": "keyword", "index": False, "doc_values": False},
            "o": {"properties": {"p": {"type": "long"}, "q": {"type": "keyword"}}},
        }
    },
    analyzers=ANALYZER_NAMES,
)
CONTEXT = RewriteContext(MAPPING, parse_date("2024-03-10T12:00:00Z"))
LOW, HIGH = -(2**63), 2**63 - 1


def term(field: str, text: str, boost: float = 1.0) -> ScoredTerm:
    return ScoredTerm(field, text.encode(), boost)


def any_of(*clauses: Primitive, minimum: int = 1) -> Boolean:
    return Boolean(should=clauses, minimum_should_match=minimum)


def day(text: str) -> int:
    return parse_date(text)


A, B = term("t", "a"), term("t", "b")
END = 86_400_000 - 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (q.MatchAll(boost=2.0), Everything(2.0)),
        (q.MatchNone(), Nothing()),
        # match
        (q.Match("t", "A"), A),
        (q.Match("t", "a b a"), any_of(A, B, A)),
        (q.Match("t", "a b", operator="and"), Boolean(must=(A, B))),
        (q.Match("t", "a b", minimum_should_match=2), any_of(A, B, minimum=2)),
        (q.Match("t", "a b", minimum_should_match=3), Nothing()),
        (q.Match("t", "a", minimum_should_match=3), A),
        (
            q.Match("t", "a b", minimum_should_match="0%", boost=3.0),
            any_of(term("t", "a", 3.0), term("t", "b", 3.0)),
        ),
        (q.Match("t", "..."), Nothing()),
        (q.Match("s", "the", zero_terms_query="all", boost=2.0), Everything(2.0)),
        (q.Match("t", "The cats", analyzer="english"), term("t", "cat")),
        (q.Match("t", 5), term("t", "5")),
        (q.Match("k", "A b"), term("k", "A b")),
        (q.Match("n", "5"), NumberSet("n", (5,))),
        (q.Match("n", "five", lenient=True), Nothing()),
        (q.Match("nowhere", "a"), Nothing()),
        (q.Match("_id", "7"), HasId(("7",))),
        # match_phrase
        (q.Phrase("t", "a b", slop=2), ScoredPhrase("t", (b"a", b"b"), (0, 1), 2)),
        (q.Phrase("s", "the a cat the dog"), ScoredPhrase("s", (b"cat", b"dog"), (0, 2))),
        (q.Phrase("t", "a"), A),
        (q.Phrase("t", ""), Nothing()),
        (q.Phrase("k", "A b"), term("k", "A b")),
        (q.Phrase("bare", "a"), term("bare", "a")),
        # multi_match
        (q.MultiMatch("a", ["t"]), A),
        (q.MultiMatch("a", ["t^2", "k"]), BestOf((term("t", "a", 2.0), term("k", "a")))),
        (
            q.MultiMatch("a", ["t", "k"], tie_breaker=0.3, boost=2.0),
            BestOf((term("t", "a", 2), term("k", "a", 2)), 0.3),
        ),
        (q.MultiMatch("a", ["t*"], type="most_fields"), any_of(A, term("t.k", "a"))),
        (q.MultiMatch("a", ["t", "nowhere"]), A),
        (q.MultiMatch("a", ["[bn]*"]), Nothing()),
        (q.MultiMatch("a", ["n*", "b*"]), term("bare", "a")),
        # term, terms
        (q.Term("t", "A"), term("t", "A")),
        (q.Term("k", True), term("k", "true")),
        (q.Term("n", "5"), NumberSet("n", (5,))),
        (q.Term("n", np.int64(5)), NumberSet("n", (5,))),
        (q.Term("n", 5.5), Nothing()),
        (q.Term("b", 300), Nothing()),
        (q.Term("f", 0.1), NumberSet("f", (float(np.float32(0.1)),))),
        (q.Term("ok", "true"), NumberSet("ok", (1,))),
        (q.Term("d", "2020-01-01"), NumberInterval("d", day("2020-01-01"), day("2020-01-01") + END)),
        (q.Term("d", datetime(2020, 1, 1)), NumberInterval("d", day("2020"), day("2020"))),
        (q.Term("_id", "7"), HasId(("7",))),
        (q.Terms("k", ["b", "a", "b"]), TermSet("k", (b"a", b"b"))),
        (q.Terms("n", [3, "1", 2.5]), NumberSet("n", (1, 3))),
        (q.Terms("n", []), Nothing()),
        (q.Terms("x", [1]), NumberSet("x", (1.0,))),
        (q.Terms("d", [5_000_000_000_000, 0]), NumberSet("d", (0, 5_000_000_000_000))),
        (
            q.Terms("d", ["2020-01-01", "2020-01-02"]),
            NumberInterval("d", day("2020-01-01"), day("2020-01-02") + END),
        ),
        (q.Terms("_id", ["2", "1", "2"]), HasId(("2", "1"))),
        # range
        (q.Range("n", gte=1, lt=5), NumberInterval("n", 1, 4)),
        (q.Range("n", gt=1.5, lte="4.5"), NumberInterval("n", 2, 4)),
        (q.Range("n", gte=1.5, lt=4.5), NumberInterval("n", 2, 4)),
        (q.Range("n", gt=5), NumberInterval("n", 6, HIGH)),
        (q.Range("n", lte=10**30), NumberInterval("n", LOW, HIGH)),
        (q.Range("n", gt=HIGH), Nothing()),
        (q.Range("n", lt=LOW), Nothing()),
        (q.Range("n", gte=5, lte=4), Nothing()),
        (q.Range("n", gte=-math.inf, lt=math.inf), NumberInterval("n", LOW, HIGH)),
        (q.Range("x", gt=1, lt=2), NumberInterval("x", math.nextafter(1, 2), math.nextafter(2, 1))),
        (q.Range("x", gte=1), NumberInterval("x", 1.0, math.inf)),
        (q.Range("f", gte=0.1), NumberInterval("f", float(np.float32(0.1)), math.inf)),
        (q.Range("k", gte="a", lt="b"), TermInterval("k", b"a", b"b", True, False)),
        (q.Range("t", gt="a"), TermInterval("t", b"a", None, False, True)),
        (q.Range("k", gt="a", lte="a"), Nothing()),
        (q.Range("n"), HasValue("n")),
        (q.Range("ok", gte=False, lt=True), NumberInterval("ok", 0, 0)),
        (q.Range("d", gte="2020", lte="2020"), NumberInterval("d", day("2020"), day("2021") - 1)),
        (q.Range("d", gt="2020", lt="2022"), NumberInterval("d", day("2021"), day("2022") - 1)),
        (
            q.Range("d", gte="now-1d/d", lt="now/d"),
            NumberInterval("d", day("2024-03-09"), day("2024-03-10") - 1),
        ),
        (
            q.Range("d", gte="01/2020", format="MM/yyyy", time_zone="+01:00"),
            NumberInterval("d", day("2019-12-31T23:00:00Z"), HIGH),
        ),
        (q.Range("d", lte=date(2020, 1, 1)), NumberInterval("d", LOW, day("2020-01-01") + END)),
        (q.Range("nowhere", gte=1), Nothing()),
        # exists, ids, prefix
        (q.Exists("n", boost=2.0), HasValue("n", 2.0)),
        (q.Exists("o"), Constant(any_of(HasValue("o.p"), HasValue("o.q")))),
        (q.Exists("nowhere"), Nothing()),
        (q.Exists("_id"), Everything()),
        (q.Ids(["b", "a", "b"]), HasId(("b", "a"))),
        (q.Ids([]), Nothing()),
        (q.Prefix("k", "Ab", case_insensitive=True), TermPrefix("k", b"Ab", True)),
        (q.Prefix("nowhere", "a"), Nothing()),
        # compounds
        (q.ConstantScore(q.Match("t", "a", boost=9.0), boost=2.0), Constant(term("t", "a", 9.0), 2.0)),
        (q.ConstantScore(q.MatchNone()), Nothing()),
        (
            q.DisMax([q.Term("t", "a"), q.Term("t", "b")], tie_breaker=0.5, boost=2.0),
            BestOf((term("t", "a", 2.0), term("t", "b", 2.0)), 0.5),
        ),
        (q.DisMax([q.MatchNone(), q.Term("t", "a")]), A),
    ],
)
def test_rewriting(query: q.Query, expected: Primitive) -> None:
    assert rewrite(query, CONTEXT) == expected


QA, QB, NONE = q.Term("t", "a"), q.Term("t", "b"), q.MatchNone()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (q.Bool(boost=2.0), Everything(2.0)),
        (q.Bool(must=[QA]), A),
        (q.Bool(must=[QA, QB], boost=2.0), Boolean(must=(term("t", "a", 2.0), term("t", "b", 2.0)))),
        (q.Bool(must=[QA, NONE]), Nothing()),
        (q.Bool(filter=[QA], boost=2.0), Boolean(filter=(A,))),
        (q.Bool(should=[QA, QB]), any_of(A, B)),
        (q.Bool(should=[QA, NONE]), A),
        (q.Bool(should=[QA, NONE], minimum_should_match=2), Nothing()),
        (q.Bool(should=[QA, QB], minimum_should_match=0), any_of(A, B)),
        (q.Bool(should=[QA, QB], minimum_should_match="-1"), any_of(A, B)),
        (q.Bool(should=[QA, QB], minimum_should_match=3), Nothing()),
        (q.Bool(must=[QA], should=[QB]), Boolean(must=(A,), should=(B,))),
        (q.Bool(must=[QA], should=[NONE]), A),
        (
            q.Bool(filter=[QA], should=[QB], minimum_should_match=1),
            Boolean(filter=(A,), should=(B,), minimum_should_match=1),
        ),
        (q.Bool(must_not=[QA]), Boolean(filter=(Everything(),), must_not=(A,))),
        (q.Bool(must_not=[NONE]), Boolean(filter=(Everything(),))),
        (q.Bool(must_not=[QA], adjust_pure_negative=False), Nothing()),
        (q.Bool(must_not=[q.MatchAll()]), Nothing()),
        (q.Bool(should=[QA], must_not=[QB]), Boolean(should=(A,), must_not=(B,), minimum_should_match=1)),
        (q.Bool(must=[QA], minimum_should_match=1), Nothing()),
    ],
)
def test_bool_follows_opensearch(query: q.Query, expected: Primitive) -> None:
    assert rewrite(query, CONTEXT) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (q.Match("n", "five"), r'field \[n\]: \[long\] number expected, not "five"'),
        (q.Term("ok", 7), r"field \[ok\]: \[boolean\]"),
        (q.Term("d", "soon"), r"field \[d\]: a date in format"),
        (q.Range("d", gte="2020", format="qqq"), r"field \[d\]: date format 'qqq'"),
        (q.Range("d", gte="2020", time_zone="Mars"), r"time zone 'Mars'"),
        (q.Range("n", gte=float("nan")), r"field \[n\]"),
        (q.Range("_id", gte="1"), r"\[_id\]"),
        (q.Phrase("bare", "a b"), r"field \[bare\] has index_options \[freqs\]"),
        (q.Prefix("n", "1"), r"field \[n\] is \[long\]; text or keyword expected"),
        (q.Term("hidden", "a"), r"field \[hidden\] is not searchable"),
        (q.Match("t", "a", analyzer="englsh"), "englsh"),
        (q.Term("k", "\ud800"), "lone surrogate"),
        (q.Term("k", "a", boost=-1.0), r"term\.boost"),
        (q.Term("k", "a", boost=math.nan), r"term\.boost"),
    ],
)
def test_what_a_field_cannot_do_is_refused_by_name(query: q.Query, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        rewrite(query, CONTEXT)


@pytest.mark.parametrize("name", [[], {}, 5, None, ["t"], b"t"])
def test_a_field_name_that_is_none_is_refused(name: Any) -> None:
    for query in (
        q.Exists(name),
        q.Match(name, "x"),
        q.Phrase(name, "x"),
        q.Term(name, 1),
        q.Terms(name, [1]),
        q.Prefix(name, "x"),
        q.Range(name, gte=1),
    ):
        with pytest.raises(QueryError, match="name of a field"):
            rewrite(query, CONTEXT)


def test_an_analyzer_that_is_no_name_is_refused() -> None:
    wrong: Any = 5
    with pytest.raises(QueryError, match="name of an analyzer"):
        rewrite(q.Match("t", "x", analyzer=wrong), CONTEXT)


def test_limits() -> None:
    words = " ".join(f"w{number}" for number in range(CLAUSE_LIMIT))
    rewrite(q.Match("t", words), CONTEXT)
    with pytest.raises(LimitExceeded, match="1024"):
        rewrite(q.Match("t", words + " more"), CONTEXT)
    with pytest.raises(LimitExceeded, match="1024"):
        rewrite(q.MultiMatch(words, ["t", "s"]), CONTEXT)
    numbers = list(range(TERMS_LIMIT))
    rewrite(q.Terms("n", numbers), CONTEXT)
    with pytest.raises(LimitExceeded, match="65537"):
        rewrite(q.Terms("n", [*numbers, -1]), CONTEXT)


def test_queries_built_too_deep_are_refused() -> None:
    start: q.Query = QA
    deep = reduce(lambda query, _: ~query, range(500), start)
    with pytest.raises(LimitExceeded, match="deep"):
        rewrite(deep, CONTEXT)


def test_what_is_no_query_is_refused() -> None:
    broken: Any = {"match_all": {}}
    with pytest.raises(QueryError, match="a query expected"):
        rewrite(broken, CONTEXT)
