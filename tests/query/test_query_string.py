"""The line syntax of query_string: what is found, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import quidditch
from quidditch import query as q
from quidditch.errors import LimitExceeded, QueryError
from quidditch.interface import Index

BOOKS = {
    "dune": {"title": "Dune", "text": "the desert planet Arrakis", "year": 1965, "tag": "sand"},
    "left": {"title": "The Left Hand of Darkness", "text": "a planet of ice", "year": 1969, "tag": "ice"},
    "neuro": {"title": "Neuromancer", "text": "the sky above the port", "year": 1984, "tag": "ice"},
    "gone": {"title": "Gone", "text": "a:b in the desert", "temperature": -5},
}


@pytest.fixture(scope="module")
def books() -> Iterator[Index]:
    mappings = {
        "properties": {
            "title": {"type": "text"},
            "text": {"type": "text"},
            "year": {"type": "long"},
            "temperature": {"type": "long"},
            "tag": {"type": "keyword"},
        }
    }
    with quidditch.connect(":memory:") as database:
        index = database.create_index("books", mappings)
        for id, book in BOOKS.items():
            index.add(book, id)
        yield index


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("desert ice", "dune gone left"),
        ("desert OR tag:ice", "dune gone left neuro"),
        ("text:desert", "dune gone"),
        ("text:(desert AND planet)", "dune"),
        ("text:(desert && planet) || title:gone", "dune gone"),
        ("desert NOT dune", "gone"),
        ("+planet -arrakis", "left"),
        ("planet !arrakis", "left"),
        ('"left hand"', "left"),
        ('title:"left darkness"', ""),
        ('title:"left darkness"~2', "left"),
        ("arr*", "dune"),
        ("tag:i*", "left neuro"),
        ("tag:I*", ""),
        ("year:*", "dune left neuro"),
        ("_exists_:temperature", "gone"),
        ("*:*", "dune gone left neuro"),
        ("*", "dune gone left neuro"),
        ("year:1965", "dune"),
        ("temperature:-5", "gone"),
        ("year:[1965 TO 1969]", "dune left"),
        ("year:{1965 TO 1969]", "left"),
        ("year:[1965 TO 1969}", "dune"),
        ("year:[* TO 1969}", "dune"),
        ("year:>=1969", "left neuro"),
        ("year:<1969 AND desert", "dune"),
        ("[1980 TO 1990]", "neuro"),
        ("t*:ice", "left neuro"),
        (r"text:a\:b", "gone"),
        ("_id:dune OR _id:gone", "dune gone"),
        ("(desert OR sky) AND NOT (arrakis OR port)", "gone"),
        ("unknown:word", ""),
        ("", ""),
        ("planet AND desert OR sky", "dune"),
    ],
)
def test_what_a_line_finds(books: Index, line: str, ids: str) -> None:
    found = books.search(q.QueryString(line))
    assert sorted(hit.id for hit in found) == ids.split()


def test_the_default_operator_joins_what_stands_side_by_side(books: Index) -> None:
    both = books.search({"query_string": {"query": "desert planet", "default_operator": "AND"}})
    assert [hit.id for hit in both] == ["dune"]
    either = books.search(q.QueryString("desert OR planet", default_operator="and"))
    assert either.total == 3


def test_fields_and_boosts(books: Index) -> None:
    assert books.count({"query_string": {"query": "dune", "default_field": "text"}}) == 0
    assert books.count({"query_string": {"query": "dune", "fields": ["text", "title"]}}) == 1
    plain = books.search(q.QueryString("dune", fields=("title",)))[0].score
    doubled = books.search(q.QueryString("dune^2", fields=("title",)))[0].score
    weighted = books.search(q.QueryString("dune", fields=("title^2",)))[0].score
    grouped = books.search(q.QueryString("(dune)^2", fields=("title",)))[0].score
    outer = books.search(q.QueryString("dune", fields=("title",), boost=2.0))[0].score
    assert plain is not None
    assert doubled == weighted == grouped == outer == pytest.approx(2 * plain)


def test_words_side_by_side_are_scored_by_the_best_field(books: Index) -> None:
    line = books.search(q.QueryString("the planet", fields=("title", "text")))
    spelled = books.search(q.MultiMatch("the planet", ["title", "text"]))
    assert [(hit.id, hit.score) for hit in line] == [(hit.id, hit.score) for hit in spelled]


def test_a_value_that_a_field_cannot_hold(books: Index) -> None:
    with pytest.raises(QueryError, match="year"):
        books.search(q.QueryString("year:abc"))
    assert books.count(q.QueryString("year:abc OR title:dune", lenient=True)) == 1


BROKEN = (
    '(dune|dune)|AND dune|dune AND|title:|dune OR OR gone|"dune|[1 TO|+-dune|dune~|d*ne|d?ne|/dune/|title:AND'
)


@pytest.mark.parametrize("line", BROKEN.split("|"))
def test_what_is_no_query_is_refused(books: Index, line: str) -> None:
    with pytest.raises(QueryError, match="query_string"):
        books.search(q.QueryString(line))


def test_parentheses_have_a_limit(books: Index) -> None:
    assert books.count(q.QueryString("(" * 20 + "dune" + ")" * 20)) == 1
    with pytest.raises(LimitExceeded, match="30 deep"):
        books.count(q.QueryString("(" * 50_000 + "dune" + ")" * 50_000))


def test_reading_and_writing_are_inverse() -> None:
    body = {
        "query_string": {
            "query": "a OR b",
            "fields": ["title^2"],
            "default_operator": "and",
            "lenient": True,
            "boost": 3.0,
        }
    }
    assert q.parse(body).to_dict() == body
    assert q.parse({"query_string": {"query": "a", "default_field": "b"}}) == q.QueryString(
        "a", fields=("b",)
    )
    with pytest.raises(QueryError, match="default_operator"):
        q.parse({"query_string": {"query": "a", "default_opertor": "and"}})
