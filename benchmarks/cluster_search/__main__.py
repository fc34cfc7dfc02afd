"""`python -m benchmarks.cluster_search`: the same searches in process, over HTTP, and of a cluster on one machine."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

import quidditch
from benchmarks.corpora import Doc, read_jsonl, repeated, synthetic
from benchmarks.machine import machine_facts
from benchmarks.server.__main__ import HISTORY, MAPPINGS, asking, searches
from benchmarks.server.exchange import Connection
from benchmarks.server.load import percentile
from benchmarks.server.running import memory_mb, serving
from quidditch.cluster.machine import Plan, down, status, up
from quidditch.cluster.nats_server import free_ports

Ways = dict[str, Callable[[int], object]]


def main(
    data: Annotated[
        Path | None, typer.Option(help="JSONL with _id, title, text; made-up text without.")
    ] = None,
    documents: Annotated[int, typer.Option(min=100, help="Documents in the index.")] = 20_000,
    shards: Annotated[str, typer.Option(help="Numbers of shards to measure, with commas.")] = "1,3",
    nodes: Annotated[int, typer.Option(min=1, help="Data nodes of the cluster.")] = 3,
    replicas: Annotated[int, typer.Option(min=0, help="Replicas of each shard.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="How often all searches are asked of each.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    save: Annotated[
        str | None, typer.Option(help="Name of a file to write under benchmarks/history.")
    ] = None,
) -> None:
    """Measure one client's searches, one after the other, of each way in turns."""
    base = list(read_jsonl(data)) if data else list(synthetic(20_000))
    docs = list(islice(repeated(base, 1 + documents // len(base)), documents))
    bodies = searches(base)
    counts = [int(count) for count in shards.split(",")]
    with tempfile.TemporaryDirectory() as work:
        found = measure(Path(work), docs, bodies, counts, Plan(nodes, replicas, free_ports(1)[0]), rounds)
    found = {"machine": machine_facts(), "documents": len(docs), "nodes": nodes, "replicas": replicas} | found
    text = json.dumps(found, indent=1)
    if save:
        (HISTORY / f"{save}.json").write_text(text + "\n")
    if as_json:
        print(text)
    else:
        show(found)


def measure(
    folder: Path,
    docs: Sequence[Doc],
    bodies: Sequence[dict[str, Any]],
    counts: Sequence[int],
    plan: Plan,
    rounds: int,
) -> dict[str, Any]:
    """The times of each way, after the same documents were put into all of them."""
    with quidditch.connect(folder / "alone") as database:
        database.create_index("docs", MAPPINGS).add_many(docs)
    requests = asking(bodies)
    with cluster(folder / "cluster", plan) as url, quidditch.connect(url) as remote:
        for count in counts:
            fill(remote, count, docs)
        with quidditch.connect(folder / "alone") as database, serving(folder / "alone", 1) as server:
            one, several = Connection(server.port), Connection(plan.port)
            ways: Ways = {
                "in process": lambda at: msgspec.json.encode(
                    database.search("docs", {**bodies[at], "track_total_hits": 10_000}).to_dict()
                ),
                "server": lambda at: one.ask(requests[at]),
            }
            for count in counts:
                named = [each.replace(b"/docs/", f"/docs-{count}/".encode(), 1) for each in requests]
                ways[f"cluster, {count} shards"] = lambda at, named=named: several.ask(named[at])  # type: ignore[misc]
            first, again = in_turns(ways, len(bodies), rounds)
            memory = resident_mb(folder / "cluster")
            one.close()
            several.close()
    return {"first_ms": first, "again_ms": again, "resident_mb": memory}


@contextmanager
def cluster(folder: Path, plan: Plan) -> Any:
    """A cluster that runs; its URL."""
    try:
        yield up(folder, plan)
    finally:
        down(folder)


def fill(remote: Any, shards: int, docs: Sequence[Doc]) -> None:
    index = remote.create_index(f"docs-{shards}", MAPPINGS, {"number_of_shards": shards})
    index.add_many(docs)
    index.refresh()
    assert len(index) == len(docs)


def in_turns(
    ways: Ways, searches: int, rounds: int
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Milliseconds by way: of searches that are asked for the first time, and of those that were asked before."""
    taken: list[dict[str, list[float]]] = [{way: [] for way in ways}, {way: [] for way in ways}]
    for turn in range(1 + rounds):
        for at in range(searches):
            for way, ask in ways.items():
                began = time.perf_counter()
                ask(at)
                taken[min(turn, 1)][way].append((time.perf_counter() - began) * 1000)
    return told(taken[0]), told(taken[1])


def told(taken: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    alone = statistics.median(taken["in process"])
    return {
        way: {
            "p50": round(statistics.median(times), 3),
            "p99": round(percentile(times, 0.99), 3),
            "added_p50": round(statistics.median(times) - alone, 3),
        }
        for way, times in taken.items()
    }


def resident_mb(folder: Path) -> dict[str, float]:
    """What each process of the cluster holds."""
    return {name: memory_mb(pid)["resident_mb"] for name, pid in status(folder)["processes"].items()}


def show(found: dict[str, Any]) -> None:
    console = Console(width=120)
    for part in ("first_ms", "again_ms"):
        table = Table(title=f"{found['documents']:,} documents, {part}")
        for column in ("", "p50", "p99", "added_p50"):
            table.add_column(column, justify="right" if column else "left")
        for way, row in found[part].items():
            table.add_row(way, *(f"{value:.2f}" for value in row.values()))
        console.print(table)


if __name__ == "__main__":
    typer.run(main)
