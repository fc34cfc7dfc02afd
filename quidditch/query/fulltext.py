"""Clauses that analyse their text as the field does: match, match_phrase, multi_match."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from quidditch.errors import QueryError
from quidditch.query.dsl import (
    Parameters,
    Query,
    Value,
    check_tie_breaker,
    clause,
    count_should_match,
    is_value,
)
from quidditch.schema.fields import spell
from quidditch.types import Json

OPERATORS = ("or", "and")
ZERO_TERMS = ("none", "all")
MULTI_MATCH_TYPES = ("best_fields", "most_fields")
_LATER_TYPES = ("cross_fields", "phrase", "phrase_prefix", "bool_prefix")


@clause("match")
@dataclass(frozen=True, slots=True)
class Match(Query):
    """Documents whose field holds the words of `query`: any of them (`or`), or all (`and`).

    `zero_terms_query` says what is found when analysis leaves no word ("none" or "all" documents). `lenient`
    finds nothing, instead of failing, where `query` is no value of the field (a word for a number).
    """

    field: str
    query: Value
    _: KW_ONLY
    operator: str = "or"
    minimum_should_match: int | str | None = None
    analyzer: str | None = None
    zero_terms_query: str = "none"
    lenient: bool = False

    def __post_init__(self) -> None:
        where = f"match.{self.field}"
        _check_query(self.query, where)
        # Of a plain string every word makes one of these for every field: what is right as it stands costs no more.
        if self.operator not in OPERATORS:
            object.__setattr__(self, "operator", _lowered(self.operator))
            _check_choice(self.operator, OPERATORS, f"{where}.operator")
        if self.zero_terms_query not in ZERO_TERMS:
            object.__setattr__(self, "zero_terms_query", _lowered(self.zero_terms_query))
            _check_choice(self.zero_terms_query, ZERO_TERMS, f"{where}.zero_terms_query")
        _check_minimum(self.minimum_should_match, where)

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> Match:
        name, parameters = Parameters.of_field(body, path, "query")
        node = cls(
            name,
            parameters.value("query"),
            operator=parameters.choice("operator", OPERATORS, "or"),
            minimum_should_match=parameters.minimum_should_match(),
            analyzer=parameters.text("analyzer"),
            zero_terms_query=parameters.choice("zero_terms_query", ZERO_TERMS, "none"),
            lenient=parameters.flag("lenient", False),
            **parameters.common(),
        )
        parameters.finish()
        return node

    def body(self) -> Json:
        found = _changed(self, "operator", "minimum_should_match", "analyzer", "zero_terms_query", "lenient")
        found |= self.common()
        return {self.field: {"query": self.query} | found if found else self.query}


@clause("match_phrase")
@dataclass(frozen=True, slots=True)
class Phrase(Query):
    """Documents whose field holds the words of `query` in this order, at most `slop` moves apart."""

    field: str
    query: Value
    _: KW_ONLY
    slop: int = 0
    analyzer: str | None = None
    zero_terms_query: str = "none"

    def __post_init__(self) -> None:
        where = f"match_phrase.{self.field}"
        object.__setattr__(self, "zero_terms_query", _lowered(self.zero_terms_query))
        _check_query(self.query, where)
        _check_choice(self.zero_terms_query, ZERO_TERMS, f"{where}.zero_terms_query")
        _check_slop(self.slop, f"{where}.slop")

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> Phrase:
        name, parameters = Parameters.of_field(body, path, "query")
        node = cls(
            name,
            parameters.value("query"),
            slop=parameters.count("slop", 0),
            analyzer=parameters.text("analyzer"),
            zero_terms_query=parameters.choice("zero_terms_query", ZERO_TERMS, "none"),
            **parameters.common(),
        )
        parameters.finish()
        return node

    def body(self) -> Json:
        found = _changed(self, "slop", "analyzer", "zero_terms_query") | self.common()
        return {self.field: {"query": self.query} | found if found else self.query}


@clause("multi_match")
@dataclass(frozen=True, slots=True, init=False)
class MultiMatch(Query):
    """A match over several fields, `"title^3"` or `"title*"` among them; none given means all.

    `best_fields` scores by the best field plus `tie_breaker` times the others, `most_fields` by the sum
    (as if `tie_breaker` were 1).
    """

    query: Value
    fields: tuple[str, ...]
    type: str
    tie_breaker: float | None
    operator: str
    minimum_should_match: int | str | None
    analyzer: str | None
    zero_terms_query: str
    lenient: bool | None

    def __init__(
        self,
        query: Value,
        fields: str | Iterable[str] | None = (),
        *,
        type: str = "best_fields",
        tie_breaker: float | None = None,
        operator: str = "or",
        minimum_should_match: int | str | None = None,
        analyzer: str | None = None,
        zero_terms_query: str = "none",
        lenient: bool | None = None,
        boost: float = 1.0,
        name: str | None = None,
    ) -> None:
        operator = _lowered(operator)
        zero_terms_query = _lowered(zero_terms_query)
        found = _fields(fields)
        _check_query(query, "multi_match")
        for pattern in found:
            split_boost(pattern, "multi_match.fields")
        _check_type(type, "multi_match")
        _check_choice(operator, OPERATORS, "multi_match.operator")
        _check_choice(zero_terms_query, ZERO_TERMS, "multi_match.zero_terms_query")
        _check_minimum(minimum_should_match, "multi_match")
        if tie_breaker is not None:
            check_tie_breaker(tie_breaker, "multi_match")
        for attribute, value in (
            ("query", query),
            ("fields", found),
            ("type", type),
            ("tie_breaker", tie_breaker),
            ("operator", operator),
            ("minimum_should_match", minimum_should_match),
            ("analyzer", analyzer),
            ("zero_terms_query", zero_terms_query),
            ("lenient", lenient),
            ("boost", boost),
            ("name", name),
        ):
            object.__setattr__(self, attribute, value)

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> MultiMatch:
        parameters = Parameters(body, path)
        fields = parameters.take("fields", ())
        fields = [fields] if isinstance(fields, str) else fields
        if not isinstance(fields, list | tuple):
            raise parameters.fail("fields", "an array of field names")
        for place, pattern in enumerate(fields):
            split_boost(pattern, f"{path}.fields[{place}]")
        kind = parameters.take("type", "best_fields")
        _check_type(kind, path)
        given = {name: parameters.body.get(name) is not None for name in ("tie_breaker", "lenient")}
        tie_breaker, lenient = parameters.number("tie_breaker", 0.0), parameters.flag("lenient", False)
        node = cls(
            parameters.value("query"),
            fields,
            type=kind,
            tie_breaker=tie_breaker if given["tie_breaker"] else None,
            operator=parameters.choice("operator", OPERATORS, "or"),
            minimum_should_match=parameters.minimum_should_match(),
            analyzer=parameters.text("analyzer"),
            zero_terms_query=parameters.choice("zero_terms_query", ZERO_TERMS, "none"),
            lenient=lenient if given["lenient"] else None,
            **parameters.common(),
        )
        parameters.finish()
        return node

    def body(self) -> Json:
        found: dict[str, Json] = {"query": self.query}
        if self.fields:
            found["fields"] = list(self.fields)
        for name, default in (
            ("type", "best_fields"),
            ("tie_breaker", None),
            ("operator", "or"),
            ("minimum_should_match", None),
            ("analyzer", None),
            ("zero_terms_query", "none"),
            ("lenient", None),
        ):
            if getattr(self, name) != default:
                found[name] = getattr(self, name)
        return found | self.common()


def split_boost(pattern: Json, where: str) -> tuple[str, float]:
    """`"title^3"` as the name and 3.0; QueryError names `where` when it is no such thing."""
    if isinstance(pattern, str):
        name, caret, boost = pattern.partition("^")
        try:
            number = float(boost) if caret else 1.0
        except ValueError:
            number = -1.0
        if name != "" and 0 <= number < float("inf"):
            return name, number
    raise QueryError(f"{where}: a field name, with ^boost or without, expected, not {spell(pattern)}")


def _changed(node: Match | Phrase, *names: str) -> dict[str, Json]:
    """Those attributes that are not at the default of the class."""
    defaults = {name: item.default for name, item in node.__dataclass_fields__.items()}
    return {name: getattr(node, name) for name in names if getattr(node, name) != defaults[name]}


def _fields(fields: object) -> tuple[Any, ...]:
    if fields is None or isinstance(fields, str):
        return () if fields is None else (fields,)
    if not isinstance(fields, Iterable):
        raise QueryError(f"multi_match.fields: a field name or several expected, not {spell(fields)}")
    return tuple(fields)


def _lowered(choice: Any) -> Any:
    """A choice as bodies may write it too ("AND"); what is no string stays, to be refused by name."""
    return choice.lower() if isinstance(choice, str) else choice


def _check_query(value: Value, where: str) -> None:
    if not is_value(value):
        raise QueryError(f"{where}: a string, a number or a boolean expected, not {spell(value)}")


def _check_choice(value: object, choices: tuple[str, ...], where: str) -> None:
    if value not in choices:
        raise QueryError(f"{where}: one of {', '.join(choices)} expected, not {spell(value)}")


def _check_type(value: object, where: str) -> None:
    if value in _LATER_TYPES:
        raise QueryError(f"{where}.type: [{value}] is not supported yet; {', '.join(MULTI_MATCH_TYPES)} are")
    _check_choice(value, MULTI_MATCH_TYPES, f"{where}.type")


def _check_minimum(value: int | str | None, where: str) -> None:
    if value is not None:
        try:
            count_should_match(value, 1)
        except ValueError as error:
            raise QueryError(f"{where}.minimum_should_match: {error}") from None


def _check_slop(value: object, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise QueryError(f"{where}: a whole number of 0 or more expected, not {spell(value)}")
