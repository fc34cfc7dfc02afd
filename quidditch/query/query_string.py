"""The clause query_string: a query in the line syntax of Lucene, `title:(dune OR "left hand") -year:[* TO 1960]`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from quidditch.errors import QueryError
from quidditch.query.dsl import Parameters, Query, clause
from quidditch.query.fulltext import OPERATORS, split_boost
from quidditch.types import Json

DEFAULT_FIELDS = ("*",)

_WITHOUT_EFFECT = (
    "allow_leading_wildcard",
    "auto_generate_synonyms_phrase_query",
    "enable_position_increments",
)
_FLAGS = ("lenient", "analyze_wildcard", *_WITHOUT_EFFECT)


@clause("query_string")
@dataclass(frozen=True, slots=True)
class QueryString(Query):
    """Documents that a line of words, "phrases", field:word, AND, OR, NOT, +, -, parentheses, prefix* and ranges
    describes; see `string_syntax`.

    fields:   where words without a field are looked for, `"title^3"` or `"title*"` among them
    lenient:  a value that a field cannot hold finds nothing there, instead of failing; fields that a pattern names
              are always lenient
    """

    query: str
    _: KW_ONLY
    fields: tuple[str, ...] = DEFAULT_FIELDS
    default_operator: str = "or"
    analyzer: str | None = None
    lenient: bool = False
    phrase_slop: int = 0
    tie_breaker: float = 0.0
    minimum_should_match: int | str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.query, str):
            raise QueryError(f"query_string.query: a string expected, not {self.query!r}")
        object.__setattr__(self, "fields", tuple(self.fields))
        for pattern in self.fields:
            split_boost(pattern, "query_string.fields")
        if self.default_operator not in OPERATORS:
            raise QueryError(
                f"query_string.default_operator: or, and expected, not {self.default_operator!r}"
            )

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> QueryString:
        parameters = Parameters(body, path)
        flags = {name: parameters.flag(name, False) for name in _FLAGS}
        node = cls(
            parameters.required_text("query"),
            fields=_fields(parameters),
            default_operator=parameters.choice("default_operator", OPERATORS, "or"),
            analyzer=parameters.text("analyzer"),
            lenient=flags["lenient"],
            phrase_slop=parameters.count("phrase_slop", 0),
            tie_breaker=parameters.number("tie_breaker", 0.0),
            minimum_should_match=parameters.minimum_should_match(),
            **parameters.common(),
        )
        parameters.finish()
        return node

    def body(self) -> Json:
        found: dict[str, Json] = {"query": self.query}
        if self.fields != DEFAULT_FIELDS:
            found["fields"] = list(self.fields)
        for name, default in (
            ("default_operator", "or"),
            ("analyzer", None),
            ("lenient", False),
            ("phrase_slop", 0),
            ("tie_breaker", 0.0),
            ("minimum_should_match", None),
        ):
            if getattr(self, name) != default:
                found[name] = getattr(self, name)
        return found | self.common()


def _fields(parameters: Parameters) -> tuple[str, ...]:
    """What `fields` or else `default_field` names."""
    default, given = parameters.text("default_field"), parameters.take("fields")
    given = [given] if isinstance(given, str) else given
    if given is None:
        return (default,) if default else DEFAULT_FIELDS
    if default is not None:
        raise QueryError(f"{parameters.path}: [fields] and [default_field] exclude each other")
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) and name for name in given):
        raise parameters.fail("fields", "an array of field names")
    return tuple(given) or DEFAULT_FIELDS
