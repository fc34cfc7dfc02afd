"""match, match_phrase, multi_match -> primitives: text becomes the terms that the field's analyzer makes."""

from __future__ import annotations

from quidditch.errors import QueryError
from quidditch.query.dsl import Value, count_should_match
from quidditch.query.fulltext import Match, MultiMatch, Phrase, split_boost
from quidditch.query.primitive import HasId, Nothing, Primitive, ScoredPhrase, ScoredTerm
from quidditch.query.rewrite_term import exact
from quidditch.query.rewriting import ID_FIELD, Rewriting, all_of, any_of, best_of, zero_terms
from quidditch.schema.fields import Field, KeywordField, TextField, to_text


def rewrite_match(query: Match, boost: float, run: Rewriting) -> Primitive:
    field, analyzer = _analysed(query.field, query.analyzer, run)
    if analyzer is None:
        try:
            return _whole_value(query.field, field, query.query, boost, run)
        except QueryError:
            if query.lenient:
                return Nothing()
            raise
    tokens = run.tokens(analyzer, _text(query.field, query.query))
    if not tokens:
        return zero_terms(query.zero_terms_query, boost)
    run.spend(len(tokens))
    terms = [ScoredTerm(query.field, token.term.encode(), boost) for token in tokens]
    if query.operator == "and":
        return all_of(terms)
    if query.minimum_should_match is None or len(terms) == 1:
        return any_of(terms)
    return any_of(terms, count_should_match(query.minimum_should_match, len(terms)))


def rewrite_phrase(query: Phrase, boost: float, run: Rewriting) -> Primitive:
    field, analyzer = _analysed(query.field, query.analyzer, run)
    if analyzer is None:
        return _whole_value(query.field, field, query.query, boost, run)
    tokens = run.tokens(analyzer, _text(query.field, query.query))
    if not tokens:
        return zero_terms(query.zero_terms_query, boost)
    run.spend(len(tokens))
    terms = tuple(token.term.encode() for token in tokens)
    if len(terms) == 1:
        return ScoredTerm(query.field, terms[0], boost)
    if not isinstance(field, TextField) or not field.has_positions:
        kind = field.index_options if isinstance(field, TextField) else "docs"
        raise QueryError(
            f"match_phrase: field [{query.field}] has index_options [{kind}]; positions expected"
        )
    first = min(token.position for token in tokens)
    positions = tuple(token.position - first for token in tokens)
    return ScoredPhrase(query.field, terms, positions, query.slop, boost)


def rewrite_multi_match(query: MultiMatch, boost: float, run: Rewriting) -> Primitive:
    weights: dict[str, float] = {}
    lenient: dict[str, bool] = {}
    for pattern in query.fields or ("*",):
        name, weight = split_boost(pattern, "multi_match.fields")
        for path in _expand(name, run):
            weights[path] = weights.get(path, 1.0) * weight
            # A wildcard reaches fields of all types, and nobody asked for each of them by name.
            lenient[path] = query.lenient if query.lenient is not None else "*" in name
    clauses = [
        rewrite_match(_match(query, path, lenient[path]), boost * weight, run)
        for path, weight in weights.items()
    ]
    if query.type == "most_fields" and query.tie_breaker in (None, 1.0):
        return any_of(clauses)
    return best_of(clauses, query.tie_breaker or 0.0)


def _match(query: MultiMatch, path: str, lenient: bool) -> Match:
    return Match(
        path,
        query.query,
        operator=query.operator,
        minimum_should_match=query.minimum_should_match,
        analyzer=query.analyzer,
        zero_terms_query=query.zero_terms_query,
        lenient=lenient,
    )


def _expand(name: str, run: Rewriting) -> list[str]:
    if "*" not in name:
        return [name]
    mapping = run.context.mapping
    return [path for path in mapping.expand(name) if mapping.fields[path].searchable]


def _analysed(path: str, analyzer: str | None, run: Rewriting) -> tuple[Field | None, str | None]:
    """The field, and the analyzer that the query's text goes through; None for a value compared whole."""
    field = run.field(path)
    if isinstance(field, TextField):
        return field, analyzer or field.query_analyzer
    return field, analyzer if isinstance(field, KeywordField) else None


def _whole_value(path: str, field: Field | None, value: Value, boost: float, run: Rewriting) -> Primitive:
    if path == ID_FIELD:
        run.spend(1)
        return HasId((_text(path, value),), boost)
    return Nothing() if field is None else exact(field, value, boost, run)


def _text(path: str, value: Value) -> str:
    try:
        return to_text(value, "text")
    except ValueError as error:
        raise QueryError(f"field [{path}]: {error}") from None
