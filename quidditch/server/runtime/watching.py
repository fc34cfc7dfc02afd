"""ASGI around the application: probes, a request's id, its line in the log, its numbers."""

from __future__ import annotations

import itertools
import logging
import os
import time

import anyio.to_thread
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quidditch.interface import Database
from quidditch.server import wire
from quidditch.server.runtime.board import Numbers
from quidditch.server.runtime.limits import Limits
from quidditch.server.runtime.logs import REQUEST
from quidditch.server.runtime.pressure import patient
from quidditch.version import PROTOCOL, PROTOCOL_HEADER

KIND = "quidditch.kind"
"""The key of the scope that says what a request does, one of KINDS, once its route is known."""

log = logging.getLogger("quidditch.requests")


class Watch:
    """The application as operators see it.

    `/_live` is answered as long as this process answers at all, `/_ready` while its database can be read: both to
    anybody, for they say nothing else, and never behind other requests.
    """

    def __init__(self, application: ASGIApp, database: Database, numbers: Numbers, limits: Limits) -> None:
        self._application = application
        self._database = database
        self._numbers = numbers
        self._limits = limits
        self._number = itertools.count(1)
        self._pid = os.getpid()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        if scope["path"] in ("/_live", "/_ready"):
            await (await self._probe(scope["path"]))(scope, receive, send)
            return
        began_s = time.perf_counter()
        request = {"request_id": f"{self._pid}-{next(self._number)}"}
        told = [
            (b"x-request-id", request["request_id"].encode()),
            (PROTOCOL_HEADER.encode(), PROTOCOL.encode()),
        ]
        for name, value in scope["headers"]:
            if name == b"x-opaque-id":
                request["opaque_id"] = value[:256].decode("latin-1")
                told.append((name, value[:256]))
                break
        status, sent_bytes = 0, 0

        async def sending(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *told]
            sent_bytes += len(message.get("body", b""))
            await send(message)

        token = REQUEST.set(request)
        self._numbers.add("quidditch_http_in_flight")
        try:
            await self._application(scope, patient(receive, self._limits, self._numbers), sending)
        finally:
            seconds = time.perf_counter() - began_s
            self._numbers.add("quidditch_http_in_flight", -1)
            # Without a status the client went away first; 499, as others number that.
            self._ended(scope, status or 499, seconds, sent_bytes)
            REQUEST.reset(token)

    def _ended(self, scope: Scope, status: int, seconds: float, sent_bytes: int) -> None:
        self._numbers.answered(scope.get(KIND, "other"), status, seconds)
        self._numbers.add("quidditch_http_sent_bytes_total", sent_bytes)
        if log.isEnabledFor(logging.INFO):
            path = scope["path"]
            data = {
                "method": scope["method"],
                "path": path,
                "status": status,
                "took_ms": round(seconds * 1000, 3),
                "bytes": sent_bytes,
                "client": (scope.get("client") or ("",))[0],
            }
            log.info("%s %s %d", scope["method"], path, status, extra={"data": data})

    async def _probe(self, path: str) -> Response:
        if path == "/_live":
            return Response(wire.encode({"status": "live"}), 200, media_type=wire.JSON_TYPE)
        try:
            await anyio.to_thread.run_sync(self._database.describe)
        except Exception as error:
            log.warning("not ready: %s", error)
            return Response(wire.encode({"status": "not ready"}), 503, media_type=wire.JSON_TYPE)
        return Response(wire.encode({"status": "ready"}), 200, media_type=wire.JSON_TYPE)
