"""The protocol of one connection, with bounds on the head of a request."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from quidditch.server.runtime.accepting import CONNECTIONS
from quidditch.server.runtime.board import Numbers
from quidditch.server.runtime.limits import Limits


class HeadTooLarge(Exception):
    """More headers than anyone needs."""


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection whose request's head takes too long, and refuses one that is too large with 431.

    The parser keeps the beginning of a header until it has its end, and the same of what stands between the pieces of
    a body, and says nothing meanwhile. So bytes are counted, too, that lead to nothing.
    """

    limits = Limits()
    numbers: Numbers

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._unused_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.numbers.set(CONNECTIONS, len(self.connections))
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._had_head()
        super().connection_lost(exc)
        self.numbers.set(CONNECTIONS, len(self.connections))

    def data_received(self, data: bytes) -> None:
        self._unused_bytes += len(data)
        super().data_received(data)
        if self._unused_bytes > self.limits.head_bytes and not self.transport.is_closing():
            self._head_bytes = self._unused_bytes
            self.send_400_response("")

    def on_body(self, body: bytes) -> None:
        self._unused_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unused_bytes = 0
        super().on_message_complete()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._expect_head()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._had_head()
        self._unused_bytes = 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if self._head_bytes <= self.limits.head_bytes:
            super().send_400_response(msg)
            return
        words = b"Request header fields too large."
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(words), words)
        )
        self.transport.close()

    def _count(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_bytes > self.limits.head_bytes:
            raise HeadTooLarge

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.limits.head_s, self._too_late)

    def _had_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def bounded(limits: Limits, numbers: Numbers) -> type[BoundedConnection]:
    """The protocol with these limits, whose connections are counted."""
    return type("BoundedConnection", (BoundedConnection,), {"limits": limits, "numbers": numbers})
