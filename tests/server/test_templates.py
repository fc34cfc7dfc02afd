"""Templates of indices and their components over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import quidditch
from quidditch.server.templates import meet

from .asking import Server

LOGS = {
    "index_patterns": "logs-*",
    "priority": 10,
    "template": {
        "settings": {"index": {"number_of_replicas": 0}},
        "mappings": {"properties": {"level": {"type": "keyword"}, "at": {"type": "date"}}},
        "aliases": {"logs": {"filter": {"term": {"level": "error"}}}, "all-logs": {"routing": "a"}},
    },
}


def put(server: Server, name: str, body: dict[str, Any], query: str = "") -> None:
    answer = server("PUT", f"/_index_template/{name}{query}", body)
    assert answer.status_code == 200, answer.text


def test_a_template_is_kept_shown_and_forgotten(server: Server) -> None:
    put(server, "logs", {**LOGS, "version": 3, "_meta": {"by": "me"}})
    (shown,) = server("GET", "/_index_template/logs").json()["index_templates"]
    assert shown["name"] == "logs"
    template = shown["index_template"]
    assert template["index_patterns"] == ["logs-*"]
    assert (template["priority"], template["version"], template["_meta"]) == (10, 3, {"by": "me"})
    assert template["template"]["settings"] == {"index": {"number_of_replicas": "0"}}
    assert template["template"]["aliases"]["all-logs"] == {"index_routing": "a", "search_routing": "a"}
    flat = server("GET", "/_index_template/l*?flat_settings=true").json()["index_templates"][0][
        "index_template"
    ]
    assert flat["template"]["settings"] == {"index.number_of_replicas": "0"}
    assert server("HEAD", "/_index_template/logs").status_code == 200
    assert server("DELETE", "/_index_template/logs").json() == {"acknowledged": True}
    assert server("HEAD", "/_index_template/logs").status_code == 404
    assert server("GET", "/_index_template").json() == {"index_templates": []}
    missing = server("DELETE", "/_index_template/logs")
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "index_template_missing_exception")


@pytest.mark.parametrize("made_by", ["create", "document", "bulk", "reindex"])
def test_an_index_is_made_after_the_template_that_fits_its_name(server: Server, made_by: str) -> None:
    put(server, "logs", LOGS)
    put(server, "any", {"index_patterns": ["*"], "priority": 1, "template": {"mappings": {"dynamic": False}}})
    if made_by == "create":
        server("PUT", "/logs-1")
    elif made_by == "document":
        server("PUT", "/logs-1/_doc/1", {"level": "error"})
    elif made_by == "bulk":
        server("POST", "/_bulk", [{"index": {"_index": "logs-1"}}, {"level": "error"}])
    else:
        server("PUT", "/source/_doc/1", {"level": "error"})
        server("POST", "/_reindex", {"source": {"index": "source"}, "dest": {"index": "logs-1"}})
    made = server("GET", "/logs-1").json()["logs-1"]
    assert made["settings"]["index"]["number_of_replicas"] == "0"
    assert made["mappings"]["properties"]["level"] == {"type": "keyword"}
    assert "dynamic" not in made["mappings"]
    assert made["aliases"] == {
        "logs": {"filter": {"term": {"level": "error"}}},
        "all-logs": {"index_routing": "a", "search_routing": "a"},
    }


def test_the_request_goes_before_the_template(server: Server) -> None:
    put(server, "logs", LOGS)
    body = {
        "settings": {"number_of_replicas": 2},
        "mappings": {"properties": {"level": {"type": "text"}, "host": {"type": "keyword"}}},
        "aliases": {"logs": {}},
    }
    assert server("PUT", "/logs-2", body).status_code == 200
    made = server("GET", "/logs-2").json()["logs-2"]
    assert made["settings"]["index"]["number_of_replicas"] == "2"
    kinds = {name: field["type"] for name, field in made["mappings"]["properties"].items()}
    assert kinds == {"level": "text", "host": "keyword", "at": "date"}
    assert made["aliases"]["logs"] == {}


def test_components_are_laid_over_one_another(server: Server) -> None:
    fields = {"properties": {"a": {"type": "long"}, "o": {"properties": {"x": {"type": "long"}}}}}
    later = {"properties": {"a": {"type": "keyword"}, "o": {"properties": {"y": {"type": "long"}}}}}
    first = {"template": {"mappings": fields, "settings": {"refresh_interval": "5s"}}}
    assert server("PUT", "/_component_template/first", first).status_code == 200
    assert server("PUT", "/_component_template/later", {"template": {"mappings": later}}).status_code == 200
    put(server, "whole", {"index_patterns": ["w*"], "composed_of": ["first", "later"]})
    server("PUT", "/whole")
    made = server("GET", "/whole").json()["whole"]
    assert made["mappings"]["properties"]["a"] == {"type": "keyword"}
    assert set(made["mappings"]["properties"]["o"]["properties"]) == {"x", "y"}
    assert made["settings"]["index"]["refresh_interval"] == "5s"
    listed = server("GET", "/_component_template").json()["component_templates"]
    assert [each["name"] for each in listed] == ["first", "later"]
    in_use = server("DELETE", "/_component_template/first")
    assert in_use.status_code == 400
    assert "[whole]" in in_use.json()["error"]["reason"]
    clash = {"template": {"mappings": {"properties": {"a": {"type": "object"}, "a.b": {"type": "nonsense"}}}}}
    assert server("PUT", "/_component_template/first", clash).status_code == 400
    server("DELETE", "/_index_template/whole")
    assert server("DELETE", "/_component_template/first,later").status_code == 200


def test_simulation_makes_nothing(server: Server) -> None:
    put(server, "logs", LOGS)
    put(server, "all", {"index_patterns": ["l*"], "priority": 1})
    told = server("POST", "/_index_template/_simulate_index/logs-9").json()
    assert told["template"]["settings"] == {"index": {"number_of_replicas": "0"}}
    assert told["template"]["mappings"] == LOGS["template"]["mappings"]  # type: ignore[index]
    assert told["overlapping"] == [{"name": "all", "index_patterns": ["l*"]}]
    body = {"index_patterns": ["logs-*"], "priority": 99, "template": {"settings": {"hidden": True}}}
    other = server("POST", "/_index_template/_simulate_index/logs-9", body).json()
    assert other["template"]["settings"] == {"index": {"hidden": "true"}}
    assert server("POST", "/_index_template/_simulate/logs").json()["template"] == told["template"]
    assert server("POST", "/_index_template/_simulate/none").status_code == 400
    assert server("POST", "/_index_template/_simulate_index/other").json() == {}
    assert "logs-9" not in server.database
    assert len(server("GET", "/_index_template").json()["index_templates"]) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "index_patterns"),
        ({"index_patterns": []}, "index_patterns"),
        ({"index_patterns": ["UP*"]}, "lower case"),
        ({"index_patterns": ["a*"], "priority": -1}, "priority"),
        ({"index_patterns": ["a*"], "prioritty": 1}, "priority"),
        ({"index_patterns": ["a*"], "template": {"setings": {}}}, "settings"),
        ({"index_patterns": ["a*"], "template": {"settings": {"nonsense": 1}}}, "nonsense"),
        ({"index_patterns": ["a*"], "template": {"mappings": {"properties": {"a": {"type": "x"}}}}}, "a"),
        ({"index_patterns": ["a*"], "template": {"aliases": {"b": {"filter": {"mtch": {}}}}}}, "mtch"),
        ({"index_patterns": ["a*"], "composed_of": ["none"]}, "none"),
        ({"index_patterns": ["*-1"], "priority": 10}, "same priority"),
    ],
)
def test_a_template_that_is_none_is_refused(server: Server, body: dict[str, Any], words: str) -> None:
    put(server, "logs", LOGS)
    refused = server("PUT", "/_index_template/other", body)
    assert refused.status_code == 400
    assert words in refused.json()["error"]["reason"]
    assert server("HEAD", "/_index_template/other").status_code == 404


def test_create_refuses_what_is_there(server: Server) -> None:
    put(server, "logs", LOGS, "?create=true")
    again = server("PUT", "/_index_template/logs?create=true", LOGS)
    assert again.status_code == 400
    assert "already exists" in again.json()["error"]["reason"]
    put(server, "logs", {**LOGS, "priority": 11})


def test_templates_outlive_the_server_and_go_into_backups(tmp_path: Path) -> None:
    with quidditch.connect(tmp_path / "data") as database:
        put(Server(database), "logs", LOGS)
        assert database.check().ok
        database.backup(tmp_path / "copy")
    for place in ("data", "copy"):
        with quidditch.connect(tmp_path / place) as database:
            found = Server(database)("GET", "/_index_template/logs").json()["index_templates"]
            assert [each["name"] for each in found] == ["logs"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("logs-*", "*-2024", True),
        ("logs-*", "metrics-*", False),
        ("*", "a", True),
        ("a*c", "abd", False),
        ("a*c", "ab*", True),
        ("a", "a", True),
        ("a", "ab", False),
        ("a*b*c", "*x*", True),
        ("**", "", True),
        ("a*", "b*", False),
    ],
)
def test_patterns_that_meet(one: str, other: str, expected: bool) -> None:
    assert meet(one, other) is meet(other, one) is expected
