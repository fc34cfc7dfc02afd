"""Copies that have come apart are found: by checksums of everything that each has carried out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from quidditch.cluster.agreement import differing
from quidditch.cluster.data_node import local_name
from quidditch.cluster.log import Entry
from quidditch.cluster.machine import told
from quidditch.cluster.replica import Replica
from quidditch.cluster.state import ShardReport
from quidditch.index.operations import Operation

from .following import entry, put, replica_in
from .memory_log import MemoryLog
from .one_server import OneServer
from .small_cluster import SmallCluster


def said(*marks: tuple[int, int]) -> ShardReport:
    return ShardReport(marks=marks)


def test_copies_are_compared_where_both_speak() -> None:
    assert differing({"a": said((64, 1), (128, 2), (130, 3)), "b": said((64, 1), (70, 9))}) == {}
    assert differing({"a": said((64, 1)), "b": said((128, 2))}) == {}
    assert differing({"a": said((64, 1), (128, 2)), "b": said((64, 1), (128, 5))}) == {"a": 128, "b": 128}
    three = {"a": said((64, 1), (128, 2)), "b": said((64, 1), (128, 2)), "c": said((64, 7), (128, 8))}
    assert differing(three) == {"c": 64}


def entries(count: int) -> list[Entry]:
    return [
        Entry(
            number,
            entry(
                f"b{number}", put(str(number % 9), {"title": "x"}), Operation("create", b"3", {"title": "y"})
            ),
        )
        for number in range(1, count + 1)
    ]


def test_copies_that_did_the_same_agree_however_they_were_told(tmp_path: Path) -> None:
    copies: dict[str, ShardReport] = {}
    for name, at_once in (("a", 1), ("b", 30)):
        database, replica = replica_in(tmp_path / name, MemoryLog())
        for start in range(0, 150, at_once):
            replica.apply(entries(150)[start : start + at_once])
        database.close()
        database, replica = replica_in(tmp_path / name, MemoryLog())
        copies[name] = replica.report()
        database.close()
    assert [sequence for sequence, _ in copies["a"].marks] == [64, 128, 150]
    assert copies["a"].marks == copies["b"].marks


@pytest.mark.parametrize("by", ["write", "delete"])
def test_a_copy_that_was_tampered_with_is_told(tmp_path: Path, by: str) -> None:
    def after(replica: Replica, first: int, last: int) -> None:
        replica.apply(entries(last)[first:last])

    copies: dict[str, ShardReport] = {}
    for name in ("a", "b", "c"):
        database, replica = replica_in(tmp_path / name, MemoryLog())
        after(replica, 0, 70)
        if name == "b" and by == "write":
            database.index("copy").add({"title": "secretly"}, "7")
        elif name == "b":
            database.index("copy").delete("7")
        after(replica, 70, 200)
        copies[name] = replica.report()
        database.close()
    assert differing(copies) == {"b": 128}


def test_the_master_and_the_status_tell_of_copies_that_differ(nats_server: OneServer, tmp_path: Path) -> None:
    cluster = SmallCluster(nats_server, tmp_path, nodes=2)
    try:
        with cluster.coordinator() as database:
            index = database.create_index("books")
            (shard,) = database.catalogue.shards_of("books")
            database.catalogue.wait_serving(shard, 2, 30.0)
            index.add({"title": "dune"}, "1")
            index.refresh()
            for node in cluster.nodes.values():
                node.node.say()
            assert cluster.master.compare() == {}
            assert {each["failed"] for each in told(database.catalogue)["shards"]} == {""}
            tampered = cluster.nodes["n1"].node.replica(shard).index
            tampered.add({"title": "secretly"}, "1")
            index.add({"title": "dune messiah"}, "1")
            index.refresh()
            deadline = time.monotonic() + 30.0
            while not cluster.master.compare():
                for node in cluster.nodes.values():
                    node.node.say()
                assert time.monotonic() < deadline
            assert set(cluster.master.apart[shard]) == {"n0", "n1"}
            why = "it differs from the other copies, since entry 2 or before"
            database.catalogue.wait_for_nodes(
                lambda: {each["failed"] for each in told(database.catalogue)["shards"]} == {why},
                30.0,
                "status",
            )
            assert local_name(shard) == tampered.name
            database.delete_index("books")
    finally:
        cluster.close()
