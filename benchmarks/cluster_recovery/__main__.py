"""`python -m benchmarks.cluster_recovery`: how long until what was ended serves again, and what users see then."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

import quidditch
from benchmarks.cluster_recovery.pulse import INDEX, Pulse, beating
from benchmarks.corpora import Doc, read_jsonl, repeated, synthetic
from benchmarks.machine import machine_facts
from benchmarks.server.__main__ import HISTORY, MAPPINGS, searches
from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.configuration import read_configuration
from quidditch.cluster.connection import Connection
from quidditch.cluster.log import JetStreamLog, stream_info
from quidditch.cluster.machine import Plan
from quidditch.cluster.master import active_master
from quidditch.cluster.nats_server import free_ports
from quidditch.cluster_torture.processes import Cluster

QUIET_S = 2.0
"""Between one measurement and the next, and how long users are watched after one."""

LONGEST_S = 60.0


def main(
    data: Annotated[
        Path | None, typer.Option(help="JSONL with _id, title, text; made-up text without.")
    ] = None,
    documents: Annotated[int, typer.Option(min=100, help="Documents of each shard.")] = 100_000,
    shards: Annotated[int, typer.Option(min=1, help="Shards, each with one replica.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    save: Annotated[
        str | None, typer.Option(help="Name of a file to write under benchmarks/history.")
    ] = None,
    wait_for: Annotated[
        Path | None,
        typer.Option(help="Between loading and measuring: wait while this file is there, and make it."),
    ] = None,
) -> None:
    """Measure recoveries on three data nodes and three NATS servers of this machine, under searches and writes."""
    base = list(read_jsonl(data)) if data else list(synthetic(20_000))
    # As it is installed: with its modules compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    total = documents * shards
    docs = islice(repeated(base, 1 + total // len(base)), total)
    with tempfile.TemporaryDirectory() as work:
        cluster = Cluster(Path(work) / "cluster", Plan(3, 1, free_ports(1)[0], nats=3))
        try:
            load(cluster, docs, shards)
            with quiet(wait_for):
                found = {"machine": machine_facts(), "documents": total, "shards": shards}
                found |= measure(cluster, searches(base))
        finally:
            cluster.down()
    text = json.dumps(found, indent=1)
    if save:
        (HISTORY / f"{save}.json").write_text(text + "\n")
    if as_json:
        print(text)
    else:
        show(found)


@contextmanager
def quiet(marker: Path | None) -> Iterator[None]:
    """Alone on the machine, as far as others heed the file."""
    if marker is None:
        yield
        return
    while marker.exists():
        time.sleep(1.0)
    marker.touch()
    try:
        # Whatever has begun may end first.
        time.sleep(10.0)
        yield
    finally:
        marker.unlink()


def load(cluster: Cluster, docs: Iterable[Doc], shards: int) -> None:
    cluster.up()
    with quidditch.connect(cluster.url) as database:
        settings: dict[str, Any] = {"number_of_shards": shards, "number_of_replicas": 1}
        index = database.create_index(INDEX, MAPPINGS, settings)
        cluster.settle()
        index.add_many({**doc, "_id": str(number)} for number, doc in enumerate(docs))
        index.flush()


def measure(cluster: Cluster, bodies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each recovery by its name: seconds until it serves again, and what users saw."""
    found: dict[str, Any] = {}
    configuration = read_configuration(cluster.folder / "coordinator.toml", {})
    with Connection(configuration.nats_options()) as connection:
        catalogue = Catalogue(connection)
        watch = Watch(cluster, catalogue, connection)
        with beating(cluster.url, bodies, searchers=2, writers=1) as pulse:
            time.sleep(QUIET_S)
            now = time.monotonic()
            found["nothing"] = {"users": pulse.seen(now - QUIET_S, now)}
            found["data node restarted"] = watch.restart(pulse, "data-0", watch.node_serves)
            found["data node killed"] = watch.kill(pulse, watch.holder())
            found["master restarted"] = watch.restart(pulse, "master", watch.master_leads)
            found["coordinator restarted"] = watch.restart(
                pulse, "coordinator", lambda name: watch.found(pulse)
            )
            for name in watch.members_leader_first():
                found[f"{name} killed"] = watch.kill_member(pulse, name)
        catalogue.close()
    return found


class Watch:
    """Ends processes of a cluster, and sees when they are there again."""

    def __init__(self, cluster: Cluster, catalogue: Catalogue, connection: Connection) -> None:
        self._cluster = cluster
        self._catalogue = catalogue
        self._connection = connection
        self._began_s = 0.0

    def restart(self, pulse: Pulse, name: str, serves: Callable[[str], bool]) -> dict[str, Any]:
        """SIGTERM, and started at once: seconds from then on until it serves."""
        before_s = time.monotonic()
        self._cluster.end(name, how=signal.SIGTERM)
        ended_s = self._began_s = time.monotonic()
        self._run = self._run_of(name)
        self._cluster.start(name)
        self._until(lambda: serves(name))
        serving_s = time.monotonic()
        time.sleep(QUIET_S)
        self._cluster.settle()
        return {
            "ending_s": round(ended_s - before_s, 3),
            "serving_s": round(serving_s - ended_s, 3),
            "users": pulse.seen(before_s, serving_s + QUIET_S),
        }

    def kill(self, pulse: Pulse, name: str) -> dict[str, Any]:
        """SIGKILL of a data node: what users see until its copies are known to be gone, and then of its return."""
        before_s = time.monotonic()
        self._cluster.end(name)
        time.sleep(6.0)
        gone = pulse.seen(before_s, time.monotonic())
        self._run = self._run_of(name)
        started_s = time.monotonic()
        self._cluster.start(name)
        self._until(lambda: self.node_serves(name))
        serving_s = time.monotonic()
        time.sleep(QUIET_S)
        back = pulse.seen(started_s, time.monotonic())
        self._cluster.settle()
        return {"serving_s": round(serving_s - started_s, 3), "users": gone, "users_at_return": back}

    def kill_member(self, pulse: Pulse, name: str) -> dict[str, Any]:
        """SIGKILL of a NATS server: how long until a write that began after it was acknowledged."""
        before_s = time.monotonic()
        self._cluster.end(name)
        self._until(lambda: pulse.first("write", before_s) is not None)
        first_s = pulse.first("write", before_s)
        assert first_s is not None
        time.sleep(QUIET_S)
        users = pulse.seen(before_s, time.monotonic())
        self._cluster.up()
        self._cluster.settle()
        time.sleep(QUIET_S)
        return {"writes_resume_s": round(first_s - before_s, 3), "users": users}

    # --------------------------------------------------------------------------------------------- seeing

    def node_serves(self, name: str) -> bool:
        """Whether another life of the node serves all that it has."""
        report = self._catalogue.nodes().get(name)
        mine = self._catalogue.routing().on_node(name)
        if report is None or report.run == self._run:
            return False
        return all(str(s) in report.shards and report.shards[str(s)].started for s in mine)

    def _run_of(self, name: str) -> str:
        report = self._catalogue.nodes(float("inf")).get(name)
        return "" if report is None else report.run

    def master_leads(self, name: str) -> bool:
        """Whether a master has the lease, which one that ends gracefully gives back."""
        return active_master(self._connection) != ""

    def found(self, pulse: Pulse) -> bool:
        """Whether a search that began since has found something."""
        return pulse.first("search", self._began_s) is not None

    def holder(self) -> str:
        """A node that holds copies, but for the one that was restarted already."""
        nodes = {copy.node for _, copies in self._catalogue.routing().shards() for copy in copies}
        return max(nodes)

    def members_leader_first(self) -> list[str]:
        """NATS servers, the one that leads a shard's stream first; and one that does not."""
        shard, _ = next(iter(self._catalogue.routing().shards()))
        cluster = stream_info(self._connection, JetStreamLog(self._connection, shard).stream).cluster
        leader = "" if cluster is None or cluster.leader is None else cluster.leader
        others = [name for name in self._cluster.names("nats") if name != leader]
        return [leader, *others[:1]] if leader else others

    def _until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LONGEST_S
        while not true():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {LONGEST_S:g} s in vain")
            time.sleep(0.005)


def show(found: dict[str, Any]) -> None:
    table = Table(
        "ended", "serves again", "searches", "failed", "p99", "longest", "writes", "failed", "longest"
    )
    for name, told in found.items():
        if not isinstance(told, dict) or "users" not in told:
            continue
        search, write = told["users"]["search"], told["users"]["write"]
        seconds = told.get("serving_s", told.get("writes_resume_s"))
        table.add_row(
            name,
            "" if seconds is None else f"{seconds:.2f} s",
            *(str(search[key]) for key in ("calls", "failed", "p99_ms", "max_ms")),
            *(str(write[key]) for key in ("calls", "failed", "max_ms")),
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
