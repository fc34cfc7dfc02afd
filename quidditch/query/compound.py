"""Clauses made of clauses, and those without field: bool, constant_score, dis_max, match_all, match_none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from quidditch.errors import QueryError
from quidditch.query.dsl import (
    Parameters,
    Query,
    as_clauses,
    check_tie_breaker,
    clause,
    count_should_match,
    parse_clause,
)
from quidditch.types import Json

Clauses: TypeAlias = Query | Iterable[Query]


@clause("match_all")
@dataclass(frozen=True, slots=True)
class MatchAll(Query):
    """Every document, with the score `boost`."""

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> MatchAll:
        parameters = Parameters(body, path)
        node = cls(**parameters.common())
        parameters.finish()
        return node

    def body(self) -> Json:
        return self.common()


@clause("match_none")
@dataclass(frozen=True, slots=True)
class MatchNone(Query):
    """No document."""

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> MatchNone:
        parameters = Parameters(body, path)
        node = cls(**parameters.common())
        parameters.finish()
        return node

    def body(self) -> Json:
        return self.common()


@clause("bool")
@dataclass(frozen=True, slots=True, init=False)
class Bool(Query):
    """Documents that match all of `must` and `filter`, none of `must_not`, and enough of `should`.

    `must` and `should` add to the score, in the order written. Without `must` and `filter`, one `should` has
    to match; `minimum_should_match` says otherwise. Each argument is one query or several.
    """

    must: tuple[Query, ...]
    filter: tuple[Query, ...]
    should: tuple[Query, ...]
    must_not: tuple[Query, ...]
    minimum_should_match: int | str | None
    adjust_pure_negative: bool

    def __init__(
        self,
        must: Clauses = (),
        filter: Clauses = (),
        should: Clauses = (),
        must_not: Clauses = (),
        *,
        minimum_should_match: int | str | None = None,
        adjust_pure_negative: bool = True,
        boost: float = 1.0,
        name: str | None = None,
    ) -> None:
        if minimum_should_match is not None:
            try:
                count_should_match(minimum_should_match, 1)
            except ValueError as error:
                raise QueryError(f"bool.minimum_should_match: {error}") from None
        for attribute, value in (
            ("must", as_clauses(must, "bool.must")),
            ("filter", as_clauses(filter, "bool.filter")),
            ("should", as_clauses(should, "bool.should")),
            ("must_not", as_clauses(must_not, "bool.must_not")),
            ("minimum_should_match", minimum_should_match),
            ("adjust_pure_negative", adjust_pure_negative),
            ("boost", boost),
            ("name", name),
        ):
            object.__setattr__(self, attribute, value)

    @classmethod
    def conjunction(cls, left: Query, right: Query) -> Bool:
        """`left & right`; conjunctions on the left, and negations on either side, are not nested.

        Only what leaves every float sum as it was is joined: (a & b) & c adds a, b, c as nesting would, while
        a & (b & c) adds in another order and stays nested.
        """
        first = left if isinstance(left, cls) and left._is_plain_conjunction() else cls(must=left)
        if isinstance(right, cls) and right._is_plain_conjunction() and not right.must:
            return replace_clauses(
                first, filter=first.filter + right.filter, must_not=first.must_not + right.must_not
            )
        return replace_clauses(first, must=(*first.must, right))

    @classmethod
    def disjunction(cls, left: Query, right: Query) -> Bool:
        """`left | right`; a disjunction on the left is not nested."""
        if isinstance(left, cls) and left.should and left == cls(should=left.should):
            return cls(should=(*left.should, right))
        return cls(should=(left, right))

    @classmethod
    def negation(cls, query: Query) -> Bool:
        """`~query`: everything else, with the score 0."""
        return cls(must_not=query)

    def _is_plain_conjunction(self) -> bool:
        parts = (self.must, self.filter, self.must_not)
        return any(parts) and self == Bool(must=self.must, filter=self.filter, must_not=self.must_not)

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> Bool:
        parameters = Parameters(body, path)
        node = cls(
            must=parameters.clauses("must", depth),
            filter=parameters.clauses("filter", depth),
            should=parameters.clauses("should", depth),
            must_not=parameters.clauses("must_not", depth),
            minimum_should_match=parameters.minimum_should_match(),
            adjust_pure_negative=parameters.flag("adjust_pure_negative", True),
            **parameters.common(),
        )
        parameters.finish()
        return node

    def body(self) -> Json:
        found: dict[str, Json] = {}
        for occur in ("must", "filter", "should", "must_not"):
            clauses = getattr(self, occur)
            if clauses:
                found[occur] = [inner.to_dict() for inner in clauses]
        if self.minimum_should_match is not None:
            found["minimum_should_match"] = self.minimum_should_match
        if not self.adjust_pure_negative:
            found["adjust_pure_negative"] = False
        return found | self.common()


def replace_clauses(
    query: Bool,
    *,
    must: tuple[Query, ...] | None = None,
    filter: tuple[Query, ...] | None = None,
    must_not: tuple[Query, ...] | None = None,
) -> Bool:
    """The Bool with some of its clauses exchanged."""
    return replace(
        query,
        must=query.must if must is None else must,
        filter=query.filter if filter is None else filter,
        must_not=query.must_not if must_not is None else must_not,
    )


@clause("constant_score")
@dataclass(frozen=True, slots=True)
class ConstantScore(Query):
    """Documents that match `filter`, each with the score `boost`."""

    filter: Query

    def __post_init__(self) -> None:
        as_clauses(self.filter, "constant_score.filter")

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> ConstantScore:
        parameters = Parameters(body, path)
        parameters.require("filter")
        inner = parse_clause(parameters.take("filter"), f"{path}.filter", depth + 1)
        node = cls(inner, **parameters.common())
        parameters.finish()
        return node

    def body(self) -> Json:
        return {"filter": self.filter.to_dict()} | self.common()


@clause("dis_max")
@dataclass(frozen=True, slots=True, init=False)
class DisMax(Query):
    """Documents that match any query: the best score, plus `tie_breaker` times the sum of the others."""

    queries: tuple[Query, ...]
    tie_breaker: float

    def __init__(
        self, queries: Clauses, *, tie_breaker: float = 0.0, boost: float = 1.0, name: str | None = None
    ) -> None:
        found = as_clauses(queries, "dis_max.queries")
        if not found:
            raise QueryError("dis_max.queries: one query or more expected, none found")
        check_tie_breaker(tie_breaker, "dis_max")
        object.__setattr__(self, "queries", found)
        object.__setattr__(self, "tie_breaker", tie_breaker)
        object.__setattr__(self, "boost", boost)
        object.__setattr__(self, "name", name)

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> DisMax:
        parameters = Parameters(body, path)
        parameters.require("queries")
        queries = parameters.clauses("queries", depth)
        if not queries:
            raise QueryError(f"{path}.queries: one query or more expected, none found")
        node = cls(queries, tie_breaker=parameters.number("tie_breaker", 0.0), **parameters.common())
        parameters.finish()
        return node

    def body(self) -> Json:
        found: dict[str, Json] = {"queries": [inner.to_dict() for inner in self.queries]}
        if self.tie_breaker:
            found["tie_breaker"] = self.tie_breaker
        return found | self.common()
