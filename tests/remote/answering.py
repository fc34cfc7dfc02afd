"""A client over a transport that answers as a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

import quidditch
from quidditch.interface import Database, Index
from quidditch.version import PROTOCOL_HEADER

Behaviour = Callable[[httpx.Request], httpx.Response]


class Script(httpx.BaseTransport):
    """Answers one request after another: a response is given, an exception raised, a function asked."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        response: httpx.Response = step(request) if callable(step) else step
        return response

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]


def answer(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    named = {PROTOCOL_HEADER: "1"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=json.dumps(body).encode(), headers=named)


def error(kind: str, reason: str, status: int = 400, **headers: str) -> httpx.Response:
    return answer({"error": {"type": kind, "reason": reason}, "status": status}, status, **headers)


def written(request: httpx.Request) -> httpx.Response:
    """What a server says of a write of one document."""
    id = request.url.path.rsplit("/", 1)[-1]
    return answer({"_id": id, "_version": 1, "_seq_no": 0, "_primary_term": 1, "result": "created"}, 201)


def bulk_answer(request: httpx.Request) -> httpx.Response:
    """What a server says of a bulk of index and create actions that all succeed."""
    content = request.content
    items = []
    for line in content.splitlines()[::2]:
        ((op, meta),) = json.loads(line).items()
        body = {
            "_index": "books",
            "_id": meta["_id"],
            "_version": 1,
            "result": "created",
            "status": 201,
            "_seq_no": 0,
        }
        items.append({op: body})
    return answer({"took": 1, "errors": False, "items": items})


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have slept; it does not."""
    slept: list[float] = []
    monkeypatch.setattr("quidditch.remote.carriers.time.sleep", slept.append)
    return slept


def client(script: Script, **options: Any) -> Database:
    return quidditch.connect("http://127.0.0.1:9200", transport=script, **options)


def books(script: Script, **options: Any) -> Index:
    """The index `books`; the request that looks for it is not in the script."""
    script.steps.insert(0, answer({"books": {"uuid": "u"}}))
    index = client(script, **options).index("books")
    script.requests.clear()
    return index


class ToApplication(httpx.BaseTransport):
    """Carries requests to an application in this process."""

    def __init__(self, app: ASGIApp) -> None:
        self._inner = httpx.ASGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        copy = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        response = await self._inner.handle_async_request(copy)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())
