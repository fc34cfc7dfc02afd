"""What a cluster does when a part of it is gone: others answer, and what comes back has everything."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.data_node import local_name
from quidditch.cluster.state import Copy, RoutingTable, ShardId

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


def test_a_copy_is_kept_whatever_the_table_says_while_no_other_serves(cluster: SmallCluster) -> None:
    """A table that names a node which has nothing, as an old one may, is no reason to remove what there is."""
    settings = {"number_of_replicas": 0}
    with cluster.coordinator() as database:
        catalogue = database.catalogue
        entries = [database.create_index(name, settings=settings).name for name in ("books", "films")]
        kept, gone = sorted(entries, key=lambda name: catalogue.entry(name).generation)
        (shard,), (other,) = catalogue.shards_of(kept), catalogue.shards_of(gone)
        for number in range(5):
            database.index(kept).add({"n": number}, id=str(number))
        database.index(kept).refresh()
        cluster.master.stop()
        log = database.means.log(shard)
        log.trim(log.bounds().last)
        table, revision = catalogue.routing_at()
        (copy,) = table.copies(shard)
        database.delete_index(gone)
        elsewhere = RoutingTable(table.epoch + 1, {shard.uuid: ((Copy("elsewhere"),),)})
        catalogue.put_routing(elsewhere, revision)
        # What comes after it in the same table is removed.
        nodes = [process.node for process in cluster.nodes.values()]
        wait_until(lambda: not any(local_name(other) in node._database for node in nodes))

        catalogue.put_routing(
            RoutingTable(table.epoch + 2, {shard.uuid: table.indices[shard.uuid]}), catalogue.routing_at()[1]
        )
        wait_for_copies(database, shard, 1)
        assert list(catalogue.serving(shard)) == [copy.node]
        assert database.index(kept).count() == 5


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
