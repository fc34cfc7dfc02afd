"""A real NATS server for each test module that wants one: own port, own store, ended by its pid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .one_server import OneServer, need_nats, started


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneServer]:
    need_nats()
    pytest.importorskip("nats", reason="nats-py is not installed: pip install 'quidditch[cluster]'")
    with started(Path(tmp_path_factory.mktemp("nats"))) as server:
        yield server
