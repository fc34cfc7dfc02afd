"""The run as tables, and as JSON for the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers.measure import Indexing, Latency

OURS = "quidditch"


@dataclass(frozen=True)
class Run:
    """Everything one run found out."""

    corpus: Mapping[str, Any]
    machine: Mapping[str, Any]
    versions: Mapping[str, str | None]
    indexing: Mapping[str, Indexing]
    queries: Mapping[str, Mapping[str, Latency]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "corpus": dict(self.corpus),
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "indexing": {name: asdict(own) for name, own in self.indexing.items()},
            "queries": {
                each: {name: asdict(own) for name, own in row.items()} for each, row in self.queries.items()
            },
        }


def mega(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms"


INDEXING_ROWS: list[tuple[str, Callable[[Indexing], float], Callable[[float], str], bool]] = [
    ("indexing, documents/s", lambda own: own.documents_per_second, "{:,.0f}".format, True),
    ("indexing, peak memory", lambda own: own.peak_rss_bytes, mega, False),
    ("  of it private", lambda own: own.peak_private_bytes, mega, False),
    ("size on disk", lambda own: own.size_bytes, mega, False),
    ("import", lambda own: own.import_seconds, milliseconds, False),
    ("open to first answer", lambda own: own.open_seconds, milliseconds, False),
    ("searching, memory", lambda own: own.resident_bytes, mega, False),
    ("  of it private", lambda own: own.private_bytes, mega, False),
]


def print_run(run: Run, console: Console) -> None:
    """Two tables. A ratio above 1 means Quidditch is better there: faster, smaller."""
    facts = ", ".join(f"{key} {value}" for key, value in run.corpus.items())
    console.print(f"{facts}; {run.machine['processor']}, {run.machine['usable_cores']} cores")
    for name, version in run.versions.items():
        console.print(f"{name}: {version or 'absent, so not measured'}", highlight=False)
    others = [name for name in run.indexing if name != OURS]
    if run.indexing:
        console.print(_indexing_table(run.indexing, others))
    if run.queries:
        console.print(_query_table(run.queries, others))


def _indexing_table(found: Mapping[str, Indexing], others: list[str]) -> Table:
    table = _table("Indexing, size, opening", found, others)
    for label, value, spell, more_is_better in INDEXING_ROWS:
        values = {name: value(own) for name, own in found.items()}
        ratios = [ratio(values, other, more_is_better) for other in others]
        table.add_row(label, *(spell(each) for each in values.values()), *ratios)
    return table


def _query_table(found: Mapping[str, Mapping[str, Latency]], others: list[str]) -> Table:
    names = next(iter(found.values()))
    table = _table("Top 10, milliseconds a query: mean (p50, p99)", names, others)
    for label, row in found.items():
        cells = [f"{own.mean_ms:.2f} ({own.p50_ms:.2f}, {own.p99_ms:.2f})" for own in row.values()]
        means = {name: own.mean_ms for name, own in row.items()}
        table.add_row(label, *cells, *(ratio(means, other, False) for other in others))
    return table


def _table(title: str, names: Mapping[str, Any], others: list[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for other in others:
        table.add_column(f"× {other}", justify="right", style="bold")
    return table


def ratio(values: Mapping[str, float], other: str, more_is_better: bool) -> str:
    ours, theirs = values.get(OURS, 0), values[other]
    if not ours or not theirs:
        return ""
    return f"{(ours / theirs if more_is_better else theirs / ours):.2f}"
