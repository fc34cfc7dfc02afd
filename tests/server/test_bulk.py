"""`_bulk`: lines in, an answer for each action."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quidditch.interface import BulkResult
from quidditch.local import LocalDatabase
from quidditch.server.routes import bulk

from .asking import Server, lines


def test_every_kind_of_action(server: Server) -> None:
    answer = server(
        "POST",
        "/books/_bulk?refresh=true",
        [
            {"index": {"_id": "1"}},
            {"title": "Dune"},
            {"create": {"_id": "1"}},
            {"title": "again"},
            {"update": {"_id": "1", "_source": True}},
            {"doc": {"year": 1965}},
            {"delete": {"_index": "films", "_id": "9"}},
            {"index": {"_index": "films"}},
            {"title": "Lynch"},
        ],
    ).json()
    assert answer["errors"] is True
    assert [next(iter(item)) for item in answer["items"]] == ["index", "create", "update", "delete", "index"]
    assert [next(iter(item.values()))["status"] for item in answer["items"]] == [201, 409, 200, 404, 201]
    assert answer["items"][1]["create"]["error"]["type"] == "version_conflict_engine_exception"
    assert answer["items"][2]["update"]["get"]["_source"] == {"title": "Dune", "year": 1965}
    assert len(server.database.index("films")) == 1


def test_ids_that_are_no_text_count_as_they_are_written(server: Server) -> None:
    ids = (7, 1.5, True)
    actions = [line for id in ids for line in ({"index": {"_id": id}}, {"n": 1})]
    answer = server("POST", "/books/_bulk", actions).json()
    assert [item["index"]["_id"] for item in answer["items"]] == ["7", "1.5", "true"]


def test_a_bad_document_fails_alone(server: Server) -> None:
    server("PUT", "/books", {"mappings": {"properties": {"year": {"type": "integer"}}}})
    answer = server(
        "POST",
        "/_bulk",
        [
            {"index": {"_index": "books", "_id": "1"}},
            {"year": "long ago"},
            {"index": {"_index": "books", "_id": "2"}},
            {"year": 1965},
        ],
    ).json()
    assert answer["items"][0]["index"]["error"]["type"] == "mapper_parsing_exception"
    assert answer["items"][1]["index"]["result"] == "created"


def test_lines_are_joined_however_the_body_is_cut() -> None:
    body = lines([{"index": {"_id": "1"}}, {"title": "x" * 50}, {"delete": {"_id": "2"}}])
    whole = list(bulk._lines([body]))
    for width in (1, 7, 64):
        assert list(bulk._lines(body[at : at + width] for at in range(0, len(body), width))) == whole


def test_many_actions_go_in_pieces(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PIECE_ACTIONS", 7)
    actions = [line for number in range(40) for line in ({"index": {"_id": str(number)}}, {"n": number})]
    answer = server("POST", "/numbers/_bulk", actions).json()
    assert [item["index"]["_id"] for item in answer["items"]] == [str(number) for number in range(40)]
    assert server("GET", "/numbers/_count").json()["count"] == 40


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"index": {}}\n', "missing"),
        (b'{"upsert": {}}\n{}\n', "found [upsert]"),
        (b'{"index": {"_idx": "a"}}\n{}\n', "[_idx]"),
        (b"[]\n{}\n", "Malformed action/metadata line [1]"),
        (b"\n", "no requests added"),
    ],
)
def test_what_is_no_bulk_is_refused(server: Server, body: bytes, words: str) -> None:
    refused = server("POST", "/books/_bulk", content=body)
    assert refused.status_code == 400
    assert words in refused.json()["error"]["reason"]


def test_a_bulk_to_an_alias_goes_to_its_write_index(server: Server) -> None:
    server("PUT", "/logs-1", {"aliases": {"logs": {"is_write_index": False}}})
    server("PUT", "/logs-2", {"aliases": {"logs": {"is_write_index": True}}})
    answer = server("POST", "/logs/_bulk", [{"index": {"_id": "1"}}, {"n": 1}]).json()
    assert answer["items"][0]["index"]["_index"] == "logs-2"


def test_external_versions(server: Server) -> None:
    action = {"index": {"_index": "books", "_id": "1", "version": 5, "version_type": "external"}}
    first = server("POST", "/_bulk", [action, {"n": 1}]).json()
    again = server("POST", "/_bulk", [action, {"n": 2}]).json()
    assert first["items"][0]["index"]["_version"] == 5
    assert again["items"][0]["index"]["status"] == 409
    assert json.loads(server("GET", "/books/_source/1").content) == {"n": 1}


def test_an_index_deleted_between_two_pieces_fails_its_items_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quidditch.server.routes.bulk.PIECE_ACTIONS", 2)
    carry_out = LocalDatabase.bulk

    def with_a_rival(database: LocalDatabase, actions: Any, **options: Any) -> BulkResult:
        result = carry_out(database, actions, **options)
        if "gone" in database:
            database.delete_index("gone")
        return result

    monkeypatch.setattr(LocalDatabase, "bulk", with_a_rival)
    actions = [
        line
        for index in ("gone", "kept", "gone", "kept")
        for line in ({"index": {"_index": index}}, {"n": 1})
    ]
    answer = server("POST", "/_bulk?refresh=true", actions)
    assert answer.status_code == 200
    assert [item["index"]["status"] for item in answer.json()["items"]] == [201, 201, 404, 201]
    assert len(server.database.index("kept")) == 2
