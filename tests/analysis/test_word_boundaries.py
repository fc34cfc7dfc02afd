"""Words as UAX #29 has them, compared with another implementation of it, and where we differ on purpose."""

from __future__ import annotations

import numpy as np
import pytest
import regex  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from quidditch.analysis import word_break, word_break_generator, word_break_table
from quidditch.analysis.registry import get_analyzer

# No pictographs and no script without spaces: there we differ from UAX #29, as tested below. And no marks:
# `regex` reads WB4 otherwise when they stand before a middle character or at the beginning.
ALPHABET = "aBz19éßжΩकعᏣ०٣𝒜ªⅣ _'\".:,;-!\n\r\t\x00\u2019·׳٫"


def words(text: str, name: str = "standard") -> list[str]:
    return [token.term for token in get_analyzer(name).analyze(text)]


def searched(text: str) -> list[str]:
    return [token.term for token in get_analyzer("standard").analyze_query(text)]


@given(st.text(st.sampled_from(ALPHABET), max_size=30))
def test_spans_are_those_of_another_implementation(text: str) -> None:
    pieces = regex.split(r"\b", text, flags=regex.V1 | regex.WORD)
    expected = [piece for piece in pieces if regex.search(r"[\p{WB=ALetter}\p{WB=Numeric}]", piece)]
    found = [text[token.start : token.end] for token in get_analyzer("standard").analyze(text)]
    assert found == expected


@given(st.text(st.sampled_from(ALPHABET + "אב東กカ한😀🇩🇪")), st.sampled_from("\u0301\u00ad\u2060"))
def test_marks_and_invisible_characters_belong_to_what_is_before_them(text: str, mark: str) -> None:
    plain = get_analyzer("standard").analyze(text)
    marked = get_analyzer("standard").analyze(mark + "".join(character + mark for character in text))
    spans = [(token.start, token.end, token.position) for token in marked]
    assert spans == [(2 * token.start + 1, 2 * token.end + 1, token.position) for token in plain]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("don't stop", ["don't", "stop"]),
        ("3.14 1,000,000 4.", ["3.14", "1,000,000", "4"]),
        ("snake_case __init__ _ ___", ["snake_case", "__init__"]),
        ("see example.com, a.b.c or x..y", ["see", "example.com", "a.b.c", "or", "x", "y"]),
        ("a.1 1.a 1:2 a;b a:b", ["a", "1", "1", "a", "1", "2", "a", "b", "a:b"]),
        ("well-known 'quoted' \"x\"", ["well", "known", "quoted", "x"]),
        ("Ünï CO\u00adOP\ufeff", ["ünï", "coop"]),
        ("nul\x00between\x01them", ["nul", "between", "them"]),
        ('צה"ל ג\' ד', ['צה"ל', "ג'", "ד"]),
        ("", []),
        (" .,;:'_\" \n", []),
        ("x" * 600, ["x" * 255, "x" * 255, "x" * 90]),
        ("é" * 256, ["é" * 255, "é"]),
        ("I ❤️ 😀👩‍👩‍👧🏽 🇩🇪🇫🇷 © ™ 1️⃣", ["i", "❤️", "😀", "👩‍👩‍👧🏽", "🇩🇪", "🇫🇷", "1️⃣"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "indexed", "query"),
    [
        ("東京", ["東", "東京", "京"], ["東京"]),
        ("東京都 abc", ["東", "東京", "京", "京都", "都", "abc"], ["東京", "京都", "abc"]),
        ("京", ["京"], ["京"]),
        ("東、京", ["東", "京"], ["東", "京"]),
        ("食べる", ["食", "食べ", "べ", "べる", "る"], ["食べ", "べる"]),
        ("タワー", ["タ", "タワ", "ワ", "ワー", "ー"], ["タワ", "ワー"]),
        ("한국의", ["한", "한국", "국", "국의", "의"], ["한국", "국의"]),
        ("LG전자", ["lg", "전", "전자", "자"], ["lg", "전자"]),
        ("น้ำ", ["น้", "น้ำ", "ำ"], ["น้ำ"]),
        ("ก", ["ก"], ["ก"]),
        ("中ก", ["中", "ก"], ["中", "ก"]),
        ("2024年", ["2024", "年"], ["2024", "年"]),
    ],
)
def test_scripts_without_spaces(text: str, indexed: list[str], query: list[str]) -> None:
    assert words(text) == indexed
    assert searched(text) == query


def test_pairs_lie_on_their_first_character_and_do_not_count() -> None:
    tokens = get_analyzer("standard").analyze("a 東京 b")
    assert [(t.term, t.position, t.start, t.end, t.type) for t in tokens] == [
        ("a", 0, 0, 1, "<ALPHANUM>"),
        ("東", 1, 2, 3, "<IDEOGRAPHIC>"),
        ("東京", 1, 2, 4, "<DOUBLE>"),
        ("京", 2, 3, 4, "<IDEOGRAPHIC>"),
        ("b", 3, 5, 6, "<ALPHANUM>"),
    ]
    batch = get_analyzer("standard").vocabulary().invert(["a 東京 b"])
    assert batch.lengths.tolist() == [4]
    assert batch.ends.tolist() == [4]


def test_types() -> None:
    tokens = get_analyzer("standard").analyze("a1 12 ひ カ 한 ก 😀 é")
    expected = "<ALPHANUM> <NUM> <HIRAGANA> <KATAKANA> <HANGUL> <SOUTHEAST_ASIAN> <EMOJI> <ALPHANUM>"
    assert " ".join(token.type for token in tokens) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("simple", "Don't 2x naïve", ["don", "t", "x", "naïve"]),
        ("stop", "The Cat's", ["cat", "s"]),
        ("whitespace", "Keep It, as-is\u3000\u2028é\x00z", ["Keep", "It,", "as-is", "é", "z"]),
        ("keyword", " One Value\n", [" One Value\n"]),
        ("keyword", "", []),
        ("keyword", "y" * 1000, ["y" * 1000]),
    ],
)
def test_other_tokenizers(name: str, text: str, expected: list[str]) -> None:
    assert words(text, name) == expected


def test_the_table_is_what_the_properties_say() -> None:
    if word_break_generator.count_assigned() != word_break_table.ASSIGNED:
        pytest.skip("the installed regex follows another version of Unicode than the table")
    assert np.array_equal(word_break.class_table(), word_break_generator.build_table())


def test_the_ascii_table_is_the_beginning_of_the_whole_one() -> None:
    assert word_break.class_table()[:128].tobytes() == word_break.ascii_table()[:128]
