"""term, terms, range, exists, ids, prefix -> primitives: values become stored terms and numbers."""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Decimal
from typing import TypeAlias

from quidditch.errors import FieldError, LimitExceeded, QueryError
from quidditch.query.dsl import Value
from quidditch.query.primitive import (
    Boolean,
    Constant,
    Everything,
    HasId,
    HasValue,
    Nothing,
    NumberInterval,
    NumberSet,
    Primitive,
    ScoredTerm,
    TermInterval,
    TermPrefix,
    TermSet,
)
from quidditch.query.rewriting import ID_FIELD, TERMS_LIMIT, Rewriting, any_of
from quidditch.query.term import Exists, Ids, Prefix, Range, Term, Terms
from quidditch.schema.dates import check_formats, datetime_to_millis, parse_date_bound, parse_zone
from quidditch.schema.fields import (
    DateField,
    Field,
    FloatField,
    IntegerField,
    KeywordField,
    TextField,
    plain_value,
    read_number,
    spell,
    to_text,
)

Number: TypeAlias = int | float

LOWEST_INT, HIGHEST_INT = -(2**63), 2**63 - 1


def rewrite_term(query: Term, boost: float, run: Rewriting) -> Primitive:
    if query.field == ID_FIELD:
        run.spend(1)
        return HasId((_text(ID_FIELD, query.value),), boost)
    field = run.field(query.field)
    return Nothing() if field is None else exact(field, query.value, boost, run)


def exact(field: Field, value: Value, boost: float, run: Rewriting) -> Primitive:
    """Documents that hold this one value: scored for terms, constant for numbers.

    A date with parts missing stands for all of its span (`2020` for the year), as in OpenSearch.
    """
    run.spend(1)
    if isinstance(field, TextField | KeywordField):
        term = _text(field.path, value).encode()
        return ScoredTerm(field.path, term, boost)
    if isinstance(field, DateField):
        lower, upper = _date_span(field, value, run)
        return _interval(field, lower, upper, boost)
    number = _stored_number(field, value)
    return Nothing() if number is None else NumberSet(field.path, (number,), boost)


def rewrite_terms(query: Terms, boost: float, run: Rewriting) -> Primitive:
    if len(query.values) > TERMS_LIMIT:
        raise LimitExceeded(
            f"terms.{query.field}: {len(query.values)} values; the limit of one clause is {TERMS_LIMIT}"
        )
    if query.field == ID_FIELD:
        return _ids([_text(ID_FIELD, value) for value in query.values], boost, run)
    field = run.field(query.field)
    if field is None or not query.values:
        return Nothing()
    if isinstance(field, DateField):
        return _date_terms(field, query.values, boost, run)
    run.spend(1)
    if isinstance(field, TextField | KeywordField):
        terms = sorted({_text(field.path, value).encode() for value in query.values})
        return TermSet(field.path, tuple(terms), boost)
    found = {_stored_number(field, value) for value in query.values}
    numbers = sorted(number for number in found if number is not None)
    return NumberSet(field.path, tuple(numbers), boost) if numbers else Nothing()


def rewrite_range(query: Range, boost: float, run: Rewriting) -> Primitive:
    if query.field == ID_FIELD:
        raise QueryError("range: field [_id] has no order to search by")
    field = run.field(query.field)
    if field is None:
        return Nothing()
    run.spend(1)
    if all(bound is None for bound in (query.gte, query.gt, query.lte, query.lt)):
        return HasValue(field.path, boost)
    if isinstance(field, TextField | KeywordField):
        return _term_interval(field, query, boost)
    bounds: tuple[Number, Number]
    if isinstance(field, DateField):
        bounds = _date_bounds(field, query, run)
    elif isinstance(field, FloatField):
        bounds = _float_bounds(field, query)
    else:
        bounds = _int_bounds(field, query)
    lower, upper = bounds
    return _interval(field, lower, upper, boost)


def rewrite_exists(query: Exists, boost: float, run: Rewriting) -> Primitive:
    run.spend(1)
    if query.field == ID_FIELD:
        return Everything(boost)
    mapping = run.context.mapping
    if run.field(query.field) is not None:
        return HasValue(query.field, boost)
    if mapping.object(query.field) is None:
        return Nothing()
    inside = [
        HasValue(field.path, boost)
        for field in mapping.under(query.field)
        if field.searchable and not field.is_multi_field
    ]
    run.spend(len(inside))
    if len(inside) < 2:
        return inside[0] if inside else Nothing()
    child = Boolean(should=tuple(inside), minimum_should_match=1)
    return Constant(child, boost)


def rewrite_ids(query: Ids, boost: float, run: Rewriting) -> Primitive:
    if len(query.values) > TERMS_LIMIT:
        raise LimitExceeded(f"ids: {len(query.values)} values; the limit of one clause is {TERMS_LIMIT}")
    return _ids([_text(ID_FIELD, value) for value in query.values], boost, run)


def rewrite_prefix(query: Prefix, boost: float, run: Rewriting) -> Primitive:
    field = run.field(query.field)
    if query.field != ID_FIELD and field is None:
        return Nothing()
    if not isinstance(field, TextField | KeywordField):
        kind = ID_FIELD if field is None else field.type
        raise QueryError(f"prefix: field [{query.field}] is [{kind}]; text or keyword expected")
    run.spend(1)
    return TermPrefix(field.path, _text(field.path, query.value).encode(), query.case_insensitive, boost)


def _ids(values: list[str], boost: float, run: Rewriting) -> Primitive:
    run.spend(1)
    return HasId(tuple(dict.fromkeys(values)), boost) if values else Nothing()


def _text(path: str, value: Value) -> str:
    try:
        return to_text(value, "term")
    except ValueError as error:
        raise QueryError(f"field [{path}]: {error}") from None


# ----------------------------------------------------------------------------------------------- numbers


def _stored_number(field: Field, value: Value) -> Number | None:
    """The column value that equals `value`; None when no document can hold it (5.5 or 10**30 in a `long`)."""
    number = _number(field, value)
    if isinstance(field, IntegerField):
        lowest, highest = field.bounds
        return int(number) if lowest <= number <= highest and number == int(number) else None
    if not isinstance(field, FloatField):
        return int(number)
    try:
        return field.convert(number)
    except ValueError:
        return None


def _number(field: Field, value: Value) -> int | float | Decimal:
    """The number that a query's value stands for; QueryError when it is none."""
    try:
        if isinstance(field, IntegerField | FloatField):
            return read_number(value, field.type)
        converted: int = field.convert(value)
        return converted
    except ValueError as error:
        raise QueryError(f"field [{field.path}]: {error}") from None


def _interval(field: Field, lower: Number, upper: Number, boost: float) -> Primitive:
    return NumberInterval(field.path, lower, upper, boost) if lower <= upper else Nothing()


def _int_bounds(field: Field, query: Range) -> tuple[int, int]:
    """The closed interval of integers inside the bounds; empty when lower > upper."""
    lower, upper = LOWEST_INT, HIGHEST_INT
    if query.gte is not None:
        lower = _whole(field, query.gte, up=True)
    elif query.gt is not None:
        lower = _whole(field, query.gt, up=False) + 1
    if query.lte is not None:
        upper = _whole(field, query.lte, up=False)
    elif query.lt is not None:
        upper = _whole(field, query.lt, up=True) - 1
    return _clamp(lower, upper)


def _clamp(lower: int, upper: int) -> tuple[int, int]:
    """The part of an interval that int64 holds; an interval beyond either end comes back empty."""
    if lower > HIGHEST_INT or upper < LOWEST_INT:
        return 1, 0
    return max(lower, LOWEST_INT), min(upper, HIGHEST_INT)


def _whole(field: Field, value: Value, *, up: bool) -> int:
    """The bound as an integer, rounded; kept just beyond int64 when it lies there."""
    value = plain_value(value)
    if isinstance(value, float) and math.isinf(value):
        return HIGHEST_INT + 2 if value > 0 else LOWEST_INT - 2
    number = _number(field, value)
    if not LOWEST_INT - 2 <= number <= HIGHEST_INT + 2:
        return HIGHEST_INT + 2 if number > 0 else LOWEST_INT - 2
    return math.ceil(number) if up else math.floor(number)


def _float_bounds(field: FloatField, query: Range) -> tuple[float, float]:
    lower, upper = -math.inf, math.inf
    if query.gte is not None:
        lower = _real(field, query.gte)
    elif query.gt is not None:
        lower = math.nextafter(_real(field, query.gt), math.inf)
    if query.lte is not None:
        upper = _real(field, query.lte)
    elif query.lt is not None:
        upper = math.nextafter(_real(field, query.lt), -math.inf)
    return lower, upper


def _real(field: FloatField, value: Value) -> float:
    """The bound as the column would hold it (`float`: in single precision), infinite beyond its range."""
    value = plain_value(value)
    if isinstance(value, float) and math.isinf(value):
        return value
    number = _number(field, value)
    try:
        return field.convert(number)
    except ValueError:
        return math.inf if number > 0 else -math.inf


# ------------------------------------------------------------------------------------------------- dates


def _date(
    field: DateField,
    value: Value,
    run: Rewriting,
    *,
    round_up: bool,
    formats: str | None = None,
    zone: str | None = None,
) -> int:
    """A date in a query as milliseconds; what is not written counts as its first or last instant."""
    value = plain_value(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        if isinstance(value, datetime):
            return datetime_to_millis(value, parse_zone(zone or "Z"))
        if isinstance(value, date):
            value, formats = value.isoformat(), "strict_date"
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"[date] expected, not {spell(value)}")
        if formats is not None:
            check_formats(formats)
        return parse_date_bound(
            value, formats or field.formats, round_up=round_up, now_ms=run.context.now_ms, time_zone=zone
        )
    except ValueError as error:
        raise FieldError(f"field [{field.path}]: {error}", "parse_exception") from None


def _date_span(field: DateField, value: Value, run: Rewriting) -> tuple[int, int]:
    return _date(field, value, run, round_up=False), _date(field, value, run, round_up=True)


def _date_bounds(field: DateField, query: Range, run: Rewriting) -> tuple[int, int]:
    """`gt` starts after the last instant of what is written, `lt` ends before the first one."""

    def read(value: Value, round_up: bool) -> int:
        return _date(field, value, run, round_up=round_up, formats=query.format, zone=query.time_zone)

    lower, upper = LOWEST_INT, HIGHEST_INT
    if query.gte is not None:
        lower = read(query.gte, False)
    elif query.gt is not None:
        lower = read(query.gt, True) + 1
    if query.lte is not None:
        upper = read(query.lte, True)
    elif query.lt is not None:
        upper = read(query.lt, False) - 1
    return _clamp(lower, upper)


def _date_terms(field: DateField, values: tuple[Value, ...], boost: float, run: Rewriting) -> Primitive:
    """One set for instants, one interval for each span; spans that touch are joined."""
    spans = sorted({_date_span(field, value, run) for value in values})
    instants = tuple(lower for lower, upper in spans if lower == upper)
    joined: list[tuple[int, int]] = []
    for lower, upper in spans:
        if lower == upper:
            continue
        if joined and lower <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(upper, joined[-1][1]))
        else:
            joined.append((lower, upper))
    run.spend(len(joined) + bool(instants))
    clauses: list[Primitive] = [NumberInterval(field.path, lower, upper, boost) for lower, upper in joined]
    if instants:
        clauses.append(NumberSet(field.path, instants, boost))
    return clauses[0] if len(clauses) == 1 else Constant(any_of(clauses), boost)


# ------------------------------------------------------------------------------------------------- terms


def _term_interval(field: Field, query: Range, boost: float) -> Primitive:
    lower = query.gte if query.gte is not None else query.gt
    upper = query.lte if query.lte is not None else query.lt
    first = None if lower is None else _text(field.path, lower).encode()
    last = None if upper is None else _text(field.path, upper).encode()
    closed = query.gt is None and query.lt is None
    if first is not None and last is not None and (first > last or (first == last and not closed)):
        return Nothing()
    return TermInterval(field.path, first, last, query.gt is None, query.lt is None, boost)
