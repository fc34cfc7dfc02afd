"""NATS is away for longer than a node may be silent: searches go on, writes are refused and go on afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quidditch.cluster import lanes
from quidditch.cluster.catalogue import GONE_S
from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.errors import Unavailable

from .one_server import OneServer
from .small_cluster import SmallCluster


@pytest.fixture
def cluster(nats_server: OneServer, tmp_path: Path) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path, nodes=2)
    yield made
    made.close()


def test_searches_go_on_and_writes_come_back(
    cluster: SmallCluster, nats_server: OneServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "APPEND_S", 2.0)
    with cluster.coordinator() as database:
        books = database.create_index("books", settings={"number_of_shards": 2})
        books.add_many({"_id": str(number), "title": f"volume {number}"} for number in range(50))
        nats_server.kill()
        ends_s = time.monotonic() + GONE_S + 3.0
        while time.monotonic() < ends_s:
            assert books.search("volume").total == 50
        with pytest.raises(Unavailable):
            books.add({"title": "volume 50"}, id="50")
        nats_server.start()
        _written(database)
        assert books.search("volume").total == 51
        # The master places again, and nodes are heard: both had to be told anew what was in memory.
        database.create_index("films").add({"title": "one"}, id="1")
        assert database.index("films").search("one").total == 1


def _written(database: ClusterDatabase) -> None:
    """Write until it goes; a write that was refused may have been carried out."""
    ends_s = time.monotonic() + 30.0
    while True:
        try:
            database.index("books").add({"title": "volume 50"}, id="50")
            return
        except Unavailable:
            if time.monotonic() > ends_s:
                raise
