"""Run the application on a socket of this machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from quidditch.interface import Database
from quidditch.server.app import create_app
from quidditch.server.security.exposure import Exposure
from quidditch.server.security.heads import BoundedHead
from quidditch.server.state import State


def serve(database: Database, exposure: Exposure | None = None, port: int = 9200) -> None:
    """Answer requests until SIGTERM or SIGINT; requests that run then end as they would have.

    exposure:  the address, and who may come in; this machine alone, and all of it, if not given
    """
    exposure = exposure or Exposure()
    state = State(http_address=f"{exposure.host}:{port}")
    config = uvicorn.Config(
        create_app(database, state, access=exposure.access),
        host=exposure.host,
        port=port,
        ssl_certfile=exposure.tls_cert,
        ssl_keyfile=exposure.tls_key,
        # Whose address counts is who connects: X-Forwarded-For is a word that anybody can say.
        proxy_headers=False,
        loop="uvloop",
        http=BoundedHead,
        ws="none",
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
