"""The cluster and its tables."""

from __future__ import annotations

import pytest

from .asking import Server


def _books(server: Server) -> None:
    server("PUT", "/books", {"settings": {"number_of_replicas": 0}, "aliases": {"library": {}}})
    server("PUT", "/books/_doc/1", {"title": "Dune"})


def test_health(server: Server) -> None:
    assert server("GET", "/_cluster/health").json()["status"] == "green"
    _books(server)
    assert server("GET", "/_cluster/health/books").json()["active_shards"] == 1
    server("PUT", "/films")
    health = server("GET", "/_cluster/health?level=indices").json()
    assert health["status"] == "yellow"
    assert {name: each["status"] for name, each in health["indices"].items()} == {
        "books": "green",
        "films": "yellow",
    }
    assert server("GET", "/_cluster/health?wait_for_status=green&timeout=1s").status_code == 408


def test_a_table_as_text_and_as_objects(server: Server) -> None:
    _books(server)
    server("PUT", "/films")
    assert (
        server("GET", "/_cat/indices?h=index,docs.count&v").text
        == "index docs.count\nbooks          1\nfilms          0\n"
    )
    assert server("GET", "/_cat/indices?h=i&s=i:desc").text == "films\nbooks\n"
    rows = server("GET", "/_cat/indices/b*?format=json&h=index,status,pri").json()
    assert rows == [{"index": "books", "status": "open", "pri": "1"}]
    assert "docs.count" in server("GET", "/_cat/indices?help").text
    assert server("GET", "/_cat/indices?s=nothing").status_code == 400
    assert int(server("GET", "/_cat/indices/books?h=store.size&bytes=b").text) > 0


def test_the_other_tables(server: Server) -> None:
    _books(server)
    assert server("GET", "/_cat/count/books?h=count").text == "1\n"
    assert server("GET", "/_cat/aliases").text == "library books - - - -\n"
    assert server("GET", "/_cat/health?h=status").text == "green\n"
    assert server("GET", "/_cat/shards?h=index,prirep,state").text == "books p STARTED\n"
    assert server("GET", "/_cat/nodes?h=name").text == "quidditch\n"
    assert "/_cat/indices" in server("GET", "/_cat").text


def test_cluster_settings_and_state(server: Server) -> None:
    _books(server)
    put = server("PUT", "/_cluster/settings", {"transient": {"search.max_keep_alive": "1m"}})
    assert put.json()["transient"] == {"search": {"max_keep_alive": "1m"}}
    assert server("GET", "/books/_search?scroll=2m").status_code == 400
    server("PUT", "/_cluster/settings", {"transient": {"search.max_keep_alive": None}})
    assert server("GET", "/_cluster/settings").json()["transient"] == {}
    state = server("GET", "/_cluster/state/metadata/books").json()
    assert state["metadata"]["indices"]["books"]["aliases"] == ["library"]
    assert server("GET", "/_cluster/stats").json()["indices"]["docs"]["count"] == 1


def test_what_lies_below_indices(server: Server) -> None:
    server("PUT", "/books/_doc/1", {"a": 1})
    server("PUT", "/other")
    (row, _) = server("GET", "/_cat/segments?format=json").json()
    assert (row["index"], row["docs.count"], row["docs.deleted"]) == ("books", "1", "0")
    assert [row["index"] for row in server("GET", "/_cat/segments/oth*?format=json").json()] == ["other"]
    assert server("GET", "/_cat/segments/none").status_code == 404
    (node,) = server("GET", "/_cat/allocation?format=json&bytes=b").json()
    assert node["shards"] == "2"
    assert int(node["disk.indices"]) > 0
    assert server("GET", "/_cat/allocation/elsewhere?format=json").json() == []


def test_templates_as_a_table(server: Server) -> None:
    server("PUT", "/_component_template/base", {"template": {}})
    body = {"index_patterns": ["l-*", "m-*"], "priority": 3, "composed_of": ["base"]}
    assert server("PUT", "/_index_template/logs", body).status_code == 200
    assert server("GET", "/_cat/templates").text.split() == ["logs", "[l-*,", "m-*]", "3", "[base]"]
    assert server("GET", "/_cat/templates/x*").text == ""


@pytest.mark.parametrize("name", ["plugins", "pending_tasks", "nodeattrs", "recovery"])
def test_a_directory_has_none_of_these(server: Server, name: str) -> None:
    assert server("GET", f"/_cat/{name}").text == ""
    assert server("GET", f"/_cat/{name}?format=json").json() == []
    assert len(server("GET", f"/_cat/{name}?help").text.splitlines()) >= 3
    assert f"/_cat/{name}" in server("GET", "/_cat").text
