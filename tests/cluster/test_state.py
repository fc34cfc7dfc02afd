"""What is kept of a cluster comes back as it was, and a newer protocol is refused by name."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.cluster.routing import shard_of
from quidditch.cluster.state import (
    PROTOCOL_VERSION,
    Copy,
    NodeReport,
    ProcessReport,
    RoutingTable,
    ShardId,
    ShardReport,
    Speaks,
    from_bytes,
    raised,
    to_bytes,
)
from quidditch.errors import StorageError

copies = st.lists(st.builds(Copy, node=st.text(max_size=5), leaving=st.booleans()), max_size=3).map(tuple)
tables = st.builds(
    RoutingTable,
    epoch=st.integers(0, 1 << 40),
    indices=st.dictionaries(st.text(max_size=8), st.lists(copies, max_size=4).map(tuple), max_size=3),
)
reports = st.builds(
    NodeReport,
    node=st.text(),
    run=st.text(),
    address=st.text(),
    draining=st.booleans(),
    shards=st.dictionaries(st.text(), st.builds(ShardReport, applied=st.integers(0, 1 << 60)), max_size=3),
)


@given(tables)
def test_tables_come_back(table: RoutingTable) -> None:
    assert from_bytes(to_bytes(table), RoutingTable) == table


@given(reports)
def test_reports_come_back(report: NodeReport) -> None:
    assert from_bytes(to_bytes(report), NodeReport) == report


def test_thousands_of_shards_take_little_room() -> None:
    nodes = [f"node-{number}.example.org" for number in range(100)]
    shards = tuple((Copy(nodes[number % 100]), Copy(nodes[(number + 7) % 100])) for number in range(30))
    table = RoutingTable(1, {f"{number:032x}": shards for number in range(100)})
    assert len(to_bytes(table)) < 100_000
    assert len(list(table.shards())) == 3_000


def test_a_table_knows_its_shards() -> None:
    table = RoutingTable(1, {"b": ((Copy("n1"),), (Copy("n0"), Copy("n1", True))), "a": ((Copy("n0"),),)})
    assert [str(shard) for shard, _ in table.shards()] == ["a.0", "b.0", "b.1"]
    assert table.on_node("n1") == [ShardId("b", 0), ShardId("b", 1)]
    assert table.copies(ShardId("b", 2)) == () == table.copies(ShardId("c", 0))


def test_a_newer_protocol_is_refused_and_says_so() -> None:
    newer = to_bytes(RoutingTable(version=PROTOCOL_VERSION + 1))
    with pytest.raises(StorageError, match=f"protocol {PROTOCOL_VERSION + 1}.*upgrade it"):
        from_bytes(newer, RoutingTable)


def test_what_a_newer_process_still_writes_in_an_older_protocol_is_read() -> None:
    older = to_bytes(RoutingTable(version=2))
    assert from_bytes(older, RoutingTable, Speaks(1, 3)).version == 2
    Speaks(2, 3).check(3, "the cluster is")
    with pytest.raises(
        StorageError, match=r"the cluster is of protocol 1; this process speaks 2 to 3: .* between"
    ):
        Speaks(2, 3).check(1, "the cluster is")


def node(name: str, newest: int) -> NodeReport:
    return NodeReport(name, "run", "here:1", speaks=Speaks(1, newest))


def test_the_protocol_rises_once_all_speak_a_newer_one() -> None:
    table = RoutingTable(7, {"a": ((Copy("n0"), Copy("n1")),)})
    nodes = {"n0": node("n0", 2), "n1": node("n1", 3)}
    master = ProcessReport("master", "m", "r1", speaks=Speaks(1, 2))
    assert raised(table, nodes, [master]) == RoutingTable(8, table.indices, 2)
    assert raised(table, {**nodes, "n2": node("n2", 1)}, [master]) is table
    assert raised(table, nodes, [master, ProcessReport("coordinator", "c", "r2")]) is table


def test_the_protocol_stays_while_a_node_is_not_heard_of_and_never_falls() -> None:
    table = RoutingTable(7, {"a": ((Copy("n0"), Copy("n1")),)}, 2)
    assert raised(table, {"n0": node("n0", 3)}, []) is table
    assert raised(table, {"n0": node("n0", 3), "n1": node("n1", 1)}, []) is table
    assert raised(RoutingTable(), {}, [ProcessReport("master", "m", "r", speaks=Speaks(1, 2))]).version == 1


def test_fields_of_a_later_release_are_read_past() -> None:
    class Wider(msgspec.Struct):
        node: str
        run: str
        address: str
        mood: str = "good"

    assert from_bytes(to_bytes(Wider("n0", "r", "here:1")), NodeReport) == NodeReport("n0", "r", "here:1")


@pytest.mark.parametrize("data", [b"", b"no zstd", to_bytes(Copy("n0"))])
def test_what_is_no_such_value_is_refused(data: bytes) -> None:
    with pytest.raises(StorageError, match="no NodeReport"):
        from_bytes(data, NodeReport)


@given(st.binary(max_size=20), st.integers(1, 64))
def test_a_document_has_one_shard(key: bytes, shards: int) -> None:
    assert 0 <= shard_of(key, shards) < shards
    assert shard_of(key, shards) == shard_of(key, shards)


def test_where_documents_lie_never_changes() -> None:
    found = [shard_of(f"doc-{number}".encode(), 5) for number in range(12)]
    assert found == [4, 1, 4, 4, 0, 1, 4, 1, 3, 2, 4, 0]


def test_shards_fill_evenly() -> None:
    counts = [0] * 5
    for number in range(5_000):
        counts[shard_of(str(number).encode(), 5)] += 1
    assert max(counts) - min(counts) < 200
