"""Top-k, sorts, pages and `search_after`: exact, deterministic, and the same on every cut into segments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_shard import SCHEMA, shards_of

from quidditch.errors import QueryError
from quidditch.interface import SearchResult
from quidditch.query.primitive import Boolean, Everything, Primitive, ScoredTerm
from quidditch.search import phases
from quidditch.search.request import SearchRequest
from quidditch.search.sort_spec import parse_sort
from quidditch.search.topk import best

QUERY = Boolean(filter=(Everything(),), should=(ScoredTerm("title", b"a"), ScoredTerm("title", b"b")))


def search(shards: Any, query: Primitive = QUERY, **options: Any) -> SearchResult:
    request = SearchRequest.from_arguments(SCHEMA, **options)
    return phases.search(shards, request, query, SCHEMA, index="i")


# --------------------------------------------------------------------------------------------------- top-k


@given(
    scores=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5]), max_size=300),
    count=st.integers(0, 40),
    repeat=st.sampled_from([1, 40]),
)
def test_best_is_a_stable_sort_cut_off(scores: list[float], count: int, repeat: int) -> None:
    values = np.array(scores * repeat, np.float32)
    expected = np.argsort(-values, kind="stable")[:count]
    assert best(values, count).tolist() == expected.tolist()


def test_best_of_many_distinct_scores() -> None:
    values = np.random.default_rng(7).permutation(100_000).astype(np.float32)
    for count in (1, 10, 1000, 99_999):
        assert best(values, count).tolist() == np.argsort(-values, kind="stable")[:count].tolist()


def test_best_of_one_score_for_all_is_the_first() -> None:
    assert best(np.broadcast_to(np.float32(1), 5000), 3).tolist() == [0, 1, 2]


# --------------------------------------------------------------------------------------------------- sorts

docs = st.lists(
    st.fixed_dictionaries(
        {"title": st.lists(st.sampled_from("ab"), max_size=4).map(" ".join)},
        optional={
            "n": st.lists(st.sampled_from([-(2**63), -1, 0, 5, 2**63 - 1]), min_size=1, max_size=2),
            "x": st.sampled_from([-0.5, 0.0, 2.5]),
            "tag": st.lists(st.sampled_from(["a", "b", "é", "Z", "~"]), min_size=1, max_size=2),
            "flag": st.booleans(),
        },
    ),
    min_size=1,
    max_size=12,
)
levels = st.one_of(
    st.sampled_from(
        [{"_score": {"order": "desc"}}, {"_score": {"order": "asc"}}, {"_doc": {"order": "desc"}}]
    ),
    st.builds(
        lambda field, order, missing, mode: {field: {"order": order, "missing": missing, "mode": mode}},
        st.sampled_from(["n", "x", "tag", "flag"]),
        st.sampled_from(["asc", "desc"]),
        st.sampled_from(["_first", "_last"]),
        st.sampled_from(["min", "max", None]),
    ),
    st.sampled_from(
        [{"n": {"missing": 3}}, {"tag": {"order": "desc", "missing": "b"}}, {"tag": {"missing": "ba"}}]
    ),
)
sorts = st.lists(levels, min_size=1, max_size=3)
cuts = st.lists(st.integers(0, 12), max_size=3)


def by_hand(docs: list[dict[str, Any]], scores: dict[str, float], sort: list[dict[str, Any]]) -> list[str]:
    """Stable Python sorts, the last level first."""
    order = list(scores)
    for level in reversed(sort):
        ((field, options),) = level.items()
        descending = options.get("order") == "desc"
        keys = {id: sort_value(docs[int(id)], id, scores, field, options) for id in order}
        present = [id for id in order if keys[id] is not None]
        missing = [id for id in order if keys[id] is None]
        present.sort(key=keys.__getitem__, reverse=descending)
        order = missing + present if options.get("missing") == "_first" else present + missing
    return order


def sort_value(
    doc: dict[str, Any], id: str, scores: dict[str, float], field: str, options: dict[str, Any]
) -> Any:
    if field == "_score":
        return scores[id]
    if field == "_doc":
        return int(id)
    value, missing = doc.get(field), options.get("missing", "_last")
    if value is None:
        return None if missing in ("_first", "_last") else missing
    values = value if isinstance(value, list) else [value]
    mode = options.get("mode") or ("max" if options.get("order") == "desc" else "min")
    return max(values) if mode == "max" else min(values)


@given(docs=docs, sort=sorts, cuts=cuts, size=st.integers(0, 13))
def test_sorts_equal_python_sorts(
    docs: list[dict[str, Any]], sort: list[dict[str, Any]], cuts: list[int], size: int
) -> None:
    shards = shards_of(docs, cuts)
    scores = {hit.id: hit.score or 0.0 for hit in search(shards, sort=["_score", "_doc"], size=50)}
    scores = {str(id): scores[str(id)] for id in range(len(docs))}
    found = search(shards, sort=sort, size=size)
    assert [hit.id for hit in found] == by_hand(docs, scores, sort)[:size]
    assert found.total == len(docs)
    by_score = any("_score" in level for level in sort)
    assert [hit.score for hit in found] == [scores[hit.id] if by_score else None for hit in found]


@given(docs=docs, sort=sorts, cuts=cuts, size=st.integers(1, 4))
def test_search_after_pages_join_to_the_whole(
    docs: list[dict[str, Any]], sort: list[dict[str, Any]], cuts: list[int], size: int
) -> None:
    shards = shards_of(docs, cuts)
    sort = [*sort, {"_id": {"order": "desc"}}]
    whole = [hit.id for hit in search(shards, sort=sort, size=50)]
    paged: list[str] = []
    after = None
    # Every page but the last brings a hit at least.
    for _ in range(len(docs) + 1):
        page = search(shards, sort=sort, size=size, search_after=after)
        assert page.total == len(docs)
        paged += [hit.id for hit in page]
        if len(page) < size:
            break
        after = page[-1].sort
    assert paged == whole


@given(docs=docs, cuts=cuts, size=st.integers(0, 5), from_=st.integers(0, 5))
def test_pages_by_score_are_slices_on_any_cut(
    docs: list[dict[str, Any]], cuts: list[int], size: int, from_: int
) -> None:
    whole = [(hit.id, hit.score) for hit in search(shards_of(docs), size=50)]
    page = search(shards_of(docs, cuts), size=size, from_=from_)
    assert [(hit.id, hit.score) for hit in page] == whole[from_ : from_ + size]
    assert page.max_score == (whole[0][1] if whole else None)


def test_two_shards_reduce_as_segments_do() -> None:
    docs = [{"title": "a " * (number % 5), "n": number % 3} for number in range(30)]
    one, two = shards_of(docs, [7, 15]), shards_of(docs, [7, 15], shards=2)
    for sort in (["_score", "_id"], [{"n": "desc"}, "_id"]):
        assert [(hit.id, hit.sort) for hit in search(one, sort=sort)] == [
            (hit.id, hit.sort) for hit in search(two, sort=sort)
        ]


def test_equal_scores_are_in_order_of_the_last_write() -> None:
    docs = [{"title": "a"}] * 100
    assert [hit.id for hit in search(shards_of(docs, [40, 60]), size=70)] == [str(id) for id in range(70)]


def test_dates_sort_as_milliseconds_and_show_in_a_format_when_asked() -> None:
    shards = shards_of([{"day": "2020-02-01"}, {"day": "2019-01-01T00:00:00Z"}, {}])
    assert [hit.sort for hit in search(shards, Everything(), sort="day")] == [
        (1546300800000,),
        (1580515200000,),
        (None,),
    ]
    shown = search(shards, Everything(), sort={"day": {"order": "desc", "format": "yyyy-MM-dd"}})
    assert [hit.sort for hit in shown] == [("2020-02-01",), ("2019-01-01",), (None,)]
    later = search(shards, Everything(), sort="day", search_after=["2019-06-01"])
    assert [hit.id for hit in later] == ["0", "2"]


def test_a_stand_in_for_missing_and_a_search_after_value_may_fall_between_the_same_terms() -> None:
    shards = shards_of([{"tag": "~"}, {"tag": "a"}, {}], [1])
    sort = [{"tag": {"order": "desc", "missing": "b"}}]
    assert [hit.sort for hit in search(shards, sort=sort)] == [("~",), ("b",), ("a",)]
    for after, left in (("~", ["2", "1"]), ("c", ["2", "1"]), ("b", ["1"]), ("aa", ["1"])):
        assert [hit.id for hit in search(shards, sort=sort, search_after=[after])] == left


def test_search_after_values_that_no_document_has() -> None:
    shards = shards_of([{"n": 1, "tag": "b"}, {"n": 2, "tag": "d"}, {"n": 2**62}])
    assert [hit.id for hit in search(shards, sort="n", search_after=[1.5])] == ["1", "2"]
    assert [hit.id for hit in search(shards, sort="n", search_after=[2**80])] == []
    assert [hit.id for hit in search(shards, sort="n:desc", search_after=[2**62 - 1])] == ["1", "0"]
    assert [hit.id for hit in search(shards, sort="tag", search_after=["c"])] == ["1", "2"]
    assert [hit.id for hit in search(shards, sort="tag:desc", search_after=["zz"])] == ["1", "0", "2"]
    assert [hit.id for hit in search(shards, sort="tag", search_after=[None])] == []


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("yeer", "yeer"),
        ("tga", r"\[tag\]"),
        ("title", r"title.raw"),
        ({"n": "up"}, "up"),
        ({"n": {"ordr": "asc"}}, r"\[order\]"),
        ({"n": {"mode": "avg"}}, "avg"),
        ({"n": {"missing": "soon"}}, "soon"),
        ({"n": {"format": "yyyy"}}, "format"),
        ({"n": {"nested": {}}}, "nested"),
        (7, "7"),
        ([{}], r"sort\[0\]"),
        ([""], r"sort\[0\]"),
    ],
)
def test_bad_sorts_name_what_is_wrong(spec: Any, named: str) -> None:
    with pytest.raises(QueryError, match=named):
        parse_sort(spec, SCHEMA)


def test_a_field_that_is_nowhere_sorts_as_missing_when_its_type_is_given() -> None:
    shards = shards_of([{"n": 2}, {"n": 1}])
    found = search(shards, sort=[{"later": {"unmapped_type": "long"}}, "n"])
    assert [(hit.id, hit.sort) for hit in found] == [("1", (None, 1)), ("0", (None, 2))]
