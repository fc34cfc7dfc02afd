"""Bodies nested so deeply that reading them, or what is read, would bring the server down."""

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
