"""What a request may say, what comes home with a hit, and what a search holds open."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_shard import SCHEMA, MemoryShard, shards_of

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.errors import DocumentNotFound, LimitExceeded, QueryError, RequestError
from quidditch.interface import SearchResult
from quidditch.query.primitive import Boolean, Constant, Everything, ScoredTerm, TermPrefix
from quidditch.schema.mapping import Mapping as Schema
from quidditch.search import phases
from quidditch.search.fetch import filter_source, parse_source, values_at
from quidditch.search.request import SearchRequest

SOURCE = {
    "title": "Dune",
    "author": {"name": "Frank", "born": {"year": 1920, "place": "Tacoma"}},
    "reviews": [{"by": "a", "stars": 5}, {"by": "b"}],
    "tags": [],
    "empty": {},
}


def search(shards: Any, query: Any = Everything(), **options: Any) -> SearchResult:  # noqa: B008
    return phases.search(shards, SearchRequest.from_arguments(SCHEMA, **options), query, SCHEMA, index="i")


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        (True, SOURCE),
        (None, SOURCE),
        (False, {}),
        ("title", {"title": "Dune"}),
        ("author", {"author": SOURCE["author"]}),
        (["author.*"], {"author": SOURCE["author"]}),
        (["*.year"], {"author": {"born": {"year": 1920}}}),
        (["reviews.by"], {"reviews": [{"by": "a"}, {"by": "b"}]}),
        (["reviews.stars"], {"reviews": [{"stars": 5}]}),
        (["t*"], {"title": "Dune", "tags": []}),
        ({"excludes": ["author", "reviews", "e*"]}, {"title": "Dune", "tags": []}),
        ({"includes": ["author"], "excludes": ["*.born"]}, {"author": {"name": "Frank"}}),
        ({"include": "author.born.place"}, {"author": {"born": {"place": "Tacoma"}}}),
        (["aut"], {}),
    ],
)
def test_source_filters(spec: Any, kept: Any) -> None:
    assert filter_source(SOURCE, parse_source(spec)) == kept


@pytest.mark.parametrize("spec", [7, [1], {"inclds": []}, {"includes": 7}])
def test_bad_source_filters_are_refused(spec: Any) -> None:
    with pytest.raises(QueryError, match="_source"):
        parse_source(spec)


@pytest.mark.parametrize(
    ("pattern", "path", "chosen"),
    [
        ("a", "a.b", True),
        ("a", "ab", False),
        ("a*b*c", "a.b.bc.d", True),
        ("*ab", "aab.c", True),
        ("*ab", "aabc", False),
        ("a**", "a", True),
        ("*a*a", "a", False),
        ("*.", "a..b", True),
    ],
)
def test_source_patterns_mean_the_names_that_hold_dots_too(pattern: str, path: str, chosen: bool) -> None:
    assert filter_source({path: 1}, parse_source([pattern])) == ({path: 1} if chosen else {})


def test_source_patterns_of_many_stars_take_one_pass() -> None:
    # Backtracking would be at it for longer than anybody waits.
    assert filter_source({"a" * 5000: 1}, parse_source(["*a" * 50 + "z"])) == {}
    with pytest.raises(LimitExceeded, match="_source"):
        parse_source(["*a" * 5000])


@given(
    st.lists(st.sampled_from("ab.*"), max_size=8), st.lists(st.sampled_from("ab."), min_size=1, max_size=9)
)
def test_source_patterns_match_as_plain_wildcards_do(pattern: list[str], path: list[str]) -> None:
    name = "".join(path)
    starts = [name, *(name[:at] for at, character in enumerate(name) if character == ".")]
    wanted = any(fnmatchcase(start, "".join(pattern)) for start in starts)
    assert (filter_source({name: 1}, parse_source(["".join(pattern)])) != {}) == wanted


def test_values_are_found_through_objects_arrays_and_dots() -> None:
    assert values_at(SOURCE, "reviews.by") == ["a", "b"]
    assert values_at({"a.b": {"c": [1, None]}, "a": {"b.c": 2}}, "a.b.c") == [2, 1]
    assert values_at(SOURCE, "author.nowhere") == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"size": -1}, "size"),
        ({"size": True}, "size"),
        ({"size": "10"}, "size"),
        ({"size": 1.5}, "size"),
        ({"from_": -1}, "from_"),
        ({"explain": 1}, "explain"),
        ({"min_score": "high"}, "min_score"),
        ({"timeout_s": -1}, "timeout_s"),
        ({"track_total_hits": -1}, "track_total_hits"),
        ({"search_after": [1]}, "search_after"),
        ({"sort": "n", "search_after": [1, 2]}, "search_after"),
        ({"sort": "n", "search_after": ["x"]}, r"search_after\[0\]"),
        ({"sort": "n", "search_after": 7}, "search_after"),
        ({"sort": "n", "search_after": [1], "from_": 2}, "from_"),
        ({"highlight": {"title": {}}}, "highlight"),
        ({"highlight": {"fields": {"title": {"fragment_sise": 1}}}}, "fragment_size"),
        ({"aggs": {"x": {}}}, "not supported yet"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(RequestError, match=named):
        SearchRequest.from_arguments(SCHEMA, **options)


def test_a_page_that_would_fill_memory_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="size"):
        SearchRequest.from_arguments(SCHEMA, size=10**9)


def test_an_opensearch_body_is_read_whole() -> None:
    query, request = SearchRequest.from_body(
        {
            "query": {"match_all": {}},
            "size": 3,
            "from": 1,
            "sort": [{"n": "desc"}],
            "_source": ["title"],
            "track_total_hits": 7,
            "timeout": "250ms",
            "highlight": {"fields": {"t*": {"type": "plain"}}, "pre_tags": ["<b>"]},
        },
        SCHEMA,
    )
    assert query == {"match_all": {}}
    assert (request.size, request.from_, request.track_total_hits, request.timeout_s) == (3, 1, 7, 0.25)
    assert request.highlight == {"pre_tags": ["<b>"], "fields": {"title": {}, "title.raw": {}, "tag": {}}}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"qurey": {}}, r"\[query\]"),
        ({"query": "dune"}, "query"),
        ({"from": -1}, "from"),
        ({"timeout": "soon"}, "timeout"),
        ({"aggs": {"a": {"terms": {}}}}, "aggs"),
        ([], "object"),
    ],
)
def test_bad_bodies_are_named(body: Any, named: str) -> None:
    with pytest.raises(RequestError, match=named):
        SearchRequest.from_body(body, SCHEMA)


def test_totals_can_be_capped_or_left_out() -> None:
    shards = shards_of([{"title": "a"}] * 5)
    assert (search(shards).total, search(shards).total_relation) == (5, "eq")
    capped = search(shards, track_total_hits=3)
    assert (capped.total, capped.total_relation) == (3, "gte")
    assert search(shards, track_total_hits=False).total is None
    assert search(shards, track_total_hits=5).total_relation == "eq"


def test_min_score_is_compared_with_the_score_that_is_shown() -> None:
    shards = shards_of([{"title": "a b"}, {"title": "a"}, {"title": "b"}])
    query = ScoredTerm("title", b"a")
    scores = [hit.score for hit in search(shards, query)]
    assert scores[0] is not None
    found = search(shards, query, min_score=scores[0])
    assert [hit.score for hit in found] == scores[:1]
    assert found.total == 1


def test_a_query_without_scores_scores_its_constant() -> None:
    shards = shards_of([{"title": "a"}, {"title": "b"}])
    assert [hit.score for hit in search(shards)] == [1.0, 1.0]
    assert [hit.score for hit in search(shards, Constant(TermPrefix("title", b"a"), 2.5))] == [2.5]


def test_snapshots_are_closed_in_every_way_out() -> None:
    shards = shards_of([{"title": "a"}] * 5, [2], shards=2)
    scan = phases.scan(shards, Everything(), index="i", batch=1)
    assert [shard.opened for shard in shards] == [0, 0]
    assert next(scan).id == "0"
    assert [shard.opened for shard in shards] == [1, 1]
    scan.close()  # type: ignore[attr-defined]
    search(shards)
    phases.count(shards, Everything())
    phases.explain(shards, "3", Everything(), SCHEMA)
    with pytest.raises(DocumentNotFound, match="nobody"):
        phases.explain(shards, "nobody", Everything(), SCHEMA)
    assert [shard.opened for shard in shards] == [0, 0]


def test_a_scan_ends_when_its_time_is_up() -> None:
    shards = shards_of([{"title": "a"}] * 5)
    assert list(phases.scan(shards, Everything(), index="i", timeout_s=-1)) == []


def test_a_search_whose_time_is_up_says_so() -> None:
    found = search(shards_of([{"title": "a"}] * 5), timeout_s=0)
    assert (found.timed_out, list(found)) == (True, [])


def test_explanations_say_why_not() -> None:
    shards = shards_of([{"title": "a", "n": 1}])
    query = Boolean(must=(ScoredTerm("title", b"b"),), must_not=(ScoredTerm("title", b"a"),))
    found = phases.explain(shards, "0", query, SCHEMA)
    assert found.value == 0.0
    assert "title:b" in str(found)
    assert "excluded" in str(found)


def test_a_search_out_of_time_says_that_its_total_is_a_lower_bound() -> None:
    found = search(shards_of([{"title": "a"}] * 5), timeout_s=0, explain=True)
    assert found.timed_out
    assert (found.total, found.total_relation) == (0, "gte")
    assert not search(shards_of([{"title": "a"}] * 5), timeout_s=60, explain=True).timed_out


# ------------------------------------------------------------------------------------- several indices


DAY_FIRST = {"day": {"order": "asc", "format": "dd/MM/yyyy", "unmapped_type": "date"}}


Indices = dict[str, tuple[Schema, list[dict[str, Any]]]]


def across(indices: Indices, body: dict[str, Any]) -> SearchResult:
    """Every document of several indices, as a database brings them together."""
    results, whole = [], SearchRequest()
    for name, (schema, docs) in indices.items():
        _, whole = SearchRequest.from_body(body, schema)
        shard = MemoryShard([[(str(number), doc) for number, doc in enumerate(docs)]], schema=schema)
        results.append(phases.search([shard], whole.from_the_start(), Everything(), schema, index=name))
    return phases.combine(results, whole)


def schema_of(**properties: Any) -> Schema:
    return Schema.parse({"properties": properties}, analyzers=ANALYZER_NAMES)


def test_formatted_dates_of_several_indices_are_in_the_order_of_time() -> None:
    date, none = schema_of(day={"type": "date"}), schema_of(other={"type": "long"})
    indices: Indices = {
        "a": (date, [{"day": "2021-02-01"}, {"day": "2020-12-01"}]),
        "b": (date, [{"day": "2021-01-15"}, {"day": "2020-11-30"}]),
        "c": (none, [{"other": 1}]),
    }
    result = across(indices, {"sort": [DAY_FIRST]})
    shown = [hit.sort[0] for hit in result.hits]
    assert shown == ["30/11/2020", "01/12/2020", "15/01/2021", "01/02/2021", None]
    second = across(indices, {"sort": [DAY_FIRST], "size": 1, "from": 1})
    assert [hit.sort for hit in second.hits] == [("01/12/2020",)]


def test_a_field_of_two_kinds_in_several_indices_is_refused_by_name() -> None:
    indices: Indices = {
        "a": (schema_of(k={"type": "keyword"}), [{"k": "x"}]),
        "b": (schema_of(k={"type": "long"}), [{"k": 1}]),
        "c": (schema_of(k={"type": "double"}), [{"k": 1.5}]),
    }
    with pytest.raises(QueryError, match=r"\[k\] is text in index \[a\] and numbers in index \[b\]"):
        across(indices, {"sort": ["k"]})
    del indices["a"]
    assert [hit.sort for hit in across(indices, {"sort": ["k"]}).hits] == [(1,), (1.5,)]


def test_a_format_is_for_dates() -> None:
    for field in ("n", "_score"):
        with pytest.raises(QueryError, match="format"):
            SearchRequest.from_arguments(SCHEMA, sort={field: {"format": "yyyy", "unmapped_type": "date"}})


@pytest.mark.parametrize(("after", "left"), [(10**400, 2), (1e39, 2), (-1e39, 0), (-(10**400), 0)])
def test_a_score_to_go_on_from_may_be_any_number(after: float, left: int) -> None:
    shards = shards_of([{"tag": "a"}, {"tag": "b"}])
    assert len(search(shards, sort="_score", search_after=[after]).hits) == left
