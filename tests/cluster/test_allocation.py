"""Where copies of shards go: what holds of every table, whatever happens to nodes and indices."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.cluster.allocation import Node, Situation, Wanted, allocate, moved
from quidditch.cluster.state import Copy, RoutingTable, ShardId

ROUNDS = 200


def everything_serves(table: RoutingTable, nodes: dict[str, Node]) -> Situation:
    """All copies on nodes that are there serve."""
    return Situation(
        nodes,
        {(shard, copy.node) for shard, copies in table.shards() for copy in copies if copy.node in nodes},
    )


def settled(table: RoutingTable, wanted: dict[str, Wanted], nodes: dict[str, Node]) -> RoutingTable:
    """The table once every copy serves and nothing is left to do."""
    for _ in range(ROUNDS):
        following = allocate(table, wanted, everything_serves(table, nodes))
        if following is table:
            return table
        table = following
    raise AssertionError(f"after {ROUNDS} rounds there is no rest: {table}")


def loads(table: RoutingTable, nodes: dict[str, Node]) -> Counter[str]:
    counted = Counter(dict.fromkeys(nodes, 0))
    counted.update(copy.node for _, copies in table.shards() for copy in copies)
    return counted


def three(*zones: str) -> dict[str, Node]:
    return {f"n{place}": Node(zone) for place, zone in enumerate(zones or ("", "", ""))}


node_sets = st.dictionaries(
    st.sampled_from([f"n{number}" for number in range(7)]),
    st.builds(Node, zone=st.sampled_from(["", "a", "b", "c"]), draining=st.booleans()),
    max_size=7,
)
index_sets = st.dictionaries(
    st.sampled_from(["logs", "books", "mails"]),
    st.builds(Wanted, shards=st.integers(1, 5), copies=st.integers(1, 3)),
    max_size=3,
)


@given(st.lists(st.tuples(index_sets, node_sets, st.randoms(use_true_random=False)), min_size=1, max_size=6))
def test_what_holds_of_every_table(history: list) -> None:  # type: ignore[type-arg]
    table = RoutingTable()
    for wanted, nodes, random in history:
        before = table
        all_serving = everything_serves(table, nodes)
        serving = {each for each in sorted(all_serving.serving) if random.random() < 0.7}
        table = allocate(before, wanted, Situation(nodes, serving))
        again = allocate(before, wanted, Situation(nodes, serving))
        assert table == again
        assert table.epoch == before.epoch + (table.indices != before.indices)
        assert set(table.indices) == set(wanted)
        for shard, copies in table.shards():
            assert len(table.indices[shard.uuid]) == wanted[shard.uuid].shards
            on = [copy.node for copy in copies]
            assert len(on) == len(set(on))
            stayed = {copy.node for copy in copies}
            lost = [
                copy.node
                for copy in before.copies(shard)
                if (shard, copy.node) in serving and copy.node not in stayed
            ]
            if lost:
                left = sum((shard, node) in serving for node in stayed)
                assert left >= min(wanted[shard.uuid].copies, len(stayed))
            if any((shard, copy.node) in serving for copy in before.copies(shard)):
                assert any((shard, node) in serving for node in stayed), (
                    "the last that serves is not taken away"
                )


@given(index_sets, node_sets, index_sets, node_sets)
def test_it_comes_to_a_rest_and_is_complete_then(
    first: dict[str, Wanted],
    first_nodes: dict[str, Node],
    then: dict[str, Wanted],
    then_nodes: dict[str, Node],
) -> None:
    common = {
        name: then[name] for name in then if name not in first or first[name].shards == then[name].shards
    }
    table = settled(RoutingTable(), first, first_nodes)
    table = settled(table, common, then_nodes)
    room = sum(not node.draining for node in then_nodes.values())
    for shard, copies in table.shards():
        there = [copy for copy in copies if copy.node in then_nodes]
        if not there and table.copies(shard):
            continue  # Of a shard all of whose nodes are gone the place is kept.
        staying = [copy for copy in there if not copy.leaving]
        assert len(staying) >= min(common[shard.uuid].copies, room)
        if room >= common[shard.uuid].copies:
            assert not any(then_nodes[copy.node].draining for copy in there)
            assert len(there) == common[shard.uuid].copies


@given(st.integers(1, 9), st.integers(1, 8), st.integers(1, 3))
def test_without_zones_no_node_has_two_more_than_another(shards: int, count: int, copies: int) -> None:
    nodes = {f"n{number}": Node() for number in range(count)}
    table = settled(RoutingTable(), {"logs": Wanted(shards, copies)}, nodes)
    counted = loads(table, nodes)
    assert max(counted.values()) - min(counted.values()) <= 1


@given(st.integers(1, 6), st.lists(st.sampled_from("abc"), min_size=2, max_size=6), st.integers(1, 3))
def test_copies_of_a_shard_are_in_as_many_zones_as_there_are(
    shards: int, zones: list[str], copies: int
) -> None:
    nodes = three(*zones)
    table = settled(RoutingTable(), {"logs": Wanted(shards, copies)}, nodes)
    for _, found in table.shards():
        assert len({nodes[copy.node].zone for copy in found}) == min(copies, len(set(zones)), len(nodes))


@given(st.integers(1, 9), st.integers(1, 3), st.integers(2, 6))
def test_a_node_that_joins_takes_no_more_than_its_share(shards: int, copies: int, count: int) -> None:
    nodes = {f"n{number}": Node() for number in range(count)}
    wanted = {"logs": Wanted(shards, copies)}
    before = settled(RoutingTable(), wanted, nodes)
    after = settled(before, wanted, {**nodes, "late": Node()})
    changed = sum(
        len({copy.node for copy in new} - {copy.node for copy in old})
        for (_, old), (_, new) in zip(before.shards(), after.shards(), strict=True)
    )
    assert changed == loads(after, nodes)["late"]
    assert all(
        copy.node == "late" or copy in old
        for (_, old), (_, new) in zip(before.shards(), after.shards(), strict=True)
        for copy in new
    )


def test_a_node_that_is_lost_moves_only_what_it_had() -> None:
    nodes = three()
    wanted = {"logs": Wanted(5, 2)}
    before = settled(RoutingTable(), wanted, nodes)
    left = {name: node for name, node in nodes.items() if name != "n1"}
    after = allocate(before, wanted, everything_serves(before, left))
    for (_, old), (_, new) in zip(before.shards(), after.shards(), strict=True):
        assert {copy.node for copy in new} == {"n0", "n2"}
        assert {copy for copy in old if copy.node != "n1"} <= set(new)


def test_the_only_copy_keeps_its_place_while_its_node_is_gone() -> None:
    wanted = {"logs": Wanted(1, 1)}
    table = settled(RoutingTable(), wanted, {"n0": Node()})
    assert allocate(table, wanted, Situation({"n1": Node()})) is table


def test_a_node_that_may_still_come_keeps_its_copies_and_gets_none() -> None:
    nodes = three()
    wanted = {"logs": Wanted(5, 2)}
    before = settled(RoutingTable(), wanted, nodes)
    left = {name: node for name, node in nodes.items() if name != "n1"}
    serving = everything_serves(before, left).serving
    assert allocate(before, wanted, Situation(left, serving, awaited=frozenset({"n1"}))) is before
    more = {**wanted, "books": Wanted(3, 2)}
    after = allocate(before, more, Situation(left, serving, awaited=frozenset({"n1"})))
    assert all("n1" not in {copy.node for copy in copies} for copies in after.indices["books"])
    assert after.indices["logs"] == before.indices["logs"]


def test_a_copy_that_never_served_does_not_push_out_one_whose_node_is_away() -> None:
    table = RoutingTable(1, {"logs": ((Copy("n0"), Copy("n1")),)})
    wanted = {"logs": Wanted(1, 2)}
    following = allocate(table, wanted, Situation({"n1": Node(), "n2": Node()}))
    assert Copy("n0") in following.copies(ShardId("logs", 0))


@pytest.mark.parametrize("leaving", [True, False])
def test_a_copy_that_is_being_started_again_is_not_taken_away_while_no_other_serves(leaving: bool) -> None:
    """Its node was restarted while the other copied it: it is the only one that has anything."""
    shard, wanted = ShardId("logs", 0), {"logs": Wanted(1, 1)}
    moving = RoutingTable(1, {"logs": ((Copy("n0", leaving), Copy("n1")),)})
    nodes = {"n0": Node(), "n1": Node()}
    assert allocate(moving, wanted, Situation(nodes)) is moving
    served = allocate(moving, wanted, Situation(nodes, {(shard, "n1")}))
    assert served.copies(shard) == (Copy("n1"),)


def test_a_draining_node_serves_until_another_does() -> None:
    nodes = three()
    wanted = {"logs": Wanted(1, 1)}
    table = settled(RoutingTable(), wanted, nodes)
    ((shard, (only,)),) = table.shards()
    draining = {**nodes, only.node: Node(draining=True)}
    moving = allocate(table, wanted, everything_serves(table, draining))
    assert Copy(only.node, leaving=True) in moving.copies(shard)
    still = allocate(moving, wanted, Situation(draining, {(shard, only.node)}))
    assert still is moving
    done = settled(moving, wanted, draining)
    assert only.node not in {copy.node for copy in done.copies(shard)}


def test_replicas_are_added_and_taken_away() -> None:
    nodes = three()
    one = settled(RoutingTable(), {"logs": Wanted(2, 1)}, nodes)
    two = settled(one, {"logs": Wanted(2, 3)}, nodes)
    assert [len(copies) for _, copies in two.shards()] == [3, 3]
    assert all(set(one.copies(shard)) <= set(copies) for shard, copies in two.shards())
    back = settled(two, {"logs": Wanted(2, 1)}, nodes)
    assert [len(copies) for _, copies in back.shards()] == [1, 1]


def test_more_copies_than_nodes_are_as_many_as_there_are_nodes() -> None:
    table = settled(RoutingTable(), {"logs": Wanted(1, 3)}, {"n0": Node(), "n1": Node()})
    assert len(table.copies(ShardId("logs", 0))) == 2


def test_a_move_that_a_person_asks_for() -> None:
    shard = ShardId("logs", 0)
    table = RoutingTable(4, {"logs": ((Copy("n0"),),)})
    moving = moved(table, shard, "n0", "n1")
    assert moving == RoutingTable(5, {"logs": ((Copy("n0", True), Copy("n1")),)})
    after = settled(moving, {"logs": Wanted(1, 1)}, three())
    assert after.copies(shard) == (Copy("n1"),)
    with pytest.raises(ValueError, match=r"no copy on node \[n2\]; there are copies on \['n0'\]"):
        moved(table, shard, "n2", "n1")
    with pytest.raises(ValueError, match=r"node \[n1\] has a copy already"):
        moved(moving, shard, "n0", "n1")
