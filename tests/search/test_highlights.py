"""Highlights: which words are marked, where texts are cut, and which fragments are chosen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_shard import SCHEMA

from quidditch.query.primitive import (
    Boolean,
    Primitive,
    ScoredPhrase,
    ScoredTerm,
    TermInterval,
    TermPrefix,
    TermSet,
)
from quidditch.search.highlight.highlighter import Highlighter
from quidditch.search.highlight.options import parse_highlight

LONG = (
    "The first sentence speaks of nothing much. The second one is about a fox! Then there is a third, longer "
    "sentence that has no animal in it at all, and goes on for quite a while. A fox and a dog meet here. "
    "The end of the text has one more fox."
)


def highlight(source: Any, query: Primitive, spec: Any = True) -> dict[str, list[str]]:
    parsed = parse_highlight(spec, SCHEMA)
    assert parsed is not None
    source = {"title": source} if isinstance(source, str | list) else source
    return Highlighter(SCHEMA, query, parsed).highlight(source)


def term(text: str, field: str = "title") -> ScoredTerm:
    return ScoredTerm(field, text.encode())


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("Quick Fox", term("fox"), "Quick <em>Fox</em>"),
        ("foxes fox", TermPrefix("title", b"fo"), "<em>foxes</em> <em>fox</em>"),
        ("Foxes fox", TermPrefix("title", b"FO", ignore_case=True), "<em>Foxes</em> <em>fox</em>"),
        ("a b c d", TermInterval("title", b"b", b"d", include_upper=False), "a <em>b</em> <em>c</em> d"),
        ("a b c", TermSet("title", (b"a", b"c")), "<em>a</em> b <em>c</em>"),
        (
            "left hand left",
            ScoredPhrase("title", (b"left", b"hand"), (0, 1)),
            "<em>left</em> <em>hand</em> left",
        ),
        (
            "hand of left",
            ScoredPhrase("title", (b"left", b"hand"), (0, 1), 4),
            "<em>hand</em> of <em>left</em>",
        ),
        ("a b", Boolean(must=(term("a"),), must_not=(term("b"),)), "<em>a</em> b"),
        ("東京都庁", ScoredPhrase("title", ("東京".encode(), "京都".encode()), (0, 1)), "<em>東京都</em>庁"),
    ],
)
def test_marks(text: str, query: Primitive, marked: str) -> None:
    assert highlight(text, query) == {"title": [marked]}


def test_nothing_to_mark_gives_no_entry() -> None:
    assert highlight("a b", term("c")) == {}
    assert highlight({"body": "a"}, term("a"), "body") == {}
    assert highlight({}, term("a")) == {}


def test_fragments_are_sentences_and_the_best_come_first_by_score() -> None:
    query = Boolean(should=(term("fox"), term("dog")))
    found = highlight(LONG, query, {"fields": {"title": {"fragment_size": 40, "number_of_fragments": 2}}})
    assert found["title"] == [
        "The second one is about a <em>fox</em>!",
        "A <em>fox</em> and a <em>dog</em> meet here.",
    ]
    ranked = highlight(LONG, query, {"fields": {"title": {"fragment_size": 40}}, "order": "score"})
    assert ranked["title"][0] == "A <em>fox</em> and a <em>dog</em> meet here."


def test_whole_values_without_cutting() -> None:
    found = highlight(
        [LONG, "no animal", "fox"], term("fox"), {"fields": {"title": {"number_of_fragments": 0}}}
    )
    assert len(found["title"]) == 2
    assert found["title"][0].replace("<em>", "").replace("</em>", "") == LONG


def test_options() -> None:
    tags = {"fields": {"title": {"pre_tags": ["["], "post_tags": "]"}}, "encoder": "html", "pre_tags": ["<"]}
    assert highlight("<b> & fox", term("fox"), tags) == {"title": ["&lt;b&gt; &amp; [fox]"]}
    other_field = {"fields": {"title": {}}, "require_field_match": False}
    assert highlight("fox", term("fox", "body"), other_field) == {"title": ["<em>fox</em>"]}
    assert highlight("fox", term("fox", "body"), "title") == {}
    start = {"fields": {"title": {"no_match_size": 9}}}
    assert highlight("quick brown fox", term("dog"), start) == {"title": ["quick"]}


def test_multi_fields_take_the_text_of_their_source() -> None:
    found = highlight("Quick Fox", term("Quick Fox", "title.raw"), ["title.raw"])
    assert found == {"title.raw": ["<em>Quick Fox</em>"]}


@given(
    text=st.lists(st.sampled_from(["fox", "dog", "x" * 30, "東京", ".", "! ", "\n", "a"]), max_size=40).map(
        " ".join
    ),
    size=st.integers(1, 50),
    number=st.integers(0, 5),
)
def test_fragments_are_parts_of_the_text_with_balanced_marks(text: str, size: int, number: int) -> None:
    spec = {"fields": {"title": {"fragment_size": size, "number_of_fragments": number}}}
    fragments = highlight(text, Boolean(should=(term("fox"), term("dog"))), spec).get("title", [])
    assert bool(fragments) == ("fox" in text or "dog" in text)
    assert len(fragments) <= (number or 1)
    for fragment in fragments:
        assert fragment.count("<em>") == fragment.count("</em>") > 0
        assert fragment.replace("<em>", "").replace("</em>", "") in text
