"""Every primitive, alone and nested, scores bit for bit as plain loops do, on any cut into segments and
shards."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_shard import SCHEMA, all_hits, shards_of
from plain_scoring import PlainIndex

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
from quidditch.search import phases

WORDS = ["a", "b", "c", "dd", "de"]
words = st.sampled_from(WORDS)
terms = words.map(str.encode)
texts = st.lists(words, max_size=8).map(" ".join)
tags = st.lists(st.sampled_from(["a", "B", "dd", "De", "é", "zz"]), max_size=3)
numbers = st.lists(st.integers(-3, 3), max_size=2)
floats = st.lists(st.sampled_from([-1.5, 0.0, 0.25, 3.0]), max_size=2)
docs = st.lists(
    st.fixed_dictionaries(
        {}, optional={"title": texts, "body": texts, "tag": tags, "n": numbers, "x": floats}
    ),
    min_size=1,
    max_size=14,
)
boosts = st.sampled_from([0.0, 0.5, 1.0, 3.0])
text_fields = st.sampled_from(["title", "body"])
bounds = st.one_of(st.none(), st.sampled_from([b"a", b"b", b"dd", b"x", "é".encode()]))


@st.composite
def phrases(draw: st.DrawFn, repeats: bool = False) -> ScoredPhrase:
    some = draw(st.lists(terms, min_size=2, max_size=4, unique=not repeats))
    steps = draw(st.lists(st.integers(0, 2), min_size=len(some) - 1, max_size=len(some) - 1))
    positions = [0]
    for step in steps:
        positions.append(positions[-1] + step)
    return ScoredPhrase(
        draw(text_fields), tuple(some), tuple(positions), draw(st.integers(0, 5)), draw(boosts)
    )


leaves: st.SearchStrategy[Primitive] = st.one_of(
    st.builds(Everything, boosts),
    st.just(Nothing()),
    st.builds(ScoredTerm, st.sampled_from(["title", "body", "tag"]), terms, boosts),
    phrases(),
    st.builds(
        TermSet,
        st.sampled_from(["title", "tag"]),
        st.sets(terms, min_size=1).map(lambda found: tuple(sorted(found))),
        boosts,
    ),
    st.builds(
        TermInterval, st.sampled_from(["title", "tag"]), bounds, bounds, st.booleans(), st.booleans(), boosts
    ),
    st.builds(
        TermPrefix,
        st.sampled_from(["title", "tag"]),
        st.sampled_from([b"d", b"D", b"dd", b"x"]),
        st.booleans(),
        boosts,
    ),
    st.builds(NumberInterval, st.just("n"), st.integers(-4, 4), st.integers(-4, 2**70), boosts),
    st.builds(NumberInterval, st.just("x"), st.floats(-2, 4), st.floats(-2, 4), boosts),
    st.builds(
        NumberSet, st.just("n"), st.sets(st.integers(-3, 5)).map(lambda found: tuple(sorted(found))), boosts
    ),
    st.builds(HasValue, st.sampled_from(["title", "tag"]), boosts),
    st.builds(HasId, st.lists(st.integers(0, 14).map(str), max_size=3).map(tuple), boosts),
)


@st.composite
def booleans(draw: st.DrawFn, children: st.SearchStrategy[Primitive]) -> Boolean:
    some = st.lists(children, max_size=2).map(tuple)
    should = draw(st.lists(children, max_size=4).map(tuple))
    must, filters = draw(some), draw(some)
    if not must and not filters and not should:
        filters = (Everything(),)
    return Boolean(must, filters, should, draw(some), draw(st.integers(0, len(should) + 1)))


queries = st.recursive(
    leaves,
    lambda children: st.one_of(
        st.builds(Constant, children, boosts),
        booleans(children),
        st.builds(
            BestOf, st.lists(children, min_size=1, max_size=3).map(tuple), st.sampled_from([0.0, 0.3, 1.0])
        ),
    ),
    max_leaves=8,
)
cuts = st.lists(st.integers(0, 14), max_size=3)
deletions = st.sets(st.integers(0, 13).map(str)).map(frozenset)


@given(docs=docs, query=queries, cuts=cuts, deleted=deletions, shards=st.integers(1, 2))
def test_scores_equal_plain_loops(
    docs: list[dict[str, Any]], query: Primitive, cuts: list[int], deleted: frozenset[str], shards: int
) -> None:
    plain = PlainIndex({str(id): doc for id, doc in enumerate(docs) if str(id) not in deleted})
    built = shards_of(docs, cuts, deleted, shards)
    expected = plain.scores(query)
    assert all_hits(built, query) == expected
    assert phases.count(built, query) == len(expected)
    assert {hit.id for hit in phases.scan(built, query, index="i", batch=2)} == set(expected)


@given(docs=docs, query=queries, cuts=cuts, deleted=deletions)
def test_explanations_equal_scores(
    docs: list[dict[str, Any]], query: Primitive, cuts: list[int], deleted: frozenset[str]
) -> None:
    shards = shards_of(docs, cuts, deleted)
    scores = all_hits(shards, query)
    for id in {str(number) for number in range(len(docs))} - deleted:
        assert phases.explain(shards, id, query, SCHEMA).value == scores.get(id, 0.0)


@given(docs=docs, query=phrases(), cuts=cuts)
def test_phrases_equal_plain_loops(docs: list[dict[str, Any]], query: ScoredPhrase, cuts: list[int]) -> None:
    plain = PlainIndex({str(id): doc for id, doc in enumerate(docs)})
    assert all_hits(shards_of(docs, cuts), query) == plain.scores(query)


@given(docs=docs, query=phrases(repeats=True))
def test_phrases_inside_bools_score_as_they_do_alone(docs: list[dict[str, Any]], query: ScoredPhrase) -> None:
    shards = shards_of(docs)
    alone = all_hits(shards, query)
    beside = Boolean(must=(query,), filter=(TermSet(query.field, (b"a",)),))
    assert all_hits(shards, beside).items() <= alone.items()


@pytest.mark.parametrize(
    ("text", "slop", "matches"),
    [("a", 3, False), ("a b", 3, False), ("a a", 0, True), ("a b a", 0, False), ("a b a", 1, True)],
)
def test_a_repeated_word_needs_two_tokens(text: str, slop: int, matches: bool) -> None:
    phrase = ScoredPhrase("title", (b"a", b"a"), (0, 1), slop)
    assert bool(all_hits(shards_of([{"title": text}]), phrase)) == matches


def test_many_terms_go_through_columns_and_flags() -> None:
    docs = [{"title": f"w{number:03}", "tag": [f"w{number:03}", "x"]} for number in range(200)]
    shards = shards_of(docs, [90])
    for field in ("title", "tag"):
        assert len(all_hits(shards, TermPrefix(field, b"w"))) == 200
        assert len(all_hits(shards, TermPrefix(field, b"w1"))) == 100
        assert len(all_hits(shards, TermInterval(field, b"w010", b"w150", False, True))) == 140
        assert (
            len(all_hits(shards, TermSet(field, tuple(b"w%03d" % number for number in range(0, 60, 2)))))
            == 30
        )


def test_pieces_of_a_list_score_as_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    docs = [{"title": "a b " * (number % 4) + "c" * (number % 2), "tag": "a"} for number in range(23)]
    shards = shards_of(docs, deleted=frozenset({"3", "8"}))
    either = Boolean(should=(ScoredTerm("title", b"a"), ScoredTerm("title", b"b"), ScoredTerm("tag", b"a")))
    within = Boolean(must=(ScoredTerm("title", b"a"),), filter=(ScoredTerm("title", b"c"),))
    for query in (ScoredTerm("title", b"a"), either, within, BestOf((either, within), 0.5)):
        whole = all_hits(shards, query)
        with monkeypatch.context() as patch:
            patch.setattr("quidditch.search.scorers.context.CHUNK", 4)
            assert all_hits(shards, query) == whole
