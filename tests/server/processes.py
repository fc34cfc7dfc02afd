"""`quidditch serve` in processes of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

COMMAND = [sys.executable, "-m", "quidditch_cli.main", "serve"]


class Served:
    """A running server; `log` holds its lines once it has been stopped."""

    def __init__(self, directory: Path, *options: str, workers: int = 1) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = directory.with_suffix(".log")
        arguments = [str(directory), "--port", str(self.port), "--workers", str(workers), *options]
        self._command = [*COMMAND, *arguments]
        self.start()

    def start(self) -> None:
        """Begin, or begin again at the same port once it has ended."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stderr=log)
        self._wait()

    def _wait(self) -> None:
        end_s = time.monotonic() + 60
        while time.monotonic() < end_s:
            try:
                httpx.get(f"{self.url}/_ready", trust_env=False, timeout=60)
                return
            except httpx.TransportError:
                assert self.process.poll() is None, self.text()
                time.sleep(0.02)
        raise AssertionError("the server does not answer")

    def client(self, **options: Any) -> httpx.Client:
        """One that takes a new connection for each request, so that any worker may answer."""
        limits = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(base_url=self.url, trust_env=False, timeout=120, limits=limits, **options)

    def pids(self) -> list[int]:
        """The processes of the workers."""
        return [int(value) for value in self.metric("quidditch_worker_pid").values()]

    def metric(self, family: str) -> dict[str, float]:
        """The samples of one family, by their labels."""
        with self.client() as client:
            lines = client.get("/_metrics").raise_for_status().text.splitlines()
        found = {}
        for line in lines:
            name, _, value = line.rpartition(" ")
            if name == family or name.startswith(family + "{"):
                found[name[len(family) :]] = float(value)
        return found

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def text(self) -> str:
        return self._log.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far, apart from the words it greets with."""
        return [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]


Start = Callable[..., Served]
"""What the fixture `serve` is."""


def bulk(index: str, ids: list[str], text: str = "some words") -> bytes:
    """The body of a bulk that indexes documents with these ids."""
    action = '{"index":{"_index":"%s","_id":"%s"}}\n{"text":"%s"}\n'
    return "".join(action % (index, id, text) for id in ids).encode()


JSON = {"content-type": "application/json"}
