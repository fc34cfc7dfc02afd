"""The plain string: what people type, what it means, and that nothing they type fails."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch import query as q
from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.query.plain import DEFAULT_FIELDS_LIMIT, parse_plain, rewrite_plain
from quidditch.query.primitive import Boolean, Everything, Nothing, ScoredPhrase
from quidditch.query.rewriting import RewriteContext
from quidditch.schema import Mapping


def mapping(**properties: Any) -> Mapping:
    return Mapping.parse({"properties": properties}, analyzers=ANALYZER_NAMES)


ONE = mapping(t={"type": "text"}, year={"type": "integer"}, seen={"type": "date"})
MANY = mapping(
    t={"type": "text", "fields": {"k": {"type": "keyword"}}},
    e={"type": "text", "analyzer": "english"},
    bare={"type": "text", "index_options": "docs"},
    letters={"type": "text", "analyzer": "simple"},
    k={"type": "keyword"},
    year={"type": "integer"},
    seen={"type": "date"},
    hidden={"type": "text", "index": False},
)
T = "t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dune herbert", q.Match(T, "dune herbert")),
        ('"dune herbert"', q.Phrase(T, "dune herbert")),
        ("dune -herbert", q.Bool(should=[q.Match(T, "dune")], must_not=[q.Match(T, "herbert")])),
        ('-"a b"', q.Bool(must_not=[q.Phrase(T, "a b")])),
        ("du*", q.Prefix(T, "du")),
        ("Du*", q.DisMax([q.Prefix(T, "du"), q.Prefix(T, "Du")], tie_breaker=0.1)),
        ("t:dune", q.Match(T, "dune")),
        ('t:"a b"', q.Phrase(T, "a b")),
        ("t:du*", q.Prefix(T, "du")),
        ("year:1984", q.Match("year", "1984", lenient=True)),
        ("seen:now/d", q.Match("seen", "now/d", lenient=True)),
        ("year:soon", q.Match(T, "year:soon")),
        ("http://x.org/y", q.Match(T, "http://x.org/y")),
        ("well-known a - b", q.Match(T, "well-known a - b")),
        ('say "it', q.Match(T, "say it")),
        ("_id:7", q.Ids("7")),
        ("*", q.MatchAll()),
        ("c**", q.Match(T, "c**")),
        (
            "year:1984 orwell",
            q.Bool(
                must=[q.Match("year", "1984", lenient=True)],
                should=[q.Match(T, "orwell")],
            ),
        ),
    ],
)
def test_what_people_type(text: str, expected: q.Query) -> None:
    assert parse_plain(text, ONE) == (expected, [])


def test_words_are_looked_for_in_text_and_keyword_fields() -> None:
    query, _ = parse_plain("dune", MANY)
    assert isinstance(query, q.DisMax)
    assert [leaf.field for leaf in query.queries if isinstance(leaf, q.Match)] == [
        "t",
        "e",
        "bare",
        "letters",
        "k",
    ]
    assert parse_plain("dune", MANY, ["e", "nowhere"])[0] == q.Match("e", "dune")


@pytest.mark.parametrize("text", ["", "  \t", '""', "\0"])
def test_an_empty_string_finds_nothing_and_says_so(text: str) -> None:
    query, notes = parse_plain(text, ONE)
    assert query == q.MatchNone()
    assert notes == ["The query is empty, so it finds nothing."]


def test_only_exclusions_find_everything_else() -> None:
    found, _ = rewrite_plain("-dune", RewriteContext(ONE, 0))
    assert getattr(found, "filter", None) == (Everything(),)


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ('"of the" fox', "fox"),
        ('fox "of the" "to be"', "fox"),
        ("e:the fox", "fox"),
        ('"of the" "red fox"', '"red fox"'),
        ('"of the" fox -dog', "fox -dog"),
        ('-"of the" fox', "fox"),
    ],
)
def test_a_phrase_of_stop_words_beside_others_says_nothing(text: str, same_as: str) -> None:
    stop = mapping(e={"type": "text", "analyzer": "english"})
    context = RewriteContext(stop, 0)
    assert rewrite_plain(text, context) == rewrite_plain(same_as, context)


def test_a_phrase_of_stop_words_is_looked_for_where_they_are_words() -> None:
    context = RewriteContext(mapping(t={"type": "text"}, e={"type": "text", "analyzer": "english"}), 0)
    found, _ = rewrite_plain('"of the" fox', context)
    assert isinstance(found, Boolean)
    assert found.must == (ScoredPhrase("t", (b"of", b"the"), (0, 1), 0, 1.0),)


@pytest.mark.parametrize("text", ['"of the"', '"of the" "to be"', '"of the" -dog'])
def test_nothing_but_stop_words_finds_nothing(text: str) -> None:
    stop = mapping(e={"type": "text", "analyzer": "english"})
    assert rewrite_plain(text, RewriteContext(stop, 0))[0] == Nothing()


def test_without_fields_nothing_is_found_and_a_note_says_so() -> None:
    query, notes = parse_plain("dune", mapping(n={"type": "long"}))
    assert query == q.MatchNone()
    assert any("no text or keyword field" in note for note in notes)


def test_many_fields_are_capped_with_a_note() -> None:
    wide = mapping(**{f"f{number}": {"type": "text"} for number in range(40)})
    query, notes = parse_plain("dune", wide)
    assert isinstance(query, q.DisMax)
    assert len(query.queries) == DEFAULT_FIELDS_LIMIT
    assert "40 fields" in notes[0]


LONG = [
    "word " * 100_000,
    "w" * 100_000,
    "北" * 50_000,
    "a1" * 20_000,
    "x.y-z " * 9000,
    '"' + "a b " * 9000 + '"',
    '"' * 50_001,
    "-a " * 5000,
    "a:" * 20_000,
    "🙂" * 20_000,
    "©" * 20_000,
    "Ab* " * 9000,
    "( ) [ ] { } ^ ~ AND OR NOT && || ! / \\ " * 500,
    "_id:x " * 9000,
    "é" * 40_000,
]


@pytest.mark.parametrize("fields", [ONE, MANY, mapping(**{f"f{n}": {"type": "text"} for n in range(40)})])
@pytest.mark.parametrize("text", LONG, ids=lambda text: text[:6].encode("ascii", "replace").decode())
def test_what_is_too_long_is_cut_and_noted(text: str, fields: Mapping) -> None:
    _, notes = rewrite_plain(text, RewriteContext(fields, 0))
    assert any("cut" in note for note in notes)


PIECES = st.sampled_from(
    [
        '"',
        "-",
        "*",
        ":",
        "t:",
        "year:",
        "k:",
        "seen:",
        "_id:",
        " ",
        "a",
        "The",
        "5",
        "日本",
        "é",
        "\ud800",
        "\0",
        "hidden:x",
    ]
)


@given(st.text() | st.lists(PIECES).map("".join))
def test_no_string_raises(text: str) -> None:
    for fields in (ONE, MANY):
        rewrite_plain(text, RewriteContext(fields, 0))
        query, _ = parse_plain(text, fields)
        assert q.parse(query.to_dict()) == query
