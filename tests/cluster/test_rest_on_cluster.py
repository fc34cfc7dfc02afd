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
LONG = ("test_bulk", "test_analyzing")

OTHERWISE = {
    "test_an_index_deleted_between_two_pieces_fails_its_items_alone": "its pieces are on their way at once",
    "test_the_window_of_a_point_in_time_is_that_of_its_indices": "a point in time ends with its index",
}
"""Tests that do not hold of a cluster, and why."""


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
        database.change_templates(lambda kept: dict.fromkeys(kept))
    cluster.empty()


def _adopt(module: str, marks: list[Any]) -> None:
    """The tests of a module of the server's that take its fixture alone, under names of their own."""
    for name, value in vars(importlib.import_module(f"server.{module}")).items():
        if name.startswith("test_") and callable(value) and name not in OTHERWISE:
            adopted = value
            for mark in marks:
                adopted = mark(adopted)
            globals()[f"{module}__{name.removeprefix('test_')}"] = adopted
        elif type(value).__name__ == "FixtureFunctionDefinition":
            globals().setdefault(name, value)


for each in DEFAULT:
    _adopt(each, [])
for each in LONG:
    _adopt(each, [pytest.mark.long])
