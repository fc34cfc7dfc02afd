"""Run the application on a socket of this machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from quidditch.interface import Database
from quidditch.server.app import create_app
from quidditch.server.failures import RestError
from quidditch.server.guarding import LOOPBACK
from quidditch.server.state import State


def serve(database: Database, host: str = "127.0.0.1", port: int = 9200) -> None:
    """Answer requests until SIGTERM or SIGINT; requests that run then end as they would have.

    raises: RestError   a host that others than this machine reach: that needs TLS and users first
    """
    if host not in LOOPBACK:
        raise RestError(
            f"serve: host [{host}] is reached from elsewhere; {', '.join(sorted(LOOPBACK))} in this release"
        )
    state = State(http_address=f"{host}:{port}")
    config = uvicorn.Config(
        create_app(database, state),
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=30,
    )
    _Server(config).run()


class _Server(uvicorn.Server):
    """Ends by returning: uvicorn's own raises the signal again, which would kill the process before what is
    acknowledged and not yet synced is on disk."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
