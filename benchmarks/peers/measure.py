"""The measurements: engines take turns inside one run, so that a busy machine is busy for all of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.peers.engines import ENGINES
from benchmarks.questions import QueryClass

SAMPLE_EVERY_S = 0.05
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Indexing:
    """Of one engine: the best of the rounds, in documents a second, and the largest memory seen."""

    documents_per_second: float = 0.0
    seconds: list[float] = field(default_factory=list)
    peak_rss_bytes: int = 0
    peak_private_bytes: int = 0
    size_bytes: int = 0
    import_seconds: float = 0.0
    open_seconds: float = 0.0
    resident_bytes: int = 0
    private_bytes: int = 0


@dataclass
class Latency:
    """Milliseconds a query of one class took with one engine, over `queries` timed calls."""

    mean_ms: float
    p50_ms: float
    p99_ms: float
    queries: int


def run_child(*arguments: object) -> tuple[dict[str, Any], int]:
    """What the child printed, and the most memory of its own (no mapped files) that was seen while it ran."""
    command = [sys.executable, "-m", "benchmarks.peers.child", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    seen: list[int] = [0]
    sampler = threading.Thread(target=_sample_memory, args=(process, seen), daemon=True)
    sampler.start()
    output, _ = process.communicate()
    sampler.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer, max(seen)


def _sample_memory(process: subprocess.Popen[str], seen: list[int]) -> None:
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            rows = [line for line in status.read_text().splitlines() if line.startswith("RssAnon:")]
        except OSError:
            return
        if rows:
            seen.append(int(rows[0].split()[1]) * 1024)
        time.sleep(SAMPLE_EVERY_S)


def measure_indexing(
    names: Sequence[str], docs_file: Path, documents: int, work: Path, rounds: int
) -> dict[str, Indexing]:
    """Every engine indexes the file `rounds` times, in turns; its last index is kept for searching."""
    results = {name: Indexing() for name in names}
    for _ in range(rounds):
        for name in names:
            folder = work / name
            shutil.rmtree(folder, ignore_errors=True)
            answer, private = run_child("index", name, docs_file, folder)
            own = results[name]
            own.seconds.append(answer["seconds"])
            own.peak_rss_bytes = max(own.peak_rss_bytes, int(answer["peak_rss_bytes"]))
            own.peak_private_bytes = max(own.peak_private_bytes, private)
            own.size_bytes = size_on_disk(folder)
            own.documents_per_second = documents / min(own.seconds)
    return results


def measure_opening(
    results: dict[str, Indexing], classes: Sequence[QueryClass], work: Path, rounds: int
) -> None:
    """Adds the time from opening to the first answer (the best of the rounds) and memory after queries."""
    asked = [(each.kind, list(words)) for each in classes for words in each.queries[:10]]
    queries = work / "queries.json"
    queries.write_text(json.dumps(asked))
    for turn in range(rounds):
        for name, own in results.items():
            answer, _ = run_child("open", name, work / name, queries)
            for key in ("import_seconds", "open_seconds"):
                setattr(own, key, min(getattr(own, key), answer[key]) if turn else answer[key])
            own.resident_bytes = int(answer["resident_bytes"])
            own.private_bytes = int(answer["private_bytes"])


def measure_queries(
    names: Sequence[str],
    classes: Sequence[QueryClass],
    work: Path,
    rounds: int,
    budget_s: float,
    totals: bool,
) -> dict[str, dict[str, Latency]]:
    """By class and engine. Each engine answers a class once unmeasured, then the engines take turns.

    An engine stops early in a class when it has used `budget_s` there in one round.
    """
    searchers = {name: ENGINES[name].open(work / name) for name in names}
    found: dict[str, dict[str, Latency]] = {}
    for each in classes:
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(rounds + 1):
            for name in names:
                taken = list(_timed(searchers[name], each, budget_s, totals))
                times[name] += taken if turn else []
        found[each.name] = {name: _latency(times[name]) for name in names}
    for searcher in searchers.values():
        searcher.close()
    return found


def _timed(searcher: Any, asked: QueryClass, budget_s: float, totals: bool) -> Iterator[float]:
    prepared = [searcher.prepare(asked.kind, words) for words in asked.queries]
    until = time.perf_counter() + budget_s
    for query in prepared:
        started = time.perf_counter()
        searcher.search(query, 10, totals)
        ended = time.perf_counter()
        yield ended - started
        if ended > until:
            return


def _latency(seconds: list[float]) -> Latency:
    milliseconds = np.asarray(seconds) * 1e3
    return Latency(
        mean_ms=fmean(milliseconds),
        p50_ms=float(np.percentile(milliseconds, 50)),
        p99_ms=float(np.percentile(milliseconds, 99)),
        queries=len(seconds),
    )


def size_on_disk(folder: Path) -> int:
    """Bytes the folder's files take on disk; holes in sparse files are not counted."""
    stats = [file.stat() for file in folder.rglob("*") if file.is_file()]
    return sum(stat.st_blocks * 512 if hasattr(stat, "st_blocks") else stat.st_size for stat in stats)
