"""Why a document scores what it scores: the scorers' own numbers, as a tree.

Every value is what the scorer gave for that one document, so the root, rounded once, is the hit's score bit
for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pyroaring import BitMap

from quidditch.interface import Explanation
from quidditch.query.primitive import Primitive
from quidditch.search.scorers import SegmentContext
from quidditch.search.scorers.phrase import phrase_frequencies
from quidditch.search.similarity import K1, B, FieldSimilarity
from quidditch.search.weight import (
    BestOfWeight,
    BooleanWeight,
    PhraseWeight,
    TermWeight,
    Weight,
)
from quidditch.types import DocId


def explain(weight: Weight, context: SegmentContext, doc: DocId) -> Explanation:
    """The score of a live document as float32, or 0 with the reason when it does not match."""
    found = _explained(weight, context, doc)
    if found is None:
        return Explanation(0.0, f"no match: {_described(weight.primitive)}", _failures(weight, context, doc))
    return Explanation(float(np.float32(found.value)), found.description, found.details)


def _explained(weight: Weight, context: SegmentContext, doc: DocId) -> Explanation | None:
    scored = context.score(weight, BitMap([doc]))
    if not len(scored.docs):
        return None
    value = float(scored.scores[0])
    if isinstance(weight, TermWeight):
        return _term(weight, context, doc, value)
    if isinstance(weight, PhraseWeight):
        return _phrase(weight, context, doc, value)
    if isinstance(weight, BooleanWeight):
        return _sum(weight, context, doc, value)
    if isinstance(weight, BestOfWeight):
        return _best(weight, context, doc, value)
    return Explanation(value, f"constant score of {_described(weight.primitive)}")


def _term(weight: TermWeight, context: SegmentContext, doc: DocId, value: float) -> Explanation:
    query = weight.primitive
    postings = context.postings(query.field, query.term)
    frequencies = None if postings is None or weight.similarity.kind == "keyword" else postings.freqs()
    frequency = 1.0
    if postings is not None and frequencies is not None:
        frequency = float(frequencies[int(np.searchsorted(postings.docs(), doc))])
    parts = _parts(weight.similarity, query.boost, weight.idf, frequency, _length(query.field, context, doc))
    return Explanation(value, f"weight({_described(query)}), boost · idf · tf / (tf + norm) of:", parts)


def _phrase(weight: PhraseWeight, context: SegmentContext, doc: DocId, value: float) -> Explanation:
    query = weight.primitive
    docs, counts = phrase_frequencies(query, context, BitMap([doc]))
    frequency = float(counts[int(np.searchsorted(docs, doc))])
    parts = _parts(weight.similarity, query.boost, weight.idf, frequency, _length(query.field, context, doc))
    return Explanation(value, f"weight({_described(query)}), boost · idf · tf / (tf + norm) of:", parts)


def _length(field: str, context: SegmentContext, doc: DocId) -> int | None:
    lengths = context.lengths(field)
    return None if lengths is None else int(lengths[doc])


def _parts(
    similarity: FieldSimilarity, boost: float, idf: float, frequency: float, length: int | None
) -> tuple[Explanation, ...]:
    numbers = None if length is None else np.array([length])
    norms = similarity.norms(numbers, 1)
    norm = float(np.broadcast_to(norms, 1)[0])
    details = [Explanation(K1, "k1, how fast repetition saturates")]
    if length is not None and similarity.uses_lengths:
        details += [
            Explanation(B, "b, how much length counts"),
            Explanation(float(length), "dl, tokens in the field"),
            Explanation(similarity.average_length, "avgdl, average tokens in the field"),
        ]
    return (
        Explanation(boost * similarity.factor, "boost" if similarity.factor == 1 else "boost · (k1 + 1)"),
        Explanation(
            idf,
            "idf, ln(1 + (N - n + 0.5) / (n + 0.5)), summed over the terms",
            (Explanation(float(similarity.doc_count), "N, documents with the field"),),
        ),
        Explanation(frequency, "tf, occurrences in the field"),
        Explanation(norm, "norm, k1 · (1 - b + b · dl / avgdl)", tuple(details)),
    )


def _sum(weight: BooleanWeight, context: SegmentContext, doc: DocId, value: float) -> Explanation:
    details = [
        found
        for clause in (*weight.must, *weight.should)
        if (found := _explained(clause, context, doc)) is not None
    ]
    details += [Explanation(0.0, f"filter, match on {_described(each)}") for each in weight.primitive.filter]
    return Explanation(value, "sum of:", tuple(details))


def _best(weight: BestOfWeight, context: SegmentContext, doc: DocId, value: float) -> Explanation:
    found = [_explained(clause, context, doc) for clause in weight.children]
    tie = weight.primitive.tie_breaker
    words = f"max plus {tie:g} times others of:" if tie else "max of:"
    return Explanation(value, words, tuple(each for each in found if each is not None))


def _failures(weight: Weight, context: SegmentContext, doc: DocId) -> tuple[Explanation, ...]:
    """The clauses of a bool that stand in the way."""
    if not isinstance(weight, BooleanWeight):
        return ()
    query = weight.primitive

    def holds(child: Primitive) -> bool:
        return doc in context.matches(child, BitMap([doc]))

    reasons = [
        f"required clause does not match: {_described(each)}"
        for each in (*query.must, *query.filter)
        if not holds(each)
    ]
    reasons += [f"excluded by: {_described(each)}" for each in query.must_not if holds(each)]
    if not reasons:
        there = sum(holds(each) for each in query.should)
        reasons.append(f"{there} of {len(query.should)} optional clauses match, too few")
    return tuple(Explanation(0.0, reason) for reason in reasons)


def _described(query: Any) -> str:
    """The query in a few words."""
    name = type(query).__name__
    field = getattr(query, "field", None)
    if field is None:
        return name
    if hasattr(query, "term"):
        return f"{field}:{_text(query.term)}"
    if hasattr(query, "positions"):
        slop = f"~{query.slop}" if query.slop else ""
        return f'{field}:"{" ".join(map(_text, query.terms))}"{slop}'
    if hasattr(query, "terms"):
        shown = [_text(term) for term in query.terms[:10]]
        return f"{field} in ({' '.join(shown)}{' …' if len(query.terms) > 10 else ''})"
    if hasattr(query, "prefix"):
        return f"{field}:{_text(query.prefix)}*"
    if hasattr(query, "lower"):
        lower, upper = (each if each is not None else "*" for each in (query.lower, query.upper))
        return f"{field} from {_text(lower)} to {_text(upper)}"
    return f"{name} of {field}"


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
