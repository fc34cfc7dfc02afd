"""Requests that are too much: bodies nested too deeply, heads that are too large."""

from __future__ import annotations

import pytest

from quidditch.server import wire
from quidditch.server.failures import RestError

from .asking import Server


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize("levels", [wire.MAX_DEPTH + 1, 10_000, 300_000])
@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/books/_doc/1", b""),
        ("/books", b""),
        ("/books/_search", b""),
        ("/_bulk", b'{"index": {"_index": "books"}}\n'),
    ],
)
def test_a_body_that_is_nested_too_deeply_is_refused(
    server: Server, levels: int, path: str, line: bytes
) -> None:
    method = "PUT" if path == "/books" else "POST"
    refused = server(method, path, content=line + nested(levels) + b"\n")
    assert refused.status_code == 400
    assert "nested too deeply" in refused.json()["error"]["reason"]
    assert server("GET", "/").status_code == 200


def test_queries_as_deep_as_a_body_may_be_do_not_bring_it_down(server: Server) -> None:
    server("PUT", "/books/_doc/1", {"title": "Dune"})
    query: object = {"match_all": {}}
    for _ in range(wire.MAX_DEPTH // 2 - 4):
        query = {"bool": {"must": query}}
    assert server("POST", "/books/_search", {"query": query}).status_code in (200, 400)


def test_brackets_in_strings_are_text() -> None:
    text = "[{" * 1_000
    assert wire.decode(wire.encode({"a": [text, text + '"', "\\" + text + "\\"]}))["a"][0] == text


def test_brackets_in_strings_hide_none_outside() -> None:
    closing = b'"' + b"]" * 1_000 + b'"'
    deep = b"[" + (closing + b",[") * 300 + b"]" * 301
    with pytest.raises(RestError, match="nested too deeply"):
        wire.decode(deep)


def test_the_deepest_that_is_taken() -> None:
    assert wire.decode(nested(wire.MAX_DEPTH)) is not None
    flat = b"[" + b"[]," * 500_000 + b"[]]"
    assert len(wire.decode(flat)) == 500_001


def test_a_head_that_is_too_large_is_told_so(server: Server) -> None:
    assert server("GET", "/", headers={f"x-{number}": "y" for number in range(200)}).status_code == 431
    assert server("GET", "/", headers={"x": "y" * 70_000}).status_code == 431
    assert server("GET", "/books/_search?q=" + "x" * 20_000).status_code == 414
    assert server("GET", "/" + "x" * 20_000).status_code == 414
    many = server("GET", "/_search?" + "&".join(f"{number}=1" for number in range(300)))
    assert many.status_code == 400
    assert "parameters" in many.json()["error"]["reason"]


def test_a_head_of_a_common_size_is_none(server: Server) -> None:
    name = "n" * 200
    for index in range(3):
        server("PUT", f"/{name}{index}/_doc/1", {"title": "Dune"})
    path = "/" + ",".join(f"{name}{index}" for index in range(3)) + "/_search?" + "&".join(["size=9"] * 50)
    answer = server("GET", path, headers={"cookie": "x" * 8_000})
    assert answer.status_code == 200
    assert answer.json()["hits"]["total"]["value"] == 3
