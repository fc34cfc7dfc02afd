"""The server's own tests, over a cluster of three data nodes in place of a directory."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .one_server import OneServer
from .small_cluster import SmallCluster

sys.path.insert(0, str(Path(__file__).parent.parent))

from server.asking import Server

DEFAULT = ("test_search", "test_documents", "test_shard_failures", "test_document_routing")
LONG = ("test_bulk", "test_by_query", "test_indices", "test_templates", "test_analyzing", "test_refreshing")


@pytest.fixture(scope="module")
def cluster(nats_server: OneServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
def server(cluster: SmallCluster) -> Iterator[Server]:
    """An application over an empty cluster."""
    with cluster.coordinator(replicas=0) as database:
        yield Server(database)
    cluster.empty()


def _adopt(module: str, marks: list[Any]) -> None:
    """The tests of a module of the server's that take its fixture alone, under names of their own."""
    for name, value in vars(importlib.import_module(f"server.{module}")).items():
        if name.startswith("test_") and callable(value):
            adopted = value
            for mark in marks:
                adopted = mark(adopted)
            globals()[f"{module}__{name.removeprefix('test_')}"] = adopted
        elif hasattr(value, "_pytestfixturefunction") or type(value).__name__ == "FixtureFunctionDefinition":
            globals().setdefault(name, value)


for each in DEFAULT:
    _adopt(each, [])
for each in LONG:
    _adopt(each, [pytest.mark.long])
