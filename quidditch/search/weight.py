"""A query bound to the statistics of the whole index: what it is worth to match, before any segment is looked
at.

Query -> Weight -> Scorer, as in Lucene: the query is plain data, a Weight is index-wide, a Scorer is a Weight
in one segment (`scorers/`). A Weight keeps its Primitive, since which documents match does not depend on
statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from quidditch.interface import CollectionStats
from quidditch.query.primitive import (
    BestOf,
    Boolean,
    Constant,
    Nothing,
    Primitive,
    ScoredPhrase,
    ScoredTerm,
)
from quidditch.search.similarity import FieldSimilarity, bind_similarities


@dataclass(frozen=True, slots=True, eq=False)
class ConstantWeight:
    """Every document that matches `primitive` is worth `value`."""

    primitive: Primitive
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class TermWeight:
    """`value` is boost · idf, with the similarity's factor."""

    primitive: ScoredTerm
    similarity: FieldSimilarity
    idf: float
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class PhraseWeight:
    """`idf` is the sum of the terms' own, in their order; `value` is boost · idf."""

    primitive: ScoredPhrase
    similarity: FieldSimilarity
    idf: float
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class BooleanWeight:
    """`must` and `should` add up in this order."""

    primitive: Boolean
    must: tuple[Weight, ...]
    should: tuple[Weight, ...]


@dataclass(frozen=True, slots=True, eq=False)
class BestOfWeight:
    primitive: BestOf
    children: tuple[Weight, ...]


Weight: TypeAlias = ConstantWeight | TermWeight | PhraseWeight | BooleanWeight | BestOfWeight


def scored_leaves(query: Primitive) -> Iterator[ScoredTerm | ScoredPhrase]:
    """The terms and phrases whose statistics the score needs; filters and exclusions need none."""
    if isinstance(query, ScoredTerm | ScoredPhrase):
        yield query
    elif isinstance(query, Boolean):
        for child in (*query.must, *query.should):
            yield from scored_leaves(child)
    elif isinstance(query, BestOf):
        for child in query.children:
            yield from scored_leaves(child)


def scored_terms(query: Primitive, similarities: Mapping[str, str]) -> dict[tuple[str, bytes], None]:
    """The distinct (field, term) pairs to count, in the order of the query."""
    pairs: dict[tuple[str, bytes], None] = {}
    for leaf in scored_leaves(query):
        if leaf.field in similarities:
            terms = (leaf.term,) if isinstance(leaf, ScoredTerm) else leaf.terms
            pairs.update(dict.fromkeys((leaf.field, term) for term in terms))
    return pairs


def bind(query: Primitive, stats: CollectionStats, similarities: Mapping[str, str]) -> Weight:
    """The query's Weight under these statistics."""
    return _bind(query, stats, bind_similarities(similarities, stats))


def _bind(query: Primitive, stats: CollectionStats, fields: Mapping[str, FieldSimilarity]) -> Weight:
    make = _BINDERS.get(type(query))
    if make is not None:
        bound: Weight = make(query, stats, fields)
        return bound
    boost = 0.0 if isinstance(query, Nothing) else getattr(query, "boost", 1.0)
    return ConstantWeight(query, boost)


def _bind_term(query: ScoredTerm, stats: CollectionStats, fields: Mapping[str, FieldSimilarity]) -> Weight:
    similarity = fields.get(query.field)
    if similarity is None:
        return ConstantWeight(query, query.boost)
    idf = similarity.idf(stats.doc_freqs.get((query.field, query.term), 0))
    return TermWeight(query, similarity, idf, query.boost * similarity.factor * idf)


def _bind_phrase(
    query: ScoredPhrase, stats: CollectionStats, fields: Mapping[str, FieldSimilarity]
) -> Weight:
    similarity = fields.get(query.field)
    if similarity is None:
        return ConstantWeight(query, query.boost)
    idf = 0.0
    for term in query.terms:
        doc_freq = stats.doc_freqs.get((query.field, term), 0)
        # An alternative that the index does not hold adds no rarity to the others at its position.
        idf += similarity.idf(doc_freq) if doc_freq else 0.0
    return PhraseWeight(query, similarity, idf, query.boost * similarity.factor * idf)


def _bind_constant(query: Constant, stats: CollectionStats, fields: Mapping[str, FieldSimilarity]) -> Weight:
    return ConstantWeight(query.child, query.boost)


def _bind_boolean(query: Boolean, stats: CollectionStats, fields: Mapping[str, FieldSimilarity]) -> Weight:
    must = tuple(_bind(child, stats, fields) for child in query.must)
    should = tuple(_bind(child, stats, fields) for child in query.should)
    return BooleanWeight(query, must, should)


def _bind_best(query: BestOf, stats: CollectionStats, fields: Mapping[str, FieldSimilarity]) -> Weight:
    return BestOfWeight(query, tuple(_bind(child, stats, fields) for child in query.children))


_BINDERS: dict[type, Callable[[Any, CollectionStats, Mapping[str, FieldSimilarity]], Weight]] = {
    ScoredTerm: _bind_term,
    ScoredPhrase: _bind_phrase,
    Constant: _bind_constant,
    Boolean: _bind_boolean,
    BestOf: _bind_best,
}
