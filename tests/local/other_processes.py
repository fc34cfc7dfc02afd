"""Python processes beside the test's own: ones that run through, and ones that wait to be told to go on."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

TIMEOUT_S = 60.0
"""Far more than anything here takes: what is not done by then hangs."""


def run(code: str, *arguments: object, killed: bool = False) -> str:
    """What a process prints when it runs the code; it must end well, or by SIGKILL if that is expected."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == (-9 if killed else 0), f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


class Companion:
    """A process that prints a line, waits for one, and so on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()


@contextmanager
def companion(code: str, *arguments: object) -> Iterator[Companion]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(TIMEOUT_S, process.kill)
        watchdog.start()
        try:
            yield Companion(process)
        finally:
            watchdog.cancel()
            process.kill()


def in_thread(work: Callable[[], Any]) -> Future[Any]:
    """The work's result to be. Its thread dies with the test run, should the work hang."""
    future: Future[Any] = Future()

    def do() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    return future
