"""NATS loses what it had: searches go on, and logs are made anew from what the copies have, losing nothing of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.log import Beginning, Entry, JetStreamLog, LogLost
from quidditch.cluster.master import Master
from quidditch.cluster.reseeding import LEAP, beginning_of, is_lost, reseed
from quidditch.cluster.state import NodeReport, ShardReport
from quidditch.errors import QuidditchError, StorageError, Unavailable

from .following import entry, everything, put, replica_in
from .memory_log import MemoryLog
from .one_server import OneServer
from .small_cluster import SmallCluster


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60.0
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# -------------------------------------------------------------------------------------------- what is decided


def reports(**said: ShardReport) -> dict[str, NodeReport]:
    return {
        node: NodeReport(node, "run", "127.0.0.1:1", shards={"u.0": report}) for node, report in said.items()
    }


def copy(applied: int, log: str | None = "old", lost: bool = True) -> ShardReport:
    return ShardReport(applied, True, log=log, lost=lost)


def test_the_new_log_begins_after_the_copy_that_is_furthest() -> None:
    told = reports(a=copy(7), b=copy(9), c=copy(0, log=""))
    assert beginning_of(["a", "b", "c"], "u.0", told) == Beginning("old", 9, 9 + LEAP + 1)
    assert is_lost(["a", "b"], "u.0", told)
    assert not is_lost(["c"], "u.0", reports(c=copy(3, lost=False)))


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (reports(a=copy(7)), "the copy on b, which is not heard of"),
        (reports(a=copy(7), b=copy(0, log=None)), "the copy on b, which is not heard of"),
        (reports(a=copy(7), b=copy(7, lost=False)), "not all of its copies have noticed"),
        (reports(a=copy(7), b=copy(2, log="older")), "have followed different ones"),
        (reports(a=copy(0, log=""), b=copy(0, log="")), "no copy has followed it"),
    ],
)
def test_nothing_is_made_anew_while_a_copy_may_have_more(told: dict[str, NodeReport], why: str) -> None:
    with pytest.raises(StorageError, match=why):
        beginning_of(["a", "b"], "u.0", told)


def test_an_operator_may_do_without_a_copy_that_is_gone() -> None:
    told = reports(a=copy(7))
    assert beginning_of(["a", "b"], "u.0", told, missing=True).applied == 7


# ------------------------------------------------------------------------------------------------- one copy


def test_a_copy_goes_over_to_the_log_that_was_made_of_it_and_knows_old_batches_again(tmp_path: Path) -> None:
    old = MemoryLog("old")
    database, replica = replica_in(tmp_path, old)
    replica.start()
    for batch in "abc":
        old.append(entry(batch, put("1", {"title": batch})), batch)
    replica.wait_applied(3, 5.0)
    replica.stop()
    database.close()

    new = MemoryLog("new", Beginning("old", 3, 1_001))
    # It was sent again, because its acknowledgement was lost with the log.
    new.append(entry("c", put("1", {"title": "c"})), "c")
    for number in range(20):
        new.append(entry(f"d{number}", put("2", {"title": "d"})), f"d{number}")
    new.append(entry("b", put("1", {"title": "b"})), "b")
    database, replica = replica_in(tmp_path, new)
    assert replica.can_go_on()
    replica.start()
    replica.wait_applied(1_022, 5.0)
    assert everything(database) == [("1", {"title": "c"}, 3, 2), ("2", {"title": "d"}, 20, 22)]
    assert replica.results(1_001, 1.0).results == replica.results(1_000, 1.0).results
    assert (replica.report().log, replica.report().lost) == ("new", False)
    replica.stop()
    assert database.check().ok
    database.close()


@pytest.mark.parametrize(
    ("applied", "behind", "why"), [(5, True, "made anew from 5 on"), (2, False, "at 2 only")]
)
def test_a_copy_that_is_elsewhere_than_the_new_log_does_not_go_over(
    tmp_path: Path, applied: int, behind: bool, why: str
) -> None:
    database, replica = replica_in(tmp_path, MemoryLog("old"))
    replica.start()
    until(lambda: replica.report().log == "old")
    replica.stop()
    replica.apply([Entry(number, entry(f"b{number}")) for number in (1, 2, 3)])
    database.close()
    database, replica = replica_in(tmp_path, MemoryLog("new", Beginning("old", applied, 1_001)))
    replica.start()
    with pytest.raises(Unavailable, match=why):
        replica.wait_applied(1_001, 0.5)
    assert replica.behind == behind
    until(lambda: replica.report().lost != behind)
    replica.stop()
    database.close()


# ---------------------------------------------------------------------------------------------- the whole


def takes(database: ClusterDatabase, id: str) -> bool:
    try:
        database.index("books").add({"title": "after"}, id)
    except QuidditchError:
        return False
    return True


def served_by(database: ClusterDatabase, nodes: int) -> bool:
    shards = database.catalogue.shards_of("books")
    return all(len(database.catalogue.serving(shard)) == nodes for shard in shards)


def test_a_log_that_is_lost_is_made_anew_and_nothing_is_lost_or_doubled(
    nats_server: OneServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One copy was away for the last writes: what the other has counts, and is copied."""
    monkeypatch.setattr("quidditch.cluster.lanes.APPEND_S", 2.0)
    cluster = SmallCluster(nats_server, tmp_path, nodes=2)
    try:
        with cluster.coordinator() as database:
            index = database.create_index("books", settings={"number_of_shards": 2})
            until(lambda: served_by(database, 2))
            index.bulk([part for n in range(40) for part in ({"index": {"_id": str(n)}}, {"title": "dune"})])
            index.refresh()
            cluster.stop_node("n1")
            for number in range(20):
                index.add({"title": "emma"}, str(number))
            index.delete("39")
            index.refresh()
            before = {
                doc.id: (doc.source, doc.version, doc.seq_no) for doc in map(index.get, map(str, range(39)))
            }

            nats_server.kill()
            assert index.count({"match": {"title": "dune"}}) == 19
            nats_server.start()
            nats_server.lose()
            assert index.count({"match": {"title": "emma"}}) == 20
            assert not takes(database, "away")  # The other copy may have more.

            def known_again() -> bool:
                with cluster.coordinator() as other:
                    return "books" in other

            until(known_again)
            cluster.nodes["n1"] = cluster.start_node("n1")
            until(lambda: takes(database, "back"))
            until(lambda: served_by(database, 2))
            cluster.stop_node("n0")
            index.refresh()
            assert {hit.id for hit in index.scan()} >= {*before, "back"}
            after = {doc.id: (doc.source, doc.version, doc.seq_no) for doc in map(index.get, before)}
            assert after == before
            assert "39" not in index
            assert index.check().ok
            assert index.get("back").version >= 1
    finally:
        cluster.close()


def test_nodes_let_nothing_go_for_a_master_that_began_with_an_empty_state(
    nats_server: OneServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quidditch.cluster.coordinator.STARTED_S", 3.0)
    cluster = SmallCluster(nats_server, tmp_path, nodes=1)
    try:
        with cluster.coordinator(replicas=0) as database:
            index = database.create_index("kept")
            index.add({"title": "dune"}, "1")
            (shard,) = database.catalogue.shards_of("kept")
            cluster.master.stop()
            nats_server.lose()
            cluster.master = Master(database.catalogue.connection, "anew", forget_s=5.0)
            cluster.master.start()
            until(lambda: cluster.master.active)
            with cluster.coordinator(replicas=0) as other:
                assert other.indices() == []
                with pytest.raises(Unavailable, match="not all of its shards have started"):
                    other.create_index("new")
            assert cluster.nodes["n0"].node.replica(shard).index.get("1").source == {"title": "dune"}
    finally:
        cluster.close()


def test_a_log_that_is_there_is_replaced_only_when_that_is_said(
    nats_server: OneServer, tmp_path: Path
) -> None:
    cluster = SmallCluster(nats_server, tmp_path, nodes=1)
    try:
        with cluster.coordinator(replicas=0) as database:
            database.create_index("logs")
            (shard,) = database.catalogue.shards_of("logs")
            connection = database.catalogue.connection
            beginning = Beginning("another", 3, 1_001)
            with pytest.raises(StorageError, match="another log is in the place of the one"):
                reseed(connection, shard, beginning)
            assert reseed(connection, shard, beginning, replace=True)
            assert not reseed(connection, shard, beginning)
            assert JetStreamLog(connection, shard).bounds() == (1_001, 1_000)
            assert JetStreamLog(connection, shard).beginning() == beginning
            JetStreamLog(connection, shard).delete()
            with pytest.raises(LogLost):
                JetStreamLog(connection, shard).beginning()
            database.delete_index("logs")
    finally:
        cluster.close()


def test_an_index_whose_log_is_lost_for_good_can_be_deleted(nats_server: OneServer, tmp_path: Path) -> None:
    """Nothing is placed while a log is lost: what is to be deleted shall not hold everything else up."""
    cluster = SmallCluster(nats_server, tmp_path, nodes=1)
    try:
        with cluster.coordinator(replicas=0) as database:
            database.create_index("logs").add({"title": "dune"}, "1")
            (shard,) = database.catalogue.shards_of("logs")
            log = database.means.log(shard)
            log.delete()
            log.create()
            until(lambda: cluster.nodes["n0"].node.report().shards[str(shard)].lost)
            database.delete_index("logs")
            database.create_index("after").add({"title": "dune"}, "1")
            until(lambda: shard.uuid not in database.catalogue.routing().indices)
    finally:
        cluster.close()
