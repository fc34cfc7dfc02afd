"""The measurements around queries: indexing, opening, memory, processes at once, adding to a full index."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from benchmarks.peers.engines import ENGINES
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


def measure_indexing(
    names: Sequence[str], docs_file: Path, documents: int, work: Path, rounds: int, timeout_s: float
) -> tuple[dict[str, Indexing], dict[str, str]]:
    """Every engine indexes the file `rounds` times, in turns; its last index is kept for searching.

    returns: what was found, and for engines that did not come to an end the reason
    """
    results = {name: Indexing() for name in names}
    stopped: dict[str, str] = {}
    for _ in range(rounds):
        for name in [name for name in names if name not in stopped]:
            try:
                _index_once(name, 1, docs_file, work / name, results[name], timeout_s)
            except (TimeoutError, RuntimeError) as error:
                stopped[name] = f"indexing: {error}"
    for own in results.values():
        own.documents_per_second = documents / min(own.seconds) if own.seconds else 0.0
    return {name: own for name, own in results.items() if name not in stopped}, stopped


def measure_two_threads(
    names: Sequence[str], docs_file: Path, documents: int, work: Path, rounds: int, timeout_s: float
) -> dict[str, Indexing]:
    """The same with two threads or processes, of those who can be told; the index is thrown away."""
    able = [name for name in names if "threads" not in ENGINES[name].lacks]
    results = {name: Indexing() for name in able}
    for _ in range(rounds):
        for name, own in results.items():
            folder = work / f"{name}-two"
            _index_once(name, TWO, docs_file, folder, own, timeout_s)
            shutil.rmtree(folder)
            own.documents_per_second = documents / min(own.seconds)
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
    results: Mapping[str, Indexing], queries: Path, work: Path, rounds: int, budget_s: float
) -> None:
    """Adds the time from opening to the first answer (the best of the rounds) and memory after the queries."""
    for turn in range(rounds):
        for name, own in results.items():
            last = turn == rounds - 1
            answer, _ = run_child("open", name, work / name, queries, budget_s if last else 0)
            for key in ("import_seconds", "open_seconds"):
                setattr(own, key, min(getattr(own, key), answer[key]) if turn else answer[key])
            if last:
                own.resident_bytes = int(answer["resident_bytes"])
                own.private_bytes = int(answer["private_bytes"])
                own.asked = int(answer["asked"])


def measure_processes(
    names: Sequence[str], queries: Path, work: Path, rounds: int, seconds: float
) -> dict[str, Throughput]:
    """One process, then two, in turns, each for so many seconds; the best of each counts."""
    best: dict[str, dict[int, float]] = {name: {1: 0.0, TWO: 0.0} for name in names}
    for _ in range(rounds):
        for name in names:
            for count in (1, TWO):
                answers = run_together(count, "load", name, work / name, queries, seconds)
                rate = sum(answer["queries"] / answer["seconds"] for answer in answers)
                best[name][count] = max(best[name][count], rate)
    return {name: Throughput(own[1], own[TWO], own[TWO] / own[1]) for name, own in best.items()}


def measure_adding(names: Sequence[str], queries: Path, work: Path, count: int) -> dict[str, Adding]:
    """What adding costs; the documents stay in the index, so this comes last."""
    found = {}
    for name in names:
        if "add" in ENGINES[name].lacks:
            continue
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
