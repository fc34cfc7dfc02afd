"""Segments with statistics that are hard on bounds, queries over them, and their answers bit for bit."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import strategies as st
from memory_shard import MemoryShard

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.interface import CollectionStats, QueryRequest
from quidditch.query.primitive import (
    BestOf,
    Boolean,
    Constant,
    Everything,
    HasId,
    HasValue,
    NumberInterval,
    Primitive,
    ScoredPhrase,
    ScoredTerm,
    TermPrefix,
    TermSet,
)
from quidditch.schema.mapping import Mapping as Schema
from quidditch.search import collector, joined
from quidditch.search.collector import reduce
from quidditch.search.phases import similarities_of
from quidditch.search.weight import scored_terms

TEXTS: dict[str, dict[str, Any]] = {
    "text": {},
    "flat": {"norms": False},
    "once": {"index_options": "docs"},
    "bare": {"index_options": "docs", "norms": False},
    "old": {"similarity": "LegacyBM25"},
}
KEYWORDS: dict[str, dict[str, Any]] = {"key": {}, "old_key": {"similarity": "LegacyBM25"}}
SCHEMA = Schema.parse(
    {
        "properties": {
            **{name: {"type": "text", **more} for name, more in TEXTS.items()},
            **{name: {"type": "keyword", **more} for name, more in KEYWORDS.items()},
            "n": {"type": "long"},
        }
    },
    analyzers=ANALYZER_NAMES,
)
FIELDS = (*TEXTS, *KEYWORDS)

SHARES = {"all": 1.0, "most": 0.7, "half": 0.4, "some": 0.2, "few": 0.04, "rare": 0.01}
"""Terms, and the share of documents that hold each; one document of all holds `single`, none `absent`."""

WORDS = (*SHARES, "single", "absent")
FREQUENCIES = (1, 1, 1, 1, 2, 3, 9, 255, 300)
STYLES: tuple[Literal["plain", "alike", "tiny", "long", "mixed"], ...] = (
    "plain",
    "alike",
    "tiny",
    "long",
    "mixed",
)
LONGEST = 400

# ---------------------------------------------------------------------------------------------- documents


@dataclass(frozen=True)
class Layout:
    """One segment: how many documents, of which kind, and how many of them are deleted.

    plain:  few words, once each      alike:  every document the same     tiny:  one word a field
    long:   a hundred words and more  mixed:  any length, any frequency
    """

    style: Literal["plain", "alike", "tiny", "long", "mixed"]
    size: int
    deleted_share: float
    seed: int


layouts: st.SearchStrategy[Layout] = st.builds(
    Layout,
    style=st.sampled_from(STYLES),
    size=st.one_of(st.integers(1, 4), st.integers(5, 60), st.integers(100, 300)),
    deleted_share=st.sampled_from((0.0, 0.0, 0.1, 0.9)),
    seed=st.integers(0, 1 << 16),
)


def documents(layout: Layout) -> list[dict[str, Any]]:
    """The segment's documents, always the same ones."""
    rng = np.random.default_rng(layout.seed)
    held = {word: rng.random(layout.size) < share for word, share in SHARES.items()}
    held["single"] = np.arange(layout.size) == rng.integers(layout.size)
    if layout.style == "alike":
        held = {word: np.full(layout.size, bool(own[0])) for word, own in held.items()}
    return [
        _document([word for word in held if held[word][place]], layout.style, rng)
        for place in range(layout.size)
    ]


def _document(words: list[str], style: str, rng: np.random.Generator) -> dict[str, Any]:
    if style == "tiny":
        words = [words[rng.integers(len(words))]]
    text = list(words)
    if style in ("long", "mixed"):
        text = [word for word in words for _ in range(int(rng.choice(FREQUENCIES)))]
    if style == "long" or (style == "mixed" and rng.random() < 0.5):
        text += ["pad"] * int(rng.integers(100, LONGEST))
    joined = " ".join(text)
    whole = dict.fromkeys(TEXTS, joined) | dict.fromkeys(KEYWORDS, words)
    # Fields that not every document has, so that they are told apart by what they lack.
    kept = whole if style in ("alike", "tiny") else {f: own for f, own in whole.items() if rng.random() < 0.9}
    return {**kept, "n": 0 if style == "alike" else int(rng.integers(100))}


def shards_of(layouts_of_shards: Sequence[Sequence[Layout]]) -> list[MemoryShard]:
    return [_shard(number, own) for number, own in enumerate(layouts_of_shards)]


def _shard(number: int, layouts_of_it: Sequence[Layout]) -> MemoryShard:
    parts, deleted = [], []
    for place, layout in enumerate(layouts_of_it):
        rows = [(f"{place}-{at}", source) for at, source in enumerate(documents(layout))]
        gone = np.random.default_rng(layout.seed + 1).random(layout.size) < layout.deleted_share
        deleted += [id for (id, _), is_gone in zip(rows, gone, strict=True) if is_gone]
        parts.append(rows)
    return MemoryShard(parts, frozenset(deleted), number, SCHEMA)


# ------------------------------------------------------------------------------------------------- crowds

CROWD_SHARES = np.array([1.0, 0.9, 0.6, 0.5, 0.3, 0.26, 0.24, 0.2, 0.1, 0.1, 0.05, 0.02])
"""Share of a crowd's documents that hold each of its words."""

CROWD_WORDS = tuple(f"w{place}" for place in range(len(CROWD_SHARES)))


def crowd(rng: np.random.Generator) -> list[MemoryShard]:
    """A shard of some hundred documents whose scores lie close together, in segments of unlike lengths."""
    parts, deleted = [], []
    for place in range(int(rng.integers(1, 4))):
        longest = int(rng.choice((3, 30, 300)))
        size, spread = int(rng.integers(200, 600)), rng.choice((0.9, 0.5, 0.1))
        rows = [(f"{place}-{at}", _one_of_crowd(longest, spread, rng)) for at in range(size)]
        gone = rng.random(size) < rng.choice((0.0, 0.05, 0.8))
        deleted += [id for (id, _), is_gone in zip(rows, gone, strict=True) if is_gone]
        parts.append(rows)
    return [MemoryShard(parts, frozenset(deleted), 0, SCHEMA)]


def _one_of_crowd(longest: int, spread: float, rng: np.random.Generator) -> dict[str, Any]:
    held = np.flatnonzero(rng.random(len(CROWD_SHARES)) < CROWD_SHARES).tolist()
    text = [CROWD_WORDS[place] for place in held for _ in range(rng.geometric(spread))]
    text += ["pad"] * int(rng.integers(longest))
    joined = " ".join(rng.permutation(text).tolist())
    return {"text": joined, "flat": joined, "n": int(rng.integers(100))}


def crowd_query(rng: np.random.Generator) -> Primitive:
    """One to six words, now and then with a filter, an exclusion, some required, the best of them, or a phrase."""
    chosen = rng.choice(len(CROWD_WORDS), int(rng.integers(1, 7)), replace=bool(rng.random() < 0.1))
    field = "text" if rng.random() < 0.8 else "flat"
    scored = tuple(
        ScoredTerm(
            field, CROWD_WORDS[place].encode(), float(rng.choice((1.0, 1.0, rng.random() + 0.1, 20.0)))
        )
        for place in chosen.tolist()
    )
    few = NumberInterval("n", 0, int(rng.choice((1, 10, 50, 99))))
    shape = rng.integers(9)
    if shape < 3:
        return Boolean(should=scored, minimum_should_match=1)
    if shape == 3:
        return Boolean(must=(Boolean(should=scored, minimum_should_match=1),), filter=(few,))
    if shape == 4:
        return Boolean(must=(Boolean(should=scored, minimum_should_match=1),), must_not=(few, scored[-1]))
    if shape == 5:
        return Boolean(must=scored[:1], should=scored[1:])
    if shape == 6:
        return BestOf(scored, float(rng.choice((0.0, 0.3))))
    if shape == 7:
        return Boolean(filter=(few,), should=scored)
    slop, places = int(rng.choice((0, 3))), tuple(range(len(scored)))
    phrase = ScoredPhrase(field, tuple(each.term for each in scored), places, slop)
    return Boolean(must=(phrase,), must_not=(few,)) if len(scored) > 1 else scored[0]


def drawn_limits(rng: np.random.Generator) -> dict[str, int]:
    return {name: int(rng.choice(values)) for name, values in LIMITS.items()}


# ------------------------------------------------------------------------------------------------ queries

boosts = st.sampled_from((1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 3.7, 1e-3, 1e30, 1e-30, 1e-45, 1e-310, 0.0))
words = st.sampled_from(WORDS).map(str.encode)
terms: st.SearchStrategy[Primitive] = st.builds(
    ScoredTerm, st.sampled_from(("text", "text", *FIELDS)), words, boosts
)
phrases: st.SearchStrategy[Primitive] = st.builds(
    lambda field, first, second, slop, boost: ScoredPhrase(field, (first, second), (0, 1), slop, boost),
    st.sampled_from(("text", "flat", "old")),
    words,
    words,
    st.sampled_from((0, 0, 2)),
    boosts,
)
filters: st.SearchStrategy[Primitive] = st.one_of(
    terms,
    st.builds(lambda low, size: NumberInterval("n", low, low + size), st.integers(0, 99), st.integers(0, 60)),
    st.builds(lambda own: TermSet("key", tuple(sorted(own))), st.sets(words, min_size=1, max_size=3)),
    st.builds(HasValue, st.sampled_from(FIELDS)),
    st.builds(lambda own: HasId(tuple(f"0-{at}" for at in own)), st.lists(st.integers(0, 9), max_size=4)),
    st.just(TermPrefix("key", b"s")),
    st.just(Everything()),
)


def _some(clauses: st.SearchStrategy[Primitive], most: int) -> st.SearchStrategy[tuple[Primitive, ...]]:
    return st.lists(clauses, max_size=most).map(tuple)


def _boolean(clauses: st.SearchStrategy[Primitive]) -> st.SearchStrategy[Primitive]:
    return st.builds(
        Boolean,
        must=_some(clauses, 2),
        should=_some(clauses, 4),
        filter=_some(filters, 2),
        must_not=_some(filters, 1),
        minimum_should_match=st.integers(0, 3),
    ).filter(lambda query: bool(query.must or query.filter or query.should))


def _compound(clauses: st.SearchStrategy[Primitive]) -> st.SearchStrategy[Primitive]:
    return st.one_of(
        _boolean(clauses),
        st.builds(
            BestOf,
            st.lists(clauses, min_size=1, max_size=3).map(tuple),
            st.sampled_from((0.0, 0.3, 1.0)),
        ),
        st.builds(Constant, clauses, boosts),
    )


any_of: st.SearchStrategy[Primitive] = st.lists(terms, min_size=1, max_size=7).map(
    lambda own: Boolean(should=tuple(own), minimum_should_match=1)
)
narrowed: st.SearchStrategy[Primitive] = st.builds(
    lambda query, kept, denied: Boolean(must=(query,), filter=kept, must_not=denied),
    st.one_of(any_of, any_of, phrases),
    _some(filters, 2),
    _some(filters, 1),
)
best_of: st.SearchStrategy[Primitive] = st.builds(
    BestOf,
    st.lists(st.one_of(terms, any_of, narrowed), min_size=1, max_size=4).map(tuple),
    st.sampled_from((0.0, 0.3, 1.0)),
)
optional: st.SearchStrategy[Primitive] = st.builds(
    lambda needed, should: Boolean(filter=(needed,), should=should),
    filters,
    st.lists(st.one_of(terms, narrowed), min_size=1, max_size=3).map(tuple),
)
queries: st.SearchStrategy[Primitive] = st.one_of(
    terms,
    phrases,
    any_of,
    narrowed,
    best_of,
    optional,
    _boolean(terms),
    st.recursive(st.one_of(terms, terms, terms, phrases), _compound, max_leaves=6),
)

# ------------------------------------------------------------------------------------------------ answers

Answer = tuple[list[tuple[int, int, int, bytes]], int, bytes]


def bits(score: float | None) -> bytes:
    return b"" if score is None else np.float32(score).tobytes()


def answer(
    shards: Sequence[MemoryShard], query: Primitive, size: int, total: bool = True, late: bool = False
) -> Answer:
    """The page as it is found: addresses and score bits in order, how many match (0 where `total` is not asked
    for), the highest score's bits. Searches may only run out of time if they are `late`."""
    similarities = similarities_of(query, SCHEMA)
    wanted = list(scored_terms(query, similarities))
    with ExitStack() as stack:
        snapshots = [stack.enter_context(shard.snapshot()) for shard in shards]
        stats = CollectionStats.total(each.statistics(similarities, wanted) for each in snapshots)
        request = QueryRequest(query, stats, similarities, size=size, total=total)
        found = reduce([each.query(request) for each in snapshots], size)
    assert late or not found.timed_out
    hits = [(*hit.address, bits(hit.score)) for hit in found.hits]
    return hits, found.total if total else 0, bits(found.max_score)


# ------------------------------------------------------------------------------------------------- limits

LIMITS: dict[str, tuple[int, ...]] = {
    "SPAN": (7, 64, 200, 1 << 20),
    "COLUMNS": (2, 32, 64),
    "FEW": (0, 0, 20),
    "FEW_ALLOWED": (0, 0, 20, 5000),
    "DENSE_SHARE": (1, 4, 1000),
    "FEW_SHARE": (1, 8),
    "MANY_SHARE": (0, 0, 8),
    "FIRST": (1, 8),
    "FIRST_VERIFIED": (1, 8),
    "CANDIDATES_AT_ONCE": (3, 1000),
    "GROWTH": (2,),
    "JOIN_SHARE": (0, 2, 16, 1000),
    "SHORT": (0, 20_000),
}
"""Limits of `quidditch.search` by name, and what they are tried with."""

limits: st.SearchStrategy[dict[str, int]] = st.fixed_dictionaries(
    {name: st.sampled_from(values) for name, values in LIMITS.items()}
)


@contextmanager
def pruning(limits: Mapping[str, int]) -> Iterator[None]:
    """Every segment is pruned, with these limits in every module that has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collector, "SMALL_SEGMENT", 0)
        for name, module in list(sys.modules.items()):
            if name.startswith("quidditch.search."):
                for limit, value in limits.items():
                    if hasattr(module, limit):
                        patch.setattr(module, limit, value)
        yield


@contextmanager
def no_pruning() -> Iterator[None]:
    """Every segment is small, and so scored whole, by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collector, "SMALL_SEGMENT", 1 << 62)
        patch.setattr(joined, "JOIN_SHARE", 0)
        yield
