"""A NATS server that a test has for itself."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from quidditch.cluster.nats_server import Credentials, Member, NatsProcess, find_server, free_ports
from quidditch.errors import RequestError


@dataclass
class OneServer:
    """A NATS server, its credentials, and how to hurt it."""

    process: NatsProcess
    credentials: Credentials

    @property
    def url(self) -> str:
        return self.process.member.url

    def kill(self) -> None:
        """As a machine that loses its power would end it."""
        self.process.stop(signal.SIGKILL)

    def start(self) -> None:
        self.process.start()

    def lose(self) -> None:
        """Have it come back without its disk."""
        self.kill()
        shutil.rmtree(self.process.member.folder / "store")
        self.start()


@contextmanager
def started(folder: Path) -> Iterator[OneServer]:
    """A server with its store in a folder, killed in the end."""
    need_nats()
    (port,) = free_ports(1)
    credentials = Credentials.new()
    member = Member("only", port, folder)
    process = NatsProcess(member, [member], credentials)
    process.start()
    try:
        yield OneServer(process, credentials)
    finally:
        process.stop(signal.SIGKILL)


def need_nats() -> None:
    """Skip, with a sentence for a person; fail where tests must not be skipped."""
    try:
        find_server()
    except RequestError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
