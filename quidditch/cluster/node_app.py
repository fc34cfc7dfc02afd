"""The HTTP of a data node: `POST /v1/shard/UUID/NUMBER/CALL`, bodies and answers in msgpack.

Who may call has the cluster's secret: a data node hands out whole shards.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

import anyio
import anyio.to_thread
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from quidditch.cluster.beginnings import Incoming
from quidditch.cluster.messages import decode, encode
from quidditch.cluster.node_calls import ShardCalls
from quidditch.cluster.replica import Replica
from quidditch.cluster.state import NodeReport, ShardId
from quidditch.cluster.transport import MEDIA_TYPE, PIECE_BYTES, error_to_wire
from quidditch.errors import InternalError, QuidditchError

THREADS = 128
"""Calls at work at once; those that wait for a sequence are among them."""

PREFIX = "/v1"

log = logging.getLogger("quidditch.cluster")


class Node(Protocol):
    """What the HTTP of a data node is about."""

    calls: ShardCalls

    def replica(self, shard: ShardId) -> Replica:
        """raises: Unavailable   this node has no copy of the shard that answers"""

    def report(self) -> NodeReport: ...

    def sizes(self) -> dict[str, dict[str, int]]: ...

    def incoming(self, shard: ShardId) -> Incoming:
        """raises: RequestError, Unavailable   this node does not wait for the beginning of this shard"""


def create_node_app(node: Node, secret: str) -> ASGIApp:
    """The application; the node stays the caller's to stop."""
    limiter = anyio.CapacityLimiter(THREADS)
    expected = f"Bearer {secret}".encode()

    async def answered(request: Request, work: Callable[[Any], Any]) -> Response:
        async def with_body() -> Any:
            data = await request.body()
            return await anyio.to_thread.run_sync(work, decode(data) if data else {}, limiter=limiter)

        return await checked(request, with_body)

    async def checked(request: Request, work: Callable[[], Awaitable[Any]]) -> Response:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, expected):
            return _response(
                {"error": "RequestError", "reason": "this node is not told the cluster's secret"}, 403
            )
        try:
            return _response(await work())
        except QuidditchError as error:
            return _response(error_to_wire(error), error.status)
        except Exception as error:
            log.exception("%s", request.url.path)
            return _response(error_to_wire(InternalError(f"{type(error).__name__}: {error}")), 500)

    async def shard_call(request: Request) -> Response:
        name = request.path_params["call"]
        shard = _shard_of(request)
        return await answered(request, lambda body: node.calls.answer(node.replica(shard), name, body))

    async def copy(request: Request) -> Response:
        shard = _shard_of(request)
        answer = await answered(request, lambda body: node.replica(shard).applied)
        if answer.status_code != 200:
            return answer
        return StreamingResponse(_file_of(node.replica(shard)), media_type="application/octet-stream")

    async def restore(request: Request) -> Response:
        """The body is a shard's file out of a snapshot."""
        shard = _shard_of(request)

        async def received() -> Any:
            with node.incoming(shard) as incoming:
                async for piece in request.stream():
                    await anyio.to_thread.run_sync(incoming.write, piece, limiter=limiter)
                expected = request.headers.get("x-blake2b", "")
                return await anyio.to_thread.run_sync(incoming.install, expected, limiter=limiter)

        return await checked(request, received)

    async def about(request: Request) -> Response:
        return await answered(request, lambda body: msgspec.to_builtins(node.report()))

    async def sizes(request: Request) -> Response:
        return await answered(request, lambda body: node.sizes())

    shard = f"{PREFIX}/shard/{{uuid}}/{{number:int}}"
    routed = Starlette(
        routes=[
            Route(f"{shard}/copy", copy, methods=["POST"]),
            Route(f"{shard}/restore", restore, methods=["POST"]),
            Route(f"{shard}/{{call}}", shard_call, methods=["POST"]),
            Route(f"{PREFIX}/node", about, methods=["POST"]),
            Route(f"{PREFIX}/node/sizes", sizes, methods=["POST"]),
        ]
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found = _SHARD_CALL.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if found is None or scope["method"] != "POST":
            await routed(scope, receive, send)
            return
        scope["path_params"] = {**found.groupdict(), "number": int(found["number"])}
        response = await shard_call(Request(scope, receive))
        await response(scope, receive, send)

    return app


_SHARD_CALL = re.compile(
    re.escape(PREFIX) + r"/shard/(?P<uuid>[^/]+)/(?P<number>[0-9]+)/(?P<call>(?!copy$|restore$)[^/]+)"
)
"""The calls that searches are made of, found here: what Starlette does around a route takes as long as the rest."""


def _shard_of(request: Request) -> ShardId:
    return ShardId(request.path_params["uuid"], request.path_params["number"])


def _response(body: Any, status: int = 200) -> Response:
    return Response(encode(body), status, media_type=MEDIA_TYPE)


async def _file_of(replica: Replica) -> AsyncIterator[bytes]:
    """The file of a copy as of one commit, which carries up to where it has followed the log."""
    reading, writing = os.pipe()
    failed: list[BaseException] = []

    def pour() -> None:
        try:
            replica.copy_to(writing)
        except BaseException as error:
            failed.append(error)
        finally:
            os.close(writing)

    thread = threading.Thread(target=pour, name="quidditch-copy", daemon=True)
    thread.start()
    try:
        while piece := await anyio.to_thread.run_sync(os.read, reading, PIECE_BYTES):
            yield piece
        if failed:
            raise failed[0]
    finally:
        # Who stops reading has the other end of the pipe fail.
        with suppress(OSError):
            os.close(reading)
        await anyio.to_thread.run_sync(thread.join)
