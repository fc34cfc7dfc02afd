"""A socket, and the processes that answer at it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from quidditch.errors import RequestError
from quidditch.interface import Database
from quidditch.local.database import connect
from quidditch.server.activity import Activity
from quidditch.server.app import create_app
from quidditch.server.contexts import Contexts
from quidditch.server.runtime.accepting import Accepting
from quidditch.server.runtime.board import Board
from quidditch.server.runtime.connections import bounded
from quidditch.server.runtime.limits import Limits
from quidditch.server.runtime.peers import PeerGone, Peers
from quidditch.server.runtime.supervising import Supervisor
from quidditch.server.security.exposure import Exposure
from quidditch.server.state import State
from quidditch.server.tasks import Tasks

BACKLOG = 2_048
"""Connections that wait to be taken."""

MOST_WORKERS = 64

log = logging.getLogger("quidditch.server")


@dataclass(frozen=True, slots=True)
class Serving:
    """How a server runs: who may come in, where it listens, in how many processes, within what limits."""

    exposure: Exposure = field(default_factory=Exposure)
    port: int = 9200
    workers: int = 1
    limits: Limits = field(default_factory=Limits)


def serve(database: Database, serving: Serving | None = None) -> None:
    """Answer requests in this process until SIGTERM or SIGINT; requests that run then end as they would have.

    A second signal ends the process at once: what was acknowledged is on disk.
    raises: RequestError   the address cannot be had
    """
    serving = serving or Serving()
    with listening(serving) as at:
        state = State(http_address=address(at), limits=serving.limits)
        _run(database, state, serving, at)


def serve_directory(
    directory: Path, serving: Serving, ready: Callable[[str], None] = lambda url: None
) -> int:
    """As `serve_opened`, over a directory: any worker reads and writes, and writes queue for the one writer.

    raises: RequestError   the address cannot be had; StorageError   the directory cannot be opened
    """
    return serve_opened(lambda: connect(directory), serving, ready)


def serve_opened(
    opened: Callable[[], AbstractContextManager[Database]],
    serving: Serving,
    ready: Callable[[str], None] = lambda url: None,
) -> int:
    """Answer requests over a database until SIGTERM or SIGINT, in as many processes as wanted; the exit code.

    One process is this one. Several are its children, which it starts anew when they die: each opens the database
    and takes connections from the one socket.
    opened: the database, opened when it is entered; no thread may be left of one that was closed again
    ready:  called with the server's URL once it can be connected to
    raises: RequestError   the address cannot be had; whatever opening the database raises
    """
    with listening(serving) as at:
        url = f"{serving.exposure.scheme}://{address(at)}"
        if serving.workers == 1:
            with opened() as database:
                ready(url)
                _run(database, State(http_address=address(at), limits=serving.limits), serving, at)
            return 0
        # Whatever is wrong with the database is said here, once, and not by every worker. It is closed again before
        # there are any: nothing of it can be shared with them.
        with opened():
            pass
        state = State(http_address=address(at), limits=serving.limits, board=Board(serving.workers))

        def work(worker: int, folder: Path) -> None:
            own = worker_state(state, worker, folder)
            with opened() as database:
                _run(database, own, serving, at)

        ready(url)
        return Supervisor(serving.workers, work, at.close, serving.limits.drain_s).run()


def worker_state(state: State, worker: int, folder: Path) -> State:
    """The state of one worker: the server's, with contexts and tasks of its own."""
    workers = state.board.workers
    own = replace(
        state,
        peers=Peers(worker, workers, folder),
        contexts=Contexts(worker),
        tasks=Tasks(worker, workers),
        activity=Activity(folder / f"activity-{worker}"),
    )
    for other in range(workers):
        # One that takes a dead one's place is told what has been set since the server began.
        if other != worker:
            with suppress(PeerGone):
                persistent, transient = own.peers.ask(other, "settings.get")
                own.put_settings("persistent", persistent)
                own.put_settings("transient", transient)
                break
    return own


@contextmanager
def listening(serving: Serving) -> Iterator[socket.socket]:
    """The socket of the server.

    raises: RequestError   somebody else has the address, or this machine has not
    """
    host, port = serving.exposure.host, serving.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        at = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise RequestError(f"serve: cannot listen at {host}:{port}: {error.strerror or error}") from error
    with at:
        yield at


def address(at: socket.socket) -> str:
    """Where a socket listens, as it stands in a URL."""
    host, port = at.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _run(database: Database, state: State, serving: Serving, at: socket.socket) -> None:
    exposure = serving.exposure
    state.numbers.begin(os.getpid())
    config = uvicorn.Config(
        create_app(database, state, access=exposure.access),
        ssl_certfile=exposure.tls_cert,
        ssl_keyfile=exposure.tls_key,
        # Whose address counts is who connects: X-Forwarded-For is a word that anybody can say.
        proxy_headers=False,
        loop="uvloop",
        http=bounded(serving.limits, state.numbers),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(serving.limits.drain_s) or 1,
    )
    # What is loaded stays: looking through it for garbage would hold requests up for 50 ms, every now and then.
    gc.collect()
    gc.freeze()
    try:
        _Server(config, state).run([at])
    finally:
        gc.unfreeze()
        state.peers.close()


class _Server(uvicorn.Server):
    """Shares its connections fairly with the other workers, and ends by returning: uvicorn's own raises the signal
    again, which would kill the process before what is acknowledged and not yet synced is on disk."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state
        self._accepting: list[Accepting] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self._accepting = [
            Accepting(at, self._connection, self._state.board, self._state.numbers, self.config.ssl)
            for at in sockets or []
        ]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for accepting in self._accepting:
            accepting.stop()
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        protocol: Any = self.config.http_protocol_class
        made: asyncio.Protocol = protocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

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

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True
