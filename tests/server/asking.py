"""Requests to an application in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx

from quidditch.interface import Database
from quidditch.server.app import create_app
from quidditch.server.security.gate import OPEN, Access
from quidditch.server.state import State


class Server:
    """`server("GET", "/books/_doc/1")` is the response of one request."""

    def __init__(
        self,
        database: Database,
        state: State | None = None,
        access: Access = OPEN,
        url: str = "http://127.0.0.1",
    ) -> None:
        self.database = database
        self.app = create_app(database, state, access=access)
        self._url = url

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """`body` is sent as JSON, a list of objects as lines of it; `content` as it is."""
        data = content
        sent = dict(headers or {})
        if body is not None:
            data = json.dumps(body).encode() if not isinstance(body, list) else lines(body)
        if data is not None:
            sent.setdefault("content-type", "application/json")
        return asyncio.run(self._send(method, path, data, sent))

    async def _send(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url=self._url) as client:
            return await client.request(method, path, content=data, headers=headers)


def lines(objects: list[Any]) -> bytes:
    """The objects as the lines of a bulk or msearch."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in objects)
