"""What Quidditch aims at beside the others, and whether a run got there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.peers.latency import Latency
from benchmarks.peers.run import OURS, Run
from benchmarks.peers.tables import Rows

TANTIVY, BM25S = "tantivy", "bm25s"
RANKED = ("one word", "two words", "three words", "five words", "titles", "stop-word questions")
EXACT = ("AND of two", "AND of three", "phrase of two", "phrase of three")
WHEN = ("cold", "warm")
SMALL_DOCUMENTS = 20_000


@dataclass(frozen=True)
class Target:
    """`found` is to be at most, or at least, `bound`."""

    work: str
    found: float
    bound: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        return self.found <= self.bound if self.at_most else self.found >= self.bound

    @property
    def spelled_bound(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.bound:.3g}"


def targets(run: Run) -> Rows:
    """Every target that the run has figures for."""
    found = [*_writing(run), *_opening(run), *_ranked(run), *_variants(run), *_together(run)]
    rows = [
        [each.work, each.spelled_bound, f"{each.found:.2f}", "met" if each.met else "missed"]
        for each in found
    ]
    return Rows("Targets", ["work", "target", "found", ""], rows)


def _writing(run: Run) -> Iterator[Target]:
    for part, row in (("one process", run.indexing), ("two", run.two_threads)):
        rates = [row[name].documents_per_second for name in (OURS, TANTIVY) if name in row]
        if len(rates) == 2 and all(rates):
            yield Target(f"indexing, {part}, × tantivy", rates[0] / rates[1], 1.5, False)
    sizes = [run.indexing[name].size_bytes for name in (OURS, TANTIVY) if name in run.indexing]
    if len(sizes) == 2 and all(sizes):
        yield Target("size, × tantivy", sizes[0] / sizes[1], 1.0)
    if OURS in run.indexing and run.corpus["corpus"] == "short":
        yield Target("documents of ~20 words/s", run.indexing[OURS].documents_per_second, 100_000, False)
    if OURS in run.adding:
        yield Target("add one, then search: mean ms", run.adding[OURS].mean_ms, 10)


def _opening(run: Run) -> Iterator[Target]:
    own = run.indexing.get(OURS)
    if own and own.open_seconds:
        yield Target("open to first answer, ms", own.open_seconds * 1e3, 50)
        yield Target(f"resident after {own.asked:,} queries, MB", own.resident_bytes / 1e6, 300)


def _ranked(run: Run) -> Iterator[Target]:
    small = run.corpus["documents"] <= SMALL_DOCUMENTS
    for name in (*RANKED, *EXACT):
        row = run.queries.get(name, {})
        for when in WHEN:
            most = 1.2 if small else 0.5 if name in RANKED else 1.0
            yield from _mean(row, TANTIVY, f"{name}, {when}, mean × tantivy", when, most)
            if name in RANKED and not small:
                yield from _mean(row, BM25S, f"{name}, {when}, mean × bm25s", when, 1.0)
                yield from _mean(row, TANTIVY, f"{name}, {when}, p99 × tantivy", when, 1.0, "p99_ms")


def _mean(
    row: dict[str, Latency] | object, other: str, work: str, when: str, most: float, of: str = "mean_ms"
) -> Iterator[Target]:
    times = row if isinstance(row, dict) else {}
    ours, theirs = getattr(times.get(OURS), when, None), getattr(times.get(other), when, None)
    if ours and theirs:
        yield Target(work, getattr(ours, of) / getattr(theirs, of), most)


def _variants(run: Run) -> Iterator[Target]:
    for name, asked in run.asked.items():
        row, plain = run.queries[name], run.queries.get(asked.plain, {})
        for when in WHEN:
            if asked.family == "sizes":
                yield from _mean(row, TANTIVY, f"{name}, {when}, mean × tantivy", when, 1.0)
            elif OURS in plain and OURS in row:
                yield from _share(name, asked.family, [row[OURS], plain[OURS]], when)


def _share(name: str, family: str, both: Sequence[Latency], when: str) -> Iterator[Target]:
    mine, plain = (getattr(latency, when) for latency in both)
    if not mine or not plain:
        return
    share = mine.mean_ms / plain.mean_ms
    if name.startswith("five words, 0.1%"):
        yield Target(f"{name}, {when}, of unfiltered", share, 1 / 3)
    else:
        yield Target(f"{name}, {when}, of plain", share, 1.3 if family == "totals" else 1.1)


def _together(run: Run) -> Iterator[Target]:
    if OURS in run.processes:
        yield Target("two processes, throughput of one", run.processes[OURS].ratio, 1.8, False)
