"""How long a search over many shards takes: the slowest of them, by a model, and by shards that only wait.

A shard's time is drawn from searches that were measured. The model knows how often one shard answers within t, F(t).
All of n do with F(t) ** n; a shard that is asked again elsewhere after d has answered unless both have not:
1 - (1 - F(t)) (1 - F(t - d)). What the model leaves out is the coordinator's own work, which the waiting shards show.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import quidditch
from benchmarks.corpora import synthetic
from benchmarks.questions import as_clause, query_classes

SHARDS = (1, 3, 10, 30, 100)
QUANTILES = (0.5, 0.99)
HEDGE_AT = 0.95
"""A shard is asked again elsewhere when it takes longer than so many do."""

Times = npt.NDArray[np.float64]


def measured(documents: int = 20_000, searches: int = 1_000) -> Times:
    """Milliseconds of searches on one shard in process, sorted."""
    docs = list(synthetic(documents))
    classes = query_classes(docs[:5_000], 200)
    queries = [as_clause(each.kind, words) for each in classes for words in each.queries]
    with tempfile.TemporaryDirectory() as folder, quidditch.connect(folder) as database:
        index = database.create_index("docs")
        index.add_many(docs)
        times = []
        for query in random.Random(7).choices(queries, k=searches):
            begun = time.perf_counter()
            index.search(query)
            times.append((time.perf_counter() - begun) * 1000)
    return np.sort(np.array(times))


def modelled(times: Times, shards: int, quantile: float, hedge_ms: float | None) -> float:
    """The quantile of the slowest of so many, in milliseconds."""
    grid = np.linspace(0.0, float(times[-1]), 20_000)
    within = np.searchsorted(times, grid, side="right") / len(times)
    if hedge_ms is not None:
        again = np.searchsorted(times, grid - hedge_ms, side="right") / len(times)
        within = 1.0 - (1.0 - within) * (1.0 - again)
    return float(grid[min(int(np.searchsorted(within**shards, quantile)), len(grid) - 1)])


async def _shard(times: Sequence[float], choose: random.Random, hedge_ms: float | None) -> None:
    """A shard that waits as long as a search took; asked again elsewhere, the earlier answer counts."""
    first = choose.choice(times)
    if hedge_ms is not None and first > hedge_ms:
        first = min(first, hedge_ms + choose.choice(times))
    await asyncio.sleep(first / 1000)


async def _waited(times: Sequence[float], shards: int, hedge_ms: float | None, searches: int) -> Times:
    choose = random.Random(11)
    found = []
    for _ in range(searches):
        begun = time.perf_counter()
        await asyncio.gather(*(_shard(times, choose, hedge_ms) for _ in range(shards)))
        found.append((time.perf_counter() - begun) * 1000)
    return np.array(found)


def fan_out(searches: int = 300) -> dict[str, Any]:
    """Model and measurement beside each other, for each number of shards, without and with asking again."""
    times = measured()
    listed = [float(each) for each in times]
    hedge_ms = float(np.quantile(times, HEDGE_AT))
    rows = []
    for shards in SHARDS:
        for hedge in (None, hedge_ms):
            waited = asyncio.run(_waited(listed, shards, hedge, searches))
            row: dict[str, Any] = {"shards": shards, "hedged": hedge is not None}
            for quantile in QUANTILES:
                name = f"p{quantile * 100:.0f}"
                row[f"{name}_model_ms"] = round(modelled(times, shards, quantile, hedge), 2)
                row[f"{name}_measured_ms"] = round(float(np.quantile(waited, quantile)), 2)
            rows.append(row)
    one = {f"p{q * 100:.0f}_ms": round(float(np.quantile(times, q)), 2) for q in (0.5, 0.95, 0.99)}
    return {"one_shard": one, "hedged_after_ms": round(hedge_ms, 2), "rows": rows}
