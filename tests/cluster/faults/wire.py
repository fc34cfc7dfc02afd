"""A wire between two processes, which can be cut in either direction, and be slow: a TCP proxy of the test's own."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator

PIECE_BYTES = 1 << 16

AGAIN_S = 0.2
"""After how long TCP sends again what was lost on its way: all that whoever is behind it sees of a loss."""


class Direction:
    """One way along a wire. What is sent while it is cut arrives when it is whole again, as TCP has it."""

    def __init__(self) -> None:
        self.whole = threading.Event()
        self.whole.set()
        self.delay_s = 0.0
        self.loss = 0.0

    def carry(self, source: socket.socket, sink: socket.socket) -> None:
        chance = random.Random(0)
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                self.whole.wait()
                time.sleep(self.delay_s + (AGAIN_S if chance.random() < self.loss else 0.0))
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Wire:
    """Listens at `port`, and carries what comes to the target's port, both on this machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._ends: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.there, self.back = Direction(), Direction()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target), 5.0)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._ends += [near, far]
                for way, source, sink in ((self.there, near, far), (self.back, far, near)):
                    threading.Thread(target=way.carry, args=(source, sink), daemon=True).start()

    @contextlib.contextmanager
    def cut(self, *ways: Direction) -> Iterator[None]:
        """Nothing passes in these directions within the block; in none if none is named."""
        for way in ways or (self.there, self.back):
            way.whole.clear()
        try:
            yield
        finally:
            for way in ways or (self.there, self.back):
                way.whole.set()

    @contextlib.contextmanager
    def slow(self, delay_s: float, loss: float) -> Iterator[None]:
        """Within the block everything takes so long, and of the pieces this part is sent twice."""
        for way in (self.there, self.back):
            way.delay_s, way.loss = delay_s, loss
        try:
            yield
        finally:
            for way in (self.there, self.back):
                way.delay_s = way.loss = 0.0

    def close(self) -> None:
        for way in (self.there, self.back):
            way.whole.set()
        for end in (self._listening, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
