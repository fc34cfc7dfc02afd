"""A real NATS server for each test module that wants one: own port, own store, ended by its pid."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from quidditch.cluster.nats_server import Credentials, Member, NatsProcess, free_ports

from .one_server import OneServer, need_nats


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneServer]:
    need_nats()
    pytest.importorskip("nats", reason="nats-py is not installed: pip install 'quidditch[cluster]'")
    (port,) = free_ports(1)
    credentials = Credentials.new()
    member = Member("only", port, Path(tmp_path_factory.mktemp("nats")))
    process = NatsProcess(member, [member], credentials)
    process.start()
    try:
        yield OneServer(process, credentials)
    finally:
        process.stop(signal.SIGKILL)
