"""What a cluster does when a part of it is gone: others answer, and what comes back has everything."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.state import ShardId

from .one_server import OneServer
from .processes import wait_until
from .small_cluster import SmallCluster


@pytest.fixture
def cluster(nats_server: OneServer, tmp_path: Path) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path, nodes=2)
    yield made
    made.empty()
    made.close()


def wait_for_copies(database: ClusterDatabase, shard: ShardId, count: int) -> None:
    database.catalogue.wait_for_nodes(lambda: len(database.catalogue.serving(shard)) == count, 30.0, "copies")


def trimmed(cluster: SmallCluster, database: ClusterDatabase, shard: ShardId) -> bool:
    """Have the log forget what it may; whether it has forgotten something."""
    cluster.master.trim(margin=0)
    return database.means.log(shard).bounds().first > 1


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
        # The master hears of what is durable with the next reports.
        wait_until(lambda: trimmed(cluster, database, shard))

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


def test_a_node_that_leaves_is_asked_no_more_and_answers_what_was_begun(cluster: SmallCluster) -> None:
    with cluster.coordinator() as database:
        index = database.create_index("books")
        (shard,) = database.catalogue.shards_of("books")
        wait_for_copies(database, shard, 2)
        index.add({"title": "dune"}, id="1")
        leaving = cluster.nodes["n1"]
        views = [remote.snapshot() for remote in index.remote_shards() for _ in range(4)]
        with ExitStack() as stack:
            opened = [stack.enter_context(view) for view in views]
            first = [view.statistics(["title"], [("title", b"dune")]) for view in opened]
            assert first[0].doc_freqs == {("title", b"dune"): 1}
            threading.Thread(target=leaving.node.leave).start()
            wait_for_copies(database, shard, 1)
            assert list(database.catalogue.serving(shard)) == ["n0"]
            # Views of both nodes answer on.
            assert [view.statistics(["title"], [("title", b"dune")]) for view in opened] == first
        assert index.count() == 1
        assert leaving.node.report().shards[str(shard)].failed == "its node is being stopped"
