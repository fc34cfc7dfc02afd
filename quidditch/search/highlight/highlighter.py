"""Highlights of hits: each field's text analysed again, marked, cut and chosen."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from typing import Any

from quidditch.analysis.registry import get_analyzer
from quidditch.interface import Source
from quidditch.query.primitive import Primitive
from quidditch.schema.fields import Field, TextField
from quidditch.schema.mapping import Mapping
from quidditch.search.fetch import values_at
from quidditch.search.highlight.fragments import Fragment, best_of, fragments_of, opening, render
from quidditch.search.highlight.marks import Mark, Wanted, joined, wanted_by
from quidditch.search.highlight.options import HighlightOptions
from quidditch.types import Json

MAX_ANALYSED_CHARS = 1_000_000
"""Of a longer value only so much is looked at, as OpenSearch limits it; a hit must not cost seconds."""


class Highlighter:
    """Highlights the documents of one search. `spec` is what `parse_highlight` gives."""

    def __init__(self, mapping: Mapping, query: Primitive, spec: Dict[str, Json]) -> None:
        self._wanted = wanted_by(query)
        whole = {name: value for name, value in spec.items() if name != "fields"}
        fields = spec.get("fields")
        if fields is None:
            fields = {path: {} for path in self._wanted if isinstance(mapping.field(path), TextField)}
        self._fields: list[tuple[Field, HighlightOptions]] = [
            (field, HighlightOptions.of(whole, options))
            for path, options in fields.items()
            if (field := mapping.field(path)) is not None
        ]

    def highlight(self, source: Source) -> dict[str, list[str]]:
        """Fragments by field; fields without any are left out."""
        found = {}
        for field, options in self._fields:
            fragments = self._field(source, field, options)
            if fragments:
                found[field.path] = fragments
        return found

    def _field(self, source: Source, field: Field, options: HighlightOptions) -> list[str]:
        texts = [text for value in values_at(source, field.source) if (text := _text(field, value))]
        wanted = (
            self._wanted.get(field.path) if options.require_field_match else joined(self._wanted.values())
        )
        found: list[tuple[int, Fragment]] = []
        for number, text in enumerate(texts):
            marks = _marks(field, text, wanted) if wanted is not None else []
            if not marks:
                continue
            if options.number_of_fragments and options.fragment_size:
                found += [(number, each) for each in fragments_of(text, marks, options.fragment_size)]
            else:
                found.append((number, Fragment(0, len(text), tuple(marks))))
        if not found:
            return (
                [opening(texts[0], options.no_match_size, options)] if texts and options.no_match_size else []
            )
        chosen = best_of(found, options) if options.number_of_fragments else found
        return [render(texts[number], fragment, options) for number, fragment in chosen]


def _marks(field: Field, text: str, wanted: Wanted) -> list[Mark]:
    if isinstance(field, TextField):
        return wanted.marks(get_analyzer(field.analyzer).analyze(text))
    return wanted.marks(get_analyzer("keyword").analyze(text))


def _text(field: Field, value: Any) -> str:
    """The text that was indexed; "" for a value that the field did not take."""
    try:
        converted = field.convert(value)
    except ValueError:
        return ""
    text = converted.decode() if isinstance(converted, bytes) else converted
    return text[:MAX_ANALYSED_CHARS] if isinstance(text, str) else ""
