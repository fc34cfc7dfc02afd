"""What all rewriting shares: the context, the clause budget of one query, and how primitives are joined."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from quidditch.analysis.analyzer import Analyzer, Token
from quidditch.analysis.registry import get_analyzer
from quidditch.errors import LimitExceeded, MappingError, QueryError
from quidditch.query.dsl import DEPTH_LIMIT, Query
from quidditch.query.primitive import BestOf, Boolean, Everything, Nothing, Primitive
from quidditch.schema.fields import Field, spell
from quidditch.schema.mapping import Mapping

CLAUSE_LIMIT = 1024
"""Leaf clauses of one query; OpenSearch's indices.query.bool.max_clause_count."""

TERMS_LIMIT = 65_536
"""Values of one terms clause; OpenSearch's index.max_terms_count."""

BOOST_LIMIT = 1e30
"""The largest product of nested boosts: a sum of scores of `CLAUSE_LIMIT` such clauses still fits a float32."""

ID_FIELD = "_id"


@dataclass(frozen=True, slots=True)
class RewriteContext:
    """What a query is resolved against.

    now_ms:  milliseconds since the epoch, the `now` of date math
    notes:   what plain strings were cut by, gathered while it is resolved
    """

    mapping: Mapping
    now_ms: int
    analyzer: Callable[[str], Analyzer] = get_analyzer
    clause_limit: int = CLAUSE_LIMIT
    notes: list[str] = field(default_factory=list)


class Rewriting:
    """The rewriting of one query: its context, and the clauses and nesting spent so far."""

    def __init__(self, context: RewriteContext) -> None:
        self.context = context
        self.leaves = 0
        self.depth = 0

    def spend(self, leaves: int) -> None:
        """Count leaf clauses; LimitExceeded beyond the limit."""
        self.leaves += leaves
        if self.leaves > self.context.clause_limit:
            raise LimitExceeded(
                f"query: {self.leaves} clauses or more; the limit of one query is {self.context.clause_limit}"
            )

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise LimitExceeded(f"query: clauses lie more than {DEPTH_LIMIT} deep, the limit")

    def leave(self) -> None:
        self.depth -= 1

    def field(self, path: str) -> Field | None:
        """The mapped field; None when there is none, QueryError when nothing of it was indexed, or for no name."""
        if not isinstance(path, str):
            raise QueryError(f"query: the name of a field expected, not {spell(path)}")
        found = self.context.mapping.field(path)
        if found is not None and not found.searchable:
            raise QueryError(f"field [{path}] is not searchable: its mapping says index: false")
        return found

    def tokens(self, analyzer: str, text: str) -> list[Token]:
        """The query's tokens; QueryError when the analyzer does not exist."""
        if not isinstance(analyzer, str):
            raise QueryError(f"query: the name of an analyzer expected, not {spell(analyzer)}")
        try:
            found = self.context.analyzer(analyzer)
        except MappingError as error:
            raise QueryError(f"query: {error}") from None
        return found.analyze_query(text)


def boosted(query: Query, boost: float) -> float:
    """The boost of a clause inside clauses of that boost."""
    own: object = query.boost
    if isinstance(own, bool) or not isinstance(own, int | float) or not math.isfinite(own) or own < 0:
        raise QueryError(f"{query.clause}.boost: a number of 0 or more expected, not {spell(own)}")
    if boost * own > BOOST_LIMIT:
        raise QueryError(
            f"{query.clause}.boost: at most {BOOST_LIMIT:g} expected, boosts above it included, not {spell(own)}"
        )
    return boost * own


def any_of(clauses: Sequence[Primitive], minimum: int = 1) -> Primitive:
    """Documents in at least `minimum` clauses (1 at least); scores add up."""
    useful = tuple(clause for clause in clauses if not isinstance(clause, Nothing))
    minimum = max(1, minimum)
    if minimum > len(useful):
        return Nothing()
    return useful[0] if len(useful) == 1 else Boolean(should=useful, minimum_should_match=minimum)


def all_of(clauses: Sequence[Primitive]) -> Primitive:
    """Documents in every clause; scores add up. `clauses` is not empty."""
    if any(isinstance(clause, Nothing) for clause in clauses):
        return Nothing()
    return clauses[0] if len(clauses) == 1 else Boolean(must=tuple(clauses))


def best_of(clauses: Sequence[Primitive], tie_breaker: float) -> Primitive:
    """Documents in any clause, scored by the best one."""
    useful = tuple(clause for clause in clauses if not isinstance(clause, Nothing))
    if not useful:
        return Nothing()
    return useful[0] if len(useful) == 1 else BestOf(useful, tie_breaker)


def zero_terms(choice: str, boost: float) -> Primitive:
    """What a query is whose analysis left no term."""
    return Everything(boost) if choice == "all" else Nothing()
