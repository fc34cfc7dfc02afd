"""The ASGI application: reads a request, runs its handler in a thread, writes the reply."""

from __future__ import annotations

import logging
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.from_thread
import anyio.to_thread
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from quidditch.interface import Database
from quidditch.server import wire
from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError, error_body, status_of
from quidditch.server.filtering import filter_body
from quidditch.server.guarding import check_origin
from quidditch.server.parameters import Parameters
from quidditch.server.routes import GROUPS
from quidditch.server.routing import Found, RouteTable
from quidditch.server.state import State

THREADS = 16
"""Handlers that run at a time; further requests wait their turn."""

MAX_BODY_BYTES = 100 << 20
"""Of a body that is read as a whole, unpacked; a bulk's is streamed."""

GZIP_FROM_BYTES = 1 << 10

log = logging.getLogger("quidditch.server")


def create_app(database: Database, state: State | None = None, *, threads: int = THREADS) -> ASGIApp:
    """The application over a database, which stays the caller's to close."""
    endpoint = _Endpoint(database, state or State(), threads)
    return GZipMiddleware(endpoint, minimum_size=GZIP_FROM_BYTES, compresslevel=1)


class _Endpoint:
    """The route table as one ASGI application."""

    def __init__(self, database: Database, state: State, threads: int) -> None:
        self._database = database
        self._state = state
        self._table = RouteTable(GROUPS)
        self._threads = threads
        self._limiter: anyio.CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope.get("raw_path", b"").decode("latin-1").partition("?")[0] or request.url.path
        parameters = Parameters(dict(parse_qsl(request.url.query, keep_blank_values=True)))
        try:
            reply = await self._run(request, path, parameters)
            return _rendered(request, parameters, reply)
        except ClientDisconnect:
            raise
        except Exception as error:
            return _refused(request, parameters, error)

    async def _run(self, request: Request, path: str, parameters: Parameters) -> Reply:
        check_origin(request.headers.get("host"), request.headers.get("origin"))
        found = self._table.find(request.method, path)
        route = found.route
        if route is None:
            return _no_route(request, path, found)
        parameters.check(path, route.takes)
        chunks = _unpacked(request)
        call = Call(
            self._database,
            self._state,
            request.method,
            path,
            found.parts,
            parameters,
            data=b"" if route.streamed else await _whole(chunks),
            chunks=_from_thread(chunks) if route.streamed else iter(()),
            accept=request.headers.get("accept", ""),
        )
        if call.data or route.streamed:
            wire.check_content_type(request.headers.get("content-type"))
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._threads)
        return await anyio.to_thread.run_sync(partial(route.handler, call), limiter=self._limiter)


# -------------------------------------------------------------------------------------------------- requests


async def _unpacked(request: Request) -> AsyncIterator[bytes]:
    """The pieces of the body, unpacked if it is packed; bounded, however much a small one unpacks to.

    raises: RestError
    """
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        async for chunk in request.stream():
            yield chunk
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise RestError(
            f"Content-Encoding [{encoding}] is not supported; gzip expected", 415, "media_type_exception"
        )
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    async for chunk in request.stream():
        for piece in _inflated(inflater, chunk):
            yield piece
    if not inflater.eof:
        raise RestError("request body: gzip ends too early", 400, "parse_exception")


def _inflated(inflater: Any, chunk: bytes, piece_bytes: int = 1 << 20) -> Iterator[bytes]:
    try:
        while chunk and not inflater.eof:
            piece = inflater.decompress(chunk, piece_bytes)
            chunk = inflater.unconsumed_tail
            if piece:
                yield piece
    except zlib.error as error:
        raise RestError(f"request body: not gzip: {error}", 400, "parse_exception") from None


async def _whole(chunks: AsyncIterator[bytes]) -> bytes:
    """raises: RestError   413 past MAX_BODY_BYTES"""
    pieces, size_bytes = [], 0
    async for chunk in chunks:
        size_bytes += len(chunk)
        if size_bytes > MAX_BODY_BYTES:
            raise RestError(
                f"request body: more than {MAX_BODY_BYTES} bytes", 413, "content_too_long_exception"
            )
        pieces.append(chunk)
    return b"".join(pieces)


def _from_thread(chunks: AsyncIterator[bytes]) -> Iterator[bytes]:
    """The pieces of a body in a handler's thread, each asked for when the one before has been used."""

    async def following() -> bytes | None:
        return await anext(chunks, None)

    while (chunk := anyio.from_thread.run(following)) is not None:
        yield chunk


# --------------------------------------------------------------------------------------------------- replies


def _no_route(request: Request, path: str, found: Found) -> Reply:
    if not found.allowed:
        return Reply({"error": f"no handler found for uri [{path}] and method [{request.method}]"}, 400)
    allowed = ", ".join(found.allowed)
    reason = f"Incorrect HTTP method for uri [{path}] and method [{request.method}], allowed: [{allowed}]"
    return Reply({"error": reason, "status": 405}, 405, {"Allow": allowed})


def _rendered(request: Request, parameters: Parameters, reply: Reply) -> Response:
    if isinstance(reply.body, str):
        return _response(request, reply.body.encode(), reply.status, wire.TEXT_TYPE, reply.headers)
    body = reply.body
    if expression := parameters.text("filter_path"):
        body = filter_body(body, expression)
    asked = parameters.text("format") or request.headers.get("accept", "")
    data = wire.encode(body, parameters.flag("pretty"))
    if "yaml" in asked:
        # JSON is YAML, too.
        return _response(request, b"---\n" + data, reply.status, wire.YAML_TYPE, reply.headers)
    return _response(request, data, reply.status, wire.JSON_TYPE, reply.headers)


def _refused(request: Request, parameters: Parameters, error: Exception) -> Response:
    status = status_of(error)
    if status >= 500:
        log.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
    body = error_body(error, "error_trace" in parameters)
    pretty = parameters.text("pretty", "false") in ("", "true")
    return _response(request, wire.encode(body, pretty), status, wire.JSON_TYPE, {})


def _response(
    request: Request, data: bytes, status: int, media_type: str, headers: Mapping[str, str]
) -> Response:
    """To HEAD the length of what GET would have answered, and nothing else."""
    length = {"content-length": str(len(data))}
    content = b"" if request.method == "HEAD" else data
    return Response(content, status, {**headers, **length, "content-type": media_type})
