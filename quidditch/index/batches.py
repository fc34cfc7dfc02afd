"""Who analyses the batches of a stream: a thread beside the caller's, or processes (`workers.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from quidditch.index.document import ParsedBatch
from quidditch.index.segment import SegmentBuilder, Unsorted
from quidditch.index.stored_fields import SourceWriter


class Analysis(Protocol):
    """Brings parsed batches into a builder, in the order they come. Use by one thread."""

    def start(self, builder: SegmentBuilder, batch: ParsedBatch, ids: Sequence[bytes]) -> None:
        """Number the batch's documents and have the rest done; waits while too much is under way.

        raises what went wrong with an earlier batch
        """

    def wait(self) -> None:
        """Until the builder holds all that was started."""

    def end(self) -> None:
        """Give up what is under way and let go of threads and processes; nothing may follow."""


class ThreadAnalysis:
    """The caller's thread looks words up, which is many short calls that need the interpreter; a second sorts and
    compresses, in few long calls that let go of it. So neither waits for the other."""

    def __init__(self) -> None:
        self._sorting = Stage("sorting")

    def start(self, builder: SegmentBuilder, batch: ParsedBatch, ids: Sequence[bytes]) -> None:
        unsorted = builder.look_up(batch, ids)
        self._sorting.start(lambda: _sort(builder, unsorted, batch.sources))

    def wait(self) -> None:
        self._sorting.wait()

    def end(self) -> None:
        self._sorting.end()


def gather(builder: SegmentBuilder, batch: ParsedBatch, ids: Sequence[bytes]) -> None:
    """Bring one batch into a builder, by this thread alone."""
    _sort(builder, builder.look_up(batch, ids), batch.sources)


def _sort(builder: SegmentBuilder, unsorted: Unsorted, sources: Sequence[bytes]) -> None:
    builder.sort(unsorted)
    stored = SourceWriter()
    stored.add(sources)
    builder.add_sources(stored)


class Stage:
    """A thread that does one thing at a time; what goes wrong there is raised by the next call here."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, f"quidditch-{name}")
        self._at_work: Future[None] | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Have it done, after what is being done."""
        self.wait()
        self._at_work = self._thread.submit(work)

    def wait(self) -> None:
        at_work, self._at_work = self._at_work, None
        if at_work is not None:
            at_work.result()

    def end(self) -> None:
        self._thread.shutdown(cancel_futures=True)
