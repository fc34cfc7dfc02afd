"""What a cluster does when a part of it is gone: others answer, and what comes back has everything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.state import ShardId

from .one_server import OneServer
from .small_cluster import SmallCluster


@pytest.fixture
def cluster(nats_server: OneServer, tmp_path: Path) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path, nodes=2)
    yield made
    made.empty()
    made.close()


def wait_for_copies(database: ClusterDatabase, shard: ShardId, count: int) -> None:
    database.catalogue.wait_for_nodes(lambda: len(database.catalogue.serving(shard)) == count, 30.0, "copies")


def test_a_node_whose_disk_is_lost_copies_a_peer_where_the_log_was_trimmed(
    cluster: SmallCluster, tmp_path: Path
) -> None:
    with cluster.coordinator() as database:
        index = database.create_index("books", {"properties": {"title": {"type": "text"}}})
        (shard,) = database.catalogue.shards_of("books")
        wait_for_copies(database, shard, 2)
        for number in range(30):
            index.add({"title": f"dune {number}", "year": number}, id=str(number))
        index.refresh()
        for node in cluster.nodes.values():
            node.node.say()
        cluster.master.trim(margin=0)
        assert database.means.log(shard).bounds().first > 1

        cluster.stop_node("n1")
        assert index.count({"match": {"title": "dune"}}) == 30
        shutil.rmtree(tmp_path / "n1")
        index.add({"title": "dune late", "year": 99}, id="late")
        cluster.nodes["n1"] = cluster.start_node("n1")
        wait_for_copies(database, shard, 2)
        cluster.stop_node("n0")

        assert index.count({"match": {"title": "dune"}}) == 31
        assert index.count({"range": {"year": {"gte": 0}}}) == 31
        assert index.get("late").version == 1
        assert index.add({"title": "dune again"}, id="0").version == 2
        assert index.check().ok
