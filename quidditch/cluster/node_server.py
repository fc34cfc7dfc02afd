"""The HTTP server of a data node, in a thread: it listens from its making on, and answers from `start` to `stop`."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Any

import uvicorn

from quidditch.cluster.node_app import Node, create_node_app
from quidditch.cluster.tls import Tls
from quidditch.errors import RequestError
from quidditch.server.security.exposure import is_loopback

END_S = 15
"""How long calls under way may take to end when the server stops."""


class NodeServer:
    """Holds the address; calls wait for `start`. A context manager, which lets go of the address.

    raises: RequestError   others than this machine reach the address, and there is no TLS; or it cannot be had
    """

    def __init__(self, host: str, port: int, tls: Tls) -> None:
        if not is_loopback(host) and not tls:
            raise RequestError(
                f"cluster: node.host {host!r} is reached from elsewhere: a data node hands out whole shards, and "
                "needs tls.ca, tls.certificate and tls.key there"
            )
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=1024)
        except OSError as error:
            raise RequestError(
                f"cluster: cannot listen at {host}:{port}: {error.strerror or error}"
            ) from error
        self._tls = tls
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, node: Node, secret: str) -> None:
        """Answer calls about the node."""
        config = uvicorn.Config(
            create_node_app(node, secret),
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            loop="uvloop",
            timeout_graceful_shutdown=END_S,
        )
        config.load()
        if self._tls:
            config.ssl = self._tls.server()
        self._server = uvicorn.Server(config)
        arguments: dict[str, Any] = {"sockets": [self._socket]}
        self._thread = threading.Thread(
            target=self._server.run, kwargs=arguments, name="quidditch-http", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Take no more calls, and end when those under way have."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()

    def __enter__(self) -> NodeServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
