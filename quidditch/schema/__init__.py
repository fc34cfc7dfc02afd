"""Which fields an index has, what their values become, and how dates are read."""

from __future__ import annotations

from quidditch.schema.dates import format_date, parse_date, parse_date_bound, parse_dates
from quidditch.schema.dynamic import infer
from quidditch.schema.fields import (
    BooleanField,
    DateField,
    Field,
    FloatField,
    IntegerField,
    KeywordField,
    TextField,
)
from quidditch.schema.mapping import DEPTH_LIMIT, TOTAL_FIELDS_LIMIT, Mapping, ObjectField

__all__ = [
    "DEPTH_LIMIT",
    "TOTAL_FIELDS_LIMIT",
    "BooleanField",
    "DateField",
    "Field",
    "FloatField",
    "IntegerField",
    "KeywordField",
    "Mapping",
    "ObjectField",
    "TextField",
    "format_date",
    "infer",
    "parse_date",
    "parse_date_bound",
    "parse_dates",
]
