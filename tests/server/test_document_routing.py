"""Routing over HTTP: kept, shown, demanded where the mapping says so, and given by aliases."""

from __future__ import annotations

import msgspec
import pytest

from .asking import Server


@pytest.fixture
def routed(server: Server) -> Server:
    server("PUT", "/books", {"mappings": {"_routing": {"required": True}}})
    server("PUT", "/books/_doc/1?routing=5&refresh=true", {"n": 1})
    return server


def test_it_is_shown_wherever_the_document_is(server: Server) -> None:
    server("PUT", "/books/_doc/1?routing=5", {"n": 1})
    server("PUT", "/books/_doc/2", {"n": 2})
    assert server("GET", "/books/_doc/1").json()["_routing"] == "5"
    assert server("GET", "/books/_doc/1?stored_fields=_routing").json()["_routing"] == "5"
    assert "_routing" not in server("GET", "/books/_doc/2").json()
    items = server("POST", "/books/_mget", {"ids": ["1", "2"]}).json()["docs"]
    assert [item.get("_routing") for item in items] == ["5", None]
    hits = server("GET", "/books/_search", {"sort": ["n"]}).json()["hits"]["hits"]
    assert [hit.get("_routing") for hit in hits] == ["5", None]
    updated = server("POST", "/books/_update/1?_source=true&routing=5", {"doc": {"n": 3}}).json()
    assert updated["get"]["_routing"] == "5"


def test_a_bulk_takes_it_of_its_actions_or_of_the_request(server: Server) -> None:
    lines = [{"index": {"_id": "1", "routing": "a"}}, {"n": 1}, {"index": {"_id": "2"}}, {"n": 2}]
    content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    assert not server("POST", "/books/_bulk?routing=b", content=content).json()["errors"]
    items = server("POST", "/books/_mget", {"ids": ["1", "2"]}).json()["docs"]
    assert [item["_routing"] for item in items] == ["a", "b"]


@pytest.mark.parametrize("name", ["_routing", "_version", "_version_type"])
def test_a_bulk_knows_no_underscores(server: Server, name: str) -> None:
    content = msgspec.json.encode({"index": {"_id": "1", name: "1"}}) + b'\n{"n":1}\n'
    refused = server("POST", "/books/_bulk", content=content)
    assert refused.status_code == 400
    assert f"unknown parameter [{name}]" in refused.json()["error"]["reason"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/books/_doc/1", None),
        ("GET", "/books/_source/1", None),
        ("PUT", "/books/_doc/1", {"n": 2}),
        ("DELETE", "/books/_doc/1", None),
        ("POST", "/books/_update/1", {"doc": {"n": 2}}),
    ],
)
def test_what_is_required_and_missing_is_400(
    routed: Server, method: str, path: str, body: dict[str, object] | None
) -> None:
    refused = routed(method, path, body)
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "routing_missing_exception"
    assert refused.json()["error"]["reason"] == "routing is required for [books]/[1]"
    assert routed(method, f"{path}?routing=5", body).status_code == 200


def test_of_a_mget_the_items_without_one_fail(routed: Server) -> None:
    docs = [{"_id": "1"}, {"_id": "1", "routing": "5"}, {"_id": "1", "routing": 5}]
    missing, *found = routed("POST", "/books/_mget", {"docs": docs}).json()["docs"]
    assert missing["error"]["type"] == "routing_missing_exception"
    assert [item["found"] for item in found] == [True, True]


def test_an_alias_gives_its_own(server: Server) -> None:
    server("PUT", "/books", {"aliases": {"kims": {"index_routing": "kim"}, "many": {"index_routing": "a,b"}}})
    server("PUT", "/kims/_doc/1", {"n": 1})
    assert server("GET", "/books/_doc/1").json()["_routing"] == "kim"
    assert server("GET", "/kims/_doc/1?routing=kim").status_code == 200
    refused = server("PUT", "/kims/_doc/1?routing=lee", {"n": 1})
    assert refused.status_code == 400
    assert "provided with routing value [lee]" in refused.json()["error"]["reason"]
    assert "several routing values" in server("PUT", "/many/_doc/1", {"n": 1}).json()["error"]["reason"]


def test_a_copy_keeps_it(routed: Server) -> None:
    body = {"source": {"index": "books"}, "dest": {"index": "copy"}}
    assert routed("POST", "/_reindex", body).json()["created"] == 1
    assert routed("GET", "/copy/_doc/1").json()["_routing"] == "5"


def test_a_bulk_creates_by_op_type(server: Server) -> None:
    content = b'{"index":{"_id":"1","op_type":"create"}}\n{"n":1}\n'
    first, second = (server("POST", "/books/_bulk", content=content).json()["items"][0] for _ in range(2))
    assert first["create"]["status"] == 201
    assert second["create"]["status"] == 409
