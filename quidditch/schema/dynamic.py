"""What a field becomes when a document brings it and the mapping does not know it."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

from quidditch.schema.dates import parse_date
from quidditch.schema.fields import spell
from quidditch.types import Json

KEYWORD_IGNORE_ABOVE = 256
_SLASHED = "yyyy/MM/dd HH:mm:ss||yyyy/MM/dd"
_LIKE_A_DATE = re.compile(r"\d{4}[-/]\d\d(?:[-/]\d\d)?\b", re.ASCII)
_LONGEST_DATE = 64


def infer(value: Any) -> dict[str, Json] | None:
    """The mapping body for a new field that first holds `value`; None when it tells nothing (null, []).

    Follows OpenSearch's defaults: dates are detected in strings, other strings become `text` with a
    `.keyword` of at most 256 characters, numbers `long` or `float`. A list counts by its first element that
    tells something. Raises ValueError for a value no field type can hold.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _infer_text(value)
    if isinstance(value, dict):
        return {"type": "object"}
    if isinstance(value, list | tuple):
        return next((body for body in map(infer, value) if body is not None), None)
    if isinstance(value, np.generic) and not isinstance(value, float):
        return {"type": "date"} if isinstance(value, np.datetime64) else infer(value.item())
    for kind, name in _SCALARS:
        if isinstance(value, kind):
            return {"type": name}
    raise ValueError(f"no field type holds {spell(value)} of type {type(value).__name__}")


# bool before int, datetime before date: the first that fits counts.
_SCALARS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "long"),
    (float, "float"),
    (Decimal, "double"),
    (datetime, "date"),
    (date, "date"),
    (UUID, "keyword"),
)


def _infer_text(value: str) -> dict[str, Json]:
    if len(value) <= _LONGEST_DATE and _LIKE_A_DATE.match(value):
        if _is_date(value, "strict_date_optional_time"):
            return {"type": "date"}
        if _is_date(value, _SLASHED):
            return {"type": "date", "format": f"{_SLASHED}||epoch_millis"}
    keyword = {"type": "keyword", "ignore_above": KEYWORD_IGNORE_ABOVE}
    return {"type": "text", "fields": {"keyword": keyword}}


def _is_date(value: str, formats: str) -> bool:
    try:
        parse_date(value, formats)
    except ValueError:
        return False
    return True
