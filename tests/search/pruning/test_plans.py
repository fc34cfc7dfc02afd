"""Which queries have a plan, and that a plan's documents are the query's."""

from __future__ import annotations

import pytest
from memory_shard import SCHEMA, MemoryShard, shards_of
from pyroaring import BitMap

from quidditch.interface import CollectionStats
from quidditch.query.primitive import (
    BestOf,
    Boolean,
    Constant,
    Everything,
    NumberInterval,
    Primitive,
    ScoredPhrase,
    ScoredTerm,
)
from quidditch.search.phases import similarities_of
from quidditch.search.pruning.bounded import terms_of
from quidditch.search.pruning.plan import plan_of
from quidditch.search.pruning.top import TermSumSearch
from quidditch.search.weight import Weight, bind, scored_terms


def term(word: str, boost: float = 1.0, field: str = "title") -> ScoredTerm:
    return ScoredTerm(field, word.encode(), boost)


A, B, C, TAG = term("a"), term("b"), term("c"), term("red", field="tag")
FEW = NumberInterval("n", 0, 3)
SUM = Boolean(should=(A, B), minimum_should_match=1)

SUMS_OF_TERMS: dict[str, Primitive] = {
    "a term": A,
    "a keyword": TAG,
    "a term, filtered": Boolean(must=(A,), filter=(FEW,)),
    "a term beside a filter": Boolean(should=(A,), filter=(FEW,)),
    "a term required as a filter too": Boolean(must=(A,), filter=(A, FEW)),
    "any of": SUM,
    "any of, twice the same": Boolean(should=(A, B, A)),
    "all of": Boolean(must=(A, B)),
    "all of the optional": Boolean(should=(A, B), minimum_should_match=2),
    "some required": Boolean(must=(A,), should=(B, C)),
    "required, filtered, excluded": Boolean(must=(A,), should=(B,), filter=(FEW, C), must_not=(TAG,)),
    "any of, excluded": Boolean(should=(A, B), must_not=(C,)),
    "optional beside a filter": Boolean(filter=(FEW,), should=(A, B)),
    "one of beside a filter": Boolean(filter=(FEW,), should=(A, B), minimum_should_match=1),
    "all of beside a filter": Boolean(filter=(FEW,), should=(A, B), minimum_should_match=2),
    "a sum, filtered": Boolean(must=(SUM,), filter=(FEW,)),
    "a sum, filtered twice": Boolean(must=(Boolean(must=(SUM,), filter=(FEW,)),), must_not=(C,)),
    "a missing term": Boolean(must=(A,), should=(term("z"),)),
    "a missing term required": Boolean(must=(A, term("z"))),
}

NO_SUMS_OF_TERMS: dict[str, Primitive] = {
    "everything": Everything(),
    "a constant": Boolean(should=(A, Constant(B, 2.0))),
    "of no worth": Boolean(should=(A, term("b", 0.0))),
    "below float32": Boolean(should=(A, term("b", 1e-40))),
    "two of three": Boolean(should=(A, B, C), minimum_should_match=2),
    "one of two beside a must": Boolean(must=(C,), should=(A, B), minimum_should_match=1),
    "more than there are": Boolean(should=(A, B), minimum_should_match=3),
    "more than none": Boolean(must=(SUM,), minimum_should_match=1),
    "the best of": BestOf((A, B)),
    "a phrase": ScoredPhrase("title", (b"a", b"b"), (0, 1)),
    "filters alone": Boolean(filter=(A, B)),
    "a sum in a sum": Boolean(must=(SUM, C)),
}


@pytest.fixture(scope="module")
def shard() -> MemoryShard:
    docs = [
        {
            "title": " ".join(word for word, step in (("a", 2), ("b", 3), ("c", 5)) if number % step == 0),
            "tag": ["red"] if number % 4 == 0 else [],
            "n": number % 9,
        }
        for number in range(60)
    ]
    return shards_of(docs, deleted=frozenset({"0", "6", "30"}))[0]


def bound(shard: MemoryShard, query: Primitive) -> Weight:
    similarities = similarities_of(query, SCHEMA)
    with shard.snapshot() as snapshot:
        stats = CollectionStats.total(
            [snapshot.statistics(similarities, list(scored_terms(query, similarities)))]
        )
    return bind(query, stats, similarities)


@pytest.mark.parametrize("name", SUMS_OF_TERMS)
def test_a_plan_matches_what_its_query_does(name: str, shard: MemoryShard) -> None:
    plan = plan_of(bound(shard, SUMS_OF_TERMS[name]))
    assert plan is not None
    with shard.snapshot() as snapshot:
        context = snapshot._context(0)
        matching = context.live_matches(SUMS_OF_TERMS[name])
        search = TermSumSearch(plan, context)
        assert search.total() == len(matching)
        found = search.top(1000, 0.0)
    assert found is not None
    assert BitMap(found.docs.tolist()) == matching
    assert not plan.holds_terms or (found.scores > 0).all()


@pytest.mark.parametrize("name", NO_SUMS_OF_TERMS)
def test_other_shapes_have_no_plan(name: str, shard: MemoryShard) -> None:
    assert plan_of(bound(shard, NO_SUMS_OF_TERMS[name])) is None


def test_terms_of_nested_queries_are_found_in_order(shard: MemoryShard) -> None:
    query = BestOf((Boolean(must=(B,), filter=(FEW,)), Boolean(should=(A, SUM)), A), 0.5)
    found = terms_of(bound(shard, query))
    assert found is not None
    assert [weight.primitive for weight in found] == [B, A, A, B, A]


@pytest.mark.parametrize(
    "query",
    [
        BestOf((A, Everything())),
        BestOf((A, B), 1.5),
        BestOf((A, term("b", 0.0))),
        Boolean(must=(A,), should=(Constant(B),)),
        Boolean(must=(A,), should=(ScoredPhrase("title", (b"a", b"b"), (0, 1)),)),
        Boolean(filter=(A,)),
    ],
)
def test_a_clause_that_is_no_term_leaves_no_bound(query: Primitive, shard: MemoryShard) -> None:
    assert terms_of(bound(shard, query)) is None


def test_the_one_term_of_a_filtered_query_is_not_required_besides(shard: MemoryShard) -> None:
    weight = bound(shard, Boolean(must=(A,), filter=(FEW,)))
    plan = plan_of(weight)
    assert plan is not None
    assert plan.any_term
    assert plan.required == (FEW,)
