"""Indices, mappings, settings and aliases over HTTP."""

from __future__ import annotations

import pytest

from .asking import Server

BODY = {
    "settings": {"index": {"number_of_shards": 3, "number_of_replicas": 0}, "refresh_interval": "5s"},
    "mappings": {"properties": {"title": {"type": "text"}, "tag": {"type": "keyword"}}},
    "aliases": {"library": {}, "tagged": {"filter": {"term": {"tag": "a"}}}},
}


@pytest.fixture
def books(server: Server) -> Server:
    assert server("PUT", "/books", BODY).json() == {
        "acknowledged": True,
        "shards_acknowledged": True,
        "index": "books",
    }
    return server


def test_what_was_made_is_told(books: Server) -> None:
    body = books("GET", "/books").json()["books"]
    assert body["mappings"] == BODY["mappings"]
    assert body["aliases"] == BODY["aliases"]
    settings = body["settings"]["index"]
    assert (settings["number_of_shards"], settings["number_of_replicas"]) == ("1", "0")
    assert settings["refresh_interval"] == "5s"
    assert int(settings["creation_date"]) > 1_700_000_000_000


def test_a_name_that_is_taken(books: Server) -> None:
    again = books("PUT", "/books")
    assert again.status_code == 400
    assert again.json()["error"]["type"] == "resource_already_exists_exception"
    assert books("PUT", "/library").json()["error"]["type"] == "invalid_index_name_exception"


def test_an_index_whose_alias_is_refused_is_not_there(server: Server) -> None:
    refused = server("PUT", "/books", {"aliases": {"x": {"filter": {"nonsense": {}}}}})
    assert refused.status_code == 400
    assert server.database.indices() == []


def test_exists_and_delete(books: Server) -> None:
    assert books("HEAD", "/books").status_code == 200
    assert books("HEAD", "/films").status_code == 404
    assert books("DELETE", "/library").status_code == 400
    assert books("DELETE", "/films").status_code == 404
    assert books("DELETE", "/books").json() == {"acknowledged": True}
    assert books.database.indices() == []


def test_mappings_grow_and_do_not_change(books: Server) -> None:
    added = books("PUT", "/books/_mapping", {"properties": {"year": {"type": "integer"}}})
    assert added.json() == {"acknowledged": True}
    changed = books("PUT", "/books/_mapping", {"properties": {"year": {"type": "text"}}})
    assert changed.status_code == 400
    fields = books("GET", "/books/_mapping/field/y*").json()["books"]["mappings"]
    assert fields == {"year": {"full_name": "year", "mapping": {"year": {"type": "integer"}}}}


def test_settings_change_and_keep(books: Server) -> None:
    books("PUT", "/books/_settings", {"index": {"refresh_interval": "9s", "number_of_replicas": 2}})
    flat = books("GET", "/books/_settings?flat_settings=true").json()["books"]["settings"]
    assert flat["index.refresh_interval"] == "9s"
    books("PUT", "/books/_settings?preserve_existing=true", {"refresh_interval": "1s"})
    one = books("GET", "/books/_settings/index.refresh*").json()
    assert one == {"books": {"settings": {"index": {"refresh_interval": "9s"}}}}
    assert books("PUT", "/books/_settings", {"refresh_intervall": "1s"}).status_code == 400
    assert books("PUT", "/books/_settings", {"number_of_shards": 2}).status_code == 400


def test_an_alias_narrows_a_search(books: Server) -> None:
    books("PUT", "/books/_doc/1", {"title": "Dune", "tag": "a"})
    books("PUT", "/books/_doc/2?refresh=true", {"title": "Emma", "tag": "b"})
    found = books("GET", "/tagged/_search").json()["hits"]
    assert [hit["_id"] for hit in found["hits"]] == ["1"]
    assert books("GET", "/library/_count").json()["count"] == 2
    assert books("GET", "/tagged/_count").json()["count"] == 1


def test_aliases_change_at_once_or_not_at_all(books: Server) -> None:
    books("PUT", "/films")
    actions = [
        {"remove": {"index": "books", "alias": "library"}},
        {"add": {"index": "films", "alias": "library"}},
    ]
    assert books("POST", "/_aliases", {"actions": actions}).json() == {"acknowledged": True}
    assert books("GET", "/_alias/library").json() == {"films": {"aliases": {"library": {}}}}
    half = [
        {"add": {"index": "books", "alias": "shelf"}},
        {"remove": {"index": "books", "alias": "nothing"}},
    ]
    refused = books("POST", "/_aliases", {"actions": half})
    assert refused.status_code == 404
    assert refused.json()["error"]["type"] == "aliases_not_found_exception"
    missing = books("GET", "/_alias/shelf")
    assert missing.status_code == 404
    assert missing.json()["error"] == "alias [shelf] missing"


def test_a_closed_index_refuses_until_it_is_opened(books: Server) -> None:
    assert books("POST", "/books/_close").json()["indices"] == {"books": {"closed": True}}
    for method, path in (("GET", "/books/_search"), ("GET", "/books/_doc/1"), ("POST", "/books/_doc")):
        refused = books(method, path, {} if method == "POST" else None)
        assert refused.status_code == 400
        assert refused.json()["error"]["type"] == "index_closed_exception"
    assert books("GET", "/books/_search?ignore_unavailable=true").json()["hits"]["hits"] == []
    assert books("GET", "/b*/_count").json()["count"] == 0
    books("POST", "/books/_open")
    assert books("GET", "/books/_count").status_code == 200


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("_all", ["a1", "a2", "b1"]),
        ("a*", ["a1", "a2"]),
        ("*,-a1", ["a2", "b1"]),
        ("a1,b1", ["a1", "b1"]),
        ("both", ["a1", "b1"]),
        ("c*", []),
        ("a1,none?ignore_unavailable=true", ["a1"]),
    ],
)
def test_expressions(server: Server, expression: str, found: list[str]) -> None:
    for name in ("a1", "a2", "b1"):
        server("PUT", f"/{name}", {"aliases": {"both": {}} if name != "a2" else {}})
    name, _, query = expression.partition("?")
    assert list(server("GET", f"/{name}/_mapping?{query}").json()) == found


def test_a_pattern_may_have_to_match(server: Server) -> None:
    assert server("GET", "/x*/_search?allow_no_indices=false").status_code == 404
    assert server("GET", "/x*/_search").json()["hits"]["total"]["value"] == 0


def test_hidden_indices_are_passed_by(server: Server) -> None:
    server("PUT", "/secret", {"settings": {"hidden": True}})
    assert server("GET", "/_mapping").json() == {}
    assert list(server("GET", "/_mapping?expand_wildcards=all").json()) == ["secret"]
    assert list(server("GET", "/secret/_mapping").json()) == ["secret"]


def test_upkeep_and_stats(books: Server) -> None:
    books("PUT", "/books/_doc/1", {"title": "Dune"})
    for path in ("/books/_refresh", "/books/_flush", "/books/_forcemerge?max_num_segments=1"):
        assert books("POST", path).json()["_shards"] == {"total": 1, "successful": 1, "failed": 0}
    stats = books("GET", "/books/_stats/docs").json()
    assert stats["indices"]["books"]["total"] == {"docs": {"count": 1, "deleted": 0}}
    resolved = books("GET", "/_resolve/index/*").json()
    assert [each["name"] for each in resolved["indices"]] == ["books"]


def test_a_blocked_index_is_named_and_refuses(books: Server) -> None:
    books("PUT", "/books/_settings", {"index.blocks.read_only": True})
    refused = books("PUT", "/books/_doc/1", {"title": "Dune"})
    assert refused.status_code == 403
    assert refused.json()["error"]["type"] == "cluster_block_exception"
    assert books("DELETE", "/books").status_code == 403
    assert "5" in books("GET", "/_cluster/state/blocks").json()["blocks"]["indices"]["books"]
    books("PUT", "/books/_settings", {"index.blocks.read_only": False})
    assert books("PUT", "/books/_doc/1", {"title": "Dune"}).status_code == 201


def test_an_alias_takes_the_name_of_an_index_that_goes_with_the_same_request(server: Server) -> None:
    server("PUT", "/old/_doc/1", {"a": 1})
    server("PUT", "/new/_doc/2", {"a": 2})
    swap = [{"add": {"index": "new", "alias": "old"}}, {"remove_index": {"index": "old"}}]
    broken = [*swap, {"remove": {"index": "new", "alias": "none", "must_exist": True}}]
    assert server("POST", "/_aliases", {"actions": broken}).status_code == 404
    assert server("GET", "/old/_doc/1").status_code == 200
    assert server("POST", "/_aliases", {"actions": swap}).json() == {"acknowledged": True}
    assert server.database.indices() == ["new"]
    assert server("GET", "/old/_doc/2").json()["_index"] == "new"
    missing = {"actions": [{"remove_index": {"index": "none"}}]}
    assert server("POST", "/_aliases", missing).status_code == 404
    assert server.database.check().ok
