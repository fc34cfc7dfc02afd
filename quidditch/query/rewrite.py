"""Clauses -> primitives: mappings, analyzers, dates and defaults applied, boosts multiplied into leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from quidditch.errors import FieldError, QueryError
from quidditch.query.compound import Bool, ConstantScore, DisMax, MatchAll, MatchNone
from quidditch.query.dsl import Query, count_should_match
from quidditch.query.fulltext import Match, MultiMatch, Phrase
from quidditch.query.plain_clause import Plain
from quidditch.query.primitive import Boolean, Constant, Everything, Nothing, Primitive
from quidditch.query.query_string import QueryString
from quidditch.query.rewrite_fulltext import rewrite_match, rewrite_multi_match, rewrite_phrase
from quidditch.query.rewrite_term import (
    rewrite_exists,
    rewrite_ids,
    rewrite_prefix,
    rewrite_range,
    rewrite_term,
    rewrite_terms,
)
from quidditch.query.rewriting import RewriteContext, Rewriting, any_of, best_of, boosted
from quidditch.query.string_syntax import parse_query_string
from quidditch.query.term import Exists, Ids, Prefix, Range, Term, Terms
from quidditch.schema.fields import spell


def rewrite(query: Query, context: RewriteContext) -> Primitive:
    """The query as primitives over the fields of `context.mapping`.

    A field that is not mapped matches nothing. Raises FieldError for what a field cannot do or a value it
    cannot hold, LimitExceeded beyond `context.clause_limit` leaves or the nesting limit.
    """
    try:
        return _rewrite(query, 1.0, Rewriting(context))
    except FieldError:
        raise
    except QueryError as error:
        # A query that is wrong whatever the mapping has not come so far.
        raise FieldError(str(error)) from error


def _rewrite(query: Query, boost: float, run: Rewriting) -> Primitive:
    resolve = _RULES.get(type(query))
    if resolve is None:
        raise QueryError(f"a query expected, not {spell(query)}")
    run.enter()
    found = resolve(query, boosted(query, boost), run)
    run.leave()
    return found


def _rewrite_all(query: MatchAll, boost: float, run: Rewriting) -> Primitive:
    run.spend(1)
    return Everything(boost)


def _rewrite_none(query: MatchNone, boost: float, run: Rewriting) -> Primitive:
    return Nothing()


def _rewrite_constant(query: ConstantScore, boost: float, run: Rewriting) -> Primitive:
    child = _rewrite(query.filter, 1.0, run)
    if isinstance(child, Nothing):
        return child
    return Everything(boost) if isinstance(child, Everything) else Constant(child, boost)


def _rewrite_plain(query: Plain, boost: float, run: Rewriting) -> Primitive:
    """A string that people type never fails, so its clauses, which it limits itself, count apart from the others."""
    # plain.py reads strings as clauses, and resolves those by this module.
    from quidditch.query.plain import parse_plain

    meant, notes = parse_plain(query.text, run.context.mapping, analyzer=run.context.analyzer)
    run.context.notes.extend(notes)
    return _rewrite(meant, boost, Rewriting(run.context))


def _rewrite_dis_max(query: DisMax, boost: float, run: Rewriting) -> Primitive:
    return best_of([_rewrite(inner, boost, run) for inner in query.queries], query.tie_breaker)


def _rewrite_query_string(query: QueryString, boost: float, run: Rewriting) -> Primitive:
    found = parse_query_string(replace(query, boost=1.0), run.context.mapping)
    return _rewrite(found, boost, run)


def _rewrite_bool(query: Bool, boost: float, run: Rewriting) -> Primitive:
    """An empty bool is everything, one of only `must_not` is everything else with the score 0."""
    must = [_rewrite(inner, boost, run) for inner in query.must]
    filters = [_rewrite(inner, 1.0, run) for inner in query.filter]
    should = [_rewrite(inner, boost, run) for inner in query.should]
    must_not = [_rewrite(inner, 1.0, run) for inner in query.must_not]
    if not (must or filters or should or must_not):
        return Everything(boost)
    minimum = _minimum(query)
    should = _useful(should)
    excluded = _useful(must_not)
    impossible = any(isinstance(clause, Nothing) for clause in (*must, *filters))
    if impossible or minimum > len(should) or any(isinstance(clause, Everything) for clause in excluded):
        return Nothing()
    if not (must or filters or should):
        if query.must_not and not query.should and not query.adjust_pure_negative:
            return Nothing()
        filters = [Everything()]
    return _join(must, filters, should, excluded, minimum)


def _minimum(query: Bool) -> int:
    """How many of `should` have to match; where nothing else selects documents, one at least."""
    needs_one = bool(query.should) and not query.must and not query.filter
    if query.minimum_should_match is None:
        return int(needs_one)
    return max(int(needs_one), count_should_match(query.minimum_should_match, len(query.should)))


def _useful(clauses: list[Primitive]) -> list[Primitive]:
    return [clause for clause in clauses if not isinstance(clause, Nothing)]


def _join(
    must: list[Primitive],
    filters: list[Primitive],
    should: list[Primitive],
    must_not: list[Primitive],
    minimum: int,
) -> Primitive:
    """The Boolean, or its only clause."""
    if not filters and not must_not:
        if len(must) == 1 and not should:
            return must[0]
        if not must:
            return any_of(should, minimum)
    return Boolean(tuple(must), tuple(filters), tuple(should), tuple(must_not), minimum)


_RULES: dict[type[Query], Callable[[Any, float, Rewriting], Primitive]] = {
    MatchAll: _rewrite_all,
    MatchNone: _rewrite_none,
    Plain: _rewrite_plain,
    ConstantScore: _rewrite_constant,
    DisMax: _rewrite_dis_max,
    Bool: _rewrite_bool,
    Match: rewrite_match,
    Phrase: rewrite_phrase,
    MultiMatch: rewrite_multi_match,
    Term: rewrite_term,
    Terms: rewrite_terms,
    Range: rewrite_range,
    Exists: rewrite_exists,
    Ids: rewrite_ids,
    Prefix: rewrite_prefix,
    QueryString: _rewrite_query_string,
}
"""Node -> its rule: (node, boost of the node and all above it, run) -> primitive."""
