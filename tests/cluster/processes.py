"""Clusters of real processes for tests: calls of the REST API, load, and waiting for what they lead to."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from quidditch.cluster import machine


def asked(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """The status and the body of an answer of the REST API."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data, {"content-type": "application/json"})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said


def wait_until(true: Callable[[], object], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def all_started(folder: Path, copies: int) -> bool:
    """Whether there are so many copies of shards, and all answer."""
    return [each["state"] for each in machine.status(folder)["shards"]] == ["started"] * copies


def end(folder: Path, name: str, how: signal.Signals = signal.SIGTERM) -> None:
    """End a process of a cluster, and wait until it has."""
    os.kill(machine.status(folder)["processes"][name], how)
    wait_until(lambda: name not in machine.status(folder)["processes"])


class Load(AbstractContextManager["Load"]):
    """Searches and writes, by some threads each, from entering to leaving; every one that fails is kept."""

    def __init__(self, port: int, index: str, threads: int = 2) -> None:
        self._port = port
        self._index = index
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self.searches = 0
        self.written: list[str] = []
        self.failed: list[str] = []
        works = [self._search, self._write]
        self._threads = [
            threading.Thread(target=self._again, args=(work, number))
            for number in range(threads)
            for work in works
        ]

    def _again(self, work: Callable[[str], None], number: int) -> None:
        turn = 0
        while not self._ending.is_set():
            turn += 1
            try:
                work(f"{number}-{turn}")
            except Exception as error:
                self._fail(f"{work.__name__}: {error!r}")

    def _search(self, turn: str) -> None:
        status, said = asked(self._port, "GET", f"/{self._index}/_search?q=title:dune")
        if status != 200 or said["_shards"]["failed"] or said["timed_out"]:
            self._fail(f"search: {status} {said}")
        self.searches += 1

    def _write(self, turn: str) -> None:
        status, said = asked(self._port, "PUT", f"/{self._index}/_doc/{turn}", {"title": f"dune {turn}"})
        if status != 201:
            self._fail(f"write {turn}: {status} {said}")
        else:
            self.written.append(turn)

    def _fail(self, words: str) -> None:
        with self._lock:
            self.failed.append(words)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
