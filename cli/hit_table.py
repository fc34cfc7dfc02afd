"""Hits as a table: rank, score, id, and the fields that say most about them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from quidditch.interface import Hit

from . import render

TITLES = ("title", "name", "headline", "subject", "question", "label", "heading")
"""Names of fields that people give to what a document is called."""

SNIPPET = 160


def show(hits: Sequence[Hit], fields: Sequence[str]) -> None:
    """Prints the hits with these fields, or without any, with the ones that look most telling."""
    chosen = list(fields) or telling_fields(hits)
    scored = any(hit.score is not None for hit in hits)
    sorted_by_field = any(hit.sort for hit in hits)
    columns = [("#", "number"), *([("score", "number")] if scored else [])]
    columns += [("sort", "number")] if sorted_by_field and not scored else []
    # A field of a document may be called id too, and what `get` takes is the other one.
    own = "_id" if "id" in chosen else "id"
    columns += [(own, "name"), *((name, "text") for name in chosen)]
    rows: list[list[str | Text]] = []
    for rank, hit in enumerate(hits, 1):
        row: list[str | Text] = [str(rank)]
        if scored:
            row.append("" if hit.score is None else f"{hit.score:.3f}")
        elif sorted_by_field:
            row.append(", ".join(render.value_text(value) for value in hit.sort))
        row.append(hit.id)
        rows.append([*row, *(cell(hit, name) for name in chosen)])
    render.print_table(columns, rows)


def telling_fields(hits: Sequence[Hit]) -> list[str]:
    """At most two fields: one that names the document, and the longest text beside it."""
    title = next((name for name in TITLES if any(isinstance(hit.get(name), str) for hit in hits)), None)
    lengths: dict[str, int] = {}
    for hit in hits:
        for name, value in hit.source.items():
            if isinstance(value, str) and name != title:
                lengths[name] = lengths.get(name, 0) + len(value)
    longest = max(lengths, key=lambda name: lengths[name], default=None)
    chosen = [name for name in (title, longest) if name is not None]
    return chosen or list(dict.fromkeys(name for hit in hits for name in hit.source))[:3]


def cell(hit: Hit, name: str) -> Text:
    """What a hit holds in a field: highlighted fragments where there are any, else its beginning."""
    fragments = hit.highlight.get(name)
    if fragments:
        return render.marked(" … ".join(fragments[:2]))
    return render.plain(render.shorten(render.value_text(render.value_at(hit.source, name)), SNIPPET))
