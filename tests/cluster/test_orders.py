"""What people order of the master, and the rules that it places copies by: what holds whatever is ordered."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.cluster.allocation import Node, Rules, Situation, Wanted, allocate
from quidditch.cluster.orders import Order, all_carried_out, carried_out
from quidditch.cluster.picture import EXCLUDE, rules_of, situation_of
from quidditch.cluster.state import Copy, NodeReport, RoutingTable, ShardId
from quidditch.errors import RequestError

from .test_allocation import everything_serves, settled

NODES = {f"n{number}": Node("ab"[number % 2]) for number in range(5)}
WANTED = {"logs": Wanted(3, 2), "books": Wanted(2, 1)}

orders = st.builds(
    Order,
    kind=st.sampled_from(["move", "cancel", "allocate"]),
    uuid=st.sampled_from(["logs", "books", "gone"]),
    shard=st.integers(0, 3),
    node=st.sampled_from([*NODES, "n9"]),
    target=st.sampled_from([*NODES, "n9"]),
)


@given(st.lists(orders, max_size=12), st.randoms(use_true_random=False))
def test_whatever_is_ordered_shards_keep_what_serves_and_come_to_a_rest(listed: list[Order], random) -> None:  # type: ignore[no-untyped-def]
    table = settled(RoutingTable(), WANTED, NODES)
    for order in listed:
        everything = everything_serves(table, NODES)
        serving = {each for each in sorted(everything.serving) if random.random() < 0.8}
        situation = Situation(NODES, serving)
        after, (why,) = all_carried_out(table, [order], WANTED, situation)
        assert (after is table) == bool(why)
        for shard, copies in after.shards():
            on = [copy.node for copy in copies]
            assert len(on) == len(set(on))
            held = {copy.node for copy in table.copies(shard) if (shard, copy.node) in serving}
            assert not held or held & set(on), "an order never takes away the last copy that serves"
        table = allocate(after, WANTED, situation)
    rested = settled(table, WANTED, NODES)
    for shard, copies in rested.shards():
        assert len(copies) == WANTED[shard.uuid].copies
        assert not any(copy.leaving for copy in copies)


def test_an_order_that_has_been_carried_out_is_refused_the_second_time() -> None:
    table = RoutingTable(4, {"logs": ((Copy("n0"),),)}, 1)
    wanted, order = {"logs": Wanted(1, 1)}, Order("move", "logs", 0, "n0", "n1")
    situation = everything_serves(table, NODES)
    moving = carried_out(table, order, wanted, situation)
    assert moving.indices == {"logs": ((Copy("n0", True), Copy("n1")),)}
    with pytest.raises(RequestError, match="on its way already"):
        carried_out(moving, order, wanted, situation)


def test_a_move_is_cancelled() -> None:
    table = RoutingTable(4, {"logs": ((Copy("n0", True), Copy("n1"), Copy("n2")),)})
    situation = Situation(NODES, {(ShardId("logs", 0), "n0"), (ShardId("logs", 0), "n2")})
    after = carried_out(table, Order("cancel", "logs", 0, "n1"), {"logs": Wanted(1, 2)}, situation)
    assert after.copies(ShardId("logs", 0)) == (Copy("n0"), Copy("n2"))
    with pytest.raises(RequestError, match=r"no copy is on its way to node \[n2\]"):
        carried_out(after, Order("cancel", "logs", 0, "n2"), {"logs": Wanted(1, 2)}, situation)


def test_a_missing_copy_is_placed_where_it_is_wanted() -> None:
    table = RoutingTable(4, {"logs": ((Copy("n0"),),)})
    situation = everything_serves(table, NODES)
    order = Order("allocate", "logs", 0, "n3")
    after = carried_out(table, order, {"logs": Wanted(1, 2)}, situation)
    assert after.copies(ShardId("logs", 0)) == (Copy("n0"), Copy("n3"))
    with pytest.raises(RequestError, match="all copies that are wanted have a place"):
        carried_out(table, order, {"logs": Wanted(1, 1)}, situation)
    with pytest.raises(RequestError, match=r"no data node \[n9\]"):
        carried_out(table, Order("allocate", "logs", 0, "n9"), {"logs": Wanted(1, 2)}, situation)
    with pytest.raises(RequestError, match=r"excluded by index\.routing"):
        carried_out(table, order, {"logs": Wanted(1, 2, frozenset({"n3"}))}, situation)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 2)), min_size=1, max_size=6),
    st.integers(2, 6),
    st.integers(1, 4),
)
def test_copies_of_an_index_spread_over_nodes(
    shapes: list[tuple[int, int]], count: int, joining: int
) -> None:
    """An index that is made after nodes have joined, empty as they are, does not lie on them alone."""
    before = {f"index-{number}": Wanted(*shape) for number, shape in enumerate(shapes)}
    nodes = {f"n{number}": Node() for number in range(count)}
    table = settled(RoutingTable(), before, nodes)
    more = {**nodes, **{f"late{number}": Node() for number in range(joining)}}
    placed = allocate(table, {**before, "new": Wanted(len(more), 1)}, everything_serves(table, more))
    held = Counter(copy.node for shard, copies in placed.shards() if shard.uuid == "new" for copy in copies)
    assert max(held.values()) == 1


def test_an_index_that_excludes_a_node_leaves_it_and_others_stay() -> None:
    wanted = {"logs": Wanted(5, 2), "books": Wanted(5, 1)}
    table = settled(RoutingTable(), wanted, NODES)
    apart = {**wanted, "logs": Wanted(5, 2, frozenset({"n1"}))}
    after = settled(table, apart, NODES)
    on = {(shard.uuid, copy.node) for shard, copies in after.shards() for copy in copies}
    assert ("logs", "n1") not in on
    assert ("books", "n1") in on


def test_what_is_switched_off_is_not_done() -> None:
    wanted = {"logs": Wanted(2, 2)}
    first = allocate(RoutingTable(), wanted, Situation(NODES), Rules("primaries"))
    assert [len(copies) for _, copies in first.shards()] == [1, 1]
    none = allocate(RoutingTable(), wanted, Situation(NODES), Rules("none"))
    assert [len(copies) for _, copies in none.shards()] == [0, 0]
    uneven = RoutingTable(1, {"logs": tuple((Copy("n0"),) for _ in range(4))})
    few = {"logs": Wanted(4, 1)}
    still = allocate(uneven, few, everything_serves(uneven, NODES), Rules(rebalance=False))
    assert still is uneven
    assert allocate(uneven, few, everything_serves(uneven, NODES)) is not uneven


def test_settings_of_the_cluster_become_rules() -> None:
    assert rules_of({}) == Rules()
    assert rules_of({"cluster.routing.allocation.enable": "new_primaries"}).enable == "primaries"
    assert rules_of({"cluster.routing.rebalance.enable": "none"}).rebalance is False
    reports = {name: NodeReport(name, "1", "somewhere", "east") for name in ("n1", "n2", "m1")}
    drained = situation_of(reports, reports, {EXCLUDE: "n*"}).nodes
    assert {name for name, node in drained.items() if node.draining} == {"n1", "n2"}
