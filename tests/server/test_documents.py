"""Single documents over HTTP."""

from __future__ import annotations

import pytest

from .asking import Server

DUNE = {"title": "Dune", "author": {"name": "Herbert", "born": 1920}}


def test_a_document_comes_back_as_it_was_put(server: Server) -> None:
    made = server("PUT", "/books/_doc/1", DUNE)
    assert made.status_code == 201
    assert made.headers["location"] == "/books/_doc/1"
    assert made.json() == {
        "_index": "books",
        "_id": "1",
        "_version": 1,
        "result": "created",
        "_shards": {"total": 1, "successful": 1, "failed": 0},
        "_seq_no": 0,
        "_primary_term": 1,
    }
    found = server("GET", "/books/_doc/1").json()
    assert found["_source"] == DUNE
    assert found["found"] is True
    assert found["_version"] == 1
    assert server("GET", "/books/_source/1").json() == DUNE


def test_a_document_without_an_id_gets_one(server: Server) -> None:
    made = server("POST", "/books/_doc", DUNE).json()
    assert server("GET", f"/books/_doc/{made['_id']}").json()["_source"] == DUNE


def test_what_is_not_there_is_404(server: Server) -> None:
    server("PUT", "/books/_doc/1", DUNE)
    missing = server("GET", "/books/_doc/2")
    assert missing.status_code == 404
    assert missing.json() == {"_index": "books", "_id": "2", "found": False}
    absent = server("GET", "/films/_doc/1")
    assert absent.status_code == 404
    assert absent.json()["error"]["type"] == "index_not_found_exception"
    assert absent.json()["error"]["reason"] == "no such index [films]"
    assert server("GET", "/books/_source/2").json()["error"]["type"] == "resource_not_found_exception"


def test_head_has_the_status_and_no_body(server: Server) -> None:
    server("PUT", "/books/_doc/1", DUNE)
    there, missing = server("HEAD", "/books/_doc/1"), server("HEAD", "/books/_doc/2")
    assert (there.status_code, there.content) == (200, b"")
    assert (missing.status_code, missing.content) == (404, b"")


def test_create_refuses_to_replace(server: Server) -> None:
    assert server("PUT", "/books/_create/1", DUNE).status_code == 201
    for path in ("/books/_create/1", "/books/_doc/1?op_type=create"):
        again = server("PUT", path, DUNE)
        assert again.status_code == 409
        assert again.json()["error"]["type"] == "version_conflict_engine_exception"


def test_a_write_demands_a_state(server: Server) -> None:
    server("PUT", "/books/_doc/1", DUNE)
    assert server("PUT", "/books/_doc/1?if_seq_no=7&if_primary_term=1", DUNE).status_code == 409
    changed = server("PUT", "/books/_doc/1?if_seq_no=0&if_primary_term=1", {"title": "Dune II"})
    assert changed.json()["_version"] == 2
    assert changed.json()["result"] == "updated"
    half = server("PUT", "/books/_doc/1?if_seq_no=0", DUNE)
    assert half.status_code == 400
    assert "if_primary_term" in half.json()["error"]["reason"]


def test_update_merges_and_says_when_nothing_changed(server: Server) -> None:
    server("PUT", "/books/_doc/1", DUNE)
    changed = server("POST", "/books/_update/1?_source=true", {"doc": {"author": {"born": 1921}}}).json()
    assert changed["result"] == "updated"
    assert changed["get"]["_source"]["author"] == {"name": "Herbert", "born": 1921}
    assert server("POST", "/books/_update/1", {"doc": {"title": "Dune"}}).json()["result"] == "noop"
    missing = server("POST", "/books/_update/2", {"doc": {"title": "x"}})
    assert missing.status_code == 404
    assert missing.json()["error"]["type"] == "document_missing_exception"
    body = {"doc": {"title": "x"}, "doc_as_upsert": True}
    assert server("POST", "/books/_update/2", body).status_code == 201


def test_delete(server: Server) -> None:
    server("PUT", "/books/_doc/1", DUNE)
    assert server("DELETE", "/books/_doc/1?refresh=true").json()["forced_refresh"] is True
    gone = server("DELETE", "/books/_doc/1")
    assert gone.status_code == 404
    assert gone.json()["result"] == "not_found"
    assert server("DELETE", "/films/_doc/1").status_code == 404
    assert "films" not in server.database


def test_part_of_a_source(server: Server) -> None:
    server("PUT", "/books/_doc/1", DUNE)
    assert server("GET", "/books/_doc/1?_source=author.name").json()["_source"] == {
        "author": {"name": "Herbert"}
    }
    assert server("GET", "/books/_source/1?_source_excludes=author").json() == {"title": "Dune"}
    assert "_source" not in server("GET", "/books/_doc/1?_source=false").json()


def test_mget_answers_in_order_and_says_what_is_missing(server: Server) -> None:
    server("PUT", "/books/_doc/1", DUNE)
    server("PUT", "/films/_doc/1", {"title": "Lynch"})
    asked = [
        {"_index": "films", "_id": "1"},
        {"_index": "books", "_id": 1, "_source": False},
        {"_index": "none", "_id": "1"},
        {"_index": "books", "_id": "9"},
    ]
    docs = server("POST", "/_mget", {"docs": asked}).json()["docs"]
    assert docs[0]["_source"] == {"title": "Lynch"}
    assert docs[1]["found"] is True
    assert "_source" not in docs[1]
    assert docs[2]["error"]["type"] == "index_not_found_exception"
    assert docs[3] == {"_index": "books", "_id": "9", "found": False}


@pytest.mark.parametrize("name", ["_x", "Upper", "a,b", "a*", "-x"])
def test_a_bad_index_name_makes_no_index(server: Server, name: str) -> None:
    assert server("PUT", f"/{name}/_doc/1", DUNE).status_code == 400
    assert server.database.indices() == []
