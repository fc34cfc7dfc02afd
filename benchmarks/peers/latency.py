"""Milliseconds a query, cold and warm: engines take turns, so that a busy machine is busy for all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.peers.engines import ENGINES
from benchmarks.peers.engines.contract import Need, Searcher
from benchmarks.peers.measure import Reasons
from benchmarks.questions import QueryClass

WARM_UP_SHARE = 0.2


@dataclass(frozen=True)
class Times:
    """Milliseconds over `queries` timed calls."""

    mean_ms: float
    p50_ms: float
    p99_ms: float
    queries: int


@dataclass(frozen=True)
class Latency:
    """Of one class and engine. `cold`: each query for the first time; `warm`: the same queries again.

    One of them may be missing: there was no time for it, or an old run did not measure it.
    """

    cold: Times | None
    warm: Times | None

    @property
    def settled(self) -> Times:
        """The warm times, or what there is."""
        found = self.warm or self.cold
        if found is None:
            raise ValueError("neither cold nor warm times")
        return found

    @property
    def different(self) -> int:
        """How many queries were asked in one turn."""
        return (self.cold or self.settled).queries


@dataclass(frozen=True)
class Budget:
    """Seconds an engine may take for the cold turn of a class, and as many for its warm turns together."""

    anchors_s: float
    others_s: float

    def of(self, name: str) -> float:
        return self.anchors_s if ENGINES[name].anchor else self.others_s


def lacking(name: str, asked: QueryClass) -> str | None:
    """Why an engine cannot answer a class; None when it can."""
    needs: list[tuple[Need, bool]] = [
        ("and", asked.kind == "and"),
        ("phrase", asked.kind == "phrase"),
        ("filter", asked.group is not None),
        ("totals", asked.totals),
    ]
    lacks = ENGINES[name].lacks
    return next((lacks[need] for need, wanted in needs if wanted and need in lacks), None)


class Searchers:
    """One open index of each engine; opened anew for a class where an engine remembers past queries."""

    def __init__(self, names: Sequence[str], work: Path) -> None:
        self._work = work
        self._open: dict[str, Searcher] = {}
        self.names = names

    def fresh(self, name: str) -> Searcher:
        if name in self._open and ENGINES[name].caches:
            self._open.pop(name).close()
        if name not in self._open:
            self._open[name] = ENGINES[name].open(self._work / name)
        return self._open[name]

    def close(self) -> None:
        for searcher in self._open.values():
            searcher.close()


def measure_class(
    searchers: Searchers,
    asked: QueryClass,
    warm_up: QueryClass,
    rounds: int,
    budget: Budget,
    reasons: Reasons,
) -> dict[str, Latency]:
    """By engine. `warm_up` are other queries of the same shape: they load code and tables, no query's answer."""
    able = [name for name in searchers.names if lacking(name, asked) is None]
    opened: dict[str, Searcher] = {}
    cold: dict[str, list[float]] = {}
    for name in able:
        with reasons.noting(name, asked.name):
            searcher = searchers.fresh(name)
            list(_timed(searcher, warm_up, budget.of(name) * WARM_UP_SHARE))
            cold[name] = list(_timed(searcher, asked, budget.of(name)))
            opened[name] = searcher
    warm: dict[str, list[float]] = {name: [] for name in opened}
    for _ in range(rounds):
        for name, searcher in opened.items():
            left = budget.of(name) - sum(warm[name])
            # An engine that was cut short is asked again what it was asked, so that warm is warm.
            warm[name] += _timed(searcher, asked, left, most=len(cold[name])) if left > 0 else []
    return {name: Latency(_times(cold[name]), _times(warm[name]) if warm[name] else None) for name in opened}


def _timed(
    searcher: Searcher, asked: QueryClass, budget_s: float, most: int | None = None
) -> Iterator[float]:
    prepared = [searcher.prepare(asked.kind, words, asked.group) for words in asked.queries[:most]]
    until = time.perf_counter() + budget_s
    for query in prepared:
        started = time.perf_counter()
        searcher.search(query, asked.size, asked.totals)
        ended = time.perf_counter()
        yield ended - started
        if ended > until:
            return


def _times(seconds: list[float]) -> Times:
    milliseconds = np.asarray(seconds) * 1e3
    return Times(
        mean_ms=fmean(milliseconds),
        p50_ms=float(np.percentile(milliseconds, 50)),
        p99_ms=float(np.percentile(milliseconds, 99)),
        queries=len(seconds),
    )


def measure_queries(
    names: Sequence[str],
    classes: Sequence[QueryClass],
    warm_ups: Mapping[str, QueryClass],
    work: Path,
    rounds: int,
    budget: Budget,
    reasons: Reasons,
) -> dict[str, dict[str, Latency]]:
    """By class and engine. `warm_ups`: by the name of a class."""
    searchers = Searchers(names, work)
    try:
        return {
            each.name: measure_class(searchers, each, warm_ups[each.name], rounds, budget, reasons)
            for each in classes
        }
    finally:
        searchers.close()
