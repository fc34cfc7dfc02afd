"""`python -m benchmarks.cluster_processes`: the memory of each process of a cluster, and how soon it is there."""

from __future__ import annotations

import http.client
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

import quidditch
from benchmarks.corpora import Doc, read_jsonl, synthetic
from benchmarks.machine import machine_facts
from quidditch.cluster import machine
from quidditch.cluster.nats_server import free_ports

HISTORY = Path(__file__).parents[1] / "history"
SHARDS = 3
WORDS = ("model", "learning", "galaxy", "quantum")


def main(
    data: Annotated[
        Path | None, typer.Option(help="JSONL with _id, title, text; made-up text without.")
    ] = None,
    documents: Annotated[int, typer.Option(min=1, help="How many of them.")] = 20_000,
    idle_s: Annotated[float, typer.Option(help="Seconds without a request before memory is read.")] = 10.0,
    save: Annotated[
        str | None, typer.Option(help="Name of a file to write under benchmarks/history.")
    ] = None,
) -> None:
    """One data node with three shards, a coordinator, a master and NATS: resident memory, and starting times."""
    # As it is installed: with its modules compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    docs = list(islice(read_jsonl(data) if data else synthetic(documents), documents))
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "cluster"
        try:
            found = measured(folder, docs, idle_s)
        finally:
            machine.down(folder)
    found["machine"] = machine_facts()
    text = json.dumps(found, indent=1)
    if save:
        (HISTORY / f"{save}.json").write_text(text + "\n")
    print(text)


def measured(folder: Path, docs: list[Doc], idle_s: float) -> dict[str, Any]:
    plan = machine.Plan(data_nodes=1, replicas=0, port=free_ports(1)[0])
    machine.up(folder, plan)
    found: dict[str, Any] = {"documents": len(docs), "megabytes": {"without data": memory(folder)}}
    with quidditch.connect(f"http://127.0.0.1:{plan.port}") as database:
        index = database.create_index("docs", settings={"number_of_shards": SHARDS})
        index.add_many(docs)
        index.refresh()
    time.sleep(idle_s)
    found["megabytes"]["idle after loading"] = memory(folder)
    machine.down(folder)
    machine.up(folder, plan)
    time.sleep(idle_s)
    found["megabytes"]["idle after a start"] = memory(folder)
    with quidditch.connect(f"http://127.0.0.1:{plan.port}") as database:
        for word in WORDS:
            database.index("docs").search(word)
    time.sleep(idle_s)
    found["megabytes"]["idle after searches"] = memory(folder)
    found["seconds to start"] = {
        "master": restarted(folder, plan, "master", lambda: machine.status(folder)["master"] == "master"),
        "data-0": restarted(folder, plan, "data-0", lambda: answers(plan.port, "/docs/_count")),
        "coordinator": restarted(folder, plan, "coordinator", lambda: answers(plan.port, "/docs/_count")),
    }
    return found


def restarted(folder: Path, plan: machine.Plan, name: str, there: Callable[[], bool]) -> float:
    """Seconds from the start of a process, which has ended gracefully before, until it does its work."""
    os.kill(machine.status(folder)["processes"][name], signal.SIGTERM)
    while name in machine.status(folder)["processes"]:
        time.sleep(0.02)
    began = time.perf_counter()
    machine._start(folder, name.partition("-")[0], name)
    while not there():
        time.sleep(0.01)
    return round(time.perf_counter() - began, 2)


def answers(port: int, path: str) -> bool:
    """Whether the call is answered, by all shards."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        return answer.status == 200 and body["_shards"]["failed"] == 0
    except OSError:
        return False
    finally:
        connection.close()


def memory(folder: Path) -> dict[str, dict[str, int]]:
    """Of each process: `rss`, what is resident, and `pss`, with what it shares divided among those that do."""
    return {name: _memory_of(pid) for name, pid in sorted(machine.status(folder)["processes"].items())}


def _memory_of(pid: int) -> dict[str, int]:
    rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
    return {row[0].rstrip(":").lower(): int(row[1]) >> 10 for row in rows if row[0] in ("Rss:", "Pss:")}


if __name__ == "__main__":
    typer.run(main)
