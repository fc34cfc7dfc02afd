"""The ASGI application: reads a request, runs its handler in a thread, writes the reply."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from quidditch.interface import Database
from quidditch.sequences import HEADER, Heeds, Sequences, noting_writes
from quidditch.server import wire
from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError, error_body, status_of
from quidditch.server.filtering import filter_body
from quidditch.server.parameters import Parameters
from quidditch.server.routes import GROUPS
from quidditch.server.routing import Found, Route, RouteTable
from quidditch.server.runtime.anywhere import answers
from quidditch.server.runtime.handling import Handling, kind_of
from quidditch.server.runtime.pressure import STREAMED_BYTES, Held, Pressure
from quidditch.server.runtime.watching import KIND, Watch
from quidditch.server.security.gate import CALLER, OPEN, Access, Gate
from quidditch.server.security.grants import ANYONE, Caller, Level
from quidditch.server.security.guarding import guarded
from quidditch.server.state import State

GZIP_FROM_BYTES = 1 << 10

log = logging.getLogger("quidditch.server")


def create_app(database: Database, state: State | None = None, *, access: Access = OPEN) -> ASGIApp:
    """The application over a database, which stays the caller's to close; `access` says who may come in."""
    state = state or State()
    state.belong_to(database)
    state.peers.listen(answers(state, database))
    endpoint = _Packing(_Endpoint(database, state))
    return Watch(Gate(endpoint, access), database, state.numbers, state.limits)


class _Packing:
    """Replies packed for those who take that."""

    def __init__(self, application: ASGIApp) -> None:
        self._plain = application
        self._packed = GZipMiddleware(application, minimum_size=GZIP_FROM_BYTES, compresslevel=1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepts = any(name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"])
        await (self._packed if accepts else self._plain)(scope, receive, send)


class _Endpoint:
    """The route table as one ASGI application."""

    def __init__(self, database: Database, state: State) -> None:
        self._database = database
        self._state = state
        self._table = RouteTable(GROUPS)
        self._pressure = Pressure(state.limits, state.numbers)
        self._handling = Handling(database, state.numbers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        scope = request.scope
        path = scope.get("raw_path", b"").decode("latin-1").partition("?")[0] or scope["path"]
        query = scope["query_string"].decode("latin-1")
        parameters = Parameters(dict(parse_qsl(query, keep_blank_values=True)) if query else {})
        try:
            return await self._run(request, path, parameters)
        except ClientDisconnect:
            raise
        except Exception as error:
            return _refused(request, parameters, error)

    async def _run(self, request: Request, path: str, parameters: Parameters) -> Response:
        found = self._table.find(request.method, path)
        route = found.route
        if route is None:
            return _rendered(request, parameters, _no_route(request, path, found))
        caller: Caller = request.scope.get(CALLER, ANYONE)
        caller.check(route.needs)
        parameters.check(path, route.takes)
        request.scope[KIND] = kind = kind_of(route)
        with self._pressure.body() as held:
            call = await self._call(request, path, parameters, found, caller, held)
            # What may be much work is done in the thread: this one has all connections to serve.
            work = partial(self._replied, kind, route, call, request)
            return await self._pressure.run(kind, work)

    def _replied(self, kind: str, route: Route, call: Call, request: Request) -> Response:
        if not isinstance(self._database, Heeds):
            return _rendered(request, call.parameters, self._handling.handle(kind, route, call))
        seen = request.headers.get(HEADER)
        if seen:
            self._database.heed(Sequences.parse(seen))
        with noting_writes() as written:
            response = _rendered(request, call.parameters, self._handling.handle(kind, route, call))
        if written:
            response.headers[HEADER] = str(written)
        return response

    async def _call(
        self, request: Request, path: str, parameters: Parameters, found: Found, caller: Caller, held: Held
    ) -> Call:
        """The request, with its body unless that is streamed.

        raises: RestError
        """
        route = found.route
        assert route is not None
        expected = _length(request)
        if route.streamed:
            held.grow_to(min(expected or STREAMED_BYTES, STREAMED_BYTES))
        else:
            _check_length(expected, self._state.limits.body_bytes)
            held.grow_to(expected)
        chunks = _unpacked(request)
        call = Call(
            guarded(self._database, caller, Level.READ if route.needs.cluster else route.needs.level),
            self._state,
            request.method,
            path,
            found.parts,
            parameters,
            data=b"" if route.streamed else await _whole(chunks, self._state.limits.body_bytes, held),
            chunks=_from_thread(chunks, asyncio.get_running_loop()) if route.streamed else iter(()),
            accept=request.headers.get("accept", ""),
            caller=caller,
        )
        if call.data or route.streamed or _says_more(request):
            wire.check_content_type(request.headers.get("content-type"))
        return call


# -------------------------------------------------------------------------------------------------- requests


def _says_more(request: Request) -> bool:
    """Whether a request that changes something says so otherwise than by its path: with the type of a body, which a
    form of a web page has even when it is empty, or with the parameter that stands for a body."""
    changes = request.method not in ("GET", "HEAD")
    return changes and ("content-type" in request.headers or "source" in request.query_params)


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


def _length(request: Request) -> int:
    """Of the body as it is sent; 0 where that is not said."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() else 0


def _check_length(size_bytes: int, limit_bytes: int) -> None:
    """raises: RestError   413"""
    if size_bytes > limit_bytes:
        raise RestError(f"request body: more than {limit_bytes} bytes", 413, "content_too_long_exception")


async def _whole(chunks: AsyncIterator[bytes], limit_bytes: int, held: Held) -> bytes:
    """raises: RestError   413 past the limit; 429"""
    pieces, size_bytes = [], 0
    async for chunk in chunks:
        size_bytes += len(chunk)
        _check_length(size_bytes, limit_bytes)
        held.grow_to(size_bytes)
        pieces.append(chunk)
    return b"".join(pieces)


def _from_thread(chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    """The pieces of a body in a handler's thread, each asked for when the one before has been used."""

    async def following() -> bytes | None:
        return await anext(chunks, None)

    while (chunk := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
        yield chunk


# --------------------------------------------------------------------------------------------------- replies


def _no_route(request: Request, path: str, found: Found) -> Reply:
    if not found.allowed:
        return Reply({"error": f"no handler found for uri [{path}] and method [{request.method}]"}, 400)
    allowed = ", ".join(found.allowed)
    reason = f"Incorrect HTTP method for uri [{path}] and method [{request.method}], allowed: [{allowed}]"
    return Reply({"error": reason, "status": 405}, 405, {"Allow": allowed})


def _rendered(request: Request, parameters: Parameters, reply: Reply) -> Response:
    if isinstance(reply.body, str | bytes):
        data = reply.body.encode() if isinstance(reply.body, str) else reply.body
        return _response(request, data, reply.status, reply.media_type, reply.headers)
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
    headers = error.headers if isinstance(error, RestError) else {}
    return _response(request, wire.encode(body, pretty), status, wire.JSON_TYPE, headers)


def _response(
    request: Request, data: bytes, status: int, media_type: str, headers: Mapping[str, str]
) -> Response:
    """To HEAD the length of what GET would have answered, and nothing else."""
    length = {"content-length": str(len(data))}
    content = b"" if request.method == "HEAD" else data
    return Response(content, status, {**headers, **length, "content-type": media_type})
