"""The client on bad roads: what is lost on the way is sent again where that is safe, and nothing is written twice."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from server.processes import Served

import quidditch
from quidditch import Unreachable, VersionConflict
from quidditch.interface import Index

from .bad_roads import Cutting, answering_always

Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[Served] = []

    def start(*options: str, workers: int = 1) -> Served:
        started.append(Served(tmp_path / "data", *options, workers=workers))
        return started[-1]

    yield start
    for served in started:
        served.stop()


def numbers_of(index: Index) -> list[int]:
    return sorted(hit.source["n"] for hit in index.scan())


# ------------------------------------------------------------------------------------------------------ restarts


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stream_outlives_restarts_of_its_server(serve: Serve, number: signal.Signals) -> None:
    served = serve(workers=2)
    count, restarts = 12_000, 2
    due = [threading.Event() for _ in range(restarts)]

    def restart() -> None:
        for each in due:
            assert each.wait(60)
            # In the middle of some request, as the stream goes on meanwhile.
            served.process.send_signal(number)
            served.process.wait(60)
            served.start()

    def documents() -> Iterator[dict[str, Any]]:
        for n in range(count):
            if n in (2_000, 7_000):
                due[n // 5_000].set()
            yield {"n": n, "text": f"document {n}"}

    with quidditch.connect(served.url) as database, ThreadPoolExecutor(1) as pool:
        restarting = pool.submit(restart)
        books = database.create_index("books")
        done = books.add_many(documents(), chunk=100)
        restarting.result()
        assert (done.ok, done.errors) == (count, [])
        assert numbers_of(books) == list(range(count))


def test_a_server_that_does_not_come_back_ends_the_stream_and_tells_what_is_in(serve: Serve) -> None:
    served = serve()

    def documents() -> Iterator[dict[str, Any]]:
        for n in range(500):
            if n == 300:
                served.stop()
            yield {"n": n}

    with quidditch.connect(served.url, retries=1, write_timeout_s=1.0) as database:
        books = database.create_index("books")
        with pytest.raises(Unreachable, match="Nothing was sent") as stopped:
            books.add_many(documents(), chunk=100)
        assert stopped.value.partial.ok == 300


# --------------------------------------------------------------------------------------------- cuts and refusals


def test_a_proxy_that_cuts_connections_loses_and_doubles_nothing(serve: Serve, naps: list[float]) -> None:
    served = serve()
    proxy = Cutting(served.port, request_bytes=600, answers_bytes=30_000)
    try:
        with quidditch.connect(served.url) as straight:
            straight.create_index("books")
        with quidditch.connect(proxy.url, retries=10) as database:
            books = database["books"]
            done = books.add_many(({"n": n} for n in range(3_000)), chunk=100)
            assert (done.ok, done.errors) == (3_000, [])
            for n in range(3_000, 3_020):
                assert books.add({"n": n}).result == "created"
            assert books.count() == 3_020
        with quidditch.connect(served.url) as straight:
            assert numbers_of(straight["books"]) == list(range(3_020))
        assert proxy.cuts > 30
    finally:
        proxy.close()


def test_a_write_that_a_cut_leaves_in_doubt_is_told(serve: Serve) -> None:
    """With an id of the caller's it would hold twice, and might undo what another has written meanwhile."""
    served = serve()
    whole = 1 << 40
    proxy = Cutting(served.port, request_bytes=whole, answers_bytes=whole)
    try:
        with quidditch.connect(served.url) as straight, quidditch.connect(proxy.url, retries=10) as database:
            straight.create_index("books")
            books = database["books"]
            proxy.blind = True
            with pytest.raises(Unreachable, match="whether it was carried out is not known"):
                books.add({"n": 1}, id="1")
            with pytest.raises(Unreachable, match="not known") as stopped:
                books.add_many(({"_id": str(n), "n": n} for n in range(2, 500)), chunk=100)
            assert stopped.value.partial.ok == 0
            proxy.blind = False
            # Both were carried out, once; nothing of the stream was sent after the request in doubt.
            assert numbers_of(books) == list(range(1, 102))
            assert {books.get(hit.id).version for hit in books.scan()} == {1}
    finally:
        proxy.close()


def test_a_busy_server_gets_everything_in_the_end(serve: Serve) -> None:
    served = serve("--limit", "threads=1", "--limit", "queue=1")
    together = threading.Barrier(6)
    with quidditch.connect(served.url) as database:
        books = database.create_index("books")

        def write(writer: int) -> None:
            together.wait()
            for place in range(5):
                books.add({"n": 10 * writer + place}, id=f"{writer}-{place}")
            done = books.add_many(({"n": 100 + 100 * writer + each} for each in range(100)), chunk=25)
            assert (done.ok, done.errors) == (100, [])

        with ThreadPoolExecutor(6) as pool:
            for each in [pool.submit(write, writer) for writer in range(6)]:
                each.result()
        singles = [10 * writer + place for writer in range(6) for place in range(5)]
        assert numbers_of(books) == [*singles, *range(100, 700)]
    assert served.metric("quidditch_http_rejected_total")['{reason="queue"}'] > 0


# ------------------------------------------------------------------------------------------- who is no server


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "illegal"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n<html>Hello</html", "no Quidditch server.*address"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{"books": true}', "no Quidditch server.*address"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot found", "answered 404: not found.*address"),
        (b"", "disconnected|closed|reset"),
    ],
)
def test_what_answers_and_is_no_server_is_told(words: bytes, told: str) -> None:
    with answering_always(words) as url, quidditch.connect(url, retries=1) as database:
        for call in (database.indices, lambda: database["books"]):
            with pytest.raises(Unreachable, match=rf"(?s){url}/_quidditch/indices.*({told})"):
                call()


def test_what_does_not_answer_is_waited_for_no_longer_than_asked(naps: list[float]) -> None:
    with answering_always(None) as url, quidditch.connect(url, timeout_s=0.2) as database:
        with pytest.raises(Unreachable, match="ReadTimeout"):
            database.indices()
        with pytest.raises(Unreachable, match=r"ReadTimeout.*not known"):
            database.create_index("books")
    # What took too long once would so again, and the server would have twice the work.
    assert naps == []


# ---------------------------------------------------------------------------------------------- several clients


def count_up(url: str, times: int, first: int) -> None:
    """In a child: load documents, and add to a number that others add to, too."""
    with quidditch.connect(url, headers={"connection": "close"}) as database:
        books = database["books"]
        done = books.add_many(({"n": n} for n in range(first, first + 2_000)), chunk=200)
        assert (done.ok, done.errors) == (2_000, [])
        for _ in range(times):
            while True:
                seen = database["counter"].get("one")
                try:
                    database["counter"].add(
                        {"n": seen["n"] + 1}, id="one", if_seq_no=seen.seq_no, if_primary_term=1
                    )
                    break
                except VersionConflict:
                    continue


def test_clients_in_two_processes_write_to_two_workers(serve: Serve) -> None:
    served = serve(workers=2)
    with quidditch.connect(served.url) as database:
        books = database.create_index("books")
        database.create_index("counter").add({"n": 0}, id="one")
        context = multiprocessing.get_context("spawn")
        children = [context.Process(target=count_up, args=(served.url, 60, first)) for first in (0, 2_000)]
        for child in children:
            child.start()
        for child in children:
            child.join(120)
        assert [child.exitcode for child in children] == [0, 0]
        assert numbers_of(books) == list(range(4_000))
        assert database["counter"]["one"]["n"] == 120
