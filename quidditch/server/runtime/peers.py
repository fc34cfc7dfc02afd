"""Calls from one worker of a server to another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, Protocol

from quidditch.errors import QuidditchError

log = logging.getLogger("quidditch.server")


class PeerGone(QuidditchError):
    """The worker that was asked is no longer there: it died, or the server stops."""


class Answers(Protocol):
    """What a worker is asked by name."""

    def __call__(self, *arguments: Any) -> Any: ...


class Peers:
    """The workers of one server, of which this process is one.

    Each listens at a socket of its own in a folder that only the server's user may enter: who reaches it is trusted.
    A call is a name and arguments, an answer a value or the error that it raised, which is raised here.
    """

    def __init__(self, own: int = 0, count: int = 1, folder: Path | None = None) -> None:
        """`folder` may be None where there are no others."""
        self.own = own
        self.count = count
        self._folder = folder
        self._answers: Mapping[str, Callable[..., Any]] = {}
        self._listener: Listener | None = None

    def listen(self, answers: Mapping[str, Callable[..., Any]]) -> None:
        """Answer calls by name, from now on: those of others in threads."""
        self._answers = answers
        if self._folder is not None and self.count > 1:
            path = self._path(self.own)
            path.unlink(missing_ok=True)
            self._listener = Listener(str(path), "AF_UNIX", backlog=64)
            threading.Thread(
                target=self._accept, args=(self._listener,), name="quidditch-peers", daemon=True
            ).start()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._path(self.own).unlink(missing_ok=True)

    def ask(self, worker: int, call: str, *arguments: Any) -> Any:
        """What a worker answers.

        raises: PeerGone, and what the call raises there
        """
        if worker == self.own:
            return self._answers[call](*arguments)
        if self._folder is None or not 0 <= worker < self.count:
            raise PeerGone(f"there is no worker {worker}")
        try:
            with Client(str(self._path(worker)), "AF_UNIX") as connection:
                connection.send((call, arguments))
                value, error = connection.recv()
        except (OSError, EOFError) as gone:
            raise PeerGone(f"worker {worker} does not answer: {gone}") from gone
        if error is not None:
            raise error
        return value

    def everyone(self, call: str, *arguments: Any) -> list[Any]:
        """What each worker answers, this one first; those that are gone are left out."""
        answers = [self.ask(self.own, call, *arguments)]
        for worker in range(self.count):
            if worker != self.own:
                with suppress(PeerGone):
                    answers.append(self.ask(worker, call, *arguments))
        return answers

    def _path(self, worker: int) -> Path:
        assert self._folder is not None
        return self._folder / f"worker-{worker}.sock"

    def _accept(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except OSError:
                return  # closed
            threading.Thread(
                target=self._answer, args=(connection,), name="quidditch-peer", daemon=True
            ).start()

    def _answer(self, connection: Connection) -> None:
        with connection, suppress(OSError, EOFError):
            call, arguments = connection.recv()
            try:
                value, error = self._answers[call](*arguments), None
            except QuidditchError as refused:
                value, error = None, refused
            except Exception as unforeseen:
                log.error("asked by another worker for %s: %s", call, unforeseen, exc_info=unforeseen)
                value, error = (
                    None,
                    QuidditchError(f"{type(unforeseen).__name__}; the server's log says more"),
                )
            connection.send((value, error))
