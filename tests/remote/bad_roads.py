"""What a client may meet on its way: connections that are cut, and whatever else answers at an address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Cutting:
    """Forwards connections to a server, and cuts most of them: some in the middle of a request, some when the answer
    comes, after the server has done what it was asked; none lives longer than `answers_bytes` of answers.

    blind:  no answer at all gets through from now on
    """

    def __init__(self, port: int, *, request_bytes: int, answers_bytes: int) -> None:
        self.cuts = 0
        self.blind = False
        self._target = port
        self._request_bytes = request_bytes
        self._answers_bytes = answers_bytes
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # A thread that waits in accept does not see that the socket is closed.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        number = 0
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                number += 1
                threading.Thread(target=self._forward, args=(connection, number), daemon=True).start()

    def _forward(self, client: socket.socket, number: int) -> None:
        """The first of three is cut while it is asked, the second when it is answered."""
        up = self._request_bytes if number % 3 == 1 else 1 << 60
        down = 0 if number % 3 == 2 else self._answers_bytes
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            back = threading.Thread(target=self._copy, args=(server, client, down, True), daemon=True)
            back.start()
            self._copy(client, server, up)
            back.join()

    def _copy(
        self, source: socket.socket, target: socket.socket, most_bytes: int, answers: bool = False
    ) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                if len(piece) > most_bytes or (answers and self.blind):
                    self.cuts += 1
                    break
                most_bytes -= len(piece)
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def answering_always(words: bytes | None) -> Iterator[str]:
    """The address of somebody who says the same to everybody; None is nothing, and the connection stays."""
    kept: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                kept.append(connection)
                if words is not None:
                    connection.recv(1 << 16)
                    connection.sendall(words)
                    connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in kept:
                connection.close()
