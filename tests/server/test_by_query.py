"""Writes to whatever matches, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from .asking import Server


@pytest.fixture
def numbers(server: Server) -> Server:
    actions = [line for n in range(30) for line in ({"index": {"_id": str(n)}}, {"n": n})]
    server("POST", "/numbers/_bulk", actions)
    return server


def test_delete_by_query(numbers: Server) -> None:
    body = {"query": {"range": {"n": {"gte": 20}}}}
    answer = numbers("POST", "/numbers/_delete_by_query", body).json()
    assert (answer["total"], answer["deleted"], answer["failures"]) == (10, 10, [])
    assert numbers("GET", "/numbers/_count").json()["count"] == 20
    assert numbers("POST", "/numbers/_delete_by_query", {}).status_code == 400
    assert (
        numbers("POST", "/numbers/_delete_by_query?max_docs=3", {"query": {"match_all": {}}}).json()[
            "deleted"
        ]
        == 3
    )


def test_update_by_query_indexes_by_the_mapping_of_now(server: Server) -> None:
    server("PUT", "/books", {"mappings": {"dynamic": False, "properties": {"x": {"type": "keyword"}}}})
    server("PUT", "/books/_doc/1", {"title": "Dune"})
    server("PUT", "/books/_mapping", {"properties": {"title": {"type": "text"}}})
    query = {"query": {"match": {"title": "dune"}}}
    assert server("POST", "/books/_count", query).json()["count"] == 0
    assert server("POST", "/books/_update_by_query").json()["updated"] == 1
    assert server("POST", "/books/_count", query).json()["count"] == 1


def test_reindex(numbers: Server) -> None:
    body = {"source": {"index": "numbers", "query": {"range": {"n": {"lt": 5}}}}, "dest": {"index": "few"}}
    assert numbers("POST", "/_reindex", body).json()["created"] == 5
    assert numbers("POST", "/_reindex", body).json()["updated"] == 5
    assert numbers("GET", "/few/_count").json()["count"] == 5
    body["dest"] = {"index": "few", "op_type": "create"}
    assert numbers("POST", "/_reindex", body).status_code == 409
    body["dest"] = {"index": "numbers"}
    assert numbers("POST", "/_reindex", body).status_code == 400


def test_a_task_keeps_its_answer(numbers: Server) -> None:
    query: dict[str, object] = {"query": {"match_all": {}}}
    started = numbers("POST", "/numbers/_delete_by_query?wait_for_completion=false", query).json()
    done = numbers("GET", f"/_tasks/{started['task']}?wait_for_completion=true").json()
    assert done["completed"] is True
    assert done["response"]["deleted"] == 30
    assert numbers("GET", "/_tasks/nobody:1").status_code == 404
    assert numbers("GET", "/_tasks").status_code == 200


def test_a_task_that_does_not_run_cannot_be_cancelled(server: Server) -> None:
    server("PUT", "/books/_doc/1", {"n": 1})
    everything: dict[str, Any] = {"query": {"match_all": {}}}
    path = "/books/_delete_by_query?wait_for_completion=false"
    task = server("POST", path, everything).json()["task"]
    assert server("GET", f"/_tasks/{task}?wait_for_completion=true").json()["completed"] is True
    gone = server("POST", f"/_tasks/{task}/_cancel")
    assert (gone.status_code, gone.json()["error"]["type"]) == (404, "resource_not_found_exception")
    assert server("POST", "/_tasks/nonsense/_cancel").status_code == 400
