"""What is printed: nothing of a document reaches the terminal but its text."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quidditch_cli import hit_table, render
from quidditch_cli.searching import parse_sort
from rich.console import Console

from quidditch.interface import Hit

WICKED = "[red]bold[/red] \x1b[31mred\x1b[0m \x07\u202eevil\u2066 \x9b31m :smile: [link=http://x]y[/link]"


def printed(hits: list[Hit], fields: list[str], monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> str:
    out = io.StringIO()
    made = Console(
        file=out,
        force_terminal=terminal,
        width=100,
        color_system=None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    monkeypatch.setattr(render, "console", lambda file=None: made)
    hit_table.show(hits, fields)
    return out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_markup_and_escapes_of_documents_are_shown_not_obeyed(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    hits = [
        Hit(WICKED, 1.0, {"title": WICKED, WICKED: "x"}, highlight={"title": [f"{render.MARK_OPEN}{WICKED}"]})
    ]
    text = printed(hits, ["title", WICKED], monkeypatch, terminal=terminal)
    for harm in ("\x1b[31m", "\x07", "\u202e", "\u2066", "\x9b"):
        assert harm not in text
    assert "[red]" in text


@given(st.text(st.characters()))
def test_harmless_text_is_one_printable_line(text: str) -> None:
    line = render.harmless(text)
    assert line.splitlines() in ([], [line])
    line.encode()
    assert all(char.isprintable() or ord(char) > 0x9F for char in line)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_json_means_the_same_with_its_controls_escaped(value: dict[str, object]) -> None:
    text = render.to_json(value)
    assert json.loads(text) == value
    assert not any(0x7F <= ord(char) <= 0x9F or ord(char) < 0x20 for char in text)


def test_words_between_the_tags_are_set_off() -> None:
    line = render.marked(f"a {render.MARK_OPEN}date{render.MARK_CLOSE} or two")
    assert line.plain == "a date or two"
    assert [(span.start, span.end) for span in line.spans if span.style == render.MARKED] == [(2, 6)]


def test_in_a_pipe_rows_are_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    hits = [
        Hit("1", 2.5, {"title": "Dune", "text": "word " * 30}),
        Hit("2", 1.25, {"title": "Emma", "text": "x"}),
    ]
    hit_table.show(hits, [])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:4] == ["1", "2.500", "1", "Dune"]
    assert len(lines[1]) > 120
    assert lines[2] == lines[2].rstrip()


def test_the_fields_that_say_most_are_chosen() -> None:
    hits = [Hit("1", 1.0, {"year": 1, "tag": "x", "name": "Dune", "plot": "a long story of sand"})]
    assert hit_table.telling_fields(hits) == ["name", "plot"]
    assert hit_table.telling_fields([Hit("1", 1.0, {"year": 1})]) == ["year"]
    assert hit_table.telling_fields([]) == []


def test_values_at_dotted_paths() -> None:
    source = {"a": {"b": [{"c": 1}, {"c": 2}, 3]}, "x.y": 4}
    assert render.value_at(source, "a.b.c") == [1, 2]
    assert render.value_at(source, "x.y") == 4
    assert render.value_at(source, "a.z") is None
    assert render.value_at(source, "q.r") is None


def test_short_texts() -> None:
    assert render.shorten("one two three", 100) == "one two three"
    assert render.shorten("one two three", 9) == "one two…"
    assert render.value_text(["a", 1, True]) == "a, 1, true"
    assert render.value_text({"a": None}) == '{"a":null}'
    assert render.size_text(10) == "10 B"
    assert render.size_text(1536) == "1.5 KiB"
    assert render.counted(1, "index") == "1 index"
    assert render.counted(1234, "index") == "1,234 indices"


def test_sorts_as_they_are_typed() -> None:
    assert parse_sort("year:desc, _id") == [{"year": {"order": "desc"}}, "_id"]
    assert parse_sort('{"year": "asc"}') == [{"year": "asc"}]
    assert parse_sort('["_score"]') == ["_score"]
    with pytest.raises(Exception, match="asc or desc"):
        parse_sort("year:down")
