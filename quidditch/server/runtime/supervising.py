"""The parent of several workers."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("quidditch.server")

WATCHED = frozenset((signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGALRM))

SHORT_LIFE_S = 5.0
MOST_SHORT_LIVES = 5
"""Workers that end so soon, one after another, will not do better for being started again: the server gives up."""

SLACK_S = 15.0
"""What a worker that has drained is given to close the directory, before it is killed."""


class Supervisor:
    """Starts workers, starts those that died anew, and stops them.

    It opens nothing and starts no thread, so that a child begins as this process did: forked, which shares the memory
    of all that is loaded. A worker whose parent dies stops, as on SIGTERM.
    """

    def __init__(
        self, workers: int, work: Callable[[int, Path], None], deaf: Callable[[], object], drain_s: float
    ) -> None:
        """
        work:     what a worker does until SIGTERM, given its number and a folder for sockets
        deaf:     called to stop listening here, so that nobody waits for workers that have stopped
        drain_s:  how long workers may take to stop before they are killed
        """
        self._workers = workers
        self._work = work
        self._deaf = deaf
        self._drain_s = drain_s
        self._running: dict[int, tuple[int, float]] = {}
        self._short_lives = 0
        self._stopping = False
        self._failed = False
        self._folder = Path()
        self._alive = (-1, -1)

    def run(self) -> int:
        """The exit code, once all workers have ended: 0 after SIGTERM or SIGINT, 1 when workers would not live."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        self._folder = Path(tempfile.mkdtemp(prefix="quidditch-serve-"))
        self._alive = os.pipe()
        # What is written by now is not for the children to write again.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        try:
            for worker in range(self._workers):
                self._start(worker)
            while self._running:
                number = signal.sigwait(WATCHED)
                if number == signal.SIGCHLD:
                    self._reap()
                elif self._stopping:
                    self._signal(signal.SIGKILL)
                else:
                    self._stop()
            return 1 if self._failed else 0
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._signal(signal.SIGKILL)
            for end in self._alive:
                os.close(end)
            shutil.rmtree(self._folder, ignore_errors=True)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _start(self, worker: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(worker)
        self._running[pid] = (worker, time.monotonic())

    def _become(self, worker: int) -> None:
        """The life of a worker; never returns."""
        code = 1
        try:
            # What the parent runs at its end is not the child's to run: it leaves by _exit.
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent passes it on
            signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))  # until it listens
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
            os.close(self._alive[1])
            threading.Thread(target=self._wait_for_parent, name="quidditch-parent", daemon=True).start()
            self._work(worker, self._folder)
            code = 0
        except BaseException as error:
            log.critical("worker %d ends: %s", worker, error, exc_info=error)
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)

    def _wait_for_parent(self) -> None:
        """Its end of the pipe is closed when it ends, however that comes."""
        os.read(self._alive[0], 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _reap(self) -> None:
        # Signals are not counted: one may stand for several children.
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid in self._running:
                self._ended(*self._running.pop(pid), os.waitstatus_to_exitcode(status))

    def _ended(self, worker: int, started_s: float, code: int) -> None:
        if self._stopping:
            self._failed = self._failed or code != 0
            return
        log.error("worker %d ended with %d; another takes its place", worker, code)
        self._short_lives = self._short_lives + 1 if time.monotonic() - started_s < SHORT_LIFE_S else 0
        if self._short_lives >= MOST_SHORT_LIVES:
            log.critical("workers end as soon as they start: giving up")
            self._failed = True
            self._stop()
            return
        self._start(worker)

    def _stop(self) -> None:
        self._stopping = True
        self._deaf()
        signal.setitimer(signal.ITIMER_REAL, self._drain_s + SLACK_S)
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._running:
            os.kill(pid, number)
