"""Clauses that compare whole values and analyse nothing: term, terms, range, exists, ids, prefix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass

from quidditch.errors import QueryError
from quidditch.query.dsl import Parameters, Query, Value, clause, is_value
from quidditch.schema.fields import spell
from quidditch.types import Json

_RELATIONS = ("intersects", "contains", "within")
_BOUNDS = ("gte", "gt", "lte", "lt")


@clause("term")
@dataclass(frozen=True, slots=True)
class Term(Query):
    """Documents whose field holds exactly this value; text fields are compared with their analysed terms."""

    field: str
    value: Value

    def __post_init__(self) -> None:
        if not is_value(self.value):
            raise QueryError(
                f"term.{self.field}: a string, number or boolean expected, not {spell(self.value)}"
            )

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> Term:
        name, parameters = Parameters.of_field(body, path, "value")
        node = cls(name, parameters.value("value"), **parameters.common())
        parameters.finish()
        return node

    def body(self) -> Json:
        common = self.common()
        return {self.field: {"value": self.value} | common if common else self.value}


@clause("terms")
@dataclass(frozen=True, slots=True, init=False)
class Terms(Query):
    """Documents whose field holds any of these values, each with the score `boost`."""

    field: str
    values: tuple[Value, ...]

    def __init__(
        self, field: str, values: Iterable[Value], *, boost: float = 1.0, name: str | None = None
    ) -> None:
        if isinstance(values, str | bytes | dict) or not isinstance(values, Iterable):
            raise QueryError(f"terms.{field}: an array of values expected, not {spell(values)}")
        found = tuple(values)
        for place, value in enumerate(found):
            if not is_value(value):
                raise QueryError(
                    f"terms.{field}[{place}]: a string, number or boolean expected, not {spell(value)}"
                )
        for attribute, given in (("field", field), ("values", found), ("boost", boost), ("name", name)):
            object.__setattr__(self, attribute, given)

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> Terms:
        parameters = Parameters(body, path)
        common = parameters.common()
        fields = [name for name in parameters.body if name not in ("boost", "_name")]
        if len(fields) != 1:
            raise QueryError(
                f"{path}: one field expected, {len(fields)} found ({', '.join(fields[:5]) or 'none'})"
            )
        values = parameters.body[fields[0]]
        if not isinstance(values, list | tuple):
            raise parameters.fail(fields[0], "an array of values")
        for place, value in enumerate(values):
            if not is_value(value):
                raise QueryError(
                    f"{path}.{fields[0]}[{place}]: a string, number or boolean expected, not {spell(value)}"
                )
        return cls(fields[0], values, **common)

    def body(self) -> Json:
        return {self.field: list(self.values)} | self.common()


@clause("range")
@dataclass(frozen=True, slots=True)
class Range(Query):
    """Documents with a value between bounds; a bound that is None is open.

    Dates take date math (`now-1d/d`), and a date with parts missing stands for its first or last instant, as
    the bound asks. `format` reads the bounds instead of the field's formats; `time_zone` applies where they
    name none.
    """

    field: str
    _: KW_ONLY
    gte: Value = None
    gt: Value = None
    lte: Value = None
    lt: Value = None
    format: str | None = None
    time_zone: str | None = None

    def __post_init__(self) -> None:
        for bound in _BOUNDS:
            value = getattr(self, bound)
            if value is not None and not is_value(value):
                raise QueryError(f"range.{self.field}.{bound}: a value expected, not {spell(value)}")
        for option in ("format", "time_zone"):
            text = getattr(self, option)
            if text is not None and not isinstance(text, str):
                raise QueryError(f"range.{self.field}.{option}: a string expected, not {spell(text)}")
        for first, second in (("gte", "gt"), ("lte", "lt")):
            if getattr(self, first) is not None and getattr(self, second) is not None:
                raise QueryError(f"range.{self.field}: [{first}] and [{second}] exclude each other")

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> Range:
        name, parameters = Parameters.of_field(body, path)
        bounds: dict[str, Value] = {}
        for bound in _BOUNDS:
            if parameters.body.get(bound) is not None:
                bounds[bound] = parameters.value(bound)
            parameters.take(bound)
        lower = "gte" if parameters.flag("include_lower", True) else "gt"
        upper = "lte" if parameters.flag("include_upper", True) else "lt"
        for legacy, bound in (("from", lower), ("to", upper)):
            if parameters.body.get(legacy) is not None:
                bounds.setdefault(bound, parameters.value(legacy))
            parameters.take(legacy)
        # Only range fields, which do not exist yet, tell the relations apart.
        parameters.choice("relation", _RELATIONS, "intersects")
        form, zone = parameters.text("format"), parameters.text("time_zone")
        common = parameters.common()
        parameters.finish()
        for first, second in (("gte", "gt"), ("lte", "lt")):
            if first in bounds and second in bounds:
                raise QueryError(f"{parameters.path}: [{first}] and [{second}] exclude each other")
        return cls(name, format=form, time_zone=zone, **bounds, **common)

    def body(self) -> Json:
        names = (*_BOUNDS, "format", "time_zone")
        found = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {self.field: found | self.common()}


@clause("exists")
@dataclass(frozen=True, slots=True)
class Exists(Query):
    """Documents with a value in the field, or in any field of the object."""

    field: str

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> Exists:
        parameters = Parameters(body, path)
        node = cls(parameters.required_text("field"), **parameters.common())
        parameters.finish()
        return node

    def body(self) -> Json:
        return {"field": self.field} | self.common()


@clause("ids")
@dataclass(frozen=True, slots=True, init=False)
class Ids(Query):
    """The documents of these ids."""

    values: tuple[str, ...]

    def __init__(self, values: str | Iterable[str], *, boost: float = 1.0, name: str | None = None) -> None:
        if not isinstance(values, Iterable):
            raise QueryError(f"ids.values: an id or several expected, not {spell(values)}")
        found = (values,) if isinstance(values, str) else tuple(values)
        for value in found:
            if not isinstance(value, str):
                raise QueryError(f"ids.values: a string expected, not {spell(value)}")
        for attribute, given in (("values", found), ("boost", boost), ("name", name)):
            object.__setattr__(self, attribute, given)

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> Ids:
        parameters = Parameters(body, path)
        parameters.require("values")
        values = parameters.take("values")
        values = [values] if isinstance(values, str | int) else values
        if not isinstance(values, list | tuple):
            raise parameters.fail("values", "an array of ids")
        for place, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise QueryError(f"{path}.values[{place}]: an id expected, not {spell(value)}")
        node = cls([str(value) for value in values], **parameters.common())
        parameters.finish()
        return node

    def body(self) -> Json:
        return {"values": list(self.values)} | self.common()


@clause("prefix")
@dataclass(frozen=True, slots=True)
class Prefix(Query):
    """Documents with a term of a text or keyword field that starts so, each with the score `boost`."""

    field: str
    value: str
    _: KW_ONLY
    case_insensitive: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.value, str):
            raise QueryError(f"prefix.{self.field}: a string expected, not {spell(self.value)}")

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> Prefix:
        name, parameters = Parameters.of_field(body, path, "value")
        node = cls(
            name,
            parameters.required_text("value"),
            case_insensitive=parameters.flag("case_insensitive", False),
            **parameters.common(),
        )
        parameters.finish()
        return node

    def body(self) -> Json:
        found: dict[str, Json] = {"case_insensitive": True} if self.case_insensitive else {}
        found |= self.common()
        return {self.field: {"value": self.value} | found if found else self.value}
