"""Writes to whatever matches, over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quidditch.interface import BulkResult
from quidditch.local import by_query
from quidditch.local.index import LocalIndex

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


@pytest.fixture
def halves(server: Server) -> Server:
    """Two indices, each with an alias of what is even in it; of one, searches see writes only once refreshed."""
    for name, settings in (("halves", {}), ("late", {"refresh_interval": "30s"})):
        alias = {f"{name}-even": {"filter": {"term": {"odd": False}}}}
        fields = {"properties": {"n": {"type": "integer"}, "odd": {"type": "boolean"}}}
        server("PUT", f"/{name}", {"aliases": alias, "settings": settings, "mappings": fields})
        actions = [
            line for n in range(6) for line in ({"index": {"_id": str(n)}}, {"n": n, "odd": n % 2 == 1})
        ]
        server("POST", f"/{name}/_bulk?refresh=true", actions)
    return server


@pytest.mark.parametrize("name", ["halves", "late"])
def test_writes_by_query_stay_within_the_filter_of_an_alias(halves: Server, name: str) -> None:
    everything: dict[str, Any] = {"query": {"match_all": {}}}
    assert halves("POST", f"/{name}-even/_update_by_query?refresh=true").json()["updated"] == 3
    copying: dict[str, Any] = {"source": {"index": f"{name}-even"}, "dest": {"index": "copy"}}
    assert halves("POST", "/_reindex", copying).json()["created"] == 3
    copying["source"] = {"index": f"{name}-even", "query": {"range": {"n": {"gte": 2}}}}
    assert halves("POST", "/_reindex", copying).json()["updated"] == 2
    asked = f"/{name}-even/_delete_by_query?refresh=true"
    assert halves("POST", asked, {"query": {"range": {"n": {"lt": 2}}}}).json()["deleted"] == 1
    assert halves("POST", asked, everything).json()["deleted"] == 2
    left = halves("POST", f"/{name}/_search", {}).json()["hits"]["hits"]
    assert {hit["_id"] for hit in left} == {"1", "3", "5"}
    # Who names the index, too, means all of it.
    assert halves("POST", f"/{name},{name}-even/_delete_by_query", everything).json()["deleted"] == 3


def test_explain_stays_within_the_filter_of_an_alias(halves: Server) -> None:
    everything: dict[str, Any] = {"query": {"match_all": {}}}
    matched = [halves("POST", f"/halves-even/_explain/{id}", everything).json()["matched"] for id in (0, 1)]
    assert matched == [True, False]
    assert halves("POST", "/halves/_explain/1", everything).json()["matched"] is True


def test_a_task_keeps_its_answer(numbers: Server) -> None:
    query: dict[str, object] = {"query": {"match_all": {}}}
    started = numbers("POST", "/numbers/_delete_by_query?wait_for_completion=false", query).json()
    done = numbers("GET", f"/_tasks/{started['task']}?wait_for_completion=true").json()
    assert done["completed"] is True
    assert done["response"]["deleted"] == 30
    assert numbers("GET", "/_tasks/nobody:1").status_code == 404
    assert numbers("GET", "/_tasks").status_code == 200


class Halfway:
    """Writes by query stop after their first batch until `go_on`; a batch is ten documents."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self._free = threading.Event(), threading.Event()
        bulk = LocalIndex.bulk

        def stopping(index: LocalIndex, actions: Iterable[Any], **options: Any) -> BulkResult:
            done = bulk(index, actions, **options)
            self.reached.set()
            assert self._free.wait(30)
            return done

        monkeypatch.setattr(LocalIndex, "bulk", stopping)
        monkeypatch.setattr(by_query, "BATCH", 10)

    def go_on(self) -> None:
        self._free.set()


@pytest.fixture
def halfway(numbers: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Halfway]:
    stopped = Halfway(monkeypatch)
    yield stopped
    stopped.go_on()


REINDEX = {"source": {"index": "numbers"}, "dest": {"index": "few"}}
EVERYTHING: dict[str, Any] = {"query": {"match_all": {}}}
ENDED_EARLY = [
    ("/numbers/_delete_by_query", EVERYTHING, "deleted"),
    ("/numbers/_update_by_query", EVERYTHING, "updated"),
    ("/_reindex", REINDEX, "created"),
]


@pytest.mark.parametrize(("path", "body", "done"), ENDED_EARLY)
@pytest.mark.parametrize("by", ["/_tasks/{task}/_cancel", "/_tasks/_cancel?actions=*write*"])
def test_a_task_ends_after_its_batch_when_it_is_cancelled(
    numbers: Server, halfway: Halfway, path: str, body: Any, done: str, by: str
) -> None:
    task = numbers("POST", f"{path}?wait_for_completion=false", body).json()["task"]
    assert halfway.reached.wait(30)
    other = numbers("POST", "/_tasks/_cancel?actions=cluster:*,*/search")
    assert other.json() == {"nodes": {}}
    (node,) = numbers("POST", by.format(task=task)).json()["nodes"].values()
    assert (node["tasks"][task]["cancellable"], node["tasks"][task]["cancelled"]) == (True, True)
    halfway.go_on()
    ended = numbers("GET", f"/_tasks/{task}?wait_for_completion=true").json()
    assert (ended["completed"], ended["task"]["cancelled"]) == (True, True)
    answer = ended["response"]
    assert (answer["canceled"], answer[done], answer["batches"]) == ("by user request", 10, 1)
    left = {"deleted": ("numbers", 20), "updated": ("numbers", 30), "created": ("few", 10)}[done]
    assert numbers("GET", f"/{left[0]}/_count").json()["count"] == left[1]
    assert numbers("GET", "/_tasks").json() == {"nodes": {}}


def test_a_request_that_waits_is_a_task_too(numbers: Server, halfway: Halfway) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(numbers, "POST", "/numbers/_delete_by_query", EVERYTHING)
        assert halfway.reached.wait(30)
        (task,) = numbers("GET", "/_tasks?actions=*byquery&group_by=none").json()["tasks"]
        assert task["description"] == "delete-by-query [numbers]"
        assert numbers("GET", "/_tasks?actions=*reindex&group_by=none").json()["tasks"] == []
        id = f"{task['node']}:{task['id']}"
        assert id in numbers("GET", "/_tasks?group_by=parents").json()["tasks"]
        numbers("POST", f"/_tasks/{id}/_cancel")
        halfway.go_on()
        answer = waiting.result().json()
    assert (answer["canceled"], answer["deleted"]) == ("by user request", 10)
    assert numbers("GET", f"/_tasks/{id}").status_code == 404


def test_what_no_shard_can_search_is_written_by_nobody(numbers: Server) -> None:
    for call in ("_delete_by_query", "_update_by_query"):
        refused = numbers("POST", f"/numbers/{call}", {"query": {"term": {"n": "many"}}})
        assert refused.json()["error"]["type"] == "search_phase_execution_exception"


def test_most_documents_are_counted_over_all_indices(numbers: Server) -> None:
    numbers("PUT", "/more/_doc/1", {"n": 1})
    done = numbers("POST", "/more,numbers/_delete_by_query?max_docs=4", EVERYTHING).json()
    assert (done["deleted"], done["total"]) == (4, 4)
    assert numbers("GET", "/numbers/_count").json()["count"] == 27


def test_a_task_that_does_not_run_cannot_be_cancelled(server: Server) -> None:
    server("PUT", "/books/_doc/1", {"n": 1})
    everything: dict[str, Any] = {"query": {"match_all": {}}}
    path = "/books/_delete_by_query?wait_for_completion=false"
    task = server("POST", path, everything).json()["task"]
    assert server("GET", f"/_tasks/{task}?wait_for_completion=true").json()["completed"] is True
    gone = server("POST", f"/_tasks/{task}/_cancel")
    assert (gone.status_code, gone.json()["error"]["type"]) == (404, "resource_not_found_exception")
    assert server("POST", "/_tasks/nonsense/_cancel").status_code == 400
