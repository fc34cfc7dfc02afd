"""The line syntax of query_string -> a query.

    dune arrakis        either word; with the default operator `and`, both
    "left hand"~2       the words in this order, at most two moves apart
    title:dune          in this field; title:(dune OR arrakis) for all inside; a pattern, as in book.*:dune
    a AND b, a OR b, NOT a, +a, -a, (a b) AND c     also && || !
    aren*               words that begin so; title:* and _exists_:title for a field with any value; *:* for all
    year:[1960 TO 1970}, year:>=1960, year:[* TO 1960]
    dune^2              counts twice
    a\\:b               a character that is meant as it stands

AND and OR do not bind as in arithmetic: as in Lucene, AND makes the clauses on both of its sides required, and OR
leaves them as they are. Parentheses say what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from quidditch.errors import LimitExceeded, QueryError
from quidditch.query.compound import Bool, ConstantScore, DisMax, MatchAll, MatchNone
from quidditch.query.dsl import Query
from quidditch.query.fulltext import Match, MultiMatch, Phrase, split_boost
from quidditch.query.query_string import QueryString
from quidditch.query.rewriting import ID_FIELD
from quidditch.query.term import Exists, Prefix, Range
from quidditch.schema.fields import Field, KeywordField, TextField
from quidditch.schema.mapping import Mapping

NESTING_LIMIT = 30
"""Parentheses inside one another; each makes two levels of clauses or three."""

_TOKEN = re.compile(
    r"""(?P<conjunction>(?:AND|OR)(?=[\s()]|$)|&&|\|\|)
      | (?P<negation>NOT(?=[\s()]|$)|!)
      | (?P<mark>[+-])
      | (?P<open>\()
      | \)(?P<close>)(?:\^(?P<group_boost>\d+(?:\.\d+)?))?
      | (?P<field>(?:\\.|[^\s\\+\-!():"\[\]{}<>=/^~&|])(?:\\.|[^\s\\():"\[\]{}<>=/^~])*):
      | "(?P<phrase>(?:\\.|[^"\\])*)"(?:~(?P<slop>\d{1,6}))?
      | [\[{](?P<range>)\s*(?P<lower>"(?:\\.|[^"\\])*"|[^\s\]}"]+)\s+TO\s+
        (?P<upper>"(?:\\.|[^"\\])*"|[^\s\]}"]+)\s*[\]}]
      | (?P<compared>[<>]=?)(?P<bound>"(?:\\.|[^"\\])*"|[^\s()"]+)
      | (?P<word>(?:\\.|[^\s\\+\-!():"\[\]{}<>=/^~&|])(?:\\.|[^\s\\!():"\[\]{}/^~])*)(?P<fuzzy>~[\d.]*)?
    """,
    re.VERBOSE | re.DOTALL,
)
_BOOST = re.compile(r"\^(\d+(?:\.\d+)?)")
_BLANK = re.compile(r"\s+")
_BOUNDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


def parse_query_string(node: QueryString, mapping: Mapping) -> Query:
    """The query that the line stands for over this mapping's fields, without the node's own boost.

    raises: QueryError   for a line that is no query, and for what is not built yet (fuzzy words, expressions,
            wildcards inside a word);  LimitExceeded   for parentheses too deep
    """
    return _Parser(node, mapping).whole()


@dataclass(slots=True)
class _Clause:
    """One part of a line: `occur` is "must", "should" or "must_not"; a bare word may join the one before it."""

    query: Query
    occur: str
    words: str | None = None


class _Parser:
    def __init__(self, node: QueryString, mapping: Mapping) -> None:
        self._node = node
        self._text = node.query
        self._place = 0
        self._find = _Finder(node, mapping)
        self._all_needed = node.default_operator == "and"

    def whole(self) -> Query:
        found = self._clauses(None, 0)
        if self._place < len(self._text):
            raise self._wrong("a [)] that nothing opened")
        return found

    def _wrong(self, what: str) -> QueryError:
        return QueryError(f"query_string: Failed to parse query [{self._text[:200]}]: {what}")

    def _next(self) -> re.Match[str] | None:
        """The token at this place, which is left behind; None at the end."""
        if blank := _BLANK.match(self._text, self._place):
            self._place = blank.end()
        if self._place >= len(self._text):
            return None
        token = _TOKEN.match(self._text, self._place)
        if token is None:
            raise self._wrong(f"[{self._text[self._place]}] at character {self._place} is not expected there")
        self._place = token.end()
        return token

    def _clauses(self, field: str | None, depth: int) -> Query:
        """Clauses until the end or the closing parenthesis, which is left for the caller."""
        if depth > NESTING_LIMIT:
            raise LimitExceeded(f"query_string: parentheses lie more than {NESTING_LIMIT} deep, the limit")
        clauses: list[_Clause] = []
        conjunction = mark = ""
        while True:
            before = self._place
            token = self._next()
            if token is None or token["close"] is not None:
                self._place = before if token is not None else self._place
                break
            if token["conjunction"]:
                if not clauses or conjunction or mark:
                    raise self._wrong(f"[{token[0]}] stands between two clauses")
                conjunction = "AND" if token[0] in ("AND", "&&") else "OR"
            elif token["negation"] or token["mark"]:
                if mark:
                    raise self._wrong(f"[{token[0]}] after another sign")
                mark = "+" if token[0] == "+" else "-"
            else:
                self._add(clauses, self._clause(token, field, depth), conjunction, mark)
                conjunction = mark = ""
        if conjunction or mark:
            raise self._wrong("a clause is missing at the end")
        return self._joined(clauses, depth)

    def _add(self, clauses: list[_Clause], clause: _Clause, conjunction: str, mark: str) -> None:
        before = clauses[-1] if clauses else None
        if before is not None and before.occur != "must_not":
            if conjunction == "AND":
                before.occur = "must"
            elif conjunction == "OR" and self._all_needed:
                before.occur = "should"
        needed = mark == "+" or conjunction == "AND" or (self._all_needed and conjunction != "OR")
        clause.occur = "must_not" if mark == "-" else "must" if needed else "should"
        plain = clause.words is not None and not conjunction and not mark
        if before is not None and plain and before.words is not None and before.occur == clause.occur:
            before.words = f"{before.words} {clause.words}"
            before.query = self._find.words(before.words, None)
        else:
            if conjunction or mark:
                clause.words = None
            clauses.append(clause)

    def _joined(self, clauses: list[_Clause], depth: int) -> Query:
        if len(clauses) == 1 and clauses[0].occur != "must_not":
            return clauses[0].query
        if not clauses:
            return MatchNone()
        by_occur: dict[str, list[Query]] = {"must": [], "should": [], "must_not": []}
        for clause in clauses:
            by_occur[clause.occur].append(clause.query)
        minimum = self._node.minimum_should_match if depth == 0 and by_occur["should"] else None
        return Bool(**by_occur, minimum_should_match=minimum)  # type: ignore[arg-type]

    def _clause(self, token: re.Match[str], field: str | None, depth: int) -> _Clause:
        if token["field"]:
            inner = self._next()
            if inner is None or inner["field"] or inner["conjunction"] or inner["close"] is not None:
                raise self._wrong(f"nothing is looked for in [{token['field']}]")
            if inner["mark"]:
                # A number below zero.
                self._place = inner.start() + 1
                inner = self._next()
                if inner is None or not inner["word"]:
                    raise self._wrong(f"nothing is looked for in [{token['field']}]")
                return self._boosted(
                    _Clause(self._find.words(f"-{_plain(inner['word'])}", _plain(token["field"])), "")
                )
            return self._clause(inner, token["field"], depth)
        if token["open"]:
            query = self._clauses(field, depth + 1)
            closing = self._next()
            if closing is None:
                raise self._wrong("a [)] is missing")
            boost = float(closing["group_boost"] or 1)
            return _Clause(replace(query, boost=query.boost * boost), "")
        return self._boosted(self._leaf(token, field))

    def _boosted(self, clause: _Clause) -> _Clause:
        found = _BOOST.match(self._text, self._place)
        if found is None:
            return clause
        self._place = found.end()
        return _Clause(replace(clause.query, boost=clause.query.boost * float(found[1])), "")

    def _leaf(self, token: re.Match[str], field: str | None) -> _Clause:
        name = None if field is None else _plain(field)
        if token["phrase"] is not None:
            slop = int(token["slop"] or self._node.phrase_slop)
            return _Clause(self._find.phrase(_plain(token["phrase"]), name, slop), "")
        if token["range"] is not None:
            bounds = {
                "gte" if token[0][0] == "[" else "gt": token["lower"],
                "lte" if token[0][-1] == "]" else "lt": token["upper"],
            }
            return _Clause(self._find.range(bounds, name), "")
        if token["compared"]:
            return _Clause(self._find.range({_BOUNDS[token["compared"]]: token["bound"]}, name), "")
        word = token["word"]
        if token["fuzzy"]:
            raise self._wrong(f"fuzzy words ([{token[0]}]) are not in this release")
        stars = re.sub(r"\\.", "", word)
        if "*" in stars[:-1] or "?" in stars:
            raise self._wrong(f"a wildcard inside [{word}]; only one at the end is in this release")
        if stars.endswith("*") and not word.endswith("\\*"):
            return _Clause(self._find.beginning(_plain(word[:-1]), name), "")
        text = _plain(word)
        if name == "_exists_":
            return _Clause(ConstantScore(Exists(text)), "")
        return _Clause(self._find.words(text, name), "", text if name is None else None)


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


class _Finder:
    """What one part of a line asks of the fields that are looked through."""

    def __init__(self, node: QueryString, mapping: Mapping) -> None:
        self._node = node
        self._mapping = mapping

    def words(self, text: str, name: str | None) -> Query:
        node = self._node
        patterns = node.fields if name is None else (name,)
        if len(patterns) == 1 and "*" not in patterns[0]:
            path, weight = split_boost(patterns[0], "query_string.fields")
            operator, analyzer = node.default_operator, node.analyzer
            return Match(path, text, operator=operator, analyzer=analyzer, lenient=node.lenient, boost=weight)
        return MultiMatch(
            text,
            patterns,
            operator=node.default_operator,
            analyzer=node.analyzer,
            tie_breaker=node.tie_breaker,
            lenient=True if node.lenient else None,
        )

    def phrase(self, text: str, name: str | None, slop: int) -> Query:
        def ask(path: str, field: Field | None, weight: float) -> Query:
            if isinstance(field, TextField) and not field.has_positions:
                return Match(path, text, operator="and", boost=weight)
            if isinstance(field, TextField | KeywordField) or path == ID_FIELD:
                return Phrase(path, text, slop=slop, analyzer=self._node.analyzer, boost=weight)
            return Match(path, text, lenient=self._is_lenient(name), boost=weight)

        return self._over(name, ask)

    def beginning(self, text: str, name: str | None) -> Query:
        if not text:
            if name in (None, "*"):
                return MatchAll()
            return self._over(name, lambda path, field, weight: ConstantScore(Exists(path), boost=weight))

        def ask(path: str, field: Field | None, weight: float) -> Query:
            if not isinstance(field, TextField | KeywordField):
                if field is None or self._is_lenient(name):
                    return MatchNone()
                raise QueryError(
                    f"query_string: [{text}*]: field [{path}] is [{field.type}]; text or keyword expected"
                )
            return Prefix(path, text.lower() if isinstance(field, TextField) else text, boost=weight)

        return self._over(name, ask)

    def range(self, bounds: dict[str, str], name: str | None) -> Query:
        values = {bound: _bound(text) for bound, text in bounds.items() if text != "*"}

        def ask(path: str, field: Field | None, weight: float) -> Query:
            if field is None or (self._is_lenient(name) and not _holds(field, list(values.values()))):
                return MatchNone()
            return (
                Range(path, boost=weight, **values) if values else ConstantScore(Exists(path), boost=weight)
            )

        return self._over(name, ask)

    def _is_lenient(self, name: str | None) -> bool:
        patterns = self._node.fields if name is None else (name,)
        return self._node.lenient or any("*" in pattern for pattern in patterns)

    def _over(self, name: str | None, ask: Callable[[str, Field | None, float], Query]) -> Query:
        """The best of what is asked of each field."""
        weights: dict[str, float] = {}
        for pattern in self._node.fields if name is None else (name,):
            part, weight = split_boost(pattern, "query_string.fields") if name is None else (pattern, 1.0)
            for path in self._paths(part):
                weights[path] = weights.get(path, 1.0) * weight
        asked = [ask(path, self._mapping.field(path), weight) for path, weight in weights.items()]
        if len(asked) == 1:
            return asked[0]
        return DisMax(asked, tie_breaker=self._node.tie_breaker) if asked else MatchNone()

    def _paths(self, pattern: str) -> list[str]:
        if "*" not in pattern:
            return [pattern]
        return [path for path in self._mapping.expand(pattern) if self._mapping.fields[path].searchable]


def _bound(text: str) -> str:
    return _plain(text[1:-1] if text.startswith('"') and text.endswith('"') and len(text) > 1 else text)


def _holds(field: Field, values: list[str]) -> bool:
    try:
        for value in values:
            field.convert(value)
    except ValueError:
        return False
    return True
