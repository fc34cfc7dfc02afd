"""A cluster in which some processes speak a newer protocol than others: all get on, until all speak the newer one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.master import Master
from quidditch.cluster.messages import unpack_entry
from quidditch.cluster.state import ShardId, Speaks
from quidditch.errors import StorageError

from .one_server import started
from .processes import wait_until
from .small_cluster import SmallCluster

OLD, NEW = Speaks(1, 1), Speaks(1, 2)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SmallCluster]:
    """Two data nodes and a master of the old release; what a test starts is of a new one when `speaks` says so.

    Each has a NATS server of its own: the protocol of a cluster never falls.
    """
    with started(tmp_path / "nats") as server:
        made = SmallCluster(server, tmp_path, nodes=2, speaks=OLD)
        yield made
        made.close()


def written_by(database: ClusterDatabase, count: int) -> list[int]:
    """The protocols of the entries in the log of the index, which holds so many documents."""
    index = database.index("books")
    assert index.count() == count
    (shard,) = database.catalogue.shards_of("books")
    log = database.means.log(shard)
    reader = log.read_from(1)
    try:
        found: list[int] = []
        while len(found) < log.bounds().last:
            found += [unpack_entry(entry.data, NEW).version for entry in reader.read(100, 1.0)]
    finally:
        reader.close()
    return found


def all_serve(database: ClusterDatabase) -> bool:
    (shard,) = database.catalogue.shards_of("books")
    return set(database.catalogue.serving(shard)) == {"n0", "n1"}


def upgrade(cluster: SmallCluster, name: str) -> None:
    cluster.speaks = NEW
    cluster.stop_node(name)
    cluster.nodes[name] = cluster.start_node(name)


def test_nodes_first_then_the_rest(cluster: SmallCluster) -> None:
    with cluster.coordinator() as old:
        books = old.create_index("books", {"properties": {"title": {"type": "text"}}})
        books.add({"title": "one"}, id="1")
        for name in ("n0", "n1"):
            wait_until(lambda: all_serve(old))
            upgrade(cluster, name)
            # An old coordinator and master among new nodes, and both of a kind.
            books.add({"title": name}, id=name)
        wait_until(lambda: all_serve(old))
        assert old.create_index("films").count() == 0
        with cluster.coordinator() as new:
            new.index("books").add({"title": "two"}, id="2")
            assert set(written_by(new, 4)) == {1}
            upgrade_master(cluster)
            new.create_index("songs")
            # The old coordinator is there still.
            assert new.catalogue.protocol() == 1


def test_masters_and_coordinators_first_then_the_nodes(cluster: SmallCluster) -> None:
    with cluster.coordinator() as old:
        old.create_index("books", {"properties": {"title": {"type": "text"}}}).add({"title": "one"}, id="1")
    upgrade_master(cluster)
    cluster.speaks = NEW
    with cluster.coordinator() as new:
        books = new.index("books")
        for number, name in enumerate(("n0", "n1")):
            wait_until(lambda: all_serve(new))
            books.add({"title": name}, id=name)
            assert set(written_by(new, 2 + number)) == {1}
            upgrade(cluster, name)
        wait_until(lambda: new.catalogue.protocol() == 2)
        wait_until(lambda: all_serve(new))
        books.add({"title": "two"}, id="2")
        assert written_by(new, 4)[-1] == 2
        # Both copies have it.
        assert [report.shards[str(shard_of(new))].failed for report in new.catalogue.nodes().values()] == [
            "",
            "",
        ]


def test_who_is_too_old_does_not_come_in_again(cluster: SmallCluster) -> None:
    with cluster.coordinator() as old:
        old.create_index("books").add({"title": "one"}, id="1")
    upgrade_master(cluster)
    for name in ("n0", "n1"):
        upgrade(cluster, name)
    with cluster.coordinator() as new:
        wait_until(lambda: new.catalogue.protocol() == 2)
        wait_until(lambda: all_serve(new))
        cluster.speaks = OLD
        with pytest.raises(StorageError, match="of protocol 2; this process speaks 1: upgrade it"):
            cluster.coordinator()
        with pytest.raises(StorageError, match="upgrade it"):
            cluster.start_node("n2")
        cluster.speaks = Speaks(3, 4)
        with pytest.raises(StorageError, match=r"of protocol 2; this process speaks 3 to 4: .* between"):
            cluster.coordinator()


def shard_of(database: ClusterDatabase) -> ShardId:
    (shard,) = database.catalogue.shards_of("books")
    return shard


def upgrade_master(cluster: SmallCluster) -> None:
    cluster.speaks = NEW
    cluster.master.stop()
    cluster.master = Master(cluster._connect(), forget_s=5.0)
    cluster.master.start()
