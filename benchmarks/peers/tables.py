"""A run as plain tables: rows of text, which the terminal and Markdown show in their own ways.

A ratio above 1 means that Quidditch is better there: faster, or smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.peers.latency import Latency, Times
from benchmarks.peers.measure import Indexing
from benchmarks.peers.run import OURS, Run

FAMILIES = {
    "plain": "Top 10, milliseconds a query",
    "totals": "Top 10 and the exact number of hits, milliseconds a query",
    "filters": "Top 10 of a part of the documents, milliseconds a query",
    "sizes": "Top 100 and 1,000, milliseconds a query",
}


@dataclass(frozen=True)
class Rows:
    """A table; the first column is text, the others are numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def mega(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms"


# What is measured, how it is spelled, and whether more of it is better; None where there is no better.
INDEXING_ROWS: list[tuple[str, Callable[[Indexing], float], Callable[[float], str], bool | None]] = [
    ("indexing, documents/s", lambda own: own.documents_per_second, "{:,.0f}".format, True),
    ("indexing, peak memory", lambda own: own.peak_rss_bytes, mega, False),
    ("of it private", lambda own: own.peak_private_bytes, mega, False),
    ("size on disk", lambda own: own.size_bytes, mega, False),
    ("import", lambda own: own.import_seconds, milliseconds, False),
    ("open to first answer", lambda own: own.open_seconds, milliseconds, False),
    ("queries asked for the memory below", lambda own: own.asked, "{:,.0f}".format, None),
    ("memory after them", lambda own: own.resident_bytes, mega, False),
    ("of it private", lambda own: own.private_bytes, mega, False),
]


def all_tables(run: Run) -> list[Rows]:
    """Every table that the run has something for."""
    found = [_indexing(run), _two_threads(run), _processes(run), _adding(run)]
    found += [latencies(run, family) for family in FAMILIES]
    return [table for table in found if table.rows]


def _indexing(run: Run) -> Rows:
    others = [name for name in run.indexing if name != OURS]
    rows = []
    for label, value, spell, more_is_better in INDEXING_ROWS:
        values = {name: value(own) for name, own in run.indexing.items()}
        ratios = ["" if more_is_better is None else ratio(values, other, more_is_better) for other in others]
        rows.append([label, *(spell(each) if each else "" for each in values.values()), *ratios])
    columns = ["", *run.indexing, *(f"× {other}" for other in others)]
    return Rows("Indexing with one thread, size, opening", columns, rows if run.indexing else [])


def _two_threads(run: Run) -> Rows:
    values = {name: own.documents_per_second for name, own in run.two_threads.items()}
    rows = [
        [
            name,
            f"{rate:,.0f}",
            f"{rate / run.indexing[name].documents_per_second:.2f}" if name in run.indexing else "",
            ratio(values, name, True) if name != OURS else "",
        ]
        for name, rate in values.items()
    ]
    return Rows("Indexing with two", ["", "documents/s", "of one", "ratio"], rows)


def _processes(run: Run) -> Rows:
    rows = [
        [name, f"{own.one:,.0f}", f"{own.two:,.0f}", f"{own.ratio:.2f}"]
        for name, own in run.processes.items()
    ]
    return Rows("Two processes on one index, queries/s", ["", "one", "two", "two of one"], rows)


def _adding(run: Run) -> Rows:
    rows = [
        [name, *(f"{value:.2f}" for value in (own.add_mean_ms, own.search_mean_ms, own.mean_ms, own.max_ms))]
        for name, own in run.adding.items()
    ]
    columns = ["", "add", "search", "both, mean", "both, max"]
    return Rows("Add one document to the full index, then search, milliseconds", columns, rows)


def latencies(run: Run, family: str) -> Rows:
    """A row for each class and engine."""
    names = [name for name in run.queries if run.asked[name].family == family]
    rows = [row for name in names for row in _class_rows(run, name)]
    columns = ["class", "engine", "queries"]
    columns += ["cold mean", "p50", "p99", "warm mean", "p50", "p99"]
    columns += ["cold mean ×", "p99 ×", "warm mean ×", "p99 ×"]
    if family != "plain":
        columns += ["cold of plain", "warm of plain"]
    return Rows(FAMILIES[family], columns, rows)


def _class_rows(run: Run, name: str) -> list[list[str]]:
    found, rows = run.queries[name], []
    plain = run.queries.get(run.asked[name].plain, {})
    for place, (engine, own) in enumerate(found.items()):
        row = [
            name if not place else "",
            engine,
            f"{own.different:,}",
            *_spelled(own.cold),
            *_spelled(own.warm),
        ]
        row += [
            _against(found, engine, when, of) for when in ("cold", "warm") for of in ("mean_ms", "p99_ms")
        ]
        if run.asked[name].plain:
            row += [_share(own, plain.get(engine), when) for when in ("cold", "warm")]
        rows.append(row)
    return rows


def _spelled(times: Times | None) -> list[str]:
    if times is None:
        return ["", "", ""]
    return [f"{value:,.2f}" for value in (times.mean_ms, times.p50_ms, times.p99_ms)]


def _against(found: Mapping[str, Latency], engine: str, when: str, of: str) -> str:
    values = {name: getattr(getattr(own, when), of, 0.0) for name, own in found.items()}
    return ratio(values, engine, False) if engine != OURS else ""


def _share(own: Latency, plain: Latency | None, when: str) -> str:
    mine, base = getattr(own, when), getattr(plain, when, None)
    return f"{mine.mean_ms / base.mean_ms:.2f}" if mine and base else ""


def ratio(values: Mapping[str, float], other: str, more_is_better: bool) -> str:
    """How much better Quidditch is than the other; empty when one of them has no value."""
    ours, theirs = values.get(OURS, 0), values[other]
    if not ours or not theirs:
        return ""
    return f"{(ours / theirs if more_is_better else theirs / ours):.2f}"
