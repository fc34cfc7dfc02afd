"""A server of `quidditch serve` as a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server.exchange import Connection, request


@dataclass(frozen=True)
class Running:
    """A server that answers.

    started_s:  from the start of the process to its first answer
    """

    port: int
    pid: int
    started_s: float

    def workers(self) -> list[int]:
        """The processes that answer: the children, or the one process itself."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(child) for child in children] or [self.pid]


@contextmanager
def serving(directory: Path, workers: int, first: bytes = request("GET", "/")) -> Iterator[Running]:
    """`first`: the request that it has to answer before it counts as started."""
    port = _free_port()
    command = [sys.executable, "-m", "quidditch_cli.main", "serve", str(directory)]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--port", str(port), "--workers", str(workers)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # As it is installed: with its modules compiled.
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    )
    try:
        _until_answered(process, port, first)
        yield Running(port, process.pid, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def _until_answered(process: subprocess.Popen[bytes], port: int, first: bytes) -> None:
    while process.poll() is None:
        try:
            connection = Connection(port)
        except OSError:
            time.sleep(0.002)
            continue
        connection.ask(first)
        connection.close()
        return
    raise RuntimeError(f"the server ended with {process.returncode}")


def memory_mb(pid: int) -> dict[str, float]:
    """What a process holds: resident, and its share of that when pages are split among those that have them."""
    rows = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {
        "resident_mb": round(int(rows["Rss"].split()[0]) / 1024, 1),
        "share_mb": round(int(rows["Pss"].split()[0]) / 1024, 1),
    }
