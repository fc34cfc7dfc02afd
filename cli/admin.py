"""`quidditch indices`, `stats`, `merge` and `version`: what there is, how large, and its upkeep."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Annotated, Any

import typer

from quidditch.interface import StructureSize
from quidditch.version import __version__

from . import render
from .opening import AsJson, Location, Name, existing, existing_index

_LIBRARIES = ("numpy", "pyroaring", "lmdb", "msgspec", "zstandard")


def indices(location: Location, as_json: AsJson = False) -> None:
    """List the indices of a directory or server, with their sizes."""
    with existing(location) as db:
        found = {name: db.index(name).stats() for name in sorted(db.indices())}
    if as_json:
        render.print_json([{"index": name, **stats.to_dict()} for name, stats in found.items()])
        return
    if not found:
        render.print_line(f"no index in {location} yet")
        return
    columns = [
        ("index", "name"),
        *((head, "number") for head in ("documents", "deleted", "segments", "size")),
    ]
    render.print_table(
        columns,
        (
            [
                name,
                f"{row.documents:,}",
                f"{row.deleted:,}",
                f"{row.segments:,}",
                render.size_text(row.size_bytes),
            ]
            for name, row in found.items()
        ),
    )


def stats(
    location: Location,
    name: Name,
    detail: Annotated[
        bool, typer.Option("--detail", help="Show what each structure takes, and each field of it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how large an index is: documents, segments, bytes, and the terms of each field."""
    with existing_index(location, name) as index:
        found = index.stats(detail=detail)
    if as_json:
        render.print_json({"index": name, **found.to_dict()})
        return
    rows: list[list[str]] = [
        ["documents", f"{found.documents:,}"],
        ["deleted", f"{found.deleted:,}"],
        ["segments", f"{found.segments:,}"],
        ["buffered", f"{found.buffered:,}"],
        ["size", render.size_text(found.size_bytes)],
    ]
    rows += [[f"size of {part}", render.size_text(size)] for part, size in found.structures.items() if size]
    rows += [[f"terms in {field}", f"{terms:,}"] for field, terms in sorted(found.fields.items())]
    render.print_table([(name, "name"), ("", "number")], rows)
    if detail:
        _print_detail(found.detail)


def _print_detail(detail: dict[str, StructureSize]) -> None:
    """A row for each structure, the largest first, and below it one for each of its fields."""
    rows: list[list[str]] = []
    for structure, size in sorted(detail.items(), key=lambda item: -item[1].size_bytes):
        numbers = (size.size_bytes, size.payload_bytes, size.overflow_bytes, size.unused_bytes)
        rows.append([structure, f"{size.rows:,}", *map(render.size_text, numbers)])
        rows += [
            [f"of {field}", "", "", render.size_text(own), "", ""]
            for field, own in sorted(size.fields.items())
        ]
    heads = ("rows", "size", "payload", "overflow", "unused")
    render.print_table([("structure", "name"), *((head, "number") for head in heads)], rows)


def merge(
    location: Location,
    name: Name,
    max_segments: Annotated[
        int, typer.Option("--max-segments", metavar="N", min=1, help="Segments to leave at most.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Merge the segments of an index into few, which makes searches faster and drops what was deleted."""
    with existing_index(location, name, readonly=False) as index:
        before = index.stats()
        index.force_merge(max_segments)
        after = index.stats()
    if as_json:
        render.print_json({"index": name, "before": before.to_dict(), "after": after.to_dict()})
        return
    render.print_line(
        f"{name}: {render.counted(before.segments, 'segment')} merged into {after.segments}, "
        f"{render.size_text(before.size_bytes)} before, {render.size_text(after.size_bytes)} now"
    )


def version(as_json: AsJson = False) -> None:
    """Show the version of Quidditch and of what it runs on."""
    found: dict[str, Any] = {"quidditch": __version__, "python": platform.python_version()}
    found.update({library: metadata.version(library) for library in _LIBRARIES})
    if as_json:
        render.print_json(found)
    else:
        for part, number in found.items():
            render.print_line(f"{part} {number}")
