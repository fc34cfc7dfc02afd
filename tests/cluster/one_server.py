"""A NATS server that a test has for itself."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import pytest

from quidditch.cluster.nats_server import Credentials, NatsProcess, find_server
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


def need_nats() -> None:
    """Skip, with a sentence for a person; fail where tests must not be skipped."""
    try:
        find_server()
    except RequestError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
