"""The journal: what a writer is about to do, and what it was told about it, in a file that outlives it.

One file for each writer, so that none waits for another. A line is one `write` to a file opened for appending:
what was written before a SIGKILL is in the file, and of a line that was being written there is a beginning
without an end, which says nothing.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias

import msgspec

Verb: TypeAlias = Literal["index", "create", "update", "upsert", "delete", "refused"]
"""What an action does to its id; "refused" is a document that does not fit, and must change nothing."""


class Action(msgspec.Struct, frozen=True, array_like=True):
    """One write to one id. `base` is the serial of the document that a conditional write means to change."""

    verb: Verb
    lane: int
    slot: int
    serial: int
    if_seq_no: int | None = None
    base: int | None = None


class Result(msgspec.Struct, frozen=True, array_like=True):
    """What the writer was told of one action: the outcome, or the error's kind, and the write's numbers."""

    outcome: str
    version: int | None = None
    seq_no: int | None = None


class Intent(msgspec.Struct, frozen=True, tag="intent"):
    """An operation that is about to begin. Each step is all there or not at all, and they come in order."""

    op: str
    number: int
    at: float
    steps: list[list[Action]]


class Done(msgspec.Struct, frozen=True, tag="done"):
    """An operation that was acknowledged, with what became of each action in order."""

    number: int
    at: float
    results: list[Result]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """What should never happen, in words."""

    number: int
    at: float
    words: str


Record: TypeAlias = Intent | Done | Failed


FRAMES = 9
"""Calls that are told of an exception."""


class DamagedJournal(ValueError):
    """A line of a journal, other than the end of its last, is none."""


class Journal:
    """Appends records to one file; for one thread."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._encoder = msgspec.json.Encoder()
        self._number = 0

    def begin(self, op: str, steps: Sequence[Sequence[Action]] = ()) -> None:
        self._number += 1
        self._write(Intent(op, self._number, time.time(), [list(step) for step in steps]))

    def done(self, results: Sequence[Result] = ()) -> None:
        self._write(Done(self._number, time.time(), list(results)))

    def failed(self, while_: str, error: BaseException) -> None:
        self._write(Failed(self._number, time.time(), f"{while_}: {told_with_place(error)}"))

    def _write(self, record: Record) -> None:
        line = self._encoder.encode(record) + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError("the journal could not be written: is the disk full?")

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def told_with_place(error: BaseException) -> str:
    """An exception in one line, with the innermost calls that it came from."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    calls = " < ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in reversed(frames))
    return f"{type(error).__name__}: {error} ({calls})"


def read_journal(path: Path) -> list[Record]:
    """The records of a file, without a last one that was cut short.

    raises: DamagedJournal
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    decoder = msgspec.json.Decoder(Record)
    try:
        return [decoder.decode(line) for line in lines]
    except msgspec.MsgspecError as error:
        raise DamagedJournal(f"{path}: {error}") from error


class JournalWatch:
    """Tells what the writers of a folder of journals are at, by what was appended since it looked last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}
        self._last: dict[Path, bytes] = {}

    def underway(self) -> set[str]:
        """The operations that have begun and are not done."""
        for path in self._folder.glob("lane-*.jsonl"):
            self._follow(path)
        return {op for line in self._last.values() if (op := _op_of(line)) is not None}

    def _follow(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            lines = file.read().split(b"\n")
        if len(lines) > 1:
            self._last[path] = lines[-2]
            self._read[path] = self._read.get(path, 0) + sum(map(len, lines[:-1])) + len(lines) - 1


def _op_of(line: bytes) -> str | None:
    record = msgspec.json.decode(line, type=Record)
    return record.op if isinstance(record, Intent) else None
