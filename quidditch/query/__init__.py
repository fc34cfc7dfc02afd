"""Queries as plain data: `from quidditch import query as q`.

One frozen dataclass for each clause of the Query DSL; `parse(dict)` and `.to_dict()` are inverse; `a & b`,
`a | b` and `~a` build a `Bool`.
"""

from __future__ import annotations

from quidditch.query.compound import Bool, ConstantScore, DisMax, MatchAll, MatchNone
from quidditch.query.dsl import Query, parse
from quidditch.query.fulltext import Match, MultiMatch, Phrase
from quidditch.query.plain_clause import Plain
from quidditch.query.term import Exists, Ids, Prefix, Range, Term, Terms

__all__ = [
    "Bool",
    "ConstantScore",
    "DisMax",
    "Exists",
    "Ids",
    "Match",
    "MatchAll",
    "MatchNone",
    "MultiMatch",
    "Phrase",
    "Plain",
    "Prefix",
    "Query",
    "Range",
    "Term",
    "Terms",
    "parse",
]
