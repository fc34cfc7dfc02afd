"""Connections that mean harm, to a server in a process of its own: it goes on, and its memory stays bounded."""

from __future__ import annotations

import gzip
import socket
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from .listening import Listening, listening, received

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")

JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}
HEAD = b"Host: 127.0.0.1\r\nContent-Type: application/json\r\n"

# What a server of this kind takes beside the bodies it holds: room for buffers, threads, LMDB.
SLACK_BYTES = 150 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("hostile") / "data") as running:
        httpx.put(f"{running.url}/a/_doc/1", json={"t": "x"})
        yield running


@pytest.fixture(autouse=True)
def still_answering(server: Listening) -> Iterator[None]:
    """Each test ends with a server that answers others."""
    yield
    assert server.process.poll() is None
    assert server.answers()
    assert httpx.get(f"{server.url}/a/_doc/1").json()["found"]


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer.split()[1])


# ------------------------------------------------------------------------------------------------- the wire


BROKEN = {
    "no request": b"\x16\x03\x01\x02\x00\x01\x00" * 50 + b"\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "a length that is no number": b"POST /a/_doc HTTP/1.1\r\n" + HEAD + b"Content-Length: x\r\n\r\n{}",
    "a length below nothing": b"POST /a/_doc HTTP/1.1\r\n" + HEAD + b"Content-Length: -5\r\n\r\n{}",
    "two lengths": b"POST /a/_doc HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
    "a chunk that is no number": b"POST /a/_doc HTTP/1.1\r\n"
    + HEAD
    + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "a chunk longer than it says": b"POST /a/_doc HTTP/1.1\r\n"
    + HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}{}{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_http_is_refused_or_hung_up_on(server: Listening, name: str) -> None:
    answer = server.exchange(BROKEN[name])
    assert not answer or 400 <= status_of(answer) < 500


def test_a_body_shorter_than_its_length_changes_nothing(server: Listening) -> None:
    with server.raw() as connection:
        connection.sendall(b"PUT /a/_doc/half HTTP/1.1\r\n" + HEAD + b'Content-Length: 500\r\n\r\n{"t": 1}')
        connection.shutdown(socket.SHUT_WR)
        received(connection)
    assert httpx.get(f"{server.url}/a/_doc/half").status_code == 404


def test_requests_that_do_not_wait_are_answered_in_their_order(server: Listening) -> None:
    asked = b"".join(b"GET /a/_doc/%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % number for number in range(200))
    answers = server.exchange(asked)
    places = [answers.find(b'"_id":"%d"' % number) for number in range(200)]
    assert min(places) >= 0
    assert places == sorted(places)


def test_slow_senders_keep_nobody_waiting(server: Listening) -> None:
    """More of them than the server has threads: who has not sent a request occupies none."""
    connections = [server.raw() for _ in range(100)]
    try:
        for connection in connections[:50]:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 12")
        for connection in connections[50:]:
            connection.sendall(b"POST /a/_search HTTP/1.1\r\n" + HEAD + b'Content-Length: 1000\r\n\r\n{"')
        assert server.answers()
        assert httpx.post(f"{server.url}/a/_search", json={}).status_code == 200
    finally:
        for connection in connections:
            connection.close()


def test_a_reader_that_reads_nothing_is_let_go(server: Listening) -> None:
    before = server.memory_bytes()
    asked = b"GET /_openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 2000
    with server.raw() as connection:
        connection.settimeout(2.0)
        with suppress(TimeoutError):  # It reads no further than it can answer.
            connection.sendall(asked)
        assert server.answers()
        assert server.memory_bytes() - before < SLACK_BYTES


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(5000)),
        b"X: " + b"y" * 20_000_000 + b"\r\n",
        b"".join(b"X-%d: y\r\n" % number for number in range(100_000)),
    ],
    ids=["many", "long", "very many"],
)
def test_a_flood_of_headers_costs_no_memory(server: Listening, head: bytes) -> None:
    before = server.memory_bytes()
    server.exchange(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", head, b"\r\n")
    assert server.memory_bytes() - before < SLACK_BYTES


def test_a_path_of_megabytes_is_refused(server: Listening) -> None:
    answer = server.exchange(b"GET /" + b"a" * 5_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert not answer or 400 <= status_of(answer) < 500


# ------------------------------------------------------------------------------------------------ large bodies


def endless(size: int, piece: bytes) -> Iterator[bytes]:
    for _ in range(size // len(piece)):
        yield piece


def refused(server: Listening, path: str, content: Iterator[bytes], headers: dict[str, str]) -> None:
    """A refusal may come before all is sent, and close the connection then."""
    try:
        answer = httpx.post(server.url + path, content=content, headers=headers, timeout=120)
    except httpx.TransportError:
        return
    assert 400 <= answer.status_code < 500, answer.text[:300]


def test_a_body_too_long_is_refused_while_it_is_sent(server: Listening) -> None:
    refused(server, "/a/_doc", endless(200 << 20, b" " * (1 << 20)), JSON)
    assert server.memory_bytes() < 3 * SLACK_BYTES


@pytest.mark.long
@pytest.mark.parametrize("path", ["/a/_doc", "/a/_search", "/_bulk", "/_msearch"])
def test_a_gigabyte_is_refused(server: Listening, path: str) -> None:
    refused(server, path, endless(1 << 30, b" " * (1 << 20)), LINES)
    assert server.memory_bytes() < 4 * SLACK_BYTES


def test_a_line_of_a_bulk_without_an_end_is_refused(server: Listening) -> None:
    before = server.memory_bytes()
    refused(server, "/_bulk", endless(200 << 20, b"x" * (1 << 20)), LINES)
    assert server.memory_bytes() - before < SLACK_BYTES


@pytest.mark.parametrize("path", ["/a/_doc", "/_bulk"])
def test_a_small_body_that_unpacks_to_a_thousandfold_is_refused(server: Listening, path: str) -> None:
    bomb = gzip.compress(b" " * (110 << 20), 1)
    assert len(bomb) < 1 << 20
    before = server.memory_bytes()
    refused(server, path, iter([bomb]), {**LINES, "content-encoding": "gzip"})
    assert server.memory_bytes() - before < 2 * SLACK_BYTES


@pytest.mark.parametrize(
    "body",
    [b"not gzip", gzip.compress(b"{}")[:-9], zlib.compress(b"{")[:4], gzip.compress(gzip.compress(b"{}"))],
    ids=["none", "half", "half of another", "twice"],
)
def test_what_does_not_unpack_is_refused(server: Listening, body: bytes) -> None:
    answer = httpx.post(f"{server.url}/a/_search", content=body, headers={**JSON, "content-encoding": "gzip"})
    assert answer.status_code == 400
    assert answer.json()["error"]["reason"]
