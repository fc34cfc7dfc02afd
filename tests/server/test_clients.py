"""A server on a socket, as `quidditch serve` starts it, and OpenSearch's own client."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import opensearchpy
import pytest
from opensearchpy import helpers

import quidditch

COMMAND = [sys.executable, "-m", "quidditch_cli.main", "serve"]


class Running:
    """`quidditch serve` in a process of its own."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [*COMMAND, str(directory), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self._wait()

    def _wait(self) -> None:
        end_s = time.monotonic() + 30
        while time.monotonic() < end_s:
            try:
                httpx.get(self.url, trust_env=False)
                return
            except httpx.TransportError:
                assert self.process.poll() is None, "the server ended at its start"
                time.sleep(0.02)
        raise AssertionError("the server does not answer")

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    server = Running(tmp_path / "data")
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def client(running: Running) -> Iterator[opensearchpy.OpenSearch]:
    client = opensearchpy.OpenSearch(running.url, http_compress=True)
    yield client
    client.close()


def test_the_client_takes_it_for_opensearch(client: opensearchpy.OpenSearch) -> None:
    assert client.ping()
    assert client.info()["version"]["distribution"] == "opensearch"
    client.indices.create(index="books", body={"mappings": {"properties": {"title": {"type": "text"}}}})
    client.index(index="books", id="1", body={"title": "Dune"}, refresh=True)
    assert client.get(index="books", id="1")["_source"] == {"title": "Dune"}
    found = client.search(index="books", body={"query": {"match": {"title": "dune"}}})
    assert found["hits"]["total"]["value"] == 1
    with pytest.raises(opensearchpy.NotFoundError):
        client.get(index="books", id="2")
    with pytest.raises(opensearchpy.ConflictError):
        client.create(index="books", id="1", body={"title": "again"})
    with pytest.raises(opensearchpy.RequestError, match="did you mean"):
        client.transport.perform_request("GET", "/books/_search", params={"siz": 1})


def test_the_helpers_of_the_client(client: opensearchpy.OpenSearch) -> None:
    actions = [{"_index": "numbers", "_id": str(number), "n": number} for number in range(2_500)]
    done, errors = helpers.bulk(client, actions, chunk_size=700)
    assert (done, errors) == (2_500, [])
    assert all(ok for ok, _ in helpers.parallel_bulk(client, actions, thread_count=3, chunk_size=300))
    seen = {hit["_source"]["n"] for hit in helpers.scan(client, index="numbers", size=400)}
    assert seen == set(range(2_500))


def test_what_was_acknowledged_is_there_after_sigterm(running: Running, tmp_path: Path) -> None:
    with httpx.Client(base_url=running.url, trust_env=False) as http:
        for number in range(20):
            assert http.put(f"/books/_doc/{number}", json={"n": number}).status_code == 201
    assert running.stop() == 0
    with quidditch.connect(tmp_path / "data") as database:
        assert len(database["books"]) == 20


def test_a_host_that_others_reach_is_refused(tmp_path: Path) -> None:
    command = [*COMMAND, str(tmp_path / "data"), "--host", "0.0.0.0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "0.0.0.0" in ended.stderr
