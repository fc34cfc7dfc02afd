"""Query DSL JSON <-> tree: the base of all nodes, the registry of clauses, and how parameters are read.

A node is a frozen dataclass registered under the name of its clause. It reads itself from a `Parameters` and
writes itself with `to_dict`; `parse(query.to_dict()) == query`. Everything that is wrong in a body is a
QueryError that starts with its path, such as `query.bool.must[1].macth`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar
from uuid import UUID

import numpy as np

from quidditch.errors import LimitExceeded, QueryError
from quidditch.schema.fields import spell
from quidditch.schema.mapping import nearest
from quidditch.types import Json

if TYPE_CHECKING:
    from quidditch.query.compound import Bool

DEPTH_LIMIT = 100
"""Clauses inside one another; keeps hostile bodies from exhausting the stack."""

Value: TypeAlias = Any
"""What a field is compared with: str, int, float, bool, datetime, date, Decimal, UUID or a NumPy scalar."""


@dataclass(frozen=True, slots=True)
class Query:
    """A clause of the Query DSL. `boost` multiplies its scores; `name` is what `_name` says in a body."""

    clause: ClassVar[str]

    boost: float = field(default=1.0, kw_only=True)
    name: str | None = field(default=None, kw_only=True)

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> Query:
        """The node that the clause's body describes; `path` is where it stands, for errors."""
        raise NotImplementedError

    def body(self) -> Json:
        """What stands under the clause's name in JSON."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Json]:
        """The clause as the Query DSL writes it; values that JSON lacks (a datetime) stay as they are."""
        return {self.clause: self.body()}

    def __and__(self, other: Query) -> Bool:
        return _bool().conjunction(self, other)

    def __or__(self, other: Query) -> Bool:
        return _bool().disjunction(self, other)

    def __invert__(self) -> Bool:
        return _bool().negation(self)

    def common(self) -> dict[str, Json]:
        """`boost` and `_name`, where they say something."""
        found: dict[str, Json] = {}
        if self.boost != 1.0:
            found["boost"] = self.boost
        if self.name is not None:
            found["_name"] = self.name
        return found


CLAUSES: dict[str, type[Query]] = {}
"""Clause name -> node; filled by `@clause` as the node modules load."""

QueryType = TypeVar("QueryType", bound=type[Query])


def clause(name: str) -> Callable[[QueryType], QueryType]:
    """Register a node class under its name in the Query DSL."""

    def register(node: QueryType) -> QueryType:
        node.clause = name
        CLAUSES[name] = node
        return node

    return register


def _bool() -> type[Bool]:
    # By the registry, because compound.py imports this module.
    found: Any = CLAUSES["bool"]
    return found  # type: ignore[no-any-return]


def parse(body: Json, path: str = "query") -> Query:
    """The query that a Query DSL clause (`{"match": {"title": "dune"}}`) describes.

    `path` is the place of the clause in the request, for messages. Raises QueryError for what is malformed or
    unknown, LimitExceeded beyond DEPTH_LIMIT.
    """
    return parse_clause(body, path, 1)


def parse_clause(body: Json, path: str, depth: int) -> Query:
    """`parse` for a clause that stands inside `depth - 1` others."""
    if depth > DEPTH_LIMIT:
        raise LimitExceeded(f"{path[:200]}: clauses lie more than {DEPTH_LIMIT} deep, the limit")
    if not isinstance(body, Mapping):
        raise QueryError(f"{path}: an object with one clause expected, not {spell(body)}")
    if len(body) != 1:
        names = ", ".join(map(str, list(body)[:5])) or "none"
        raise QueryError(f"{path}: one clause expected, {len(body)} found ({names})")
    name, inner = next(iter(body.items()))
    node = CLAUSES.get(name) if isinstance(name, str) else None
    if node is None:
        raise QueryError(f"{path}.{_short(name)}: unknown clause [{_short(name)}]{nearest(name, CLAUSES)}")
    return node.read(inner, f"{path}.{name}", depth)


class Parameters:
    """Reads the parameters of one clause, and refuses at `finish` what nothing has asked for."""

    def __init__(self, body: Json, path: str) -> None:
        if not isinstance(body, Mapping):
            raise QueryError(f"{path}: an object expected, not {spell(body)}")
        self.body: Mapping[str, Json] = body
        self.path = path
        self.known: list[str] = []

    @classmethod
    def of_field(cls, body: Json, path: str, short: str | None = None) -> tuple[str, Parameters]:
        """The field and parameters of `{field: {...}}`; `{field: value}` means `{field: {short: value}}`."""
        outer = cls(body, path)
        if len(outer.body) != 1:
            names = ", ".join(map(_short, list(outer.body)[:5])) or "none"
            raise QueryError(f"{path}: one field expected, {len(outer.body)} found ({names})")
        name, inner = next(iter(outer.body.items()))
        if not name:
            raise QueryError(f"{path}: a field name expected, not {spell(name)}")
        if short is not None and not isinstance(inner, Mapping):
            inner = {short: inner}
        return name, cls(inner, f"{path}.{name}")

    def fail(self, name: str, expected: str) -> QueryError:
        return QueryError(f"{self.path}.{name}: {expected} expected, not {spell(self.body.get(name))}")

    def take(self, name: str, default: Json = None) -> Json:
        """The value as it stands."""
        self.known.append(name)
        return self.body.get(name, default)

    def require(self, name: str) -> None:
        if name not in self.body:
            raise QueryError(f"{self.path}: [{name}] is missing")

    def value(self, name: str) -> Value:
        """A required scalar to compare a field with."""
        self.require(name)
        found = self.take(name)
        if not is_value(found):
            raise self.fail(name, "a string, a number or a boolean")
        return found

    def text(self, name: str) -> str | None:
        found = self.take(name)
        if found is not None and not isinstance(found, str):
            raise self.fail(name, "a string")
        return found

    def required_text(self, name: str) -> str:
        self.require(name)
        found = self.text(name)
        if found is None:
            raise self.fail(name, "a string")
        return found

    def number(self, name: str, default: float) -> float:
        found = self.take(name, default)
        if isinstance(found, str):
            try:
                found = float(found)
            except ValueError:
                raise self.fail(name, "a number") from None
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < float("inf"):
            raise self.fail(name, "a number of 0 or more")
        return float(found)

    def count(self, name: str, default: int) -> int:
        found = self.take(name, default)
        if isinstance(found, str) and re.fullmatch(r"[0-9]{1,9}", found):
            found = int(found)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 2**31:
            raise self.fail(name, "a whole number of 0 or more")
        return found

    def flag(self, name: str, default: bool) -> bool:
        found = self.take(name, default)
        if isinstance(found, str) and found in ("true", "false"):
            found = found == "true"
        if not isinstance(found, bool):
            raise self.fail(name, "true or false")
        return found

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        found = self.take(name, default)
        if not isinstance(found, str) or found.lower() not in choices:
            raise self.fail(name, f"one of {', '.join(choices)}")
        return found.lower()

    def minimum_should_match(self) -> int | str | None:
        found = self.take("minimum_should_match")
        if found is not None:
            try:
                count_should_match(found, 1)
            except ValueError as error:
                raise QueryError(f"{self.path}.minimum_should_match: {error}") from None
        return found  # type: ignore[no-any-return]

    def common(self) -> dict[str, Any]:
        """The keyword arguments that every node takes."""
        return {"boost": self.number("boost", 1.0), "name": self.text("_name")}

    def clauses(self, name: str, depth: int) -> tuple[Query, ...]:
        """One clause or a list of clauses."""
        found = self.take(name)
        where = f"{self.path}.{name}"
        if found is None:
            return ()
        if isinstance(found, Mapping):
            return (parse_clause(found, where, depth + 1),)
        if not isinstance(found, list | tuple):
            raise self.fail(name, "a clause or an array of clauses")
        return tuple(parse_clause(inner, f"{where}[{place}]", depth + 1) for place, inner in enumerate(found))

    def finish(self) -> None:
        """Raise QueryError for the first parameter that no method has been asked for."""
        for name in self.body:
            if name not in self.known:
                short = _short(name)
                hint = nearest(name, self.known)
                raise QueryError(f"{self.path}.{short}: unknown parameter [{short}]{hint}")


def as_clauses(value: Query | Iterable[Query], where: str) -> tuple[Query, ...]:
    """One query or several as a tuple; QueryError when something else is among them."""
    if not isinstance(value, Query | Iterable):
        raise QueryError(f"{where}: a query or several expected, not {spell(value)}")
    found = (value,) if isinstance(value, Query) else tuple(value)
    for inner in found:
        if not isinstance(inner, Query):
            raise QueryError(f"{where}: a query expected, not {spell(inner)}; q.parse reads a dict")
    return found


def check_tie_breaker(value: object, where: str) -> None:
    """QueryError unless the scores of the others can be multiplied with it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise QueryError(f"{where}.tie_breaker: a number expected, not {spell(value)}")


def is_value(value: object) -> bool:
    """Whether a field can be compared with this at all."""
    return isinstance(value, str | bool | int | float | date | Decimal | UUID | np.generic)


_CONDITION = re.compile(r"(\d{1,9})<(-?\d{1,9}%?)", re.ASCII)
_AMOUNT = re.compile(r"-?\d{1,9}%?", re.ASCII)


def count_should_match(spec: int | str, optional: int) -> int:
    """How many of `optional` clauses must match: 2, -1, "75%", "-25%", "3<90%" or "2<-25% 9<-3".

    Percentages round towards zero; a negative amount says how many may be missing. The result is at least 0
    and can be larger than `optional`, which no document satisfies. ValueError for anything else.
    """
    # A Boolean or a float prints as nothing that the patterns take.
    text = str(spec).strip()
    if "<" in text:
        amount = None
        for condition in re.sub(r"\s*<\s*", "<", text).split():
            found = _CONDITION.fullmatch(condition)
            if not found:
                raise ValueError(f"a condition such as 3<90% expected, not {spell(condition)}")
            if optional > int(found[1]):
                amount = found[2]
        return optional if amount is None else _amount(amount, optional)
    if not _AMOUNT.fullmatch(text):
        raise ValueError(f"a number, a percentage or conditions such as 3<90% expected, not {spell(spec)}")
    return _amount(text, optional)


def _amount(text: str, optional: int) -> int:
    if text.endswith("%"):
        percent = int(text[:-1])
        share = abs(percent) * optional // 100
        return max(0, optional - share if percent < 0 else share)
    amount = int(text)
    return max(0, optional + amount if amount < 0 else amount)


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= 60 else text[:57] + "..."
