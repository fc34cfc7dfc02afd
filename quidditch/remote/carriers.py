"""Who carries requests: one over blocking connections, one over asynchronous ones. Both run the same flows."""

from __future__ import annotations

import gzip
import os
import ssl
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import anyio
import httpx

from quidditch.errors import RequestError, StorageError
from quidditch.remote.exchange import Answer, Flow, Request
from quidditch.remote.failures import error_of, foreign
from quidditch.remote.options import Options
from quidditch.remote.retrying import Attempts
from quidditch.sequences import HEADER, Sequences

GZIP_FROM_BYTES = 1 << 10
"""A smaller body is not worth the time."""

IDLE_CONNECTION_S = 30.0
"""Less than the server keeps one, so that none is closed while a request is on its way."""

Result = TypeVar("Result")
Item = TypeVar("Item")

Stream: TypeAlias = Generator[Request | list[Item], Answer | None, None]
"""A flow that gives results away, too, page by page."""


class Stopped(Exception):
    """Thrown into a stream whose reader has stopped; it may still send a request, such as one that ends a view."""


class _Settings:
    """What both kinds of client have in common."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.closed = False
        self._lock = threading.Lock()
        self._written = Sequences()
        """What this client has written to a cluster, and so is to read."""

    def arguments(self) -> dict[str, Any]:
        """Of httpx's client."""
        options = self.options
        verify: Any = options.verify_certs
        if options.ca_certs is not None and options.verify_certs:
            verify = ssl.create_default_context(cafile=options.ca_certs)
        return {
            "base_url": options.url,
            "auth": options.basic_auth,
            "headers": self._headers(),
            "verify": verify,
            "timeout": httpx.Timeout(options.timeout_s, connect=options.connect_timeout_s),
            "limits": httpx.Limits(
                max_connections=options.max_connections,
                max_keepalive_connections=options.max_connections,
                keepalive_expiry=IDLE_CONNECTION_S,
            ),
            "transport": options.transport,
            # A proxy is for the web; whoever has one for this server says so by a transport.
            "trust_env": False,
        }

    def _headers(self) -> dict[str, str]:
        headers = dict(self.options.headers)
        headers["accept-encoding"] = "gzip" if self.options.compresses else "identity"
        if self.options.api_key is not None:
            headers["authorization"] = f"ApiKey {self.options.api_key}"
        return headers

    def sending(self, request: Request) -> dict[str, Any]:
        """Arguments of httpx's `request`.

        raises: StorageError   the handle is closed, or read-only and this a write
        """
        if self.closed:
            raise StorageError(f"{self.options.url}: this handle is closed")
        if request.writes and self.options.readonly:
            raise StorageError(
                f"{self.options.url}: opened read-only; connect without readonly=True to write"
            )
        content, headers = request.content, {}
        if content:
            headers["content-type"] = request.content_type
        if self.options.compresses and len(content) >= GZIP_FROM_BYTES:
            content, headers["content-encoding"] = gzip.compress(content, 1), "gzip"
        with self._lock:
            if self._written:
                headers[HEADER] = str(self._written)
        given: dict[str, Any] = {
            "content": content or None,
            "headers": headers,
            "params": request.parameters or None,
        }
        if request.lasting:
            given["timeout"] = httpx.Timeout(None, connect=self.options.connect_timeout_s)
        return given

    def answer(self, response: httpx.Response) -> Answer:
        """What came back; what it says that was written is remembered."""
        reached = response.headers.get(HEADER)
        if reached is not None:
            with self._lock, suppress(RequestError):
                for each in Sequences.parse(reached):
                    self._written.note(each)
        asked = f"{response.request.method} {response.request.url}"
        return Answer(response.status_code, response.content, response.headers, asked)


def _settled(answer: Answer, request: Request) -> Answer:
    """raises: QuidditchError   the answer is an error, or nobody's who knows what was asked"""
    if not answer.is_ours:
        raise foreign(answer, writes=request.writes)
    if answer.status >= 400 and answer.status not in request.accepts:
        raise error_of(answer, request.misfit)
    return answer


class Carrier:
    """Carries requests over blocking connections, which threads share. After a fork a child has its own."""

    def __init__(self, options: Options) -> None:
        self._settings = _Settings(options)
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._pid = os.getpid()

    @property
    def options(self) -> Options:
        return self._settings.options

    def send(self, request: Request) -> Answer:
        """raises: QuidditchError   what the server refused, or that it cannot be reached"""
        sending = self._settings.sending(request)
        attempts = Attempts(request, self.options)
        while True:
            try:
                response = self._connected().request(request.method, request.path, **sending)
            except httpx.HTTPError as error:
                time.sleep(attempts.failed(error))
                continue
            answer, delay_s = attempts.answered(self._settings.answer(response))
            if delay_s is None:
                return _settled(answer, request)
            time.sleep(delay_s)

    def _connected(self) -> httpx.Client:
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                # A parent's connections are the parent's: two processes would read each other's answers.
                self._client, self._pid = httpx.Client(**self._settings.arguments()), os.getpid()
            return self._client

    def run(self, flow: Flow[Result]) -> Result:
        """The result of a flow."""
        try:
            request = next(flow)
            while True:
                try:
                    answer = self.send(request)
                except BaseException as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(answer)
        except StopIteration as done:
            result: Result = done.value
            return result

    def stream(self, flow: Stream[Item]) -> Iterator[Item]:
        """What a stream gives away, item by item."""
        given: Answer | None = None
        try:
            while True:
                step = flow.send(given)
                given = None
                if isinstance(step, Request):
                    given = self.send(step)
                else:
                    yield from step
        except StopIteration:
            return
        finally:
            request = _last_request(flow)
            if request is not None:
                with suppress(Exception):
                    self.send(request)

    def close(self) -> None:
        self._settings.closed = True
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.close()


def _last_request(flow: Stream[Item]) -> Request | None:
    """What a stream that was left early has to send yet, such as to end its view. That it arrives is not worth an
    error: the server ends by itself what lies unused."""
    try:
        step = flow.throw(Stopped())
    except (StopIteration, Stopped):
        return None
    flow.close()
    return step if isinstance(step, Request) else None


class AsyncCarrier:
    """Carries requests over asynchronous connections, of one event loop."""

    def __init__(self, options: Options) -> None:
        self._settings = _Settings(options)
        self._client: httpx.AsyncClient | None = None

    @property
    def options(self) -> Options:
        return self._settings.options

    async def send(self, request: Request) -> Answer:
        """As `Carrier.send`."""
        sending = self._settings.sending(request)
        attempts = Attempts(request, self.options)
        while True:
            try:
                response = await self._connected().request(request.method, request.path, **sending)
            except httpx.HTTPError as error:
                await anyio.sleep(attempts.failed(error))
                continue
            answer, delay_s = attempts.answered(self._settings.answer(response))
            if delay_s is None:
                return _settled(answer, request)
            await anyio.sleep(delay_s)

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(**self._settings.arguments())
        return self._client

    async def run(self, flow: Flow[Result]) -> Result:
        """As `Carrier.run`."""
        try:
            request = next(flow)
            while True:
                try:
                    answer = await self.send(request)
                except BaseException as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(answer)
        except StopIteration as done:
            result: Result = done.value
            return result

    async def stream(self, flow: Stream[Item]) -> AsyncIterator[Item]:
        """As `Carrier.stream`."""
        given: Answer | None = None
        try:
            while True:
                step = flow.send(given)
                given = None
                if isinstance(step, Request):
                    given = await self.send(step)
                else:
                    for item in step:
                        yield item
        except StopIteration:
            return
        finally:
            request = _last_request(flow)
            if request is not None:
                with anyio.CancelScope(shield=True), suppress(Exception):
                    await self.send(request)

    async def close(self) -> None:
        self._settings.closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
