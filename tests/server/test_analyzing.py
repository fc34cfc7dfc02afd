"""Analyzers that a request puts together."""

from __future__ import annotations

from typing import Any

import pytest

from .asking import Server

TEXT = "The Foxes jumped"


def tokens(server: Server, **body: Any) -> list[str]:
    return [each["token"] for each in server("POST", "/_analyze", {"text": TEXT, **body}).json()["tokens"]]


def test_filters_go_one_after_another(server: Server) -> None:
    assert tokens(server, tokenizer="standard") == ["The", "Foxes", "jumped"]
    assert tokens(server, tokenizer="standard", filter=["lowercase"]) == ["the", "foxes", "jumped"]
    assert tokens(server, tokenizer="standard", filter=["lowercase", "stop"]) == ["foxes", "jumped"]
    assert tokens(server, tokenizer="standard", filter=["stop", "lowercase", "stemmer"]) == [
        "the",
        "fox",
        "jump",
    ]


def test_a_filter_may_say_what_it_does(server: Server) -> None:
    stop = {"type": "stop", "stopwords": ["Foxes"]}
    assert tokens(server, tokenizer="whitespace", filter=[stop]) == ["The", "jumped"]


def test_explained_each_step_tells_its_tokens(server: Server) -> None:
    body = {"text": TEXT, "tokenizer": "standard", "filter": ["lowercase", "stop"], "explain": True}
    detail = server("POST", "/_analyze", body).json()["detail"]
    assert [each["token"] for each in detail["tokenizer"]["tokens"]] == ["The", "Foxes", "jumped"]
    assert [step["name"] for step in detail["tokenfilters"]] == ["lowercase", "stop"]
    assert [each["token"] for each in detail["tokenfilters"][1]["tokens"]] == ["foxes", "jumped"]


@pytest.mark.parametrize(
    "body",
    [
        {"tokenizer": "nope"},
        {"tokenizer": ["standard"]},
        {"tokenizer": "standard", "filter": ["nope"]},
        {"tokenizer": "standard", "filter": [5]},
        {"tokenizer": "standard", "filter": [{"type": "stop", "stopwords": 5}]},
        {"tokenizer": "standard", "filter": [{"type": "stop", "stopwords": "_klingon_"}]},
        {"tokenizer": "standard", "filter": [{"type": "stemmer", "language": "klingon"}]},
        {"tokenizer": "standard", "char_filter": ["html_strip"]},
    ],
)
def test_a_part_that_is_not_there_is_refused(server: Server, body: dict[str, Any]) -> None:
    assert server("POST", "/_analyze", {"text": TEXT, **body}).status_code == 400
