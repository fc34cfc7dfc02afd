"""One load of documents, into a directory or through a cluster, with its seconds and every process's own."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.corpora import Doc
from quidditch.cluster import machine
from quidditch.cluster.configuration import read_configuration
from quidditch.cluster.connection import Connection
from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.layout import Plan
from quidditch.cluster.nats_server import free_ports
from quidditch.local.database import connect

MAPPINGS = {
    "properties": {
        "title": {"type": "text"},
        "text": {"type": "text"},
        "group": {"type": "keyword"},
    }
}


@dataclass(frozen=True, slots=True)
class Load:
    """documents: that went in. seconds: until all were acknowledged. busy_s: of each process's processor time."""

    documents: int
    seconds: float
    busy_s: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Documents a second."""
        return self.documents / self.seconds


def into_a_directory(folder: Path, docs: Sequence[Doc]) -> Load:
    """By one process, as `add_many` does it in a directory."""
    with connect(folder) as database:
        index = database.create_index("load", MAPPINGS)
        started, busy = time.perf_counter(), time.process_time()
        index.add_many(docs)
        seconds = time.perf_counter() - started
        return Load(len(index), seconds, {"process": time.process_time() - busy})


def through_a_cluster(
    folder: Path, docs: Sequence[Doc], *, nodes: int, shards: int, replicas: int, chunk: int | None = None
) -> Load:
    """By a coordinator in this process; NATS, the master and the data nodes are others on this machine."""
    machine.up(folder, Plan(data_nodes=nodes, replicas=replicas, port=free_ports(1)[0]))
    try:
        told = read_configuration(folder / "coordinator.toml", {})
        with (
            Connection(told.nats_options()) as connection,
            ClusterDatabase(connection, told.secret, replicas) as database,
        ):
            index = database.create_index("load", MAPPINGS, {"number_of_shards": shards})
            before = _busy(folder)
            started = time.perf_counter()
            index.add_many(docs, chunk=chunk)
            seconds = time.perf_counter() - started
            index.refresh()
            after = _busy(folder)
            busy = {name: after[name] - before[name] for name in after}
            return Load(len(index), seconds, busy)
    finally:
        machine.down(folder)


def _busy(folder: Path) -> dict[str, float]:
    """The processor time of each process of the cluster so far, and of this one, which coordinates."""
    pids = {path.stem: int(path.read_text()) for path in folder.glob("*.pid")}
    return {name: _processor_s(pid) for name, pid in pids.items()} | {"this": time.process_time()}


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
