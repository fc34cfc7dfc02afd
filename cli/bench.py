"""`quidditch bench`: how long a user's own queries take on a user's own index."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from quidditch.errors import RequestError
from quidditch.interface import Database

from . import bench_plot, load, render
from .failures import REFUSED, CommandError
from .load import Line
from .opening import AsJson, Name, check_name, existing

BUCKETS = 12
BAR_CELLS = 40


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds over so many searches."""

    searches: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Asked:
    """One query: its line, how many hits it has (None when nobody counted), and what it took, the first time
    and then on average; or why the index refused it."""

    line: int
    hits: int | None = None
    first_ms: float | None = None
    warm_ms: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many searches took from `from_ms` to `to_ms`, the latter left out but by the last."""

    from_ms: float
    to_ms: float
    searches: int


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that was measured. `threads` and `processes`: queries a second by how many there were."""

    index: str
    documents: int
    size: int
    rounds: int
    first: Latency
    warm: Latency
    histogram: list[Bucket]
    queries: list[Asked]
    threads: dict[str, float] = field(default_factory=dict)
    processes: dict[str, float] = field(default_factory=dict)

    @property
    def no_hits(self) -> list[int]:
        return [asked.line for asked in self.queries if asked.hits == 0]

    @property
    def refused(self) -> list[Asked]:
        return [asked for asked in self.queries if asked.error is not None]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "no_hits": self.no_hits, "errors": [asked.line for asked in self.refused]}


def bench(
    location: Annotated[str, typer.Argument(metavar="DIR", help="The directory of the indices.")],
    name: Name,
    queries: Annotated[
        Path,
        typer.Option(
            "--queries", metavar="FILE", help="A query on each line: words, a JSON clause, or a JSON body."
        ),
    ],
    size: Annotated[int, typer.Option("--size", "-n", metavar="N", min=0, help="Hits on a page.")] = 10,
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", min=1, help="Queries a second by 1 to N threads.")
    ] = 1,
    processes: Annotated[
        int, typer.Option("--processes", metavar="N", min=1, help="Queries a second by 1 to N processes.")
    ] = 1,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, help="Times to ask everything, after the first.")
    ] = 3,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw it too; needs matplotlib.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how long your own queries take on your own index, one by one and many at once.

    Each query is asked once, then all of them --rounds times more. Exit code 1 when the index refuses one.
    """
    if "://" in location or location == ":memory:":
        raise CommandError(f"bench measures an index in a directory, and {location} is none")
    if plot is not None:
        bench_plot.check(plot)
    lines = load.read_queries(queries)
    with existing(location) as db:
        check_name(db, location, name)
        found = measured(db, name, lines, size, rounds)
        refused = {asked.line for asked in found.refused}
        good = [line for line in lines if line.number not in refused]
        for count in range(1, threads + 1):
            found.threads[str(count)] = load.rate_of_threads(db, name, good, size, rounds, count)
    for count in range(1, processes + 1 if processes > 1 else 1):
        found.processes[str(count)] = load.rate_of_processes(location, name, queries, size, rounds, count)
    if plot is not None:
        bench_plot.draw(plot, found.to_dict())
    if as_json:
        render.print_json(found.to_dict())
    else:
        _print(found)
    if refused:
        raise typer.Exit(REFUSED)


def measured(db: Database, name: str, lines: list[Line], size: int, rounds: int) -> Bench:
    """What one thread finds out. raises: CommandError when the index refuses every query"""
    firsts = [_first(db, name, line, size) for line in lines]
    good = [line for line, asked in zip(lines, firsts, strict=True) if asked.error is None]
    if not good:
        raise CommandError(f"{name} refuses every query; line {firsts[0].line}: {firsts[0].error}")
    warm = np.array([[_timed(db, name, line, size) for line in good] for _ in range(rounds)])
    means = dict(zip((line.number for line in good), warm.mean(axis=0).tolist(), strict=True))
    asked = [Asked(one.line, one.hits, one.first_ms, means.get(one.line), one.error) for one in firsts]
    cold = np.array([one.first_ms for one in firsts if one.first_ms is not None])
    documents = len(db.index(name))
    return Bench(name, documents, size, rounds, latency(cold), latency(warm), histogram(warm.ravel()), asked)


def _first(db: Database, name: str, line: Line, size: int) -> Asked:
    started = time.perf_counter()
    try:
        result = load.ask(db, name, line, size)
    except RequestError as error:
        return Asked(line.number, error=str(error))
    return Asked(line.number, result.total, (time.perf_counter() - started) * 1e3)


def _timed(db: Database, name: str, line: Line, size: int) -> float:
    started = time.perf_counter()
    load.ask(db, name, line, size)
    return (time.perf_counter() - started) * 1e3


def latency(milliseconds: np.ndarray[Any, Any]) -> Latency:
    """Mean, percentiles and maximum. milliseconds: float64, of any shape, not empty"""
    p50, p90, p99 = np.percentile(milliseconds, (50, 90, 99)).tolist()
    return Latency(milliseconds.size, float(milliseconds.mean()), p50, p90, p99, float(milliseconds.max()))


def histogram(milliseconds: np.ndarray[Any, Any]) -> list[Bucket]:
    """Twelve buckets, each wider than the one before by the same factor. milliseconds: float64[n], n > 0"""
    low, high = float(milliseconds.min()), float(milliseconds.max())
    edges = np.geomspace(low, max(high, low * 1.01), BUCKETS + 1)
    # Rounding may leave the extremes outside.
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    counts, _ = np.histogram(milliseconds, edges)
    bounds = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    return [Bucket(*bucket) for bucket in bounds]


# ------------------------------------------------------------------------------------------------ output


def _print(found: Bench) -> None:
    good = len(found.queries) - len(found.refused)
    render.print_line(
        f"{found.index}: {render.counted(found.documents, 'document')}, {render.counted(good, 'query')}, "
        f"top {found.size}"
    )
    columns = [("milliseconds", "name")]
    columns += [(head, "number") for head in ("searches", "mean", "p50", "p90", "p99", "max")]
    rows = [("the first time", found.first), ("again", found.warm)]
    render.print_table(columns, [_latency_row(label, own) for label, own in rows])
    _print_histogram(found.histogram)
    rates = [("threads", found.threads), ("processes", found.processes)]
    columns = [("at once", "name"), ("", "number"), ("queries/s", "number"), ("of one", "number")]
    render.print_table(columns, [row for label, own in rates for row in _rate_rows(label, own)])
    if found.no_hits:
        render.print_line(f"no hits: {_lines(found.no_hits)}", render.QUIET)
    for asked in found.refused:
        render.print_note(f"line {asked.line}: {asked.error}")


def _latency_row(label: str, own: Latency) -> list[str]:
    values = (own.mean_ms, own.p50_ms, own.p90_ms, own.p99_ms, own.max_ms)
    return [label, f"{own.searches:,}", *(f"{value:,.2f}" for value in values)]


def _print_histogram(buckets: list[Bucket]) -> None:
    most = max(bucket.searches for bucket in buckets)
    columns = [("from ms", "number"), ("to ms", "number"), ("searches", "number"), ("", "text")]
    rows = [
        [
            f"{bucket.from_ms:,.2f}",
            f"{bucket.to_ms:,.2f}",
            f"{bucket.searches:,}",
            "█" * -(-BAR_CELLS * bucket.searches // most),
        ]
        for bucket in buckets
    ]
    render.print_table(columns, rows)


def _rate_rows(label: str, rates: dict[str, float]) -> list[list[str]]:
    return [[label, count, f"{rate:,.0f}", f"{rate / rates['1']:.2f}"] for count, rate in rates.items()]


def _lines(numbers: list[int], most: int = 20) -> str:
    shown = ", ".join(map(str, numbers[:most]))
    more = f", … {len(numbers) - most:,} more" if len(numbers) > most else ""
    return f"{'line' if len(numbers) == 1 else 'lines'} {shown}{more}"
