"""Several workers on one directory: they share the work, and nobody notices when one dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

import quidditch

from .processes import JSON, Served, Start, bulk


@pytest.fixture
def two(serve: Start) -> Served:
    return serve(workers=2)


def test_both_workers_write_and_read_under_load_without_an_error(two: Served) -> None:
    statuses: list[int] = []

    def write(client_number: int) -> None:
        with two.client() as client:
            for number in range(10):
                ids = [f"{client_number}-{number}-{each}" for each in range(50)]
                answer = client.post("/_bulk", content=bulk("books", ids), headers=JSON)
                assert not answer.json()["errors"]
                one = client.put(f"/books/_doc/{client_number}-{number}", json={"text": "one"})
                statuses.extend((answer.status_code, one.status_code))

    def read() -> None:
        with two.client() as client:
            for _ in range(40):
                found = client.post("/books/_search", json={"query": {"match": {"text": "words"}}})
                assert found.status_code == 200, found.text
                statuses.append(found.status_code)

    with two.client() as client:
        client.put("/books", json={"mappings": {"properties": {"text": {"type": "text"}}}}).raise_for_status()
    with ThreadPoolExecutor(6) as pool:
        for done in [
            *(pool.submit(write, number) for number in range(4)),
            *(pool.submit(read) for _ in range(2)),
        ]:
            done.result()
    assert set(statuses) <= {200, 201}
    with two.client() as client:
        assert client.get("/books/_count").json()["count"] == 4 * 10 * 51
    served_by = two.metric("quidditch_process_cpu_seconds_total")
    assert len(served_by) == 2
    assert two.stop() == 0


def test_a_write_is_seen_by_the_next_request_whichever_worker_answers(two: Served) -> None:
    with two.client() as client:
        for number in range(20):
            client.put(f"/books/_doc/{number}?refresh=wait_for", json={"text": "words"}).raise_for_status()
            assert client.get("/books/_count").json()["count"] == number + 1


def test_points_in_time_are_found_by_every_worker(two: Served) -> None:
    with two.client() as client:
        client.put("/books/_doc/1", json={"text": "words"}).raise_for_status()
        pits = [client.post("/books/_search/point_in_time?keep_alive=1m").json()["pit_id"] for _ in range(16)]
        client.put("/books/_doc/2", json={"text": "words"}).raise_for_status()
        for pit in pits:
            for _ in range(4):
                answer = client.post("/_search", json={"pit": {"id": pit}})
                assert answer.json()["hits"]["total"]["value"] == 1, answer.text
        listed = client.get("/_search/point_in_time/_all").json()["pits"]
        assert {each["pit_id"] for each in listed} == set(pits)
        closed = client.request("DELETE", "/_search/point_in_time", json={"pit_id": pits[:8]}).json()["pits"]
        assert all(each["successful"] for each in closed)
        gone = client.request("DELETE", "/_search/point_in_time/_all").json()["pits"]
        assert {each["pit_id"] for each in gone} == set(pits[8:])
        assert client.post("/_search", json={"pit": {"id": pits[0]}}).status_code == 404


def test_a_scroll_goes_on_whichever_worker_answers(two: Served) -> None:
    with two.client() as client:
        ids = [str(number) for number in range(95)]
        client.post("/_bulk", content=bulk("books", ids), headers=JSON).raise_for_status()
        page = client.post("/books/_search?scroll=1m", json={"size": 10}).json()
        found = []
        while page["hits"]["hits"]:
            found += [hit["_id"] for hit in page["hits"]["hits"]]
            page = client.post(
                "/_search/scroll", json={"scroll": "1m", "scroll_id": page["_scroll_id"]}
            ).json()
        assert sorted(found) == sorted(ids)
        freed = client.request("DELETE", "/_search/scroll", json={"scroll_id": [page["_scroll_id"]]})
        assert freed.json()["num_freed"] == 1


def test_a_task_is_found_by_every_worker(two: Served) -> None:
    with two.client() as client:
        client.post("/_bulk", content=bulk("books", ["1", "2"]), headers=JSON).raise_for_status()
        task = client.post(
            "/books/_delete_by_query?wait_for_completion=false", json={"query": {"match_all": {}}}
        ).json()["task"]
        for _ in range(8):
            answer = client.get(f"/_tasks/{task}?wait_for_completion=true").raise_for_status().json()
            assert answer["completed"]
            assert answer["response"]["deleted"] == 2
        assert client.get(f"/_tasks/{task[:-1]}9999999").status_code == 404


def test_a_task_is_ended_by_every_worker(two: Served) -> None:
    everything: dict[str, Any] = {"query": {"match_all": {}}}
    with two.client() as client:
        for start in range(0, 40_000, 10_000):
            ids = [str(number) for number in range(start, start + 10_000)]
            client.post("/_bulk", content=bulk("books", ids), headers=JSON).raise_for_status()
        for by in ("{}/_cancel", "{}/_cancel", "_cancel?actions=*byquery", "_cancel?actions=*byquery"):
            path = "/books/_update_by_query?wait_for_completion=false"
            task = client.post(path, json=everything).json()["task"]
            client.post(f"/_tasks/{by.format(task)}").raise_for_status()
            answer = client.get(f"/_tasks/{task}?wait_for_completion=true").json()
            assert answer["completed"]
            assert answer["response"]["canceled"] == "by user request"
            assert answer["response"]["updated"] < 40_000
        assert client.get("/books/_count").json()["count"] == 40_000


def test_what_is_asked_of_an_index_is_counted_over_all_workers(two: Served) -> None:
    for number in range(20):
        with two.client() as client:
            client.put(f"/books/_doc/{number}", json={"text": "words"}).raise_for_status()
    with two.client() as client:
        for _ in range(4):
            told = client.get("/books/_stats/indexing").json()["_all"]["total"]["indexing"]
            assert told["index_total"] == 20
        client.delete("/books").raise_for_status()
        client.put("/books").raise_for_status()
    for _ in range(8):
        with two.client() as client:
            told = client.get("/books/_stats/indexing").json()["_all"]["total"]["indexing"]
            assert told["index_total"] == 0


def test_settings_of_the_cluster_hold_for_every_worker(two: Served) -> None:
    with two.client() as client:
        changed = client.put("/_cluster/settings", json={"transient": {"search.max_keep_alive": "5s"}})
        changed.raise_for_status()
        client.put("/books").raise_for_status()
        for _ in range(8):
            assert client.get("/_cluster/settings?flat_settings=true").json()["transient"] == {
                "search.max_keep_alive": "5s"
            }
            assert client.post("/books/_search/point_in_time?keep_alive=1m").status_code == 400


def test_a_worker_that_is_killed_is_replaced_and_nothing_acknowledged_is_lost(two: Served) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()

    def write(client_number: int) -> None:
        number = 0
        with two.client() as client:
            while not stop.is_set():
                number += 1
                id = f"{client_number}-{number}"
                try:
                    answer = client.put(f"/books/_doc/{id}", json={"text": "words"})
                except httpx.TransportError:
                    continue
                assert answer.status_code == 201, answer.text
                acknowledged.append(id)

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, number) for number in range(3)]
        time.sleep(0.5)
        for _ in range(2):
            before = two.pids()
            os.kill(before[0], signal.SIGKILL)
            end_s = time.monotonic() + 20
            while two.pids()[0] in (before[0], 0):
                assert time.monotonic() < end_s, "no worker took its place"
                time.sleep(0.05)
        stop.set()
        for writer in writers:
            writer.result()
    assert len(acknowledged) > 10
    with two.client() as client:
        ids = client.post("/books/_search", json={"size": 10_000, "_source": False}).json()["hits"]["hits"]
    assert set(acknowledged) <= {hit["_id"] for hit in ids}
    assert two.metric("quidditch_worker_starts") == {'{worker="0"}': 3.0, '{worker="1"}': 1.0}
    assert two.stop() == 0


def test_counts_add_up_over_the_workers_and_their_lives(two: Served) -> None:
    with two.client() as client:
        client.post("/_bulk", content=bulk("books", ["a", "b", "c"]), headers=JSON).raise_for_status()
        for _ in range(30):
            client.get("/books/_search").raise_for_status()
    assert two.metric("quidditch_http_requests_total")['{kind="search",status="2xx"}'] == 30
    os.kill(two.pids()[1], signal.SIGKILL)
    with two.client() as client:
        for _ in range(10):
            while True:
                try:
                    client.get("/books/_search").raise_for_status()
                    break
                except httpx.TransportError:
                    time.sleep(0.02)
    assert two.metric("quidditch_http_requests_total")['{kind="search",status="2xx"}'] == 40
    assert two.metric("quidditch_http_request_seconds_count")['{kind="search"}'] == 40
    assert two.metric("quidditch_indexing_writes_total")['{result="created"}'] == 3
    with two.client() as client:
        told = client.get("/books/_stats").json()["_all"]["total"]
    assert (told["search"]["query_total"], told["indexing"]["index_total"]) == (40, 3)


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_amid_bulks_loses_nothing_acknowledged_and_answers_no_5xx(
    serve: Start, tmp_path: Path, workers: int
) -> None:
    served = serve(workers=workers)
    acknowledged: list[str] = []
    statuses: list[int] = []

    def write(client_number: int) -> None:
        # Connections that are kept, as clients do.
        with httpx.Client(base_url=served.url, trust_env=False, timeout=60) as client:
            for number in range(1_000_000):
                ids = [f"{client_number}-{number}-{each}" for each in range(100)]
                try:
                    answer = client.post("/_bulk", content=bulk("books", ids), headers=JSON)
                except httpx.TransportError:
                    return
                statuses.append(answer.status_code)
                acknowledged.extend(item["index"]["_id"] for item in answer.json()["items"])

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        time.sleep(1.0)
        assert served.stop() == 0, served.text()
        for writer in writers:
            writer.result()
    assert set(statuses) == {200}
    with quidditch.connect(tmp_path / "data", readonly=True) as database:
        there = {hit.id for hit in database["books"].scan(source=False)}
    assert set(acknowledged) <= there


def test_connections_that_stay_are_spread_over_the_workers(two: Served) -> None:
    with ExitStack() as stack:
        for _ in range(12):
            client = stack.enter_context(httpx.Client(base_url=two.url, trust_env=False, timeout=60))
            client.get("/").raise_for_status()
        connections = two.metric("quidditch_http_connections")
    # One more asks for the numbers.
    assert sum(connections.values()) == 13
    assert min(connections.values()) >= 4


def test_workers_stop_when_their_parent_is_killed(two: Served) -> None:
    pids = two.pids()
    two.process.kill()
    two.process.wait(30)
    end_s = time.monotonic() + 30
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < end_s, "a worker outlives its parent"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
