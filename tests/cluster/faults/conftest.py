"""A cluster of processes for each test that hurts one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quidditch.cluster.machine import Plan
from quidditch.cluster.nats_server import free_ports
from quidditch.cluster_torture.processes import Cluster

from ..one_server import need_nats

Start = Callable[..., Cluster]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Puts up a cluster of so many data nodes, which is taken down in the end."""
    need_nats()
    pytest.importorskip("nats", reason="nats-py is not installed: pip install 'quidditch[cluster]'")
    started: list[Cluster] = []

    def start(data_nodes: int = 2, replicas: int = 1, nats: int = 1) -> Cluster:
        (port,) = free_ports(1)
        cluster = Cluster(tmp_path / f"cluster-{port}", Plan(data_nodes, replicas, port, nats=nats))
        started.append(cluster)
        cluster.up()
        return cluster

    yield start
    for cluster in started:
        cluster.down()
