"""What a server refuses to take upon itself, and what it does to those who are slow."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import quidditch
from quidditch.errors import RequestError
from quidditch.server.runtime.limits import Limits

from .processes import JSON, Served, bulk


@contextmanager
def _another_writer(directory: Path, index: str) -> Iterator[None]:
    """Another process writes to the index all the while."""
    with (
        quidditch.connect(directory) as database,
        database.directory.use(index) as shard,
        shard.environment.locked(),
    ):
        yield


def test_writes_that_queue_are_refused_past_a_limit_and_searches_go_on(tmp_path: Path) -> None:
    served = Served(tmp_path / "data", "--limit", "threads=1", "--limit", "queue=2")
    with served.client() as client, ThreadPoolExecutor(3) as pool:
        client.put("/books/_doc/1", json={"text": "words"}).raise_for_status()
        with _another_writer(tmp_path / "data", "books"):
            waiting = [
                pool.submit(client.put, f"/books/_doc/{number}", json={"text": "words"})
                for number in range(2, 5)
            ]
            _until(lambda: served.metric("quidditch_http_queued")['{worker="0"}'] == 2)
            refused = client.put("/books/_doc/9", json={"text": "words"})
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["error"]["type"] == "rejected_execution_exception"
            assert client.get("/books/_count").json()["count"] == 1
            assert client.get("/_ready").status_code == 200
        assert [each.result().status_code for each in waiting] == [201, 201, 201]
        assert client.get("/books/_count").json()["count"] == 4
        assert served.metric("quidditch_http_rejected_total")['{reason="queue"}'] == 1
        assert served.metric("quidditch_http_queued") == {'{worker="0"}': 0}
    assert served.stop() == 0


def test_a_request_that_waits_for_too_long_is_refused(tmp_path: Path) -> None:
    served = Served(tmp_path / "data", "--limit", "threads=1", "--limit", "wait_s=0.3")
    with served.client() as client, ThreadPoolExecutor(1) as pool:
        client.put("/books/_doc/1", json={"text": "words"}).raise_for_status()
        with _another_writer(tmp_path / "data", "books"):
            running = pool.submit(client.put, "/books/_doc/2", json={"text": "words"})
            _until(lambda: served.metric("quidditch_http_in_flight")['{worker="0"}'] == 2)
            assert client.put("/books/_doc/3", json={"text": "words"}).status_code == 429
        assert running.result().status_code == 201
    assert served.stop() == 0


def test_bodies_in_flight_are_bounded_by_their_bytes(tmp_path: Path) -> None:
    served = Served(tmp_path / "data", "--limit", "in_flight_bytes=1000000")
    with served.client() as client, ThreadPoolExecutor(1) as pool:
        client.put("/books/_doc/1", json={"text": "words"}).raise_for_status()
        large = {"text": "words " * 100_000}
        with _another_writer(tmp_path / "data", "books"):
            held = pool.submit(client.put, "/books/_doc/2", json=large)
            _until(lambda: served.metric("quidditch_http_in_flight_bytes")['{worker="0"}'] > 600_000)
            refused = client.put("/books/_doc/3", json=large)
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert "bodies in flight" in refused.json()["error"]["reason"]
        assert held.result().status_code == 201
        # One by itself is let in, whatever its size.
        assert client.put("/books/_doc/3", json={"text": "words " * 200_000}).status_code == 201
        assert served.metric("quidditch_http_in_flight_bytes") == {'{worker="0"}': 0}
    assert served.stop() == 0


def test_a_body_past_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    served = Served(tmp_path / "data", "--limit", "body_bytes=1000")
    with served.client() as client:
        assert client.put("/books/_doc/1", json={"text": "w" * 2000}).status_code == 413
        many = bulk("books", [str(number) for number in range(100)])
        assert client.post("/_bulk", content=many, headers=JSON).json()["errors"] is False
    head = "PUT /books/_doc/2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n"
    with _connection(served, f"{head}Content-Type: application/json\r\n\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    assert served.stop() == 0


@contextmanager
def _connection(served: Served, sent: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(sent.encode())
        yield connection


def _answer(connection: socket.socket) -> bytes:
    """All until the server closes the connection."""
    found = b""
    while piece := connection.recv(65536):
        found += piece
    return found


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that waits for half a second for whatever it waits for."""
    limits = ["--limit", "head_s=0.5", "--limit", "body_s=0.5"]
    served = Served(tmp_path_factory.mktemp("hasty") / "data", *limits)
    yield served
    assert served.stop() == 0


HEAD = "Host: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("path", ["/books/_doc/1", "/_bulk"])
def test_a_body_that_stops_coming_is_answered_with_408(hasty: Served, path: str) -> None:
    with _connection(hasty, f"POST {path} HTTP/1.1\r\n{HEAD}Content-Length: 1000\r\n\r\n{{") as connection:
        answer = _answer(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["type"] == "timeout_exception"


def test_a_body_that_trickles_is_cut_off(hasty: Served) -> None:
    head = f"POST /_bulk HTTP/1.1\r\n{HEAD}Content-Length: 100000\r\n\r\n"
    with _connection(hasty, head) as connection, pytest.raises(OSError, match=r"Broken pipe|reset"):
        _trickle(connection, 20)
    assert hasty.metric("quidditch_http_rejected_total")['{reason="slow"}'] >= 1


def _trickle(connection: socket.socket, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        connection.sendall(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize("sent", ["", "GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Fill"])
def test_a_head_that_does_not_end_is_cut_off(hasty: Served, sent: str) -> None:
    with _connection(hasty, sent) as connection:
        assert _answer(connection) == b""


def test_a_connection_that_is_kept_waits_for_its_next_request_for_longer(hasty: Served) -> None:
    with httpx.Client(base_url=hasty.url, trust_env=False) as client:
        client.get("/").raise_for_status()
        time.sleep(1.0)
        with _connection(hasty, f"GET / HTTP/1.1\r\n{HEAD}\r\n") as connection:
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
            connection.settimeout(0.2)
            while True:
                try:
                    assert connection.recv(65536)
                except TimeoutError:
                    break
            time.sleep(1.0)
            connection.settimeout(20)
            connection.sendall(f"GET / HTTP/1.1\r\n{HEAD}\r\n".encode())
            assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_a_flood_of_headers_is_refused(hasty: Served) -> None:
    flood = "".join(f"X-Fill-{number}: {'f' * 100}\r\n" for number in range(2_000))
    with _connection(hasty, f"GET / HTTP/1.1\r\n{HEAD}{flood}\r\n") as connection:
        assert connection.recv(12) == b"HTTP/1.1 431"
    with hasty.client() as client:
        client.get("/").raise_for_status()


def test_memory_stays_bounded_however_long_a_bulk_is(tmp_path: Path) -> None:
    served = Served(tmp_path / "data")
    mappings = {"dynamic": False}
    line = '{"index":{}}\n{"body":{"text":"%s"}}\n' % ("words " * 170)
    piece = line.encode() * 1_000
    with served.client() as client:
        client.put("/books", json={"mappings": mappings}).raise_for_status()
        client.post("/books/_bulk", content=piece, headers=JSON).raise_for_status()
        (pid,) = served.pids()
        held = [_own_bytes(pid)]

        def body() -> Iterator[bytes]:
            for _ in range(200):
                yield piece
                held.append(_own_bytes(pid))

        answer = client.post("/books/_bulk?filter_path=errors,took", content=body(), headers=JSON)
        held.append(_own_bytes(pid))
        assert answer.json()["errors"] is False
        assert client.get("/books/_count").json()["count"] == 201_000
        whole = 200 * len(piece)
        assert whole > 200 << 20
    grown = max(held) - held[0]
    assert grown < whole // 2, f"{grown >> 20} MiB more for a body of {whole >> 20} MiB"
    assert served.stop() == 0


def _own_bytes(pid: int) -> int:
    """The memory that a process has to itself; the mapped file is not counted."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return int(status["RssAnon"].split()[0]) * 1024


def test_a_limit_that_is_none_is_refused_by_name() -> None:
    assert Limits.of(["threads=3", "wait_s=0.5"]) == Limits(threads=3, wait_s=0.5)
    with pytest.raises(RequestError, match=r"limit \[thread=3\]: one of threads, queue, "):
        Limits.of(["thread=3"])
    with pytest.raises(RequestError, match=r"limit \[queue\]: a number above 0 expected, not '-1'"):
        Limits.of(["queue=-1"])


def _until(condition: object, end_s: float = 20.0) -> None:
    assert callable(condition)
    end_s += time.monotonic()
    while not condition():
        assert time.monotonic() < end_s, "it does not come to pass"
        time.sleep(0.02)
