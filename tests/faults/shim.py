"""The library that stands between a process and its files: built once, told what to do, and its log read.

`shim.c` says what it does. A process gets it by the environment variables that `recording` and `failing` give.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import NoReturn

import pytest

_SOURCE = Path(__file__).with_name("shim.c")
_HEADER = struct.Struct("<IBBHQII")


class Action(IntEnum):
    """What a record says was done; `enum action` of the library."""

    CREATE = 1
    WRITE = 2
    SIZE = 3
    GROW = 4
    SYNC = 5
    DATA_SYNC = 6
    RENAME = 7
    REMOVE = 8
    MAKE_DIRECTORY = 9
    LINK = 10
    MAPPED = 11


class On(IntFlag):
    """Which calls a fault strikes; `enum kind` of the library."""

    WRITE = 1
    DURABLE = 2
    SIZE = 4
    SYNC = 8
    DIRECTORY_SYNC = 16
    CREATE = 32
    RENAME = 64
    REMOVE = 128


class How(IntEnum):
    """How a call fails: not done, half a write done, or all done and reported as failed; `enum how`."""

    REFUSE = 1
    SHORT = 2
    LATE = 3


class Again(IntEnum):
    """Whether only the n-th call fails, all from it on, or each n-th; `enum again`."""

    ONCE = 0
    EVER = 1
    PERIODIC = 2


@dataclass(frozen=True, slots=True)
class Record:
    """One call that changed something below the watched directory.

    end:      the size of the log with this record, which is what a writer of the log could see
    durable:  of a WRITE, through a descriptor opened with O_DSYNC; of a CREATE, emptied what was there
    offset:   of a WRITE; of SIZE and GROW the size
    error:    of a SYNC that failed; 0 otherwise, for calls that failed without effect are not recorded
    """

    end: int
    action: Action
    path: str
    target: str
    offset: int
    data: bytes
    durable: bool
    error: int


def read_log(log: Path, watched: Path) -> Iterator[Record]:
    """The records in order, their paths below the watched directory."""
    blob = log.read_bytes()
    above = len(os.fsencode(watched.resolve())) + 1
    start = 0
    while start < len(blob):
        size, action, durable, error, offset, path_bytes, target_bytes = _HEADER.unpack_from(blob, start)
        paths = start + _HEADER.size
        target, data = paths + path_bytes, paths + path_bytes + target_bytes
        start += size
        yield Record(
            start,
            Action(action),
            os.fsdecode(blob[paths:target][above:]),
            os.fsdecode(blob[target:data][above:]),
            offset,
            blob[data:start],
            bool(durable),
            error,
        )


# --------------------------------------------------------------------------------------------------- building


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true" and sys.platform == "linux":
        pytest.fail(f"the fault tests must run here: {reason}")
    pytest.skip(f"faults are injected by a library compiled for Linux with glibc: {reason}")


@functools.cache
def library() -> Path:
    """The compiled library; skips the test where there can be none, and fails it where CI=true."""
    compiler = shutil.which("cc")
    if sys.platform != "linux":
        _missing(f"this is {sys.platform}")
    if compiler is None:
        _missing("there is no compiler `cc`")
    folder = tempfile.mkdtemp(prefix="quidditch-shim-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    built = Path(folder) / "shim.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-U_FORTIFY_SOURCE"]
    command = [compiler, *flags, "-o", str(built), str(_SOURCE), "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        _missing(f"shim.c does not compile\n{done.stderr}")
    return built


# ------------------------------------------------------------------------------------------------ the variables


def _watching(watched: Path) -> dict[str, str]:
    return {**os.environ, "LD_PRELOAD": str(library()), "SHIM_WATCH": str(watched.resolve())}


def recording(watched: Path, log: Path, fault: Fault | None = None) -> dict[str, str]:
    """The environment of a process whose writes below `watched` are recorded, with a fault from the start if any."""
    given = {} if fault is None else {"SHIM_FAULT": fault.text()}
    return {**_watching(watched), "SHIM_LOG": str(log), **given}


def failing(watched: Path, switch: Switch) -> dict[str, str]:
    """The environment of a process whose calls below `watched` fail while the switch is on."""
    return {**_watching(watched), "SHIM_SWITCH": str(switch.path)}


def slow(watched: Path, delay_us: int) -> dict[str, str]:
    """The environment of a process for which each sync takes so much longer."""
    return {**_watching(watched), "SHIM_DELAY_US": str(delay_us)}


_serials = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Fault:
    """The n-th call of these kinds fails with this errno."""

    on: On
    error: int
    nth: int = 1
    again: Again = Again.ONCE
    how: How = How.REFUSE

    def text(self) -> str:
        """As the library reads it. Each text has a serial of its own, by which it knows to count from 1 again."""
        fields = (next(_serials), self.on, self.error, self.how, self.nth, self.again)
        return " ".join(str(int(field)) for field in fields)


class Switch:
    """A file that turns faults on and off while the process runs, from outside it or inside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on(self, fault: Fault) -> None:
        aside = self.path.with_suffix(".aside")
        aside.write_text(fault.text())
        aside.rename(self.path)

    def off(self) -> None:
        self.path.unlink(missing_ok=True)
