"""`python -m benchmarks.server`: what HTTP adds to a search, searches a second, bulk, get, memory, start."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console
from rich.table import Table

import quidditch
from benchmarks.corpora import Doc, read_jsonl, repeated, synthetic
from benchmarks.machine import machine_facts
from benchmarks.questions import as_clause, query_classes
from benchmarks.server.exchange import Connection, request
from benchmarks.server.load import closed, paced, percentile
from benchmarks.server.running import memory_mb, serving
from quidditch.interface import Index

HISTORY = Path(__file__).parents[1] / "history"
MAPPINGS = {"properties": {"title": {"type": "text"}, "text": {"type": "text"}, "group": {"type": "keyword"}}}
ASKED = ("one word", "two words", "three words", "five words", "titles")
SEARCH = "/docs/_search"


def main(
    data: Annotated[
        Path | None, typer.Option(help="JSONL with _id, title, text; made-up text without.")
    ] = None,
    documents: Annotated[int, typer.Option(min=100, help="Documents in the index.")] = 100_000,
    seconds: Annotated[float, typer.Option(help="Seconds of each load.")] = 5.0,
    connections: Annotated[int, typer.Option(min=1, help="Connections of the load of searches.")] = 8,
    workers: Annotated[int, typer.Option(min=1, help="Workers of the server under that load.")] = 2,
    bulk: Annotated[int, typer.Option(min=100, help="Documents of the bulk.")] = 20_000,
    parts: Annotated[
        str, typer.Option(help="Which: overhead, searches, gets, bulk.")
    ] = "overhead,searches,gets,bulk",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    save: Annotated[
        str | None, typer.Option(help="Name of a file to write under benchmarks/history.")
    ] = None,
) -> None:
    """Measure the server beside the calls in process, in turns, on this machine."""
    base = list(read_jsonl(data)) if data else list(synthetic(20_000))
    docs = list(islice(repeated(base, 1 + documents // len(base)), documents))
    bodies = searches(base)
    wanted = set(parts.split(","))
    found: dict[str, Any] = {"machine": machine_facts(), "documents": len(docs)}
    with tempfile.TemporaryDirectory() as work:
        directory = Path(work)
        with quidditch.connect(directory) as database:
            database.create_index("docs", MAPPINGS).add_many(docs)
        if "overhead" in wanted:
            found["overhead"] = overhead(directory, bodies, seconds)
        if "searches" in wanted:
            found["searches"] = throughput(directory, bodies, workers, connections, seconds)
        if "gets" in wanted:
            found["gets"] = gets(directory, [doc["_id"] for doc in docs], seconds)
        if "bulk" in wanted:
            found["bulk"] = bulks(directory, docs[:bulk])
    text = json.dumps(found, indent=1)
    if save:
        (HISTORY / f"{save}.json").write_text(text + "\n")
    if as_json:
        print(text)
    else:
        show(found)


def searches(docs: Sequence[Doc]) -> list[dict[str, Any]]:
    """Bodies of searches for ten hits, of several shapes in turn."""
    classes = [each for each in query_classes(docs[:5_000], 40) if each.name in ASKED]
    shapes = zip(*(each.queries for each in classes), strict=False)
    return [{"query": as_clause("or", words)} for queries in shapes for words in queries]


def asking(bodies: Iterable[dict[str, Any]]) -> list[bytes]:
    return [request("POST", SEARCH, msgspec.json.encode(body)) for body in bodies]


def overhead(directory: Path, bodies: Sequence[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """The same searches in turn over one connection and in process, where the answer is made into JSON, too."""
    requests = asking(bodies)
    with quidditch.connect(directory) as database, serving(directory, 1, requests[0]) as server:
        memory = memory_mb(server.pid)
        connection = Connection(server.port)
        ways: dict[str, Callable[[int], object]] = {
            "http": lambda at: connection.ask(requests[at]),
            "in process": lambda at: msgspec.json.encode(
                database.search("docs", {**bodies[at], "track_total_hits": 10_000}).to_dict()
            ),
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(2):  # the first makes what is kept
            end = time.perf_counter() + seconds
            at = 0
            while time.perf_counter() < end or at < len(bodies):
                for way, ask in ways.items():
                    began = time.perf_counter()
                    ask(at % len(bodies))
                    if turn:
                        taken[way].append(time.perf_counter() - began)
                at += 1
        connection.close()
    p50 = {way: statistics.median(values) * 1000 for way, values in taken.items()}
    return {
        "http_p50_ms": round(p50["http"], 3),
        "in_process_p50_ms": round(p50["in process"], 3),
        "added_p50_ms": round(p50["http"] - p50["in process"], 3),
        "http_p99_ms": round(percentile(taken["http"], 0.99) * 1000, 3),
        "in_process_p99_ms": round(percentile(taken["in process"], 0.99) * 1000, 3),
        "start_to_first_answer_s": round(server.started_s, 3),
        **{f"idle_{name}": value for name, value in memory.items()},
    }


def throughput(
    directory: Path, bodies: Sequence[dict[str, Any]], workers: int, connections: int, seconds: float
) -> dict[str, Any]:
    """Searches a second from a process beside the server."""
    with serving(directory, workers) as server:
        closed(server.port, asking(bodies), connections, seconds)
        return {"workers": workers, "connections": connections} | asdict(
            closed(server.port, asking(bodies), connections, seconds)
        )


def gets(directory: Path, ids: Sequence[str], seconds: float) -> dict[str, Any]:
    """Documents by id at 500 a second, from one worker."""
    requests = [
        request("GET", f"/docs/_doc/{quote(id, safe='')}") for id in ids[:: max(1, len(ids) // 1_000)]
    ]
    with serving(directory, 1) as server:
        paced(server.port, requests, 500, 1, 4)
        return asdict(paced(server.port, requests, 500, seconds, 4))


def bulks(directory: Path, docs: Sequence[Doc], piece: int = 5_000) -> dict[str, Any]:
    """Documents a second, in process and over HTTP in turns, each into an index of its own."""
    pieces = [docs[start : start + piece] for start in range(0, len(docs), piece)]
    lines = [_lines(each) for each in pieces]
    rates: dict[str, list[float]] = {}
    with quidditch.connect(directory) as database, serving(directory, 1) as server:
        connection = Connection(server.port)
        with quidditch.connect(f"http://127.0.0.1:{server.port}") as remote:
            ways: dict[str, Callable[[Index], object]] = {
                "add_many in process": lambda index: index.add_many(docs),
                "bulk in process": lambda index: [
                    database.bulk(_actions(index.name, each)) for each in pieces
                ],
                "_bulk": lambda index: [
                    connection.ask(request("POST", f"/{index.name}/_bulk", each, "application/x-ndjson"))
                    for each in lines
                ],
                "add_many of the client": lambda index: remote[index.name].add_many(docs),
            }
            for turn in range(3):
                for way, (name, work) in enumerate(ways.items()):
                    index = database.create_index(f"bulk-{turn}-{way}", MAPPINGS)
                    began = time.perf_counter()
                    work(index)
                    rates.setdefault(name, []).append(len(docs) / (time.perf_counter() - began))
                    assert len(index) == len(docs)
        connection.close()
    medians = {name: statistics.median(found) for name, found in rates.items()}
    best = medians["add_many in process"]
    return {
        name: {"per_second": round(rate), "ratio": round(rate / best, 3)} for name, rate in medians.items()
    }


def _actions(index: str, docs: Sequence[Doc]) -> list[Any]:
    return [
        line
        for doc in docs
        for line in (
            {"index": {"_index": index, "_id": doc["_id"]}},
            {k: v for k, v in doc.items() if k != "_id"},
        )
    ]


def _lines(docs: Sequence[Doc]) -> bytes:
    encode = msgspec.json.encode
    return b"".join(
        encode({"index": {"_id": doc["_id"]}})
        + b"\n"
        + encode({k: v for k, v in doc.items() if k != "_id"})
        + b"\n"
        for doc in docs
    )


def show(found: dict[str, Any]) -> None:
    console = Console(width=120)
    for part, rows in found.items():
        if not isinstance(rows, dict) or part == "machine":
            continue
        table = Table(title=part)
        table.add_column("")
        table.add_column("", justify="right")
        for name, value in rows.items():
            table.add_row(name, str(value))
        console.print(table)


if __name__ == "__main__":
    typer.run(main)
