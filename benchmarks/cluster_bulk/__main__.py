"""`python -m benchmarks.cluster_bulk`: documents a second through a cluster on this machine, and into a directory."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.cluster_bulk.measure import Load, into_a_directory, through_a_cluster
from benchmarks.corpora import read_jsonl, synthetic
from benchmarks.machine import machine_facts


def main(
    data: Annotated[
        Path | None, typer.Option(help="JSONL with _id, title, text; made-up text without.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Documents at most.")] = 80_000,
    nodes: Annotated[int, typer.Option(min=1, help="Data nodes.")] = 2,
    shards: Annotated[int, typer.Option(min=1, help="Shards of the index.")] = 1,
    replicas: Annotated[int, typer.Option(min=0, help="Replicas of each shard.")] = 1,
    chunk: Annotated[
        int | None, typer.Option(help="Documents of a batch; what add_many takes without.")
    ] = None,
    single: Annotated[bool, typer.Option(help="Measure one process and a directory too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Load the same documents through a cluster, and by one process into a directory."""
    docs = list(islice(read_jsonl(data) if data else synthetic(limit), limit))
    found: dict[str, Load] = {}
    with tempfile.TemporaryDirectory() as work:
        if single:
            found["directory"] = into_a_directory(Path(work) / "directory", docs)
        found["cluster"] = through_a_cluster(
            Path(work) / "cluster", docs, nodes=nodes, shards=shards, replicas=replicas, chunk=chunk
        )
    if as_json:
        told: dict[str, Any] = {"machine": machine_facts()}
        print(json.dumps(told | {name: dataclasses.asdict(load) for name, load in found.items()}, indent=1))
        return
    for name, load in found.items():
        busy = ", ".join(f"{process} {seconds:.1f}" for process, seconds in sorted(load.busy_s.items()))
        print(f"{name}: {load.rate:,.0f} documents/s; {load.seconds:.1f} s; processor s: {busy}")


if __name__ == "__main__":
    typer.run(main)
