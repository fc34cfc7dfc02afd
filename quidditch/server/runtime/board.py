"""Numbers of a server's workers, in memory that they share."""

from __future__ import annotations

import mmap
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

KINDS = ("search", "bulk", "write", "read", "other")
"""What a request does, as far as its numbers are kept apart."""

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf"))
"""Upper ends of a histogram's buckets."""

RESULTS = ("created", "updated", "deleted", "noop", "not_found", "failed")


def _counters() -> Iterator[str]:
    for kind, status in product(KINDS, ("1xx", "2xx", "3xx", "4xx", "5xx")):
        yield f'quidditch_http_requests_total{{kind="{kind}",status="{status}"}}'
    for kind in KINDS:
        for end_s in BUCKETS_S:
            yield f'quidditch_http_request_seconds_bucket{{kind="{kind}",le="{_text(end_s)}"}}'
        yield f'quidditch_http_request_seconds_sum{{kind="{kind}"}}'
        yield f'quidditch_http_request_seconds_count{{kind="{kind}"}}'
    yield from ("quidditch_http_received_bytes_total", "quidditch_http_sent_bytes_total")
    for reason in ("queue", "bytes", "wait", "slow"):
        yield f'quidditch_http_rejected_total{{reason="{reason}"}}'
    for result in RESULTS:
        yield f'quidditch_indexing_writes_total{{result="{result}"}}'
    yield from (
        "quidditch_indexing_seconds_total",
        "quidditch_search_slow_total",
        "quidditch_indexing_slow_total",
    )
    yield from ("quidditch_refresh_total", "quidditch_refresh_seconds_total")
    yield from ("quidditch_merge_total", "quidditch_merge_seconds_total")


def _text(number: float) -> str:
    return "+Inf" if number == float("inf") else f"{number:g}"


COUNTERS = tuple(_counters())

GAUGES = (
    "quidditch_worker_pid",
    "quidditch_worker_starts",
    "quidditch_http_connections",
    "quidditch_http_in_flight",
    "quidditch_http_queued",
    "quidditch_http_in_flight_bytes",
    "quidditch_search_contexts_open",
    "quidditch_tasks_running",
    "quidditch_cache_bytes",
)

_PLACES = {name: place for place, name in enumerate((*COUNTERS, *GAUGES))}


class Board:
    """The numbers of all workers, a row for each. What a worker has counted stays when it dies, so sums never fall.

    Made before the workers are forked: the memory is the same for all of them.
    """

    def __init__(self, workers: int = 1) -> None:
        memory = mmap.mmap(-1, max(1, workers * len(_PLACES) * 8))
        self._rows: NDArray[np.float64] = np.frombuffer(memory, np.float64).reshape(workers, -1)

    @property
    def workers(self) -> int:
        return len(self._rows)

    def row(self, worker: int) -> Numbers:
        """The numbers of one worker, which it alone may change."""
        return Numbers(self._rows[worker])

    def total(self, name: str) -> float:
        """Over all workers."""
        return float(self._rows[:, _PLACES[name]].sum())

    def each(self, name: str) -> list[float]:
        """By worker."""
        return [float(value) for value in self._rows[:, _PLACES[name]]]


class Numbers:
    """What one worker counts; safe to share between its threads."""

    def __init__(self, row: NDArray[np.float64]) -> None:
        self._row = row
        self._lock = threading.Lock()

    def add(self, name: str, number: float = 1.0) -> None:
        with self._lock:
            self._row[_PLACES[name]] += number

    def set(self, name: str, number: float) -> None:
        self._row[_PLACES[name]] = number

    def get(self, name: str) -> float:
        return float(self._row[_PLACES[name]])

    def begin(self, pid: int) -> None:
        """A new process takes the row over: counters go on, what its predecessor had open is gone."""
        for name in GAUGES:
            if name != "quidditch_worker_starts":
                self.set(name, 0)
        self.set("quidditch_worker_pid", pid)
        self.add("quidditch_worker_starts")

    def wrote(self, results: Iterable[str]) -> None:
        """Count writes by what became of them."""
        for result, number in Counter(results).items():
            self.add(f'quidditch_indexing_writes_total{{result="{result}"}}', number)

    def answered(self, kind: str, status: int, seconds: float) -> None:
        """Count one request."""
        first = _PLACES[f'quidditch_http_request_seconds_bucket{{kind="{kind}",le="{_text(BUCKETS_S[0])}"}}']
        within = sum(end_s < seconds for end_s in BUCKETS_S)
        with self._lock:
            self._row[
                _PLACES[f'quidditch_http_requests_total{{kind="{kind}",status="{status // 100}xx"}}']
            ] += 1
            # Buckets hold what took up to their end, so those above count it, too; then the sum and the count.
            self._row[first + within : first + len(BUCKETS_S)] += 1
            self._row[first + len(BUCKETS_S)] += seconds
            self._row[first + len(BUCKETS_S) + 1] += 1
