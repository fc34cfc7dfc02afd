"""What every route has in common: parameters, errors, encodings."""

from __future__ import annotations

import gzip
import json

import pytest

from quidditch.server.filtering import filter_body
from quidditch.server.runtime.limits import Limits
from quidditch.server.state import State

from .asking import Server


def test_who_answers(server: Server) -> None:
    answer = server("GET", "/").json()
    assert answer["version"]["distribution"] == "opensearch"
    assert answer["version"]["number"] == "2.11.0"
    assert server("HEAD", "/").status_code == 200


def test_an_unknown_parameter_is_named_with_the_nearest(server: Server) -> None:
    refused = server("GET", "/books/_doc/1?routng=x")
    assert refused.status_code == 400
    assert refused.json()["error"]["reason"] == (
        "request [/books/_doc/1] contains unrecognized parameter: [routng] -> did you mean [routing]?"
    )
    two = server("GET", "/books/_doc/1?xyzzy=1&plugh=2").json()["error"]["reason"]
    assert two == "request [/books/_doc/1] contains unrecognized parameters: [plugh], [xyzzy]"


def test_an_error_says_its_cause_twice(server: Server) -> None:
    body = server("GET", "/none/_doc/1").json()
    assert body["status"] == 404
    assert body["error"]["root_cause"] == [{k: v for k, v in body["error"].items() if k != "root_cause"}]
    assert "Traceback" in server("GET", "/none/_doc/1?error_trace=true").json()["error"]["stack_trace"]


def test_no_route_and_no_such_method(server: Server) -> None:
    assert server("GET", "/_nothing/of/this/kind").status_code == 400
    wrong = server("PUT", "/books/_search")
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["allow"]


@pytest.mark.parametrize("data", [b"{", b'{"a": 1} x', b'{"a": "\xff"}', b"[1, 2]", b"[" * 200_000])
def test_a_body_that_is_no_document_is_refused(server: Server, data: bytes) -> None:
    assert server("PUT", "/books/_doc/1", content=data).status_code == 400
    assert "books" not in server.database


def test_a_body_says_that_it_is_json(server: Server) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        refused = server("PUT", "/books/_doc/1", content=b"{}", headers={"content-type": kind})
        assert refused.status_code == 406
    assert "books" not in server.database


def test_gzip_both_ways(server: Server) -> None:
    document = {"title": "dune " * 1000}
    packed = gzip.compress(json.dumps(document).encode())
    assert (
        server("PUT", "/books/_doc/1", content=packed, headers={"content-encoding": "gzip"}).status_code
        == 201
    )
    found = server("GET", "/books/_doc/1", headers={"accept-encoding": "gzip"})
    assert found.headers["content-encoding"] == "gzip"
    assert found.json()["_source"] == document
    half = server("PUT", "/books/_doc/2", content=packed[:-20], headers={"content-encoding": "gzip"})
    assert half.status_code == 400


def test_pretty_and_yaml(server: Server) -> None:
    assert server("GET", "/?pretty").text.startswith('{\n  "name"')
    assert server("GET", "/?format=yaml").headers["content-type"] == "application/yaml"


@pytest.mark.parametrize(
    ("expression", "left"),
    [
        ("a", {"a": {"b": 1, "c": [{"d": 2, "e": 3}]}}),
        ("a.c.d", {"a": {"c": [{"d": 2}]}}),
        ("*.b", {"a": {"b": 1}}),
        ("**.e", {"a": {"c": [{"e": 3}]}}),
        ("-a.c", {"a": {"b": 1}, "f": None}),
        ("a,-a.b,-**.e", {"a": {"c": [{"d": 2}]}}),
        ("nothing", {}),
    ],
)
def test_filter_path(expression: str, left: object) -> None:
    assert filter_body({"a": {"b": 1, "c": [{"d": 2, "e": 3}]}, "f": None}, expression) == left


def test_an_encoded_slash_belongs_to_the_id(server: Server) -> None:
    assert server("PUT", "/books/_doc/a%2Fb", {"x": 1}).json()["_id"] == "a/b"
    assert server("GET", "/books/_doc/a%2Fb").json()["_source"] == {"x": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:9200"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://[broken"},
    ],
)
def test_a_page_of_the_web_is_refused(server: Server, headers: dict[str, str]) -> None:
    assert server("GET", "/", headers=headers).status_code == 403
    assert server("PUT", "/books/_doc/1", {"x": 1}, headers=headers).status_code == 403
    assert server.database.indices() == []


@pytest.mark.parametrize("host", ["localhost", "localhost:9200", "127.0.0.1:1", "[::1]:9200"])
def test_the_names_of_this_machine_are_taken(server: Server, host: str) -> None:
    assert server("GET", "/", headers={"host": host, "origin": f"http://{host}"}).status_code == 200


def test_a_small_body_does_not_unpack_without_bound(server: Server) -> None:
    server = Server(server.database, State(limits=Limits(body_bytes=1 << 20)))
    bomb = gzip.compress(b" " * (8 << 20))
    refused = server("PUT", "/books/_doc/1", content=bomb, headers={"content-encoding": "gzip"})
    assert refused.status_code == 413
