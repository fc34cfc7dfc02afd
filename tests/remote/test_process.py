"""The client of a server that is a process of its own: it is restarted, and asked from children and the command line."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import quidditch
from quidditch.interface import Database

ROOT = Path(__file__).parent.parent.parent


class Process:
    """`quidditch serve` on a port of its own."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._directory = directory
        self.start()

    def start(self) -> None:
        words = ["serve", str(self._directory), "--port", str(self.port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "quidditch_cli.main", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("the server does not answer")

    def stop(self) -> None:
        self._process.terminate()
        assert self._process.wait(30) == 0


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    served = Process(tmp_path / "data")
    yield served
    served.stop()


@pytest.fixture
def database(process: Process) -> Iterator[Database]:
    with quidditch.connect(process.url) as opened:
        yield opened


def test_a_client_outlives_its_server(process: Process, database: Database) -> None:
    books = database.create_index("books")
    books.add({"title": "Dune"}, id="1")
    process.stop()
    with pytest.raises(quidditch.Unreachable):
        quidditch.connect(process.url, retries=0).indices()
    process.start()
    assert books["1"]["title"] == "Dune"
    assert books.search("dune").total == 1


def ask(database: Database, found: multiprocessing.Queue[int]) -> None:
    """In a child: searches over the handle of its parent."""
    for _ in range(20):
        found.put(database["books"].search("dune").total or 0)


def test_a_forked_child_has_connections_of_its_own(database: Database) -> None:
    books = database.create_index("books")
    books.add({"title": "Dune"}, id="1")
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    pid = os.fork()
    if pid == 0:
        # The child ends at once, whatever happens: it is a copy of the test run.
        code = 1
        try:
            code = 0 if all(books.search("dune").total == 1 for _ in range(20)) else 2
        finally:
            os._exit(code)
    assert all(books.search("dune").total == 1 for _ in range(20))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    child = context.Process(target=ask, args=(database, found))
    child.start()
    assert [found.get(timeout=30) for _ in range(20)] == [1] * 20
    child.join()


def test_the_command_line_takes_the_address(process: Process, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        command = [sys.executable, "-m", "quidditch_cli.main", *words]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    lines = tmp_path / "books.jsonl"
    lines.write_text('{"_id": "1", "title": "Dune"}\n{"_id": "2", "title": "Emma"}\n')
    run("index", process.url, "books", str(lines))
    assert "Dune" in run("search", process.url, "books", "dune")
    assert "Emma" in run("get", process.url, "books", "2")
    assert "2" in run("count", process.url, "books")
    assert "books" in run("indices", process.url)
    assert "documents" in run("stats", process.url, "books")
    run("merge", process.url, "books")
    run("delete", process.url, "books", "2")
    assert "1" in run("count", process.url, "books")
