"""Field types: which values a field takes, and what they become in the index.

`convert` turns one JSON-like value into what is indexed: str for text, bytes (UTF-8) for keyword, int for
integers, booleans (0/1) and dates (milliseconds since the epoch), float for floats. It raises ValueError, its
text saying what was expected. `convert_many` does the same for a list, as array code where the values are all
of one Python type. Neither takes None nor lists: null and arrays are the caller's.

A keyword value longer than `ignore_above` characters converts to None: it stays in the source and is not
indexed.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Literal, TypeAlias
from uuid import UUID

import numpy as np

from quidditch.schema.dates import DEFAULT_FORMATS, datetime_to_millis, parse_date, parse_dates
from quidditch.types import F64s, I64s, Json

Column: TypeAlias = Literal["ordinal", "int64", "float64"]
"""How a field's values are kept per document: numbers of sorted distinct terms, integers, or doubles."""

Values: TypeAlias = "Sequence[str] | Sequence[bytes | None] | I64s | F64s"
"""Converted values, aligned with what was given."""

SIMILARITIES = ("BM25", "LegacyBM25")
"""How a text or keyword field scores: Lucene's BM25, or what it was with the constant factor k1 + 1."""

INTEGER_BOUNDS = {
    "long": (-(2**63), 2**63 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "short": (-(2**15), 2**15 - 1),
    "byte": (-128, 127),
}
_NUMERAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One named way of indexing the values at one place of the documents.

    `path` is the name queries use ("title.keyword"); `source` is the path in the document that the values
    come from ("title"), which differs for multi-fields only.
    """

    column: ClassVar[Column | None] = None

    path: str
    source: str
    type: str
    index: bool = True
    doc_values: bool = True
    null_value: Json = None

    @property
    def is_multi_field(self) -> bool:
        return self.path != self.source

    @property
    def searchable(self) -> bool:
        """Whether queries can ask this field: it has terms, or a column to read instead."""
        return self.index or self.doc_values

    def convert(self, value: Any) -> Any:
        """The typed scalar that is indexed; ValueError says what was expected instead of `value`."""
        raise NotImplementedError

    def convert_many(self, values: Sequence[Any]) -> Values:
        """`convert` of each, raising at the first bad value without saying which one it was."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class TextField(Field):
    """Analysed text. It has no column; `doc_values` is always False."""

    type: str = "text"
    doc_values: bool = False
    analyzer: str = "standard"
    search_analyzer: str | None = None
    index_options: str = "positions"
    norms: bool = True
    similarity: str = "BM25"

    @property
    def query_analyzer(self) -> str:
        return self.search_analyzer or self.analyzer

    @property
    def has_positions(self) -> bool:
        return self.index_options == "positions"

    @property
    def has_freqs(self) -> bool:
        return self.index_options != "docs"

    def convert(self, value: Any) -> str:
        return to_text(value, self.type)

    def convert_many(self, values: Sequence[Any]) -> Sequence[str]:
        if set(map(type, values)) == {str} and "".join(values).isascii():
            return values
        return [to_text(value, self.type) for value in values]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeywordField(Field):
    """Text indexed whole, as one term. `ignore_above` counts characters; longer values convert to None."""

    column: ClassVar[Column | None] = "ordinal"

    type: str = "keyword"
    ignore_above: int | None = None
    similarity: str = "BM25"

    def convert(self, value: Any) -> bytes | None:
        text = to_text(value, self.type)
        if self.ignore_above is not None and len(text) > self.ignore_above:
            return None
        return text.encode()

    def convert_many(self, values: Sequence[Any]) -> Sequence[bytes | None]:
        if set(map(type, values)) != {str}:
            return [self.convert(value) for value in values]
        if self.ignore_above is not None and max(map(len, values)) > self.ignore_above:
            return [self.convert(value) for value in values]
        try:
            return list(map(str.encode, values))
        except UnicodeEncodeError:
            return [self.convert(value) for value in values]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerField(Field):
    """`long`, `integer`, `short` or `byte`. Numeric strings are read and fractions cut off (coerce)."""

    column: ClassVar[Column | None] = "int64"

    @property
    def bounds(self) -> tuple[int, int]:
        return INTEGER_BOUNDS[self.type]

    def convert(self, value: Any) -> int:
        lowest, highest = self.bounds
        number = read_number(value, self.type)
        if not lowest <= number <= highest:
            raise ValueError(f"[{self.type}] between {lowest} and {highest} expected, not {spell(value)}")
        return int(number)

    def convert_many(self, values: Sequence[Any]) -> I64s:
        kinds = set(map(type, values))
        lowest, highest = self.bounds
        if kinds == {int} and lowest <= min(values) and max(values) <= highest:
            return np.array(values, dtype=np.int64)
        if kinds == {float}:
            numbers = np.array(values, dtype=np.float64)
            # Compared as Python numbers, which is exact: 2.0**63 is beyond the bounds of long by one.
            ends = (float(numbers.min()), float(numbers.max()))
            if all(lowest <= end <= highest for end in ends):
                return numbers.astype(np.int64)
        return np.fromiter(map(self.convert, values), dtype=np.int64, count=len(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatField(Field):
    """`double`, or `float`: rounded to single precision and kept as the double of the same value."""

    column: ClassVar[Column | None] = "float64"

    def convert(self, value: Any) -> float:
        try:
            number = float(read_number(value, self.type))
            if self.type == "float":
                number = float(struct.unpack("<f", struct.pack("<f", number))[0])
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"finite [{self.type}] expected, not {spell(value)}")
        return number

    def convert_many(self, values: Sequence[Any]) -> F64s:
        if set(map(type, values)) <= {int, float}:
            try:
                numbers = np.array(values, dtype=np.float64)
            except OverflowError:
                numbers = np.array([np.inf])
            if self.type == "float":
                with np.errstate(over="ignore"):
                    numbers = numbers.astype(np.float32).astype(np.float64)
            if np.isfinite(numbers).all():
                return numbers
        return np.fromiter(map(self.convert, values), dtype=np.float64, count=len(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class BooleanField(Field):
    """True and false as 1 and 0; the strings "true", "false" and "" (false) too."""

    column: ClassVar[Column | None] = "int64"

    type: str = "boolean"

    def convert(self, value: Any) -> int:
        value = plain_value(value)
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, str) and value in ("true", "false", ""):
            return int(value == "true")
        raise ValueError(f"[boolean] true or false expected, not {spell(value)}")

    def convert_many(self, values: Sequence[Any]) -> I64s:
        if set(map(type, values)) == {bool}:
            return np.array(values, dtype=np.int64)
        return np.fromiter(map(self.convert, values), dtype=np.int64, count=len(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class DateField(Field):
    """Instants in milliseconds. Strings and numbers are read by `formats`; a datetime without zone is UTC."""

    column: ClassVar[Column | None] = "int64"

    type: str = "date"
    formats: str = DEFAULT_FORMATS

    def convert(self, value: Any) -> int:
        value = plain_value(value)
        if isinstance(value, datetime | date):
            return datetime_to_millis(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, Decimal) or (isinstance(value, int | float) and not isinstance(value, bool)):
            value = str(value)
        if isinstance(value, str):
            return parse_date(value, self.formats)
        raise ValueError(f"[date] in format {self.formats!r} expected, not {spell(value)}")

    def convert_many(self, values: Sequence[Any]) -> I64s:
        if set(map(type, values)) == {str}:
            return parse_dates(values, self.formats)
        return np.fromiter(map(self.convert, values), dtype=np.int64, count=len(values))


FIELD_TYPES: dict[str, type[Field]] = {
    "text": TextField,
    "keyword": KeywordField,
    **dict.fromkeys(INTEGER_BOUNDS, IntegerField),
    "double": FloatField,
    "float": FloatField,
    "boolean": BooleanField,
    "date": DateField,
}
"""Mapping type -> class. A new type is one class here and its parameters in mapping.py."""


def read_number(value: Any, expected: str) -> int | float | Decimal:
    """The exact number a value or numeral stands for; ValueError for NaN, infinity and no number."""
    value = plain_value(value)
    if isinstance(value, str) and _NUMERAL.fullmatch(value) and len(value) <= 400:
        try:
            value = int(value)
        except ValueError:
            value = _decimal(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return value
    raise ValueError(f"[{expected}] number expected, not {spell(value)}")


def spell(value: Any) -> str:
    """The value for an error message: as JSON writes it when it can, cut to a length that can be read."""
    if isinstance(value, str):
        # Only the start is quoted, so that a text of 100 MB costs nothing here.
        text = json.dumps(value[:80])
    elif isinstance(value, dict | list | tuple):
        text = f"an {'object' if isinstance(value, dict) else 'array'} of {len(value)}"
    elif value is None or isinstance(value, bool):
        text = json.dumps(value)
    elif isinstance(value, int) and value.bit_length() > 512:
        text = "an integer that long"
    else:
        text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def plain_value(value: Any) -> Any:
    """NumPy scalars as the Python values they stand for; everything else as it is."""
    if not isinstance(value, np.generic):
        return value
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            raise ValueError("a date expected, not NaT")
        return value.astype("datetime64[us]").item()
    return value.item()


def to_text(value: Any, expected: str) -> str:
    """A string as it is; numbers and booleans in JSON spelling; dates, decimals and UUIDs as they print."""
    value = plain_value(value)
    if isinstance(value, str):
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"[{expected}] text expected, not a lone surrogate {value[error.start]!r} at {error.start}"
            ) from None
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return str(value)
    if isinstance(value, int) and value.bit_length() < 8192:
        return str(value)
    raise ValueError(f"[{expected}] text expected, not {spell(value)}")
