"""Processes that are started, watched and ended; nothing is decided here."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from quidditch.torture.journal import JournalWatch
from quidditch.torture.observation import Line, Observation, Request, Stage, Stopped
from quidditch.torture.plan import Kill
from quidditch.torture.report import Finding

WORKLOAD = "quidditch.torture.workload"
OBSERVER = "quidditch.torture.observer"

HANG_S = 120.0
"""Far more than anything takes here: who has not gone on by then hangs."""

_AIM_S = 2.0
"""How long a kill waits for the operation it is aimed at."""

_GLANCE_S = 0.001


class Child:
    """A Python process that was started beforehand, and begins when it is given its first line."""

    def __init__(self, module: str) -> None:
        # A file, because nobody reads while the process runs, and a pipe that is full would stop it.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # Ctrl-C is for the campaign, which ends its children itself.
            start_new_session=True,
        )

    def begin(self, line: bytes) -> None:
        """Let it begin. One that has died is noticed when it is waited for."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return

    @property
    def died(self) -> bool:
        return self._process.poll() is not None

    def obituary(self) -> str:
        """How a process ended by itself, and its last words."""
        self._errors.seek(0)
        words = self._errors.read()[-2_000:].decode(errors="replace").strip()
        return f"exit code {self._process.returncode}: {words}"

    def kill(self) -> None:
        """End it with SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def said(self, timeout_s: float) -> bytes:
        """All it prints until it ends. raises: subprocess.TimeoutExpired"""
        return self._process.communicate(timeout=timeout_s)[0]

    def close(self) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue


class Spares:
    """Processes that are started before they are needed, because loading the engine takes its time."""

    def __init__(self) -> None:
        self._waiting: dict[str, Child] = {}

    def prepare(self, *modules: str) -> None:
        for module in modules:
            if module not in self._waiting:
                self._waiting[module] = Child(module)

    @contextmanager
    def take(self, module: str) -> Iterator[Child]:
        """One that is ready, or will be; it has ended when the block ends."""
        child = self._waiting.pop(module, None) or Child(module)
        try:
            yield child
        finally:
            child.close()

    def close(self) -> None:
        while self._waiting:
            self._waiting.popitem()[1].close()


def await_moment(kill: Kill, watch: JournalWatch, died: Callable[[], bool]) -> Finding | None:
    """Return when the moment of the kill has come; with a finding if the process did not live to see it."""
    if kill.how != "opening":
        wait = _until(lambda: bool(watch.underway()), died, HANG_S)
        if wait == "too late":
            return Finding("hang", f"no operation had begun {HANG_S:.0f} s after the process was let go")
    if kill.how == "during":
        _until(lambda: False, died, kill.not_before_s)
        _until(lambda: kill.during in watch.underway(), died, _AIM_S)
    time.sleep(kill.wait_s)
    return None


def _until(come: Callable[[], bool], died: Callable[[], bool], at_most_s: float) -> str:
    """Wait for something; how it ended: "come", "died" or "too late"."""
    deadline = time.monotonic() + at_most_s
    while not come():
        if died():
            return "died"
        if time.monotonic() > deadline:
            return "too late"
        time.sleep(_GLANCE_S)
    return "come"


def observe(observer: Child, request: Request, limit_s: float = HANG_S) -> Observation | Finding:
    """What an observer finds, or how it failed."""
    observer.begin(msgspec.json.encode(request))
    try:
        said = observer.said(limit_s)
    except subprocess.TimeoutExpired:
        observer.kill()
        return Finding("hang", f"a fresh process was not done {limit_s:.0f} s after it was let go")
    last = _last_line(said)
    if isinstance(last, Observation):
        return last
    if isinstance(last, Stopped):
        kind = {"open": "unopenable", "check": "check"}.get(last.stage, "error")
        return Finding(kind, f"while a fresh process was to {last.stage}: {last.words}")  # type: ignore[arg-type]
    return Finding("crash", f"a fresh process ended while it was to {last.name}: {observer.obituary()}")


def _last_line(said: bytes) -> Line:
    """The last whole line: who crashes may leave half of one."""
    for line in reversed(said.splitlines()):
        try:
            decoded: Line = msgspec.json.decode(line, type=Line)
        except msgspec.MsgspecError:
            continue
        return decoded
    return Stage("start")
