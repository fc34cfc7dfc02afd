"""The whole story, in order: a cluster is made and used, everything in it is restarted, and nothing is lost."""

from __future__ import annotations

import signal
from typing import Any

import quidditch
from quidditch.cluster_torture.campaign import make_index
from quidditch.cluster_torture.clients import Recorder, load
from quidditch.cluster_torture.processes import Cluster, wait_for
from quidditch.cluster_torture.resting import check_at_rest
from quidditch.errors import QuidditchError

from .conftest import Start


class Books:
    """An index of books, written to and read between the chapters of the story."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.count = 0
        with quidditch.connect(cluster.url) as database:
            settings: dict[str, Any] = {"number_of_shards": 2, "number_of_replicas": 1}
            database.create_index("books", {"properties": {"title": {"type": "text"}}}, settings)
        cluster.settle()

    def index(self, more: int = 20) -> None:
        """Write so many books more, half of them one by one."""
        numbers = range(self.count, self.count + more)
        with quidditch.connect(self._cluster.url) as database:
            index = database.index("books")
            for number in numbers[: more // 2]:
                written = index.add({"title": f"dune number {number}"}, id=str(number))
                assert (written.result, written.version) == ("created", 1)
            assert index.bulk(
                [{"_id": str(number), "title": f"dune number {number}"} for number in numbers[more // 2 :]]
            )
        self.count += more

    def retrieve(self) -> None:
        """Every book is there, by its id, by a search and by the count."""
        with quidditch.connect(self._cluster.url) as database:
            index = database.index("books")
            found = index.mget([str(number) for number in range(self.count)])
            assert [None if one is None else (one["title"], one.version) for one in found] == [
                (f"dune number {number}", 1) for number in range(self.count)
            ]
            assert len(index) == index.count({"match": {"title": "dune"}}) == self.count
            last = index.search_body({"query": {"match": {"title": str(self.count - 1)}}})
            assert [hit.id for hit in last.hits] == [str(self.count - 1)]


def health(cluster: Cluster) -> None:
    """All processes run, and every copy of every shard serves."""
    assert set(cluster.pids()) >= {"master", "coordinator", "data-0", "data-1"}
    assert cluster.names("nats")
    assert set(cluster.status()["nodes"]) == {"data-0", "data-1"}
    cluster.settle()


def answers(cluster: Cluster) -> None:
    """Wait until a coordinator answers and no copy is missing."""

    def counted() -> bool:
        try:
            with quidditch.connect(cluster.url, retries=0) as database:
                return len(database.index("books")) >= 0
        except QuidditchError:
            return False

    wait_for(counted, 60.0, "the coordinator to answer")
    cluster.settle()


def restarted(cluster: Cluster, name: str, times: int = 1) -> None:
    for _ in range(times):
        cluster.end(name, how=signal.SIGTERM)
        cluster.up()
    answers(cluster)


def test_restart_after_restart_a_cluster_keeps_its_data_and_goes_on(start: Start) -> None:
    cluster = start()
    books = Books(cluster)
    health(cluster)
    books.index()
    books.retrieve()
    make_index(cluster, shards=2, replicas=1)
    recorder = Recorder()
    with load([cluster.url], recorder, sessions=2, seed=1):
        for name, times in (
            ("coordinator", 1),
            ("data-0", 3),
            ("coordinator", 3),
            ("data-1", 5),
            ("master", 1),
            ("data-0", 1),
        ):
            restarted(cluster, name, times)
            books.retrieve()
            books.index()
    # The copies of the node that was restarted last are back by themselves.
    health(cluster)
    books.retrieve()
    found, documents = check_at_rest(cluster, [cluster.url], recorder)
    assert found == []
    assert documents > 0
    assert recorder.counts["write ok"] > 0
    with quidditch.connect(cluster.url) as database:
        assert database.check().ok
