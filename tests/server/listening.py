"""A server in a process of its own, at a port of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

PATIENCE_S = 30.0


class Listening:
    """`url` to ask it, `raw()` for a connection that nothing checks, `memory_bytes()` of its process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def exchange(self, *pieces: bytes) -> bytes:
        """What is answered to these bytes until the connection ends, or nothing comes for a second."""
        with self.raw() as connection:
            with suppress(OSError):  # The server may have had enough, and have said so.
                for piece in pieces:
                    connection.sendall(piece)
            return received(connection)

    def answers(self) -> bool:
        return httpx.get(self.url, timeout=PATIENCE_S).status_code == 200

    def memory_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024


def received(connection: socket.socket, silence_s: float = 1.0) -> bytes:
    connection.settimeout(silence_s)
    found = b""
    with suppress(OSError):
        while piece := connection.recv(1 << 16):
            found += piece
    return found


@contextmanager
def listening(directory: Path) -> Iterator[Listening]:
    port = free_port()
    command = [sys.executable, "-m", "quidditch_cli.main", "serve", str(directory), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        server = Listening(process, port)
        _await(server)
        yield server
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _await(server: Listening) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert server.process.poll() is None, "the server has ended"
        try:
            if server.answers():
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server does not answer")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
