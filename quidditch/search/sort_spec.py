"""What users write as `sort` and `search_after` -> sort keys and values that are checked against the
mapping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quidditch.errors import FieldError, LimitExceeded, QueryError
from quidditch.interface import SortKey
from quidditch.schema.fields import Field, plain_value, spell
from quidditch.schema.mapping import Mapping, nearest
from quidditch.types import Json

OWN_FIELDS = ("_score", "_id", "_doc")
_OPTIONS = ("order", "missing", "mode", "unmapped_type", "format")
_REFUSED = ("nested", "nested_path", "nested_filter", "numeric_type")
_ORDERS = ("asc", "desc")

MAX_LEVELS = 100
"""Of one sort: each orders all hits once more."""


def parse_sort(spec: Json, mapping: Mapping, where: str = "sort") -> tuple[SortKey, ...]:
    """Sort keys for "year", "year:desc", {"year": "desc"}, {"year": {"order": "desc", ...}}, or a list of
    these.

    Raises QueryError, FieldError for a field that is unknown (unless it names an `unmapped_type`) or has no column,
    LimitExceeded for more than MAX_LEVELS.
    """
    if spec is None:
        return ()
    if not isinstance(spec, list | tuple):
        return _level(spec, mapping, where)
    if len(spec) > MAX_LEVELS:
        raise LimitExceeded(f"{where}: {len(spec)} levels; {MAX_LEVELS} at most")
    return tuple(key for place, each in enumerate(spec) for key in _level(each, mapping, f"{where}[{place}]"))


def _level(spec: Json, mapping: Mapping, where: str) -> tuple[SortKey, ...]:
    if isinstance(spec, str):
        field, _, order = spec.rpartition(":") if spec.endswith((":asc", ":desc")) else (spec, "", "")
        return (_key(field, {"order": order} if order else {}, mapping, where),)
    if isinstance(spec, dict) and spec:
        return tuple(_key(field, _options(body, where), mapping, where) for field, body in spec.items())
    raise QueryError(
        f'{where}: a field name or an object such as {{"year": "desc"}} expected, not {spell(spec)}'
    )


def _options(body: Json, where: str) -> dict[str, Json]:
    if isinstance(body, str):
        return {"order": body}
    if not isinstance(body, dict):
        raise QueryError(f"{where}: an order or an object of options expected, not {spell(body)}")
    return body


def _key(field: Json, options: dict[str, Json], mapping: Mapping, where: str) -> SortKey:
    if not isinstance(field, str) or not field:
        raise QueryError(f"{where}: a field name expected, not {spell(field)}")
    where = f"{where}: [{field}]"
    for name in options:
        if name in _REFUSED:
            raise QueryError(f"{where}: [{name}] is not supported")
        if name not in _OPTIONS:
            raise QueryError(f"{where}: unknown option [{name}]{nearest(name, _OPTIONS)}")
    order = options.get("order", "desc" if field == "_score" else "asc")
    if not isinstance(order, str) or order.lower() not in _ORDERS:
        raise QueryError(f"{where}: [order] asc or desc expected, not {spell(order)}")
    mode = options.get("mode")
    if mode not in (None, "min", "max"):
        raise QueryError(f"{where}: [mode] min or max expected, not {spell(mode)}")
    if field in OWN_FIELDS and options.get("format") is not None:
        raise QueryError(f"{where}: [format] is for date fields")
    found = None if field in OWN_FIELDS else _sortable(field, options, mapping, where)
    first, missing = _missing(options.get("missing", "_last"), found, where)
    return SortKey(field, order.lower() == "desc", first, mode, missing, _format(options, found, where))


def _sortable(path: str, options: dict[str, Json], mapping: Mapping, where: str) -> Field | None:
    field = mapping.field(path)
    if field is None:
        if options.get("unmapped_type") is not None:
            return None
        raise FieldError(
            f"{where}: no field of this name to sort by{nearest(path, (*mapping.fields, *OWN_FIELDS))}"
        )
    if field.column is not None and field.doc_values:
        return field
    others = [
        other.path for other in mapping.at(field.source) if other.column is not None and other.doc_values
    ]
    hint = f"; sort by [{others[0]}] instead" if others else ""
    reason = "keeps no values to sort by" if field.column is None else "has [doc_values] turned off"
    raise FieldError(f"{where}: a [{field.type}] field that {reason}{hint}", "illegal_argument_exception")


def _missing(spec: Json, field: Field | None, where: str) -> tuple[bool, Json]:
    """(whether documents without a value come first, the value they sort by instead)"""
    if spec in ("_first", "_last"):
        return spec == "_first", None
    if field is None:
        return False, None
    return False, _value(spec, field, f"{where}: [missing]")


def _value(value: Json, field: Field, where: str) -> Json:
    """A value of the field in the form that sorts compare: str, int or float."""
    try:
        converted: Any = field.convert(value)
    except ValueError as error:
        raise FieldError(f"{where}: {error}") from None
    if converted is None:
        converted = str(value)
    return converted.decode() if isinstance(converted, bytes) else converted


def _format(options: dict[str, Json], field: Field | None, where: str) -> str | None:
    form = options.get("format")
    if form is None:
        return None
    # A field that is not mapped here, which `_sortable` let pass, has no value to format.
    if not isinstance(form, str) or (field is not None and field.type != "date"):
        raise FieldError(f"{where}: [format] a date format on a date field expected, not {spell(form)}")
    return form


def parse_search_after(
    values: Sequence[Json] | None, sort: Sequence[SortKey], mapping: Mapping
) -> tuple[Json, ...] | None:
    """The last hit's sort values, checked against the sort they belong to."""
    if values is None:
        return None
    if not isinstance(values, list | tuple):
        raise QueryError(f"search_after: an array of sort values expected, not {spell(values)}")
    if not sort:
        raise QueryError("search_after: needs a [sort] with at least one field")
    if len(values) != len(sort):
        raise QueryError(f"search_after: {len(values)} values given, the sort has {len(sort)}")
    return tuple(
        _after_value(value, key, mapping, f"search_after[{place}]")
        for place, (value, key) in enumerate(zip(values, sort, strict=True))
    )


def _after_value(value: Json, key: SortKey, mapping: Mapping, where: str) -> Json:
    value = plain_value(value)
    if key.field == "_id":
        if not isinstance(value, str):
            raise QueryError(f"{where}: an id expected, not {spell(value)}")
        return value
    if value is None and key.field not in OWN_FIELDS:
        return None
    field = mapping.field(key.field)
    if field is not None and (isinstance(value, str) or field.column == "ordinal"):
        return _value(value, field, where)
    if isinstance(value, bool) and field is not None and field.type == "boolean":
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise QueryError(f"{where}: a number expected, not {spell(value)}")
    return value
