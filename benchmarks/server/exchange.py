"""A client of one connection that costs next to nothing, so that what is measured is the server."""

from __future__ import annotations

import socket


class Refused(Exception):
    """An answer that is not 2xx."""


def request(method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> bytes:
    """The bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    if body:
        head += f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Connection:
    """One request after the other over one socket that stays open."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, sent: bytes) -> bytes:
        """The body of the answer.

        raises: Refused
        """
        self._socket.sendall(sent)
        received = bytearray()
        while (ended := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        expected = ended + 4 + _length(bytes(received[:ended]))
        while len(received) < expected:
            received += self._more()
        if received[9:10] != b"2":
            raise Refused(bytes(received[:1000]))
        return bytes(received[ended + 4 :])

    def _more(self) -> bytes:
        if not (data := self._socket.recv(1 << 18)):
            raise ConnectionResetError("the server closed the connection")
        return data

    def close(self) -> None:
        self._socket.close()


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
