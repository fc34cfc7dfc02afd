"""Requests that mean harm, or are broken: refused by name, quickly, and the server goes on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

import quidditch

from .asking import Server, lines

PATIENCE_S = 20.0
"""A request that takes longer hangs; those here take well under a second on any machine."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with quidditch.connect(":memory:") as database:
        asked = Server(database)
        asked("PUT", "/a/_doc/1", {"t": "words and words", "n": 1})
        yield asked


def nested(opening: bytes, inner: bytes, closing: bytes, depth: int) -> bytes:
    return opening * depth + inner + closing * depth


def answered(server: Server, method: str, path: str, content: bytes | None) -> int:
    """The status, after looking that it is no fault of the server and that others are answered still."""
    started = time.monotonic()
    answer = server(method, path, content=content)
    took_s = time.monotonic() - started
    assert answer.status_code < 500, answer.text[:500]
    assert took_s < PATIENCE_S
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.json(), "an error has a body that says why"
    assert server("GET", "/a/_doc/1").status_code == 200
    return answer.status_code


NOT_JSON = {
    "nothing but brackets": b"[" * 10_000 + b"]" * 10_000,
    "brackets without end": b"[" * 1_000_000,
    "objects": nested(b'{"t":', b"1", b"}", 10_000),
    "no UTF-8": b'{"t": "\xff\xfe"}',
    "NaN": b'{"n": NaN}',
    "infinity": b'{"n": -Infinity}',
    "a number that no double holds": b'{"n": 1e400}',
    "half a text": b'{"t": "x',
    "nothing but zeros": b"\x00" * 1000,
}


@pytest.mark.parametrize(
    "path", ["/a/_doc", "/a/_search", "/a/_update/1", "/_reindex", "/_aliases", "/_mget"]
)
@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_no_json_is_refused(server: Server, path: str, name: str) -> None:
    assert answered(server, "POST", path, NOT_JSON[name]) == 400


WRONG: list[tuple[str, str, Any]] = [
    *[
        ("POST", path, body)
        for path in (
            "/a/_search",
            "/a/_count",
            "/a/_explain/1",
            "/a/_update/1",
            "/_aliases",
            "/_mget",
            "/_reindex",
            "/_analyze",
            "/a/_delete_by_query",
            "/a/_update_by_query",
            "/a/_field_caps",
        )
        for body in (1, "x", {"query": 5, "doc": 5, "actions": 5, "docs": 5, "text": 5})
    ],
    ("POST", "/a/_search", {"query": {"range": {"n": {"gte": int("9" * 30)}, "x": 1}}}),
    ("POST", "/a/_search", {"size": 1e300}),
    ("POST", "/a/_search", {"size": 9999999999999999999}),
    ("POST", "/a/_search", {"from": -1}),
    ("POST", "/a/_search", {"from": 2147483647, "size": 2147483647}),
    ("POST", "/a/_search", {"sort": ["n"] * 10_000}),
    ("POST", "/a/_search", {"sort": [None]}),
    ("POST", "/a/_search", {"sort": {"n": 5}}),
    ("POST", "/a/_search", {"_source": 5}),
    ("POST", "/a/_search", {"pit": {"id": 5}}),
    ("POST", "/a/_search", {"query": {"match": {"t": "w " * 20_000}}}),
    ("POST", "/a/_search?scroll=1m&size=x", {}),
    ("POST", "/_mget", {"ids": 5}),
    ("POST", "/_mget", {"docs": [{"_index": 5, "_id": 1}]}),
    ("POST", "/_reindex", {"source": {"index": "a"}, "dest": {"index": "c"}, "max_docs": "x"}),
    ("POST", "/_reindex", {"source": {"index": [5]}, "dest": {"index": "c"}}),
    ("POST", "/_reindex?max_docs=-1", {"source": {"index": "a"}, "dest": {"index": "c"}}),
    ("POST", "/_analyze", {"text": [5]}),
    ("POST", "/_analyze", {"text": "x", "analyzer": 5}),
    ("POST", "/_analyze", {"text": "a " * 400_000}),
    ("POST", "/_analyze", {"text": "a" * 5_000_000}),
    ("PUT", "/m", {"mappings": 5}),
    ("PUT", "/m", {"settings": 5}),
    ("PUT", "/m", {"aliases": {"x": 5}}),
    ("PUT", "/m", {"mappings": {"properties": {"a": 5}}}),
    ("PUT", "/a/_mapping", {"properties": {"q": {"type": []}}}),
    ("PUT", "/a/_settings", {"number_of_replicas": "x"}),
    ("DELETE", "/_search/scroll", {"scroll_id": [5, {}]}),
    ("PUT", "/a/_doc/1?if_seq_no=9999999999999999999999&if_primary_term=1", {}),
    ("PUT", "/a/_doc/1?version=-1&version_type=external", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRONG, ids=range(len(WRONG)))
def test_a_value_that_is_not_what_it_must_be_is_refused(
    server: Server, method: str, path: str, body: Any
) -> None:
    assert 400 <= answered(server, method, path, json.dumps(body).encode()) < 500


@pytest.mark.parametrize(
    "query",
    [
        {"wildcard": {"t": "*w" * 5000}},
        {"regexp": {"t": "(w+)+" * 500 + "$"}},
        {"fuzzy": {"t": "w" * 100_000}},
        {"ids": {"values": ["1"] * 100_000}},
        {"term": {"n": 10**400}},
        {"range": {"n": {"gte": -(10**30), "lte": 10**30}}},
    ],
    ids=["wildcard", "regexp", "fuzzy", "ids", "term", "range"],
)
def test_a_query_that_would_cost_much_does_not(server: Server, query: dict[str, Any]) -> None:
    answered(server, "POST", "/a/_search", json.dumps({"query": query}).encode())


@pytest.mark.parametrize(
    "name",
    [
        *(
            "..",
            "%2e%2e",
            "A",
            "_x",
            "-x",
            "a:b",
            "a,b",
            "*",
            "a%2Fb",
            "%00",
            "%20",
            "%ff",
            "a%0d%0ab",
            "a%5cb",
        ),
        *("a" * 256, "%F0%9F%98%80" * 64, "a%23b"),
    ],
)
def test_an_index_of_an_odd_name_is_not_made(server: Server, name: str) -> None:
    before = server("GET", "/_cat/indices?h=index").text
    assert 400 <= answered(server, "PUT", f"/{name}", None) < 500
    assert server("GET", "/_cat/indices?h=index").text == before


PATHS = {
    "a step that is no UTF-8": "/%ff/_search",
    "thousands of steps": "/" + "a/" * 3000,
    "a pattern of stars": "/" + "*a" * 3000 + "/_search",
    "thousands of names": "/" + "a," * 5000 + "/_search",
    "a digit that is no number": "/_cluster/health?wait_for_nodes=%C2%B2",
    "shards of many digits": "/_cluster/health?wait_for_active_shards=" + "9" * 5000,
    "a total of many digits": "/a/_search?track_total_hits=" + "9" * 5000,
    "a task of many digits": "/_tasks/x:" + "9" * 5000,
    "a time of many digits": "/a/_search?timeout=" + "9" * 4300 + "d",
    "columns that are not there": "/_cat/indices?h=%ff&s=x:desc,,y",
    "paths of a filter": "/?filter_path=" + ",".join(["*.**"] * 500),
    "a filter of stars": "/a/_search?filter_path=" + "**." * 200 + "x",
    "a filter of many ways": "/a/_search?filter_path=" + "**.h*." * 200 + "x",
    "a filter of many stars in a name": "/a/_search?filter_path=" + "*t" * 1000 + "x",
    "a filter that is too long": "/?filter_path=" + "a," * 30_000,
    "an id that is no UTF-8": "/a/_doc/%ff",
    "an id of no end": "/a/_doc/" + "x" * 6000,
}


@pytest.mark.parametrize("name", PATHS)
def test_an_odd_path_or_parameter_is_answered(server: Server, name: str) -> None:
    answered(server, "GET", PATHS[name], None)


BULKS = {
    "a line without an end": b"x" * 5_000_000,
    "no line": b"\n\n\n",
    "an action that is none": b"[]\n[]\n",
    "an index that is no name": b'{"index": {"_index": 5}}\n{}\n',
    "an id that is none": b'{"index": {"_index": "a", "_id": {}}}\n{}\n',
    "an update of nothing": b'{"update": {"_index": "a", "_id": "1"}}\n[]\n',
    "a version that is none": b'{"index": {"_index": "a", "version": "x", "version_type": 5}}\n{}\n',
    "no UTF-8": b"\xff\xff\n",
    "an action alone": b'{"index": {"_index": "a"}}',
}


@pytest.mark.parametrize("name", BULKS)
def test_a_bulk_that_is_none_is_refused(server: Server, name: str) -> None:
    answer = server("POST", "/_bulk", content=BULKS[name])
    refused = answer.status_code == 400 or answer.json()["errors"]
    assert refused
    assert answer.status_code < 500
    assert answered(server, "GET", "/", None) == 200


@pytest.mark.parametrize("header", [5, [], {"index": 5}, {"index": [1]}, {"index": "a", "x": 1}])
def test_a_search_of_many_whose_header_is_none_is_refused(server: Server, header: Any) -> None:
    answer = server("POST", "/_msearch", content=lines([header, {}]))
    status = answer.status_code
    assert status == 400 or [each["status"] for each in answer.json()["responses"]] == [400]


def test_one_key_twice_in_an_object_is_its_last_value(server: Server) -> None:
    assert server("PUT", "/a/_doc/twice", content=b'{"n": 1, "n": 2}').status_code == 201
    assert server("GET", "/a/_source/twice").json() == {"n": 2}


def test_thousands_of_scrolls_are_refused_at_some_number(server: Server) -> None:
    statuses = [server("POST", "/a/_search?scroll=1m", {"size": 1}).status_code for _ in range(600)]
    assert statuses[0] == 200
    assert statuses[-1] in (400, 429)
    assert server("DELETE", "/_search/scroll/_all").status_code == 200
    assert server("POST", "/a/_search?scroll=1m", {"size": 1}).status_code == 200


def test_no_path_is_deeper_than_the_interpreter_reaches(server: Server) -> None:
    assert answered(server, "GET", "/" + "a/" * (sys.getrecursionlimit() * 4), None) == 400
