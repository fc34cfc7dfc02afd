"""What `fields` and `docvalue_fields` of a search show of each hit: values as the mapping reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from quidditch.errors import LimitExceeded, QueryError
from quidditch.interface import ShownField, Source
from quidditch.schema.dates import DEFAULT_FORMATS, check_formats, format_date
from quidditch.schema.fields import BooleanField, DateField, Field, KeywordField, TextField, spell
from quidditch.schema.mapping import Mapping, nearest
from quidditch.search.fetch import values_at
from quidditch.types import Json

FIELDS_LIMIT = 100
"""Entries of one list, as OpenSearch's index.max_docvalue_fields_search."""

PATHS_LIMIT = 1_000
"""Fields that the patterns of one list may stand for."""


def parse_shown(spec: Json, mapping: Mapping, where: str) -> tuple[ShownField, ...]:
    """The fields that `"year"`, `"book.*"` or `{"field": "day", "format": "yyyy"}` name; one that is not mapped shows
    nothing.

    where:  "fields": values in the order of the document; "docvalue_fields": sorted, keywords once each
    raises: QueryError, LimitExceeded
    """
    if spec is None:
        return ()
    if not isinstance(spec, list | tuple):
        raise QueryError(f"{where}: an array of fields expected, not {spell(spec)}")
    if len(spec) > FIELDS_LIMIT:
        raise LimitExceeded(
            f"Trying to retrieve too many {where}. Must be less than or equal to: [{FIELDS_LIMIT}] but was "
            f"[{len(spec)}]"
        )
    columns = where == "docvalue_fields"
    found: dict[str, ShownField] = {}
    for place, each in enumerate(spec):
        pattern, form = _entry(each, f"{where}[{place}]")
        for path in mapping.expand(pattern) if "*" in pattern else [pattern]:
            field = mapping.field(path)
            if field is None or (columns and not _has_column(field, "*" in pattern)):
                continue
            found[path] = ShownField(path, _format(field, form, f"{where}[{place}]"), columns)
    if len(found) > PATHS_LIMIT:
        raise LimitExceeded(f"{where}: {len(found)} fields; at most {PATHS_LIMIT} expected")
    return tuple(found.values())


def _entry(entry: Json, where: str) -> tuple[str, str | None]:
    body = {"field": entry} if isinstance(entry, str) else entry
    if not isinstance(body, dict) or not isinstance(body.get("field"), str):
        raise QueryError(
            f"{where}: the name of a field, or an object with [field], expected, not {spell(entry)}"
        )
    for key in body:
        if key not in ("field", "format"):
            raise QueryError(f"{where}: unknown key [{key}]{nearest(key, ('field', 'format'))}")
    form = body.get("format")
    if form is not None and not isinstance(form, str):
        raise QueryError(f"{where}.format: a string expected, not {spell(form)}")
    return body["field"], form


def _has_column(field: Field, by_pattern: bool) -> bool:
    if not isinstance(field, TextField) and field.doc_values:
        return True
    if by_pattern:
        return False
    why = "text has no doc values" if isinstance(field, TextField) else "its mapping says doc_values: false"
    raise QueryError(f"docvalue_fields: field [{field.path}] cannot be shown: {why}")


def _format(field: Field, form: str | None, where: str) -> str | None:
    if not isinstance(field, DateField):
        if form is not None and form != "use_field_mapping":
            raise QueryError(
                f"{where}: [{field.path}] is [{field.type}]; only dates take a format, not [{form}]"
            )
        return None
    if form is None or form == "use_field_mapping":
        return field.formats or DEFAULT_FORMATS
    try:
        check_formats(form)
    except ValueError as error:
        raise QueryError(f"{where}.format: {error}") from None
    return form


def shown_values(source: Source, shown: Iterable[ShownField], mapping: Mapping) -> dict[str, list[Json]]:
    """The values of each field that has any.

    cost: a walk through the source for each field
    """
    found: dict[str, list[Json]] = {}
    for each in shown:
        field = mapping.field(each.path)
        if field is not None and (values := _values(source, field, each)):
            found[each.path] = values
    return found


def _values(source: Source, field: Field, shown: ShownField) -> list[Json]:
    converted = [field.convert(value) for value in _flat(values_at(source, field.source))]
    kept = [value for value in converted if value is not None]
    if shown.from_columns:
        kept = sorted(set(kept)) if isinstance(field, KeywordField) else sorted(kept)
    spelled = _spelling(field, shown.format)
    return [spelled(value) for value in kept]


def _flat(values: Sequence[Any]) -> list[Any]:
    return [part for value in values for part in (_flat(value) if isinstance(value, list) else [value])]


def _spelling(field: Field, form: str | None) -> Callable[[Any], Json]:
    if isinstance(field, DateField):
        return lambda millis: format_date(millis, form or field.formats)
    if isinstance(field, BooleanField):
        return bool
    if isinstance(field, KeywordField):
        return bytes.decode
    return lambda value: value
