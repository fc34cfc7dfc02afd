"""Calls between processes of a cluster, over HTTP: many at once, each answered or refused as it would be in process.

A call is a path and a msgpack body; an answer is msgpack, or an error by its class's name. Connections are kept.

aiohttp takes 0.2 s to load, and a data node only answers: it is loaded by the first call, or by `Transport.open`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from quidditch import errors
from quidditch.cluster.loop import Loop
from quidditch.cluster.messages import decode, encode
from quidditch.cluster.tls import Tls
from quidditch.errors import InternalError, QuidditchError, Unavailable

if TYPE_CHECKING:
    import aiohttp

MEDIA_TYPE = "application/msgpack"

CONNECT_S = 1.0
"""How long a node may take to accept a connection: one that is gone shall not hold a search up."""

PIECE_BYTES = 1 << 20


class NoAnswer(Unavailable):
    """A node said nothing: it is gone, or cannot be reached. One that answers may be unable to help, too."""


class Request(NamedTuple):
    """One call of a node: where it is, what is asked of it, and for how long at most."""

    address: str
    path: str
    body: Any
    timeout_s: float = 30.0


class Transport:
    """Carries calls to nodes. Safe to share between threads."""

    def __init__(self, loop: Loop, secret: str = "", tls: Tls | None = None) -> None:
        self._loop = loop
        self._tls = tls or Tls()
        self._scheme = "https" if tls else "http"
        self._headers = {"authorization": f"Bearer {secret}", "content-type": MEDIA_TYPE}
        self._told: set[asyncio.Task[Any]] = set()
        """Held, because the loop holds its tasks weakly."""
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def open(self) -> None:
        """Be ready for the first call."""
        # Loaded in this thread: the loop has others to serve.
        import aiohttp  # noqa: F401

        self._loop.run(self._opened(), 5.0)

    async def _opened(self) -> aiohttp.ClientSession:
        """In the loop. raises: NoAnswer   it is closed again"""
        if self._closed:
            raise NoAnswer("this process has closed its connections to the cluster")
        if self._session is None:
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        import aiohttp

        context = self._tls.client() if self._tls else True
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=256, keepalive_timeout=60.0, ssl=context)
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S)
        return aiohttp.ClientSession(connector=connector, headers=self._headers, timeout=timeout)

    def call(self, request: Request) -> Any:
        """What the node answers.

        raises: Unavailable   it does not; any other error of ours that it answers
        """
        (answer,) = self.calls([request])
        if isinstance(answer, QuidditchError):
            raise answer
        return answer

    def calls(self, requests: Sequence[Request]) -> list[Any]:
        """What each node answers, or the error, all asked at once."""
        if not requests:
            return []
        longest_s = max(request.timeout_s for request in requests)
        return self._loop.run(self._gather(requests), longest_s + 1.0)

    async def _gather(self, requests: Sequence[Request]) -> list[Any]:
        if len(requests) == 1:
            return [await self.ask(requests[0])]
        return list(await asyncio.gather(*map(self.ask, requests)))

    def tell(self, request: Request) -> None:
        """Ask, and do not wait for an answer."""
        with contextlib.suppress(RuntimeError):
            self._loop.asyncio.call_soon_threadsafe(self._begin, request)

    def _begin(self, request: Request) -> None:
        task = self._loop.asyncio.create_task(self.ask(request))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def ask(self, request: Request) -> Any:
        """In the loop: the answer, or the error as a value."""
        import aiohttp

        try:
            session = self._session or await self._opened()
            data = encode(request.body)
            url = f"{self._scheme}://{request.address}{request.path}"
            timeout = aiohttp.ClientTimeout(total=request.timeout_s, connect=CONNECT_S)
            async with session.post(url, data=data, timeout=timeout) as response:
                answer = decode(await response.read())
                return answer if response.status == 200 else error_from_wire(answer, response.status)
        except QuidditchError as error:
            return error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            return NoAnswer(f"node {request.address} gives no answer to {request.path}: {words}")

    # ------------------------------------------------------------------------------------------------ files

    def download(self, request: Request, path: Path) -> None:
        """Write what the node streams into a file, which is synced.

        raises: Unavailable   the stream broke off: what is in the file is not whole
        """
        self._loop.run(self._download(request, path), request.timeout_s)

    async def _download(self, request: Request, path: Path) -> None:
        with path.open("wb") as file:
            await self._pour(request, file.write)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())

    def pour(self, request: Request, write: Callable[[bytes], object]) -> None:
        """Hand what the node streams to `write`, piece by piece.

        raises: Unavailable   the stream broke off; whatever `write` raises
        """
        self._loop.run(self._pour(request, write), request.timeout_s)

    async def _pour(self, request: Request, write: Callable[[bytes], object]) -> None:
        async for piece in self._pieces(request):
            await asyncio.to_thread(write, piece)

    def upload(self, request: Request, pieces: Iterator[bytes], headers: Mapping[str, str]) -> Any:
        """What the node answers to a body of many pieces, which goes in the place of the request's.

        raises: Unavailable   it gives no answer; any other error of ours that it answers
        """
        return self._loop.run(self._upload(request, pieces, headers), request.timeout_s)

    async def _upload(self, request: Request, pieces: Iterator[bytes], headers: Mapping[str, str]) -> Any:
        import aiohttp

        async def body() -> AsyncIterator[bytes]:
            while piece := await asyncio.to_thread(next, pieces, b""):
                yield piece

        url = f"{self._scheme}://{request.address}{request.path}"
        timeout = aiohttp.ClientTimeout(total=request.timeout_s, connect=CONNECT_S)
        session = await self._opened()
        try:
            async with session.post(url, data=body(), headers=headers, timeout=timeout) as response:
                answer = decode(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise Unavailable(f"node {request.address} broke {request.path} off: {words}") from error
        if response.status != 200:
            raise error_from_wire(answer, response.status)
        return answer

    async def _pieces(self, request: Request) -> AsyncIterator[bytes]:
        import aiohttp

        session = await self._opened()
        url = f"{self._scheme}://{request.address}{request.path}"
        timeout = aiohttp.ClientTimeout(total=request.timeout_s, connect=CONNECT_S)
        try:
            async with session.post(url, data=encode(request.body), timeout=timeout) as response:
                if response.status != 200:
                    raise error_from_wire(decode(await response.read()), response.status)
                async for piece in response.content.iter_chunked(PIECE_BYTES):
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise Unavailable(f"node {request.address} broke {request.path} off: {words}") from error

    def close(self) -> None:
        with contextlib.suppress(Unavailable):
            self._loop.run(self._close(), 5.0)

    async def _close(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def error_to_wire(error: QuidditchError) -> dict[str, str]:
    return {"error": type(error).__name__, "reason": str(error)}


def error_from_wire(answer: Any, status: int) -> QuidditchError:
    """The error that a node answered; of one that is not known, an InternalError with its words."""
    told = answer if isinstance(answer, dict) else {}
    kind = getattr(errors, str(told.get("error")), None)
    reason = str(told.get("reason", f"a node answered {status}: {answer!r:.200}"))
    if isinstance(kind, type) and issubclass(kind, QuidditchError):
        return kind(reason)
    return InternalError(f"{told.get('error')}: {reason}" if told else reason)
