"""Analyzers by name, and what each of them makes of a few words."""

from __future__ import annotations

import threading

import pytest

from quidditch.analysis.analyzer import Analyzer
from quidditch.analysis.registry import ANALYZER_NAMES, get_analyzer
from quidditch.errors import MappingError


@pytest.mark.parametrize("name", sorted(ANALYZER_NAMES))
def test_every_name_has_an_analyzer(name: str) -> None:
    analyzer = get_analyzer(name)
    assert analyzer.name == name
    assert analyzer is get_analyzer(name)
    assert len(analyzer.vocabulary().invert(["xylophone"]).term) == 1


@pytest.mark.parametrize(
    ("typed", "meant"), [("standart", "standard"), ("englisch", "english"), ("Whitespace", "whitespace")]
)
def test_an_unknown_name_is_refused_with_the_nearest_one(typed: str, meant: str) -> None:
    with pytest.raises(MappingError, match=f"{typed}.*{meant}"):
        get_analyzer(typed)


def test_analyzers_are_equal_by_name() -> None:
    standard = get_analyzer("standard")
    assert Analyzer("standard", standard.tokenizer, standard.filters) == standard
    assert len({standard, Analyzer("standard", standard.tokenizer), get_analyzer("simple")}) == 2


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("english", "The dog's owners aren't running", ["dog", "owner", "aren't", "run"]),
        ("english", "O\u2019Neil\u2019s PARSING", ["o\u2019neil", "pars"]),
        ("german", "Die Häuser der Stadt", ["haus", "stadt"]),
        ("french", "L'avion qu’elle les chevaux", ["avion", "cheval"]),
        ("italian", "dell'acqua", ["acqua"]),
        ("spanish", "los gatos", ["gat"]),
        ("turkish", "İstanbul'da ILIK", ["istanbul", "ılık"]),
        ("russian", "в книгах", ["книг"]),
        ("thai", "กา", ["ก", "กา", "า"]),
    ],
)
def test_language_analyzers(name: str, text: str, expected: list[str]) -> None:
    assert [token.term for token in get_analyzer(name).analyze(text)] == expected


def test_stop_words_leave_their_positions() -> None:
    tokens = get_analyzer("english").analyze("state of the art")
    assert [(token.term, token.position) for token in tokens] == [("state", 0), ("art", 3)]


def test_threads_share_an_analyzer() -> None:
    analyzer = get_analyzer("english")
    failures: list[list[str]] = []

    def work() -> None:
        text, expected = "running words of different lengths", ["run", "word", "differ", "length"]
        seen = ([token.term for token in analyzer.analyze(text)] for _ in range(2000))
        failures.extend(terms for terms in seen if terms != expected)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
