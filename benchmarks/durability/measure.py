"""The measurements: each opens a directory of its own below `folder` and returns plain numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import quidditch
from benchmarks.corpora import Doc
from quidditch.index.merge_schedule import MergeSchedule
from quidditch.local import LocalIndex

MAPPINGS = {"properties": {"title": {"type": "text"}, "text": {"type": "text"}}}


@contextmanager
def fresh(folder: Path, settings: dict[str, Any] | None = None) -> Iterator[LocalIndex]:
    with quidditch.connect(folder) as database:
        yield database.create_index("docs", MAPPINGS, settings)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not pass; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


# ----------------------------------------------------------------------------------------- single writes


def adds_per_second(
    folder: Path, docs: Sequence[Doc], threads: int, seconds: float, settings: dict[str, Any] | None = None
) -> float:
    """Documents that so many threads add in turns of one call each, each waiting for its own."""
    with fresh(folder, settings) as index:
        counts = [0] * threads
        end = time.monotonic() + seconds

        def work(place: int) -> None:
            while time.monotonic() < end:
                doc = docs[(place * 997 + counts[place]) % len(docs)]
                index.add({**doc, "_id": f"{place}-{counts[place]}"})
                counts[place] += 1

        started = time.monotonic()
        together(work, threads)
        index.flush()
        return sum(counts) / (time.monotonic() - started)


def together(work: Callable[[int], None], threads: int) -> None:
    running = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


# ------------------------------------------------------------------------------------ merging beside a load


@dataclass(frozen=True)
class Load:
    """How long searches and single writes took, in milliseconds, while documents were loaded, or without."""

    seconds: float
    searches: int
    search_p50_ms: float
    search_p99_ms: float
    writes: int
    write_p99_ms: float
    write_max_ms: float
    segments: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def beside_a_load(
    folder: Path, base: Sequence[Doc], docs: Sequence[Doc], queries: Sequence[str], *, merges: bool
) -> Load:
    """Searches and single writes on an index of `base`, while `docs` are loaded in the same process.

    merges:  False leaves out all merging, to compare
    """
    with fresh(folder) as index:
        index.add_many(base)
        index.force_merge()
        watch = _Watch(index, queries)
        with watch.running():
            started = time.monotonic()
            if merges:
                index.add_many(docs, chunk=2_000)
                _wait_for_merges(index)
            else:
                with mock.patch.object(MergeSchedule, "owe"), mock.patch.object(MergeSchedule, "lend_a_hand"):
                    index.add_many(docs, chunk=2_000)
            seconds = time.monotonic() - started
        return watch.load(seconds)


def at_leisure(folder: Path, base: Sequence[Doc], queries: Sequence[str], seconds: float) -> Load:
    """The same without a load."""
    with fresh(folder) as index:
        index.add_many(base)
        index.force_merge()
        watch = _Watch(index, queries)
        with watch.running():
            time.sleep(seconds)
        return watch.load(seconds)


def _wait_for_merges(index: LocalIndex) -> None:
    with index._reading() as shard:
        shard.writer._merges.wait()


class _Watch:
    """One thread that searches and one that writes, with pauses, each call timed."""

    def __init__(self, index: LocalIndex, queries: Sequence[str]) -> None:
        self._index = index
        self._queries = queries
        self._done = threading.Event()
        self._searches_ms: list[float] = []
        self._writes_ms: list[float] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=one) for one in (self._search, self._write)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in threads:
                thread.join()

    def _search(self) -> None:
        turn = 0
        while not self._done.wait(0.01):
            started = time.perf_counter()
            self._index.search(self._queries[turn % len(self._queries)], size=10)
            self._searches_ms.append((time.perf_counter() - started) * 1000)
            turn += 1

    def _write(self) -> None:
        turn = 0
        while not self._done.wait(0.02):
            started = time.perf_counter()
            self._index.add({"title": "one more", "text": f"number {turn}"}, id=f"single-{turn % 50}")
            self._writes_ms.append((time.perf_counter() - started) * 1000)
            turn += 1

    def load(self, seconds: float) -> Load:
        return Load(
            round(seconds, 1),
            len(self._searches_ms),
            round(percentile(self._searches_ms, 0.5), 2),
            round(percentile(self._searches_ms, 0.99), 2),
            len(self._writes_ms),
            round(percentile(self._writes_ms, 0.99), 2),
            round(max(self._writes_ms, default=0.0), 2),
            self._index.stats().segments,
        )


# ---------------------------------------------------------------------------------------------------- space


def rewritten(folder: Path, docs: Sequence[Doc], rounds: int) -> list[dict[str, int]]:
    """The file's size after each round of writing all documents anew, and what compacting makes of the last."""
    with fresh(folder) as index:
        sizes = []
        for turn in range(rounds + 1):
            index.add_many(docs)
            stats = index.stats()
            sizes.append({"round": turn, "size_bytes": stats.size_bytes, "free_bytes": stats.free_bytes})
        _wait_for_merges(index)
        sizes.append({"round": rounds, "size_bytes": index.stats().size_bytes, "free_bytes": 0})
        index.compact()
        sizes.append({"round": rounds, "compact_bytes": index.stats().size_bytes})
        index.force_merge()
        index.compact()
        sizes.append({"round": rounds, "merged_and_compact_bytes": index.stats().size_bytes})
        return sizes
