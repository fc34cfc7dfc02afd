"""Many connections of one process that ask without a pause, or at a rate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.server.exchange import Connection


@dataclass(frozen=True)
class Latencies:
    """Milliseconds, and answers a second of all connections together."""

    answers: int
    per_second: float
    p50_ms: float
    p99_ms: float


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _latencies(taken_s: Sequence[float], seconds: float) -> Latencies:
    return Latencies(
        len(taken_s),
        round(len(taken_s) / seconds, 1),
        round(percentile(taken_s, 0.5) * 1000, 3),
        round(percentile(taken_s, 0.99) * 1000, 3),
    )


def closed(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Latencies:
    """Every connection asks anew as soon as it has been answered."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    def work(place: int) -> None:
        connection = Connection(port)
        at = place * 31
        while (began := time.perf_counter()) < end:
            connection.ask(requests[at % len(requests)])
            taken.append(time.perf_counter() - began)
            at += 1
        connection.close()

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(work, range(connections)))
    return _latencies(taken, seconds)


def paced(
    port: int, requests: Sequence[bytes], per_second: float, seconds: float, connections: int
) -> Latencies:
    """So many requests a second, each counted from when it was due: one that waits for another counts that, too."""
    due = [number / per_second for number in range(int(per_second * seconds))]
    began = time.perf_counter() + 0.1
    taken: list[float] = []

    def work(place: int) -> None:
        connection = Connection(port)
        for number in range(place, len(due), connections):
            at = began + due[number]
            time.sleep(max(0.0, at - time.perf_counter()))
            connection.ask(requests[number % len(requests)])
            taken.append(time.perf_counter() - at)
        connection.close()

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(work, range(connections)))
    return _latencies(taken, seconds)
