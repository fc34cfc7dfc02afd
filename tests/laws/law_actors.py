"""Processes that carry out calls on one index as they are told to, and can be killed at any moment.

They are forked from a server that has imported the engine and never opened an index, so a new one is there at once.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import quidditch

ANSWER_S = 60.0
"""Far more than any call takes: what has no answer by then hangs."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["quidditch.local", "law_actors"])


def _serve(calls: Connection, folder: str, name: str) -> None:
    """What an actor does: (method, arguments, options) in, (result, None) or (None, error) out, until the end."""
    with quidditch.connect(folder, write_timeout_s=20) as database:
        index = database[name]
        while True:
            try:
                method, arguments, options = calls.recv()
            except EOFError:
                return
            try:
                calls.send((perform(index, method, arguments, options), None))
            except quidditch.QuidditchError as error:
                calls.send((None, type(error).__name__))


def perform(index: Any, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """One call on an index, its result as plain values."""
    if method == "scan":
        return [hit.id for hit in index.scan(*arguments)]
    if method == "search":
        return [(hit.id, hit.score) for hit in index.search(*arguments, **options)]
    if method == "mget":
        return [found and (found.source, found.version, found.seq_no) for found in index.mget(*arguments)]
    if method == "len":
        return len(index)
    if method == "check":
        return [str(problem) for problem in index.check(*arguments, **options).problems]
    result = getattr(index, method)(*arguments, **options)
    if isinstance(result, quidditch.WriteResult):
        return result.result, result.version, result.seq_no
    if isinstance(result, quidditch.BulkResult):
        return result.ok
    return result


class Actor:
    """One process with a handle of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._start()

    def _start(self) -> None:
        self._calls, theirs = _context.Pipe()
        self._process = _context.Process(
            target=_serve, args=(theirs, str(self._folder), self._name), daemon=True
        )
        self._process.start()
        theirs.close()

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """The result; raises the error that the call raised there."""
        self.send(method, *arguments, **options)
        assert self._calls.poll(ANSWER_S), f"{method}: no answer"
        result, error = self._calls.recv()
        if error is not None:
            raise getattr(quidditch, error)(f"in another process: {method}")
        return result

    def send(self, method: str, *arguments: Any, **options: Any) -> None:
        """Tell it to do something, and do not wait."""
        self._calls.send((method, arguments, options))

    def answered(self) -> bool:
        """Whether the answer to the last call has come."""
        return self._calls.poll(0)

    def kill(self) -> None:
        """End it by SIGKILL, and have another in its place."""
        self._process.kill()
        self._process.join()
        self._calls.close()
        self._start()

    def reopen(self) -> None:
        """Have it close its handle and end, and another in its place."""
        self.end()
        self._start()

    def end(self) -> None:
        self._calls.close()
        self._process.join(ANSWER_S)
        assert self._process.exitcode == 0, f"an actor ended with {self._process.exitcode}"
