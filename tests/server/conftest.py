"""A server without a socket: requests go to the application in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import quidditch

from .asking import Server
from .processes import Served


@pytest.fixture
def server() -> Iterator[Server]:
    """An application over an empty database."""
    with quidditch.connect(":memory:") as database:
        yield Server(database)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers over the directory `data` of the test, in processes that end with it."""
    started: list[Served] = []

    def start(*options: str, workers: int = 1) -> Served:
        started.append(Served(tmp_path / "data", *options, workers=workers))
        return started[-1]

    yield start
    for served in started:
        served.stop()
