"""`quidditch search` and `analyze`: what a query finds, and what an analyzer makes of text."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer
from rich.text import Text

from quidditch.interface import Hit, Index, SearchResult

from . import hit_table, render
from .failures import CommandError
from .opening import (
    AsJson,
    Location,
    Name,
    check_name,
    existing,
    existing_index,
    json_object,
    parse_json,
    query_of,
)

HIGHLIGHT: dict[str, Any] = {
    "fields": {"*": {}},
    "pre_tags": [render.MARK_OPEN],
    "post_tags": [render.MARK_CLOSE],
}


def search(
    location: Location,
    name: Name,
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY", help='Words as in a search box, or a clause of the Query DSL: {"match": …}.'
        ),
    ] = None,
    field: Annotated[
        list[str] | None, typer.Option("--field", metavar="FIELD", help="Field to show; may be repeated.")
    ] = None,
    filter: Annotated[
        str | None, typer.Option("--filter", metavar="QUERY", help="What hits must match too, unscored.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="FIELD[:desc],…", help="Order of the hits, or JSON.")
    ] = None,
    size: Annotated[int, typer.Option("--size", "-n", metavar="N", min=0, help="Hits on a page.")] = 10,
    from_: Annotated[int, typer.Option("--from", metavar="N", min=0, help="Hits to skip.")] = 0,
    aggs: Annotated[str | None, typer.Option("--aggs", metavar="FILE_OR_JSON", help="Aggregations.")] = None,
    body: Annotated[
        str | None,
        typer.Option(
            "--body", metavar="FILE_OR_JSON", help="A whole request body, instead of the other options."
        ),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show how each score came about.")] = False,
    as_json: AsJson = False,
) -> None:
    """Search an index and show the best hits, ranked. --json prints the response body of OpenSearch.

    A query that starts with a minus sign goes behind --, as in: quidditch search DIR NAME -- -fiction dune
    """
    if body is not None:
        if query or filter or sort or aggs:
            raise typer.BadParameter("--body is the whole request; leave QUERY, --filter, --sort, --aggs out")
        request = json_object(body, "--body")
        with existing(location) as db:
            check_name(db, location, name)
            result, documents = db.search(name, request), len(db.index(name))
    else:
        asked: dict[str, Any] = {
            "size": size,
            "from_": from_,
            "filter": query_of([filter]) if filter else None,
            "sort": parse_sort(sort) if sort else None,
            "aggs": json_object(aggs, "--aggs") if aggs else None,
            "explain": explain,
        }
        with existing_index(location, name) as index:
            result, documents = _searched(index, query_of(query), asked, highlight=not as_json), len(index)
    if as_json:
        render.print_json(result.to_dict())
    else:
        _show(result, documents, field or [], explain, shlex.join(query or []))


def _searched(index: Index, query: Any, asked: dict[str, Any], *, highlight: bool) -> SearchResult:
    marks = HIGHLIGHT if highlight and query is not None else None
    return index.search(query, highlight=marks, **asked)


def parse_sort(text: str) -> list[Any]:
    """The sort that was typed: JSON as it is, or fields by commas, each with `:asc` or `:desc`.

    raises: CommandError   on another order
    """
    if text.lstrip()[:1] in ("{", "["):
        value = parse_json(text.encode(), "--sort")
        return value if isinstance(value, list) else [value]
    levels: list[Any] = []
    for level in text.split(","):
        name, _, order = level.strip().partition(":")
        if order not in ("", "asc", "desc"):
            raise CommandError(f"--sort {level}: the order must be asc or desc, not {order!r}")
        levels.append({name: {"order": order}} if order else name)
    return levels


def _show(result: SearchResult, documents: int, fields: list[str], explain: bool, query: str) -> None:
    for note in result.notes:
        render.print_note(note)
    if not result.hits and not result.total:
        what = f"no hits for {query} among" if query else "no hits among"
        render.print_line(f"{what} {render.counted(documents, 'document')} in {result.took_ms} ms")
    else:
        if result.hits:
            hit_table.show(result.hits, fields)
        render.print_line(totals(result), render.QUIET)
    if explain:
        for hit in result.hits:
            _show_explanation(hit)
    if result.aggs:
        render.print_line(render.to_json(result.aggs))


def totals(result: SearchResult) -> str:
    """How many hits are shown, of how many, in what time."""
    total = ""
    if result.total is not None:
        total = f" of {'more than ' if result.total_relation == 'gte' else ''}{result.total:,}"
    one = result.total == 1 or (result.total is None and len(result) == 1)
    return f"{len(result):,}{total} {'hit' if one else 'hits'} in {result.took_ms} ms"


def _show_explanation(hit: Hit) -> None:
    if hit.explanation is not None:
        render.print_line(render.plain(hit.id, "bold cyan"))
        for row in str(hit.explanation).splitlines():
            indent = len(row) - len(row.lstrip())
            render.print_line(Text(" " * (indent + 2)) + render.plain(row))


def analyze(
    location: Location,
    name: Name,
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="Text to analyze.")],
    field: Annotated[
        str | None, typer.Option("--field", metavar="FIELD", help="Use the analyzer of this field.")
    ] = None,
    analyzer: Annotated[
        str | None, typer.Option("--analyzer", metavar="NAME", help="Use this analyzer. [default: standard]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the tokens that an analyzer, or a field's analyzer, makes of text."""
    with existing_index(location, name) as index:
        tokens = index.analyze(" ".join(text), field=field, analyzer=analyzer)
    if as_json:
        render.print_json({"tokens": tokens})
        return
    if not tokens:
        render.print_line("no tokens")
        return
    columns = [
        ("position", "number"),
        ("token", "name"),
        ("from", "number"),
        ("to", "number"),
        ("type", "text"),
    ]
    keys = ("position", "token", "start_offset", "end_offset", "type")
    render.print_table(columns, ([render.value_text(token.get(key)) for key in keys] for token in tokens))
