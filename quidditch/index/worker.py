"""A worker process of `add_many`: batches of text in, sorted runs and compressed sources out.

It knows no index and opens no file: it reads jobs from its standard input and answers on its standard output, until
the input ends, which it does however its parent ends. Both sides are the same release of the same program, so what
passes between them is pickled.
"""

from __future__ import annotations

import pickle
import struct
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from quidditch.index.document import FieldValues
from quidditch.index.runs import Run, sorted_run
from quidditch.index.segment import Vocabularies
from quidditch.index.stored_fields import SourceWriter
from quidditch.schema.fields import TextField
from quidditch.types import U32s

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Job:
    """A batch: the values of its text fields, and its sources. `fresh` has all vocabularies begin anew."""

    fresh: bool
    texts: Sequence[FieldValues]
    sources: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class SortedText:
    """One text field of a batch. Term ids are the worker's own: `new_terms` are those it had not named before, in the
    order of their ids; documents are counted from the batch's first."""

    path: str
    docs: U32s
    lengths: U32s
    run: Run | None
    new_terms: list[bytes]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a job. `fresh` says that vocabularies began anew with it."""

    fresh: bool
    texts: list[SortedText]
    stored: SourceWriter


@dataclass(frozen=True, slots=True)
class Failed:
    """A job went wrong: the traceback, in words."""

    reason: str


class Worker:
    """Does jobs, one after the other."""

    def __init__(self, vocabulary_bytes: int) -> None:
        self._vocabulary_bytes = vocabulary_bytes
        self._vocabularies = Vocabularies(vocabulary_bytes)

    def do(self, job: Job) -> Done:
        fresh = job.fresh or self._vocabularies.over_limit
        if fresh:
            self._vocabularies = Vocabularies(self._vocabulary_bytes)
        texts = [self._sorted(part) for part in job.texts]
        stored = SourceWriter()
        stored.add(job.sources)
        return Done(fresh, texts, stored)

    def _sorted(self, part: FieldValues) -> SortedText:
        field = part.field
        assert isinstance(field, TextField)
        vocabulary = self._vocabularies.of(field)
        known = len(vocabulary.terms)
        batch = vocabulary.invert(part.values)
        positions = field.index and field.has_positions
        run = sorted_run(batch, part.docs, with_positions=positions) if len(batch.term) else None
        return SortedText(field.path, part.docs, batch.lengths, run, vocabulary.terms[known:])


def send(stream: IO[bytes], message: Any) -> None:
    """raises: OSError   nobody reads any more"""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """raises: EOFError   the other side is gone"""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)


def main(vocabulary_bytes: int) -> None:
    """Do jobs until there are no more. Ctrl-C, which a terminal sends to all, is the parent's to answer."""
    jobs, answers = sys.stdin.buffer, sys.stdout.buffer
    # Whatever a library may print must not get between the answers.
    sys.stdout = sys.stderr
    worker = Worker(vocabulary_bytes)
    try:
        while True:
            job = receive(jobs)
            try:
                answer: Done | Failed = worker.do(job)
            except Exception:
                answer = Failed(traceback.format_exc())
            send(answers, answer)
    except (EOFError, OSError):
        return
