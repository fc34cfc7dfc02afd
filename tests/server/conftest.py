"""A server without a socket: requests go to the application in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import quidditch

from .asking import Server


@pytest.fixture
def server() -> Iterator[Server]:
    """An application over an empty database."""
    with quidditch.connect(":memory:") as database:
        yield Server(database)
