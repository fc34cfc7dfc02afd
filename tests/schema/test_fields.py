"""What values fields take, and what they become."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.schema import DateField, Field, KeywordField, Mapping


def field(kind: str, **parameters: Any) -> Field:
    body = {"properties": {"f": {"type": kind, **parameters}}}
    found = Mapping.parse(body, analyzers={"standard"}).field("f")
    assert found is not None
    return found


UUID_TEXT = "12345678-1234-5678-1234-567812345678"


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("text", "a", "a"),
        ("text", 5, "5"),
        ("text", 1.5, "1.5"),
        ("text", True, "true"),
        ("text", np.str_("x"), "x"),
        ("keyword", "ä", "ä".encode()),
        ("keyword", False, b"false"),
        ("keyword", Decimal("1.10"), b"1.10"),
        ("keyword", UUID(UUID_TEXT), UUID_TEXT.encode()),
        ("keyword", date(2020, 1, 2), b"2020-01-02"),
        ("keyword", np.int64(5), b"5"),
        ("long", 2**63 - 1, 2**63 - 1),
        ("long", "-9223372036854775808", -(2**63)),
        ("long", "9223372036854775807", 2**63 - 1),
        ("long", 5.7, 5),
        ("long", -5.7, -5),
        ("long", "5.7", 5),
        ("long", "1e3", 1000),
        ("long", Decimal("2.5"), 2),
        ("byte", np.int8(-128), -128),
        ("double", 5, 5.0),
        ("double", "1.5e3", 1500.0),
        ("float", 0.1, float(np.float32(0.1))),
        ("float", np.float64(0.1), float(np.float32(0.1))),
        ("boolean", True, 1),
        ("boolean", "false", 0),
        ("boolean", "", 0),
        ("boolean", np.bool_(True), 1),
        ("date", "2020-01-01", 1577836800000),
        ("date", 1577836800000, 1577836800000),
        ("date", 1577836800000.0, 1577836800000),
        ("date", datetime(2020, 1, 1, tzinfo=UTC), 1577836800000),
        ("date", np.datetime64("2020-01-01T00:00:00.000000001"), 1577836800000),
    ],
)
def test_values_convert(kind: str, value: Any, stored: Any) -> None:
    found = field(kind).convert(value)
    assert found == stored
    assert type(found) is type(stored)
    assert list(field(kind).convert_many([value])) == [stored]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", {}),
        ("text", b"bytes"),
        ("text", float("nan")),
        ("text", "a\ud800"),
        ("keyword", "\udfff"),
        ("keyword", ["a"]),
        ("keyword", float("inf")),
        ("long", 2**63),
        ("long", 2.0**63),
        ("long", True),
        ("long", ""),
        ("long", "five"),
        ("long", "1_000"),
        ("long", "1e999999"),
        ("long", float("nan")),
        ("long", Decimal("NaN")),
        ("long", {}),
        ("byte", 128),
        ("short", "40000"),
        ("integer", 2**31),
        ("double", float("inf")),
        ("double", 10**400),
        ("double", "nan"),
        ("double", np.float64("nan")),
        ("float", 1e39),
        ("boolean", 1),
        ("boolean", "yes"),
        ("date", "yesterday"),
        ("date", True),
        ("date", {}),
        ("date", np.datetime64("NaT")),
    ],
)
def test_values_that_do_not_fit_say_what_was_expected(kind: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|lone surrogate"):
        field(kind).convert(value)
    with pytest.raises(ValueError):
        field(kind).convert_many([value])


def test_long_keywords_are_not_indexed() -> None:
    keyword = KeywordField(path="f", source="f", ignore_above=3)
    assert keyword.convert("äöü") == "äöü".encode()
    assert keyword.convert("abcd") is None
    assert list(keyword.convert_many(["abc", "abcd"])) == [b"abc", None]


def test_a_huge_value_makes_a_short_message() -> None:
    with pytest.raises(ValueError) as caught:
        field("long").convert("x" * 10**6)
    assert len(str(caught.value)) < 250


def test_dates_follow_the_formats_of_their_field() -> None:
    dates = DateField(path="f", source="f", formats="yyyy")
    assert dates.convert("2020") == dates.convert(2020) == 1577836800000
    with pytest.raises(ValueError, match="'yyyy'"):
        dates.convert("2020-01-01")


SCALARS = st.one_of(
    st.text(max_size=5),
    st.integers(-(2**70), 2**70),
    st.integers(-200, 200),
    st.floats(),
    st.booleans(),
    st.sampled_from(["5", "-7.9", "true", "2020-01-02", "2020-01-02T03:04:05Z"]),
)
KINDS = ("text", "keyword", "long", "byte", "double", "float", "boolean", "date")


@given(st.sampled_from(KINDS), st.lists(SCALARS, max_size=4) | st.lists(st.floats(), max_size=4))
def test_lists_convert_as_their_values_do(kind: str, values: list[Any]) -> None:
    def outcome(many: bool) -> Any:
        try:
            return list(asked.convert_many(values)) if many else [asked.convert(value) for value in values]
        except ValueError:
            return "refused"

    asked = field(kind)
    assert outcome(True) == outcome(False)
