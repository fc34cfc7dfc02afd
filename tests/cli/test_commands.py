"""The other commands: what they print for people and programs, and what they say to those who mistyped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import command_line
import pytest
from command_line import Run
from quidditch_cli import admin
from quidditch_cli.failures import MEANINGS
from quidditch_cli.main import app
from typer.main import get_command

run, books = command_line.run, command_line.books


def test_search_prints_a_table_and_the_totals(books: Run) -> None:
    lines = books("search", "shelf", "books", "planet").out.splitlines()
    assert lines[0].split() == ["#", "score", "id", "title", "plot"]
    assert {line.split()[2] for line in lines[1:3]} == {"dune", "solaris"}
    assert lines[3].startswith("2 of 2 hits in ")


def test_search_words_need_no_quotes(books: Run) -> None:
    assert books("search", "shelf", "books", "desert", "spice").out.splitlines()[1].split()[2] == "dune"


def test_search_as_json_is_the_response_body(books: Run) -> None:
    body = books("search", "shelf", "books", "planet", "--size", "1", "--json").json
    assert body["hits"]["total"] == {"value": 2, "relation": "eq"}
    assert len(body["hits"]["hits"]) == 1
    assert body["hits"]["hits"][0]["_source"]["year"] in (1961, 1965)
    assert body["timed_out"] is False


def test_search_with_a_clause_a_filter_a_sort_and_pages(books: Run) -> None:
    clause = '{"match": {"plot": "planet"}}'
    assert (
        books("search", "shelf", "books", clause, "--filter", "desert", "--json").json["hits"]["total"][
            "value"
        ]
        == 1
    )
    sorted_lines = books(
        "search", "shelf", "books", "--sort", "year:desc", "--field", "year"
    ).out.splitlines()
    assert [line.split()[-1] for line in sorted_lines[1:4]] == ["1965", "1961", "1815"]
    page = books("search", "shelf", "books", "--sort", "year", "--from", "1", "--size", "1", "--json").json
    assert [hit["_id"] for hit in page["hits"]["hits"]] == ["solaris"]


def test_search_with_a_whole_body(books: Run) -> None:
    Path("body.json").write_text('{"query": {"term": {"title.keyword": "Emma"}}, "size": 5}')
    found = books("search", "shelf", "books", "--body", "body.json", "--json").json
    assert [hit["_id"] for hit in found["hits"]["hits"]] == ["emma"]
    books("search", "shelf", "books", "x", "--body", "body.json", code=2)


def test_search_shows_the_fields_asked_for(books: Run) -> None:
    header = books(
        "search", "shelf", "books", "planet", "--field", "year", "--field", "plot"
    ).out.splitlines()[0]
    assert header.split() == ["#", "score", "id", "year", "plot"]


def test_search_explains(books: Run) -> None:
    text = books("search", "shelf", "books", "desert", "--explain").out
    score = books("search", "shelf", "books", "desert", "--json").json["hits"]["max_score"]
    assert "dune\n" in text
    assert f"{score:.4f}"[:5] in text.split("dune\n")[-1]


def test_a_search_without_hits_says_so_and_succeeds(books: Run) -> None:
    text = books("search", "shelf", "books", "zeppelin").out
    assert text.startswith("no hits for zeppelin among 3 documents in ")
    assert books("search", "shelf", "books", "", "--json").code == 0


@pytest.mark.parametrize(
    "query", ['"', "(((", "a:b:c", "title:", "AND OR NOT", "*", "-", "+", "\\", "a" * 5000, "\x1b[31m", "🙂"]
)
def test_any_plain_query_is_answered(books: Run, query: str) -> None:
    books("search", "shelf", "books", "--", query)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (['{"match": '], "query"),
        (['{"mtach": {"title": "x"}}'], "match"),
        (['{"match": {"title": {"qurey": "x"}}}'], "query"),
        (["x", "--filter", '{"nope": {}}'], "nope"),
        (["x", "--sort", "year:down"], "asc or desc"),
        (["x", "--sort", "nowhere"], "nowhere"),
        (["x", "--aggs", "{"], "--aggs"),
    ],
)
def test_queries_that_are_not_right_are_one_sentence(books: Run, words: list[str], reason: str) -> None:
    done = books("search", "shelf", "books", *words, code=1)
    assert reason in done.err
    assert done.err.startswith("quidditch: ")
    assert len(done.err.splitlines()) == 1


def test_errors_as_json(books: Run) -> None:
    done = books("search", "shelf", "books", '{"mtach": {}}', "--json", code=1)
    body = json.loads(done.err)
    assert body["status"] == 400
    assert body["error"]["type"]
    assert "mtach" in body["error"]["reason"]
    assert done.out == ""


def test_get(books: Run) -> None:
    text = books("get", "shelf", "books", "dune").out
    assert text.startswith("dune  version 1")
    assert "A desert planet" in text
    body = books("get", "shelf", "books", "dune", "--json").json
    assert (body["_id"], body["_version"], body["found"]) == ("dune", 1, True)
    several = books("get", "shelf", "books", "dune", "nobody", "--json", code=1).json
    assert [doc["found"] for doc in several["docs"]] == [True, False]
    assert "no document 'nobody'" in books("get", "shelf", "books", "nobody", code=1).err


def test_delete(books: Run) -> None:
    assert books("delete", "shelf", "books", "dune").out == "1 document deleted from books\n"
    assert "no document 'dune'" in books("delete", "shelf", "books", "dune", code=1).err
    assert books("delete", "shelf", "books", "emma", "--json").json["result"] == "deleted"
    assert books("count", "shelf", "books").out == "1\n"
    books("delete", "shelf", "books", code=2)


def test_delete_a_whole_index(books: Run) -> None:
    books("delete", "shelf", "books", "--whole-index", code=2)
    assert "with 3 documents" in books("delete", "shelf", "books", "--whole-index", "--yes").out
    assert "no index in shelf" in books("indices", "shelf").out


def test_count(books: Run) -> None:
    assert books("count", "shelf", "books", "planet").out == "2\n"
    assert books("count", "shelf", "books", '{"term": {"year": 1815}}', "--json").json == {"count": 1}


def test_indices_and_stats(books: Run) -> None:
    books("index", "shelf", "other", "-", input='{"a": "b c"}\n')
    lines = books("indices", "shelf").out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["books", "3"], ["other", "1"]]
    assert [row["index"] for row in books("indices", "shelf", "--json").json] == ["books", "other"]
    assert "documents" in books("stats", "shelf", "books").out
    found = books("stats", "shelf", "books", "--json").json
    assert found["documents"] == 3
    assert found["size_bytes"] > 0


def test_analyze(books: Run) -> None:
    text = books("analyze", "shelf", "books", "The Foxes", "--analyzer", "english").out
    assert text.splitlines()[1].split()[1] == "fox"
    tokens = books("analyze", "shelf", "books", "Two words", "--field", "title", "--json").json["tokens"]
    assert [token["token"] for token in tokens] == ["two", "words"]
    assert books("analyze", "shelf", "books", "--", "...").out == "no tokens\n"
    assert "nope" in books("analyze", "shelf", "books", "x", "--analyzer", "nope", code=1).err


def test_merge(books: Run) -> None:
    books("index", "shelf", "books", "books.jsonl")
    assert "merged into" in books("merge", "shelf", "books").out
    after = books("merge", "shelf", "books", "--json").json["after"]
    assert after["segments"] <= 1
    assert after["documents"] == 3


def test_version(run: Run) -> None:
    number = admin.__version__
    assert run("version").out.startswith(f"quidditch {number}\npython 3.")
    assert run("--version").out == f"quidditch {number}\n"
    assert run("version", "--json").json["quidditch"] == number


# ------------------------------------------------------------------------------------- typing mistakes


def test_a_mistyped_command(run: Run) -> None:
    assert "search" in run("serach", "shelf", "books", code=2).err


@pytest.mark.parametrize("command", ["search", "count"])
def test_a_word_to_leave_out_that_is_no_option(books: Run, command: str) -> None:
    refused = books(command, "shelf", "books", "dune", "-messiah", code=2)
    assert "No such option: -m" in refused.err
    assert "put -- before it" in refused.err
    books(command, "shelf", "books", "dune -messiah")
    books(command, "shelf", "books", "--", "dune", "-messiah")
    assert "put --" not in books("stats", "shelf", "books", "-messiah", code=2).err


def test_a_field_called_id_is_told_from_the_id(run: Run) -> None:
    run("index", "shelf", "rows", "-", "--format", "csv", input="id,title\n1,Dune\n")
    shown = run("search", "shelf", "rows", "dune", "--field", "id", "--field", "title").out
    assert shown.split("\n")[0].split() == ["#", "score", "_id", "id", "title"]


@pytest.mark.parametrize("command", ["search", "get", "count", "stats", "merge", "analyze", "delete"])
def test_a_mistyped_index_or_directory(books: Run, command: str) -> None:
    rest = ["x"] if command in ("search", "get", "analyze", "delete") else []
    wrong_name = books(command, "shelf", "boks", *rest, code=1)
    assert "no index 'boks' in shelf; did you mean 'books'?" in wrong_name.err
    wrong_place = books(command, "shlef", "books", *rest, code=1)
    assert "there is no directory shlef; did you mean shelf?" in wrong_place.err
    assert "quidditch index shlef NAME FILE" in wrong_place.err
    assert not Path("shlef").exists()


def test_a_directory_without_indices(run: Run) -> None:
    Path("empty").mkdir()
    done = run("search", "empty", "books", "x", code=1)
    assert "empty" in done.err
    assert not list(Path("empty").iterdir())


def test_a_file_where_the_directory_should_be(run: Run) -> None:
    Path("shelf").write_text("not a directory")
    assert "shelf" in run("search", "shelf", "books", "x", code=4).err


def test_a_server_that_is_not_there_is_one_sentence(run: Run) -> None:
    done = run("search", "http://127.0.0.1:1", "books", "x", code=4)
    assert "127.0.0.1:1" in done.err
    assert len(done.err.splitlines()) == 1


# ------------------------------------------------------------------------------------------------ help


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The full name of each command, those of groups in their groups, and the command."""
    for own, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name}{own} ")
        if not hasattr(command, "commands"):
            yield f"{name}{own}", command


COMMANDS = dict(sorted(commands(get_command(app))))

PROCESSES = {"cluster master", "cluster data", "cluster coordinator", "cluster run", "cluster config"}
"""They say nothing but their logs, or a file."""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_json_and_the_exit_codes(run: Run, name: str) -> None:
    text = run(*name.split(), "--help").out
    assert "--json" in text or name in PROCESSES
    for code, meaning in MEANINGS.items():
        assert f"{code}  {meaning}" in text
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_all_commands_are_there() -> None:
    expected = "index search get delete count indices stats analyze merge demo version".split()  # noqa: SIM905
    assert set(expected) <= set(COMMANDS)


def test_text_of_documents_is_harmless_in_every_command(run: Run) -> None:
    wicked = "[red]x[/red] \x1b[31mred \x9b2J \u202e"
    line = json.dumps({"_id": wicked, "title": wicked, wicked.replace(".", ""): wicked})
    run("index", "shelf", "books", "-", input=line + "\n")
    shown = [
        run("search", "shelf", "books", "red").out,
        run("search", "shelf", "books", "red", "--json").out,
        run("search", "shelf", "books", "red", "--explain").out,
        run("get", "shelf", "books", wicked).out,
        run("stats", "shelf", "books").out,
        run("analyze", "shelf", "books", wicked).out,
        run("get", "shelf", "books", wicked + "?", code=1).err,
    ]
    for text in shown:
        assert not any(char in text for char in "\x1b\x9b\u202e")
    assert "[red]x[/red]" in shown[0]
