"""A server for the tests of its client: in this process without a socket, and on one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio.from_thread
import httpx
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

IN_PROCESS = "http://127.0.0.1"


class InProcess(httpx.BaseTransport):
    """Carries a blocking client's requests to an application in this process."""

    def __init__(self, app: ASGIApp, portal: anyio.from_thread.BlockingPortal) -> None:
        self._inner = httpx.ASGITransport(app)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = self._portal.call(self._answer, request)
        return response

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        # The body of the request is asked for by an asynchronous reader here.
        copy = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        response = await self._inner.handle_async_request(copy)
        pieces = [piece async for piece in response.stream]  # type: ignore[union-attr]
        return httpx.Response(
            response.status_code, headers=response.headers.raw, stream=httpx.ByteStream(b"".join(pieces))
        )


class Switch:
    """An application that is put in place of another between two tests, so that the socket stays."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@contextmanager
def on_a_socket(app: ASGIApp) -> Iterator[str]:
    """The address at which the application answers, in a thread of this process."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, lifespan="off", log_level="error", http="httptools", loop="asyncio", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
