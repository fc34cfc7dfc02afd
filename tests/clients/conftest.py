"""OpenSearch's own client for Python against a server in a process of its own. Both of its majors are meant to pass:
`.ci/run` runs this folder with 2.x too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import opensearchpy
import pytest

from quidditch_pytest import Server


@pytest.fixture(scope="session")
def session_server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def url(session_server: Server) -> Iterator[str]:
    """Of a server without any index."""
    yield session_server.url
    session_server.reset()


@pytest.fixture
def client(url: str) -> Iterator[opensearchpy.OpenSearch]:
    with opensearchpy.OpenSearch(url, http_compress=True) as client:
        yield client


@asynccontextmanager
async def async_client(url: str) -> AsyncIterator[opensearchpy.AsyncOpenSearch]:
    client = opensearchpy.AsyncOpenSearch(url)
    try:
        yield client
    finally:
        await client.close()
