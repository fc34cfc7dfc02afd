"""Random documents, writes and queries for the laws, small enough that everything collides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st
from oracle import Answer, Oracle

from quidditch.interface import Database, Index, SearchResult

TYPES = {
    "title": "text",
    "body": "text",
    "tag": "keyword",
    "n": "long",
    "x": "double",
    "flag": "boolean",
    "day": "date",
    "owner.name": "text",
}
MAPPINGS: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {
        "title": {"type": "text"},
        "body": {"type": "text"},
        "tag": {"type": "keyword"},
        "n": {"type": "long"},
        "x": {"type": "double"},
        "flag": {"type": "boolean"},
        "day": {"type": "date"},
        "owner": {"properties": {"name": {"type": "text"}}},
    },
}

Clause: TypeAlias = dict[str, Any]
NAMES = count()

# ------------------------------------------------------------------------------------------------ documents

WORDS = ("ash", "bee", "cup", "dune", "elk", "a1", "7")
TAGS = ("red", "green", "Blue", "re d")
DAYS = ("2020-01-01", "2020-01-02T03:04:05Z", "2021-12-31T23:59:59.999Z", "1969-07-20", 86_400_000)
# In a query a day without a time is the whole day, which the date cases test; the laws ask for moments.
MOMENTS = tuple(day for day in DAYS if not isinstance(day, str) or "T" in day)
NUMBERS = (-3, 0, 1, 2, 2**53 + 1, -(2**63), 2**63 - 1)
REALS = (-1.5, 0.0, 0.1, 2.0, 1e300)
IDS = tuple(f"d{number}" for number in range(12))

words = st.sampled_from(WORDS)
texts = st.lists(words, max_size=9).map(lambda found: "  ".join(found).title())


def one_or_more(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, st.lists(st.one_of(values, st.none()), max_size=3), st.none())


documents: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "title": one_or_more(texts),
        "body": one_or_more(texts),
        "tag": one_or_more(st.sampled_from(TAGS)),
        "n": one_or_more(st.sampled_from(NUMBERS)),
        "x": one_or_more(st.sampled_from(REALS)),
        "flag": one_or_more(st.sampled_from((True, False, "true", "false"))),
        "day": one_or_more(st.sampled_from(DAYS)),
        "owner": st.fixed_dictionaries({"name": one_or_more(texts)}),
    },
)


@dataclass(frozen=True)
class Write:
    """One write as a user asks for it."""

    op: Literal["add", "update", "delete"]
    id: str
    source: dict[str, Any]


writes: st.SearchStrategy[Write] = st.builds(
    Write,
    op=st.sampled_from(("add", "add", "add", "add", "update", "delete")),
    id=st.sampled_from(IDS),
    source=documents,
)
histories: st.SearchStrategy[list[Write]] = st.lists(writes, min_size=1, max_size=30)


def write_oracle(history: Iterable[Write]) -> Oracle:
    oracle = Oracle(TYPES)
    for write in history:
        if write.op == "add":
            oracle.add(write.id, write.source)
        elif write.op == "delete":
            oracle.delete(write.id)
        elif write.id in oracle.docs:
            oracle.update(write.id, write.source)
        else:
            oracle.add(write.id, write.source)
    return oracle


def write_one(index: Index, write: Write) -> None:
    if write.op == "add":
        index.add(write.source, id=write.id)
    elif write.op == "delete":
        index.delete(write.id)
    else:
        index.update(write.id, write.source, doc_as_upsert=True)


def bulk_actions(history: Iterable[Write]) -> Iterator[dict[str, Any]]:
    """The same writes as the lines of a bulk request."""
    for write in history:
        if write.op == "add":
            yield {"index": {"_id": write.id}}
            yield write.source
        elif write.op == "delete":
            yield {"delete": {"_id": write.id}}
        else:
            yield {"update": {"_id": write.id}}
            yield {"doc": write.source, "doc_as_upsert": True}


@contextmanager
def new_index(database: Database) -> Iterator[Index]:
    """An empty index of its own for one example."""
    name = f"law-{next(NAMES)}"
    try:
        yield database.create_index(name, mappings=MAPPINGS)
    finally:
        database.delete_index(name)


# -------------------------------------------------------------------------------------------------- queries

boosts = st.sampled_from((0.5, 1.0, 2.0, 3.7))
text_fields = st.sampled_from(("title", "body", "owner.name"))
query_texts = st.lists(words, min_size=1, max_size=4).map(" ".join)


def options(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


matches = st.builds(
    lambda path, text, more: {"match": {path: {"query": text, **more}}},
    text_fields,
    query_texts,
    st.one_of(
        options(boost=boosts),
        st.just({"operator": "and"}),
        options(minimum_should_match=st.sampled_from((1, "-1", "75%", "-25%", "50%"))),
    ),
)
phrases = st.builds(
    lambda path, found, more: {"match_phrase": {path: {"query": " ".join(found), **more}}},
    text_fields,
    st.lists(words, min_size=1, max_size=3, unique=True),
    options(slop=st.integers(0, 6), boost=boosts),
)
repeating_phrases = st.builds(
    lambda path, found: {"match_phrase": {path: " ".join(found)}},
    text_fields,
    st.lists(st.sampled_from(WORDS[:2]), min_size=2, max_size=4),
)
multi_matches = st.builds(
    lambda text, fields, kind, more: {"multi_match": {"query": text, "fields": fields, "type": kind, **more}},
    query_texts,
    st.lists(st.sampled_from(("title", "body^2", "owner.name^0.3")), min_size=1, max_size=3, unique=True),
    st.sampled_from(("best_fields", "most_fields")),
    options(operator=st.sampled_from(("or", "and"))),
)
terms = st.one_of(
    st.builds(lambda path, word: {"term": {path: word}}, text_fields, words),
    st.builds(
        lambda tag, boost: {"term": {"tag": {"value": tag, "boost": boost}}}, st.sampled_from(TAGS), boosts
    ),
    st.builds(lambda number: {"term": {"n": number}}, st.sampled_from(NUMBERS)),
    st.builds(lambda real: {"term": {"x": {"value": real}}}, st.sampled_from(REALS)),
    st.builds(lambda flag: {"term": {"flag": flag}}, st.booleans()),
    st.builds(lambda day: {"term": {"day": day}}, st.sampled_from(MOMENTS)),
    st.builds(lambda tags: {"terms": {"tag": tags}}, st.lists(st.sampled_from(TAGS), min_size=1, max_size=3)),
    st.builds(
        lambda all_: {"terms": {"n": all_}}, st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3)
    ),
)


def ranges_over(path: str, values: tuple[Any, ...]) -> st.SearchStrategy[Clause]:
    lower = st.one_of(options(gte=st.sampled_from(values)), options(gt=st.sampled_from(values)))
    upper = st.one_of(options(lte=st.sampled_from(values)), options(lt=st.sampled_from(values)))
    return st.builds(
        lambda low, high, more: {"range": {path: {**low, **high, **more}}},
        lower,
        upper,
        options(boost=boosts),
    )


ranges = st.one_of(
    ranges_over("n", NUMBERS), ranges_over("x", REALS), ranges_over("day", MOMENTS), ranges_over("tag", TAGS)
)
others = st.one_of(
    st.just({"match_all": {}}),
    st.just({"match_none": {}}),
    st.builds(lambda path: {"exists": {"field": path}}, st.sampled_from(("tag", "n", "x", "flag", "day"))),
    st.builds(lambda ids: {"ids": {"values": ids}}, st.lists(st.sampled_from(IDS), max_size=4)),
    st.builds(
        lambda path, start: {"prefix": {path: start}},
        st.sampled_from(("title", "body", "tag")),
        st.sampled_from(("a", "re", "B", "du", "z")),
    ),
)
leaves = st.one_of(matches, phrases, repeating_phrases, multi_matches, terms, ranges, others)


def bool_of(clauses: st.SearchStrategy[Clause]) -> st.SearchStrategy[Clause]:
    some = st.lists(clauses, min_size=1, max_size=3)
    return st.builds(
        lambda body: {"bool": body}, options(must=some, should=some, filter=some, must_not=some, boost=boosts)
    )


def compound(clauses: st.SearchStrategy[Clause]) -> st.SearchStrategy[Clause]:
    return st.one_of(
        bool_of(clauses),
        st.builds(
            lambda should, least: {
                "bool": {"should": should, "minimum_should_match": min(least, len(should))}
            },
            st.lists(clauses, min_size=1, max_size=3),
            st.integers(1, 3),
        ),
        st.builds(lambda body, boost: {"constant_score": {"filter": body, "boost": boost}}, clauses, boosts),
        st.builds(
            lambda bodies, tie: {"dis_max": {"queries": bodies, "tie_breaker": tie}},
            st.lists(clauses, min_size=1, max_size=3),
            st.sampled_from((0.0, 0.3, 1.0)),
        ),
    )


queries: st.SearchStrategy[Clause] = st.recursive(leaves, compound, max_leaves=6)
sorts: st.SearchStrategy[list[dict[str, str]]] = st.lists(
    st.builds(
        lambda path, direction: {path: direction},
        st.sampled_from(("_score", "tag", "n", "x", "day")),
        st.sampled_from(("asc", "desc")),
    ),
    max_size=2,
    unique_by=lambda level: next(iter(level)),
)

# -------------------------------------------------------------------------------------------------- answers


def as_answer(result: SearchResult) -> Answer:
    assert result.total is not None
    return Answer([hit.id for hit in result], [hit.score for hit in result], result.total)


def visible(index: Index, asked: Iterable[Clause]) -> list[Any]:
    """Everything a reader can see of an index, but for how it is stored."""
    pages = [as_answer(index.search(clause, size=50)) for clause in asked]
    everything = {
        document.id: (document.source, document.version, document.seq_no)
        for document in index.mget(list(IDS))
        if document is not None
    }
    scanned = sorted((hit.id, repr(hit.source)) for hit in index.scan())
    return [pages, everything, scanned, len(index), index.stats().documents]
