"""Connections to the workers of a server, as many to one as to another."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from quidditch.server.runtime.board import Board, Numbers

CONNECTIONS = "quidditch_http_connections"

STAND_BACK_S = 0.003
"""How long a worker leaves a new connection to those that have fewer."""

EXHAUSTED_S = 0.5
"""How long no connection is taken when this process, or the machine, can have no more."""

log = logging.getLogger("quidditch.server")


class Accepting:
    """Takes connections from a socket that other workers take them from, too; of one event loop.

    All of them are woken, and the quickest would take whatever waits: one of two workers was seen to have all eight
    connections. So one that has more than another stands back for a moment, and takes what is left after that.
    """

    def __init__(
        self,
        at: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        board: Board,
        numbers: Numbers,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """
        protocol:  what speaks over one connection, and counts it
        board:     the numbers of all workers; `numbers` those of this one
        """
        self._at = at
        self._protocol = protocol
        self._board = board
        self._numbers = numbers
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._greeting: set[asyncio.Task[None]] = set()
        self._later: asyncio.TimerHandle | None = None
        at.setblocking(False)
        self._listen()

    def stop(self) -> None:
        """Take no more; those that were taken stay."""
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._at)

    def _listen(self) -> None:
        self._loop.add_reader(self._at, self._wanted)

    def _wanted(self) -> None:
        own = self._numbers.get(CONNECTIONS) + len(self._greeting)
        if own > min(self._board.each(CONNECTIONS)):
            self._stand_back(STAND_BACK_S)
        else:
            self._take()

    def _stand_back(self, seconds: float) -> None:
        self._loop.remove_reader(self._at)
        self._later = self._loop.call_later(seconds, self._step_forward)

    def _step_forward(self) -> None:
        self._later = None
        self._listen()
        self._take()

    def _take(self) -> None:
        try:
            connection, _ = self._at.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            log.error("no connection can be taken: %s", error)
            self._stand_back(EXHAUSTED_S)
            return
        task = self._loop.create_task(self._greet(connection))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _greet(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        # Who hangs up, or speaks no TLS, is nobody's fault here.
        with suppress(OSError, TimeoutError):
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._tls)
