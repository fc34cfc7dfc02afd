"""`quidditch get`, `delete` and `count`: documents by their ids, and how many there are."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.text import Text

from quidditch.interface import Document

from . import render
from .failures import REFUSED
from .opening import AsJson, Location, Name, check_name, existing, existing_index, query_of

Ids = Annotated[list[str], typer.Argument(metavar="ID", help="Ids of documents.")]


def get(location: Location, name: Name, ids: Ids, as_json: AsJson = False) -> None:
    """Show documents by their ids. Exit code 1 when one is not there."""
    with existing_index(location, name) as index:
        found = index.mget(ids)
    if as_json:
        bodies = [_get_body(name, id, doc) for id, doc in zip(ids, found, strict=True)]
        render.print_json(bodies[0] if len(bodies) == 1 else {"docs": bodies})
    else:
        for doc in found:
            if doc is not None:
                _print_document(doc)
    _fail_on_missing(name, [id for id, doc in zip(ids, found, strict=True) if doc is None], as_json)


def _get_body(name: str, id: str, doc: Document | None) -> dict[str, Any]:
    if doc is None:
        return {"_index": name, "_id": id, "found": False}
    return {
        "_index": name,
        "_id": doc.id,
        "_version": doc.version,
        "_seq_no": doc.seq_no,
        "_primary_term": doc.primary_term,
        "found": True,
        "_source": doc.source,
    }


def _print_document(doc: Document) -> None:
    title = render.plain(doc.id, "bold cyan") + Text(f"  version {doc.version}", style=render.QUIET)
    render.print_line(title)
    width = max((len(render.harmless(field)) for field in doc.source), default=0)
    for field, value in doc.source.items():
        label = Text(f"  {render.harmless(field):<{width}}  ", style="bold")
        render.print_line(label + render.plain(render.value_text(value)))


def _fail_on_missing(name: str, missing: list[str], as_json: bool) -> None:
    if not missing:
        return
    if not as_json:
        for id in missing:
            render.print_error(f"{name} holds no document {id!r}")
    raise typer.Exit(REFUSED)


def delete(
    location: Location,
    name: Name,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of documents.")] = None,
    whole_index: Annotated[
        bool, typer.Option("--whole-index", help="Delete the index itself, with everything in it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete a whole index without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete documents by their ids, or a whole index. Exit code 1 when a document is not there."""
    if bool(ids) == whole_index:
        raise typer.BadParameter("give the ids of documents, or --whole-index, and not both")
    if whole_index:
        _delete_index(location, name, yes, as_json)
        return
    with existing_index(location, name, readonly=False) as index:
        results = [index.delete(id) for id in ids or []]
    if as_json:
        bodies = [
            {
                "_index": name,
                "_id": done.id,
                "_version": done.version,
                "_seq_no": done.seq_no,
                "result": done.result,
            }
            for done in results
        ]
        render.print_json(bodies[0] if len(bodies) == 1 else {"items": bodies})
    else:
        gone = sum(done.result == "deleted" for done in results)
        render.print_line(f"{render.counted(gone, 'document')} deleted from {name}")
    _fail_on_missing(name, [done.id for done in results if done.result == "not_found"], as_json)


def _delete_index(location: str, name: str, yes: bool, as_json: bool) -> None:
    with existing(location, readonly=False) as db:
        check_name(db, location, name)
        documents = db.index(name).count()
        if not yes:
            if not sys.stdin.isatty():
                raise typer.BadParameter(
                    "--whole-index asks before it deletes; say --yes where nobody answers"
                )
            what = f"delete the index {name} with {render.counted(documents, 'document')}?"
            typer.confirm(what, abort=True, err=True)
        db.delete_index(name)
    if as_json:
        render.print_json({"acknowledged": True, "index": name, "documents": documents})
    else:
        render.print_line(f"index {name} deleted, with {render.counted(documents, 'document')}")


def count(
    location: Location,
    name: Name,
    query: Annotated[
        list[str] | None, typer.Argument(metavar="QUERY", help="Words, or a clause as JSON. [default: all]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count the documents that match a query, or all of them."""
    with existing_index(location, name) as index:
        number = index.count(query_of(query))
    if as_json:
        render.print_json({"count": number})
    else:
        render.print_line(f"{number}")
