"""Run the application on a socket of this machine."""

from __future__ import annotations

import uvicorn

from quidditch.interface import Database
from quidditch.server.app import create_app
from quidditch.server.failures import RestError
from quidditch.server.state import State

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(database: Database, host: str = "127.0.0.1", port: int = 9200) -> None:
    """Answer requests until SIGTERM or SIGINT; requests that run then end as they would have.

    raises: RestError   a host that others than this machine reach: that needs TLS and users first
    """
    if host not in LOOPBACK:
        raise RestError(
            f"serve: host [{host}] is reached from elsewhere; {', '.join(LOOPBACK)} in this release"
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
        timeout_graceful_shutdown=30,
    )
    uvicorn.Server(config).run()
