"""What users write as `highlight` -> one checked form, and the options of one field."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from dataclasses import dataclass
from typing import Any

from quidditch.errors import QueryError
from quidditch.schema.fields import spell
from quidditch.schema.mapping import Mapping, nearest
from quidditch.types import Json

_IGNORED = (
    "type",
    "boundary_scanner",
    "boundary_scanner_locale",
    "boundary_chars",
    "boundary_max_scan",
    "fragmenter",
    "fragment_offset",
    "force_source",
    "phrase_limit",
    "max_analyzer_offset",
    "max_analyzed_offset",
    "tags_schema",
)
"""Options that tune other highlighters; accepted, so that bodies written for OpenSearch run."""

_REFUSED = ("highlight_query", "matched_fields")


@dataclass(frozen=True, slots=True)
class HighlightOptions:
    """How one field is highlighted. `number_of_fragments` 0 gives whole values."""

    pre_tag: str = "<em>"
    post_tag: str = "</em>"
    fragment_size: int = 100
    number_of_fragments: int = 5
    require_field_match: bool = True
    no_match_size: int = 0
    encoder: str = "default"
    order: str = "none"

    @classmethod
    def of(cls, whole: Dict[str, Json], field: Dict[str, Json]) -> HighlightOptions:
        """A field's own options over those of the whole request, both checked before."""
        merged = {**whole, **field}
        values = {
            name: merged[name] for name in _CHECKS if name in merged and name not in ("pre_tags", "post_tags")
        }
        for name, tag in (("pre_tags", "pre_tag"), ("post_tags", "post_tag")):
            if merged.get(name):
                values[tag] = merged[name][0]
        return cls(**values)


def parse_highlight(spec: Json, mapping: Mapping) -> dict[str, Json] | None:
    """{"fields": {path: options}, options} for True, a field name, an array of names or OpenSearch's object.

    No "fields" in the result means all text fields that the query scores. Patterns are expanded to text and
    keyword fields; a field that the mapping lacks is left out, as it is in OpenSearch.
    """
    if spec is None or spec is False:
        return None
    if spec is True:
        return {}
    if isinstance(spec, str | list | tuple):
        names = [spec] if isinstance(spec, str) else spec
        return {"fields": _fields([{name: {}} if isinstance(name, str) else name for name in names], mapping)}
    if not isinstance(spec, dict):
        raise QueryError(
            f"highlight: true, field names or an object with [fields] expected, not {spell(spec)}"
        )
    if "fields" not in spec:
        raise QueryError('highlight: the object needs [fields], such as {"fields": {"title": {}}}')
    whole = _options({name: value for name, value in spec.items() if name != "fields"}, "highlight")
    return {**whole, "fields": _fields(spec["fields"], mapping)}


def _fields(spec: Json, mapping: Mapping) -> dict[str, Json]:
    items = spec if isinstance(spec, list | tuple) else [spec]
    found: dict[str, Json] = {}
    for item in items:
        if not isinstance(item, dict):
            raise QueryError(f"highlight.fields: an object of fields expected, not {spell(item)}")
        for pattern, body in item.items():
            where = f"highlight.fields.{pattern}"
            options = _options({} if body is None else body, where)
            for path in mapping.expand(pattern):
                if mapping.fields[path].type in ("text", "keyword"):
                    found[path] = options
    return found


def _options(body: Json, where: str) -> dict[str, Json]:
    if not isinstance(body, dict):
        raise QueryError(f"{where}: an object of options expected, not {spell(body)}")
    found: dict[str, Json] = {}
    for name, value in body.items():
        if name in _IGNORED:
            continue
        if name in _REFUSED:
            raise QueryError(f"{where}: [{name}] is not supported")
        if name not in _CHECKS:
            raise QueryError(f"{where}: unknown option [{name}]{nearest(name, _CHECKS)}")
        expected, check = _CHECKS[name]
        if not check(value):
            raise QueryError(f"{where}: [{name}] {expected} expected, not {spell(value)}")
        found[name] = [value] if name in ("pre_tags", "post_tags") and isinstance(value, str) else value
    return found


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_tags(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list | tuple) and all(isinstance(tag, str) for tag in value)
    )


_CHECKS: dict[str, Any] = {
    "pre_tags": ("a tag or an array of tags", _is_tags),
    "post_tags": ("a tag or an array of tags", _is_tags),
    "fragment_size": ("a whole number of 0 or more", _is_count),
    "number_of_fragments": ("a whole number of 0 or more", _is_count),
    "no_match_size": ("a whole number of 0 or more", _is_count),
    "require_field_match": ("true or false", lambda value: isinstance(value, bool)),
    "encoder": ("default or html", lambda value: value in ("default", "html")),
    "order": ("none or score", lambda value: value in ("none", "score")),
}
