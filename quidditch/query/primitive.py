"""What a query becomes once mappings and analyzers have been applied: few shapes, all resolved.

`rewrite.py` makes these out of the clauses that users write; `search/` binds them to statistics and scores
them. Nothing here knows a mapping, an analyzer, a time zone or a default: terms are bytes as they stand in
the term dictionary, ranges are closed intervals of stored numbers. Every `boost` is the product of all
boosts above it, so a leaf scores as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Everything:
    """All live documents, each with the score `boost`."""

    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class Nothing:
    """No document."""


@dataclass(frozen=True, slots=True)
class ScoredTerm:
    """Documents that hold one term of a text or keyword field, scored by the field's similarity."""

    field: str
    term: bytes
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class ScoredPhrase:
    """Documents that hold the terms in order, `slop` moves apart.

    `terms[i]` is expected at `positions[i]`, all shifted by the same amount. There are two terms or more,
    positions do not fall, and the lowest is 0. Where several terms share one position, any of them will do
    there.
    """

    field: str
    terms: tuple[bytes, ...]
    positions: tuple[int, ...]
    slop: int = 0
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class TermSet:
    """Documents that hold any of the terms, each with the score `boost`. Terms are sorted and distinct."""

    field: str
    terms: tuple[bytes, ...]
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class TermInterval:
    """Documents with a term between two others in byte order; None is an open end. Score `boost`."""

    field: str
    lower: bytes | None
    upper: bytes | None
    include_lower: bool = True
    include_upper: bool = True
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class TermPrefix:
    """Documents with a term that starts with these bytes, each with the score `boost`.

    `ignore_case` compares by Unicode case folding.
    """

    field: str
    prefix: bytes
    ignore_case: bool = False
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class NumberInterval:
    """Documents with a column value in the closed interval; ints for integer, date and boolean columns,
    floats for float columns. Score `boost`."""

    field: str
    lower: int | float
    upper: int | float
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class NumberSet:
    """Documents with a column value among these. Values are sorted and distinct. Score `boost`."""

    field: str
    values: tuple[int | float, ...]
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class HasValue:
    """Documents with a value in the field, each with the score `boost`."""

    field: str
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class HasId:
    """The documents of these ids, each with the score `boost`."""

    ids: tuple[str, ...]
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class IdSlice:
    """The documents of slice `number` of `count`: those whose id has this hash, modulo the count."""

    number: int
    count: int
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class Constant:
    """Documents that match `child`, each with the score `boost`."""

    child: Primitive
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class Boolean:
    """Documents in every `must` and `filter`, no `must_not`, and `minimum_should_match` of `should`.

    The score is the sum over `must`, then `should`, in the order written. At least one of `must`, `filter`,
    `should` is not empty (`must_not` alone is rewritten to `filter=(Everything(),)`).
    """

    must: tuple[Primitive, ...] = ()
    filter: tuple[Primitive, ...] = ()
    should: tuple[Primitive, ...] = ()
    must_not: tuple[Primitive, ...] = ()
    minimum_should_match: int = 0


@dataclass(frozen=True, slots=True)
class BestOf:
    """Documents in any child: the best child's score, plus `tie_breaker` times the sum of the others'."""

    children: tuple[Primitive, ...]
    tie_breaker: float = 0.0


Primitive: TypeAlias = (
    Everything
    | Nothing
    | ScoredTerm
    | ScoredPhrase
    | TermSet
    | TermInterval
    | TermPrefix
    | NumberInterval
    | NumberSet
    | HasValue
    | HasId
    | IdSlice
    | Constant
    | Boolean
    | BestOf
)
