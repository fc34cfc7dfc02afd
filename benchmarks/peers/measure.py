"""The measurements around queries: indexing, opening, memory, processes at once, adding to a full index."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from benchmarks.peers.processes import run_child, run_together
from benchmarks.questions import QueryClass

OPENING_QUERIES = 1000
TWO = 2


@dataclass
class Indexing:
    """Of one engine: the best of the rounds, in documents a second, and the largest memory seen.

    asked:   the queries after which `resident_bytes` and `private_bytes` were read
    """

    documents_per_second: float = 0.0
    seconds: list[float] = field(default_factory=list)
    peak_rss_bytes: int = 0
    peak_private_bytes: int = 0
    size_bytes: int = 0
    import_seconds: float = 0.0
    open_seconds: float = 0.0
    resident_bytes: int = 0
    private_bytes: int = 0
    asked: int = 0


@dataclass(frozen=True)
class Throughput:
    """Queries a second of one process, and of two together on the same index."""

    one: float
    two: float
    ratio: float


@dataclass(frozen=True)
class Adding:
    """Milliseconds of adding one document to the full index, and of the search after it, which finds it."""

    adds: int
    add_mean_ms: float
    search_mean_ms: float
    mean_ms: float
    max_ms: float


class Reasons(dict[str, list[str]]):
    """By engine: why it, or a part of it, was not measured. One engine's failure ends nobody else's run."""

    def note(self, name: str, reason: str) -> None:
        own = self.setdefault(name, [])
        if reason not in own:
            own.append(reason)

    @contextmanager
    def noting(self, name: str, part: str) -> Iterator[None]:
        """Whatever goes wrong inside with an engine becomes a reason."""
        try:
            yield
        except Exception as error:
            self.note(name, f"{part}: {str(error).strip() or type(error).__name__}")


def measure_indexing(
    names: Sequence[str],
    threads: int,
    docs_file: Path,
    documents: int,
    work: Path,
    rounds: int,
    timeout_s: float,
    reasons: Reasons,
) -> dict[str, Indexing]:
    """Every engine indexes the file `rounds` times, in turns; its last index is kept for searching.

    With more threads than one the index is thrown away. An engine that does not come to an end is left out.
    """
    results = {name: Indexing() for name in names}
    for _ in range(rounds):
        for name in list(results):
            folder = work / (name if threads == 1 else f"{name}-{threads}")
            own = results.pop(name)
            with reasons.noting(name, f"indexing with {threads}"):
                _index_once(name, threads, docs_file, folder, own, timeout_s)
                own.documents_per_second = documents / min(own.seconds)
                results[name] = own
            if threads > 1:
                shutil.rmtree(folder, ignore_errors=True)
    return results


def _index_once(
    name: str, threads: int, docs_file: Path, folder: Path, own: Indexing, timeout_s: float
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    answer, private = run_child("index", name, threads, docs_file, folder, timeout_s=timeout_s)
    own.seconds.append(answer["seconds"])
    own.peak_rss_bytes = max(own.peak_rss_bytes, int(answer["peak_rss_bytes"]))
    own.peak_private_bytes = max(own.peak_private_bytes, private)
    own.size_bytes = size_on_disk(folder)


def write_queries(classes: Sequence[QueryClass], file: Path, count: int = OPENING_QUERIES) -> Path:
    """A file of so many queries, from all classes in turns, for children to ask."""
    most = max(len(each.queries) for each in classes)
    asked = [
        (each.kind, list(each.queries[turn]))
        for turn in range(most)
        for each in classes
        if turn < len(each.queries)
    ]
    file.write_text(json.dumps(asked[:count]))
    return file


def measure_opening(
    results: Mapping[str, Indexing], queries: Path, work: Path, rounds: int, budget_s: float, reasons: Reasons
) -> None:
    """Adds the time from opening to the first answer (the best of the rounds) and memory after the queries."""
    for turn in range(rounds):
        for name, own in results.items():
            with reasons.noting(name, "opening"):
                last = turn == rounds - 1
                answer, _ = run_child("open", name, work / name, queries, budget_s if last else 0)
                for key in ("import_seconds", "open_seconds"):
                    setattr(own, key, min(getattr(own, key) or answer[key], answer[key]))
                if last:
                    own.resident_bytes = int(answer["resident_bytes"])
                    own.private_bytes = int(answer["private_bytes"])
                    own.asked = int(answer["asked"])


def measure_processes(
    names: Sequence[str], queries: Path, work: Path, rounds: int, seconds: float, reasons: Reasons
) -> dict[str, Throughput]:
    """One process, then two, in turns, each for so many seconds; the best of each counts."""
    best: dict[str, dict[int, float]] = {name: {1: 0.0, TWO: 0.0} for name in names}
    for _ in range(rounds):
        for name in names:
            with reasons.noting(name, "two processes"):
                for count in (1, TWO):
                    answers = run_together(count, "load", name, work / name, queries, seconds)
                    rate = sum(answer["queries"] / answer["seconds"] for answer in answers)
                    best[name][count] = max(best[name][count], rate)
    return {name: Throughput(own[1], own[TWO], own[TWO] / own[1]) for name, own in best.items() if own[TWO]}


def measure_adding(
    names: Sequence[str], queries: Path, work: Path, count: int, reasons: Reasons
) -> dict[str, Adding]:
    """What adding costs; the documents stay in the index, so this comes last."""
    found = {}
    for name in names:
        with reasons.noting(name, "adding"):
            answer, _ = run_child("add", name, work / name, queries, count)
            adds, searches = answer["add_seconds"], answer["search_seconds"]
            both = [first + second for first, second in zip(adds, searches, strict=True)]
            found[name] = Adding(
                count, fmean(adds) * 1e3, fmean(searches) * 1e3, fmean(both) * 1e3, max(both) * 1e3
            )
    return found


def size_on_disk(folder: Path) -> int:
    """Bytes the folder's files take on disk; holes in sparse files are not counted."""
    stats = [file.stat() for file in folder.rglob("*") if file.is_file()]
    return sum(stat.st_blocks * 512 if hasattr(stat, "st_blocks") else stat.st_size for stat in stats)
