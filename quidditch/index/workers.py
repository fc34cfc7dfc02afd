"""Batches of a stream analysed by worker processes, in place of a thread of this one.

This process reads and checks the documents, numbers them, and hands text and sources to whichever worker is idle;
what comes back goes into the segment in the order of the stream. So an index made by workers is the one that a
single process would have made, and a worker that dies has written nothing.
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

import numpy as np

from quidditch.analysis.vocabulary import Vocabulary
from quidditch.errors import StorageError
from quidditch.index.document import FieldValues, ParsedBatch
from quidditch.index.runs import Run
from quidditch.index.segment import SegmentBuilder
from quidditch.index.worker import Done, Failed, Job, receive, send
from quidditch.types import U32s

MAX_WORKERS = 64
"""More would wait for the one process that reads the documents."""

_END_S = 5.0
"""How long a worker may take to end by itself."""


class WorkerAnalysis:
    """As many processes as asked for, each with a batch at work; one more batch waits. They start with the first.

    raises: StorageError   a worker could not be started, or ended
    """

    def __init__(self, count: int, vocabulary_bytes: int) -> None:
        self._count = count
        self._vocabulary_bytes = vocabulary_bytes
        self._workers: list[_Worker] = []
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(count, "quidditch-worker")
        self._under_way: deque[_UnderWay] = deque()
        self._vocabularies: dict[str, Vocabulary] = {}

    def start(self, builder: SegmentBuilder, batch: ParsedBatch, ids: Sequence[bytes]) -> None:
        while len(self._workers) < self._count:
            self._workers.append(_Worker(self._vocabulary_bytes))
            self._idle.put(self._workers[-1])
        while len(self._under_way) > self._count:
            self._take_oldest()
        first_doc, texts = builder.take(batch, ids)
        self._follow({part.field.path: builder.vocabulary(part.field.path) for part in texts})
        answer = self._threads.submit(self._have_done, texts, batch.sources)
        self._under_way.append(_UnderWay(builder, first_doc, answer))

    def _follow(self, vocabularies: dict[str, Vocabulary]) -> None:
        """Agree upon term ids anew if a vocabulary was replaced, which happens between segments."""
        known = self._vocabularies
        if any(known.get(path, vocabulary) is not vocabulary for path, vocabulary in vocabularies.items()):
            # What is under way still speaks of the old ones.
            self.wait()
            known.clear()
            for worker in self._workers:
                worker.fresh = True
        known.update(vocabularies)

    def wait(self) -> None:
        while self._under_way:
            self._take_oldest()

    def end(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.reap()
        self._workers.clear()

    def _have_done(self, texts: Sequence[FieldValues], sources: Sequence[bytes]) -> tuple[_Worker, Done]:
        worker = self._idle.get()
        try:
            return worker, worker.do(texts, sources)
        finally:
            self._idle.put(worker)

    def _take_oldest(self) -> None:
        oldest = self._under_way.popleft()
        worker, done = oldest.answer.result()
        if done.fresh:
            worker.term_ids.clear()
        for text in done.texts:
            vocabulary = oldest.builder.vocabulary(text.path)
            known = worker.term_ids.get(text.path, np.zeros(0, np.uint32))
            term_ids = np.concatenate((known, vocabulary.numbers(text.new_terms)))
            worker.term_ids[text.path] = term_ids
            run = None if text.run is None else _adopted(text.run, oldest.first_doc, term_ids)
            oldest.builder.take_text(text.path, text.docs + np.uint32(oldest.first_doc), text.lengths, run)
        oldest.builder.add_sources(done.stored)


def _adopted(run: Run, first_doc: int, term_ids: U32s) -> Run:
    return replace(run, first_doc=run.first_doc + first_doc, terms=term_ids[run.terms])


@dataclass(frozen=True, slots=True)
class _UnderWay:
    builder: SegmentBuilder
    first_doc: int
    answer: Future[tuple[_Worker, Done]]


@dataclass(slots=True)
class _Worker:
    """A worker process, seen from here. `term_ids` are the ids that its terms have here, by field; `fresh` is set to
    have it begin its vocabularies anew."""

    vocabulary_bytes: int
    fresh: bool = False
    term_ids: dict[str, U32s] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        # Not `multiprocessing`: that would import the program's main module again, which many do not expect.
        code = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            f"sys.path[:] = {sys.path!r}\n"
            f"from quidditch.index.worker import main\nmain({self.vocabulary_bytes})"
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except (OSError, TypeError, ValueError) as error:
            raise StorageError(f"add_many: no worker process could be started: {error}") from error

    def do(self, texts: Sequence[FieldValues], sources: Sequence[bytes]) -> Done:
        """What becomes of a batch; one thread at a time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        fresh, self.fresh = self.fresh, False
        try:
            send(self._process.stdin, Job(fresh, texts, sources))
            answer: Done | Failed = receive(self._process.stdout)
        except (OSError, EOFError, ValueError):
            status = self._process.wait()
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            raise StorageError(
                f"add_many: worker process {self._process.pid} {how}; nothing of the chunk at hand was written"
            ) from None
        if isinstance(answer, Failed):
            raise StorageError(f"add_many: worker process {self._process.pid} failed: {answer.reason}")
        return answer

    def kill(self) -> None:
        """It holds nothing that could be lost."""
        self._process.kill()

    def reap(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
