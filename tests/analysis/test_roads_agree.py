"""One text, three roads (ASCII arrays, Unicode arrays, text by text): the same terms in the same places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.analysis import tokenizers, vocabulary
from quidditch.analysis.analyzer import Analyzer, Token, TokenBatch, Vocabulary
from quidditch.analysis.registry import get_analyzer

ALPHABET = (
    "aAbZzIi09 _'\".:,;-\n\t\x00\x1c"
    "éİıßΣσς\u0301\u00ad\ufeff\u200b\u200d\ufe0f\u2019·"
    "אבж日本々ひらカーﾅ한국ㄱกำ่ທຳខ្ម၁မ😀❤©👩🇩🇪🏽²\u00a0\u3000𝒜𠀀"
)
ascii_texts = st.text(st.characters(max_codepoint=127), max_size=60)
dense_ascii_texts = st.text(st.sampled_from("ab1_'.:,; \n"), max_size=30)
mixed_texts = st.text(st.sampled_from(ALPHABET), max_size=40)
any_texts = st.text(max_size=30)
texts = st.one_of(dense_ascii_texts, mixed_texts, any_texts)
names = st.sampled_from(
    ["standard", "simple", "whitespace", "keyword", "stop", "english", "german", "turkish", "french", "greek"]
)


def one_by_one(analyzer: Analyzer, values: list[str]) -> list[tuple[int, str, int]]:
    texts = enumerate(map(analyzer.analyze, values))
    return [(number, token.term, token.position) for number, tokens in texts for token in tokens]


def in_batch(words: Vocabulary, batch: TokenBatch) -> list[tuple[int, str, int]]:
    terms = [words.terms[term].decode() for term in batch.term.tolist()]
    return list(zip(batch.value.tolist(), terms, batch.position.tolist(), strict=True))


@given(st.one_of(ascii_texts, dense_ascii_texts))
def test_ascii_and_unicode_roads_cut_the_same_tokens(text: str) -> None:
    short, general = tokenizers.standard_ascii(text), tokenizers.standard_unicode(text)
    assert short.starts.tolist() == general.starts.tolist()
    assert short.ends.tolist() == general.ends.tolist()
    assert general.overlaps is None


@given(names, st.lists(texts, max_size=8))
def test_a_batch_gives_what_each_text_gives(name: str, values: list[str]) -> None:
    analyzer = get_analyzer(name)
    words = analyzer.vocabulary()
    for _ in range(2):  # new forms, then known ones
        assert in_batch(words, words.invert(values)) == one_by_one(analyzer, values)


@given(st.lists(texts, max_size=6))
def test_splitting_a_batch_changes_nothing(values: list[str]) -> None:
    words = get_analyzer("standard").vocabulary()
    together = words.invert(values)
    apart = [words.invert([value]) for value in values]
    assert together.term.tolist() == [term for batch in apart for term in batch.term.tolist()]
    assert together.position.tolist() == [place for batch in apart for place in batch.position.tolist()]
    assert together.lengths.tolist() == [length for batch in apart for length in batch.lengths.tolist()]
    assert together.ends.tolist() == [end for batch in apart for end in batch.ends.tolist()]


@given(st.lists(texts, max_size=6))
def test_lengths_and_ends_count_positions(values: list[str]) -> None:
    analyzer = get_analyzer("standard")
    batch = analyzer.vocabulary().invert(values)
    single = [[token for token in analyzer.analyze(value) if token.type != "<DOUBLE>"] for value in values]
    assert batch.lengths.tolist() == [len(tokens) for tokens in single]
    assert batch.ends.tolist() == [tokens[-1].position + 1 if tokens else 0 for tokens in single]


def test_arrays_have_the_promised_types() -> None:
    for values in ([], [""], ["a b", "日本 c"]):
        batch = get_analyzer("english").vocabulary().invert(values)
        for array in (batch.value, batch.term, batch.position, batch.lengths, batch.ends):
            assert array.dtype == np.uint32


def test_pieces_of_a_long_value_are_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["alpha beta gamma", "", "delta 日本語 épsilon", "x" * 50, "eta\ntheta"] * 3
    analyzer = get_analyzer("standard")
    whole = analyzer.vocabulary().invert(values)
    monkeypatch.setattr(vocabulary, "CHUNK_CHARS", 7)
    words = analyzer.vocabulary()
    pieces = words.invert(values)
    assert in_batch(words, pieces) == one_by_one(analyzer, values)
    assert pieces.lengths.tolist() == whole.lengths.tolist()
    assert pieces.ends.tolist() == whole.ends.tolist()


def test_a_value_of_many_megabytes() -> None:
    batch = get_analyzer("standard").vocabulary().invert(["small", "one two three " * 500_000, "big"])
    assert batch.lengths.tolist() == [1, 1_500_000, 1]
    assert batch.position[-2] == 1_499_999


def test_removed_words_leave_holes_and_count_in_the_end() -> None:
    words = get_analyzer("english").vocabulary()
    batch = words.invert(["the cat and the", "of the", "dogs"])
    assert in_batch(words, batch) == [(0, "cat", 1), (2, "dog", 0)]
    assert batch.lengths.tolist() == [1, 0, 1]
    assert batch.ends.tolist() == [4, 2, 1]


@given(texts)
def test_offsets_say_where_a_token_came_from(text: str) -> None:
    for token in get_analyzer("whitespace").analyze(text):
        assert text[token.start : token.end] == token.term


@given(st.text(st.sampled_from("日本ひカ한ก่ a"), max_size=12))
def test_a_query_finds_the_text_it_was_taken_from(text: str) -> None:
    analyzer = get_analyzer("standard")
    indexed = {(token.term, token.position) for token in analyzer.analyze(text)}
    query = analyzer.analyze_query(text)
    assert {(token.term, token.position) for token in query} <= indexed
    assert bool(query) == bool(indexed)


@given(st.text(st.characters(), max_size=10), st.sampled_from(["\ud800", "\udfff", "\ud83d\ude00"]))
def test_lone_surrogates_are_tolerated(text: str, surrogate: str) -> None:
    for name in ("standard", "whitespace", "keyword", "simple"):
        tokens: list[Token] = get_analyzer(name).analyze(f"cat {text}{surrogate} dog")
        "".join(token.term for token in tokens).encode("utf-8")
