"""What operators see of a cluster, and change in it while it runs, over REST."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from server.asking import Server

from quidditch.cluster.coordinator import ClusterDatabase

from .one_server import OneServer
from .small_cluster import SmallCluster

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def cluster(nats_server: OneServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
def database(cluster: SmallCluster) -> Iterator[ClusterDatabase]:
    with cluster.coordinator() as opened:
        yield opened
        for scope, kept in opened.cluster_settings().items():
            opened.change_cluster_settings(scope, dict.fromkeys(kept))
    cluster.empty()


@pytest.fixture
def server(database: ClusterDatabase) -> Server:
    return Server(database)


def make(server: Server, shards: int, replicas: int, name: str = "books") -> None:
    settings = {"number_of_shards": shards, "number_of_replicas": replicas}
    assert server("PUT", f"/{name}", {"settings": settings}).status_code == 200
    asked = "/_cluster/health?wait_for_status=green&wait_for_no_relocating_shards=true&timeout=30s"
    assert server("GET", asked).json()["timed_out"] is False


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.1)


def places(server: Server, name: str = "books") -> dict[int, list[str]]:
    """The nodes of each shard's copies, once nothing moves any more."""
    found: dict[int, list[str]] = {}
    for row in server("GET", f"/_cat/shards/{name}?format=json").json():
        if row["node"] is not None:
            found.setdefault(int(row["shard"]), []).append(row["node"])
    return {shard: sorted(nodes) for shard, nodes in found.items()}


def health(server: Server, path: str = "/_cluster/health") -> dict[str, Any]:
    body: dict[str, Any] = server("GET", path).json()
    return body


def test_health_and_tables_tell_of_every_copy(server: Server) -> None:
    make(server, 2, 1)
    server("PUT", "/books/_doc/1?refresh=true", {"a": 1})
    whole = health(server, "/_cluster/health?level=shards")
    assert (whole["status"], whole["active_primary_shards"], whole["active_shards"]) == ("green", 2, 4)
    assert (whole["number_of_nodes"], whole["number_of_data_nodes"]) == (5, 3)
    assert whole["indices"]["books"]["shards"]["1"]["active_shards"] == 2
    rows = server("GET", "/_cat/shards?format=json").json()
    assert sorted((row["shard"], row["prirep"], row["state"]) for row in rows) == [
        (shard, kind, "STARTED") for shard in "01" for kind in "pr"
    ]
    assert {row["node"] for row in rows} <= {"n0", "n1", "n2"}
    assert sum(int(row["docs"]) for row in rows if row["prirep"] == "p") == 1
    (index,) = server("GET", "/_cat/indices?format=json&bytes=b").json()
    assert (index["pri"], index["rep"], index["docs.count"]) == ("2", "1", "1")
    assert int(index["store.size"]) > int(index["pri.store.size"]) > 0
    held = {row["node"]: int(row["shards"]) for row in server("GET", "/_cat/allocation?format=json").json()}
    assert sum(held.values()) == 4
    assert held.keys() == {"n0", "n1", "n2"}
    (manager,) = server("GET", "/_cat/cluster_manager?format=json").json()
    assert manager["node"] == "master"
    stages = {row["stage"] for row in server("GET", "/_cat/recovery?format=json").json()}
    assert stages == {"done"}


def test_state_and_nodes_agree_with_the_tables(server: Server) -> None:
    make(server, 2, 1)
    state = server("GET", "/_cluster/state").json()
    assert state["master_node"] == "master"
    routed = state["routing_table"]["indices"]["books"]["shards"]
    assert {
        int(shard): sorted(entry["node"] for entry in entries) for shard, entries in routed.items()
    } == places(server)
    by_node = state["routing_nodes"]["nodes"]
    assert sum(len(entries) for entries in by_node.values()) == 4
    nodes = server("GET", "/_nodes").json()["nodes"]
    assert nodes["n0"]["roles"] == ["data"]
    spoken = [name for name, node in nodes.items() if "http" in node]
    assert len(spoken) == 1, "clients are sent to the coordinator alone"
    assert server("GET", "/_nodes/n1/stats").json()["nodes"].keys() == {"n1"}
    assert server("GET", "/_cluster/stats").json()["indices"]["shards"] == {"total": 4, "primaries": 2}


def test_more_replicas_than_nodes_are_yellow_and_explained(server: Server) -> None:
    make(server, 1, 0)
    assert server("PUT", "/books/_settings", {"number_of_replicas": 3}).status_code == 200
    body = health(server, "/_cluster/health?wait_for_active_shards=3&timeout=30s")
    assert body["timed_out"] is False
    assert (body["status"], body["unassigned_shards"]) == ("yellow", 1)
    late = server("GET", "/_cluster/health?wait_for_status=green&timeout=200ms")
    assert (late.status_code, late.json()["timed_out"]) == (408, True)
    rows = server("GET", "/_cat/shards?format=json").json()
    assert [row["state"] for row in rows].count("UNASSIGNED") == 1
    told = server("GET", "/_cluster/allocation/explain").json()
    assert (told["index"], told["current_state"], told["primary"]) == ("books", "unassigned", False)
    decided = {
        each["node_name"]: each["deciders"][0]["decider"] for each in told["node_allocation_decisions"]
    }
    assert decided == dict.fromkeys(("n0", "n1", "n2"), "same_shard")


def test_replicas_come_and_go_live(server: Server) -> None:
    make(server, 2, 0)
    server("PUT", "/books/_doc/1?refresh=true", {"a": 1})
    server("PUT", "/books/_settings", {"number_of_replicas": 2})
    assert health(server, "/_cluster/health?wait_for_active_shards=6&timeout=30s")["timed_out"] is False
    server("PUT", "/books/_settings", {"number_of_replicas": 0})
    until(lambda: [len(nodes) for nodes in places(server).values()] == [1, 1])
    assert server("GET", "/books/_count").json()["count"] == 1
    refused = server("PUT", "/books/_settings", {"number_of_replicas": 5000})
    assert refused.status_code == 400
    assert "0 to 1000 expected" in refused.text


def test_a_copy_is_moved_and_answers_there(server: Server) -> None:
    make(server, 1, 0)
    server("PUT", "/_cluster/settings", {"transient": {"cluster.routing.rebalance.enable": "none"}})
    server("PUT", "/books/_doc/1?refresh=true", {"a": 1})
    ((source,),) = places(server).values()
    target = next(name for name in ("n0", "n1", "n2") if name != source)
    move = {"move": {"index": "books", "shard": 0, "from_node": source, "to_node": target}}
    tried = server("POST", "/_cluster/reroute?dry_run=true&explain=true", {"commands": [move]}).json()
    assert tried["explanations"][0]["decisions"][0]["decision"] == "YES"
    assert places(server) == {0: [source]}, "a dry run moves nothing"
    assert server("POST", "/_cluster/reroute", {"commands": [move]}).json()["acknowledged"] is True
    until(lambda: places(server) == {0: [target]})
    assert server("GET", "/books/_doc/1").json()["found"] is True
    again = server("POST", "/_cluster/reroute", {"commands": [move]})
    assert again.status_code == 400
    assert f"no copy on node [{source}]" in again.text or f"[{target}] has a copy already" in again.text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ({"move": {"index": "books", "shard": 9, "from_node": "n0", "to_node": "n1"}}, "no shard [9]"),
        ({"move": {"index": "books", "shard": 0, "from_node": "n0", "to_node": "n9"}}, "no data node [n9]"),
        ({"cancel": {"index": "books", "shard": 0, "node": "n0"}}, "no copy is on its way"),
        ({"allocate_replica": {"index": "books", "shard": 0, "node": "n0"}}, "all copies that are wanted"),
        ({"push": {}}, "unknown command [push]"),
        ({"move": {"index": "books"}}, "missing the from_node parameter"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why(
    server: Server, command: dict[str, Any], words: str
) -> None:
    make(server, 1, 0)
    refused = server("POST", "/_cluster/reroute", {"commands": [command]})
    assert refused.status_code == 400
    assert words in refused.json()["error"]["reason"]


def test_a_node_that_is_excluded_gives_its_copies_away(server: Server) -> None:
    make(server, 3, 1)
    setting = {"persistent": {"cluster.routing.allocation.exclude._name": "n0"}}
    assert server("PUT", "/_cluster/settings", setting).status_code == 200
    until(lambda: "n0" not in {node for nodes in places(server).values() for node in nodes})
    assert health(server)["status"] == "green"
    server("PUT", "/_cluster/settings", {"persistent": {"cluster.routing.allocation.exclude._name": None}})
    until(lambda: "n0" in {node for nodes in places(server).values() for node in nodes})


def test_an_index_can_exclude_a_node_for_itself(server: Server) -> None:
    make(server, 1, 1)
    make(server, 3, 1, "mails")
    out = places(server)[0][0]
    server("PUT", "/books/_settings", {"index.routing.allocation.exclude._name": out})
    until(lambda: len(places(server)[0]) == 2 and out not in places(server)[0])
    assert out in {node for nodes in places(server, "mails").values() for node in nodes}


def test_nothing_is_placed_while_that_is_switched_off(server: Server) -> None:
    make(server, 1, 0)
    server("PUT", "/_cluster/settings", {"transient": {"cluster.routing.allocation.enable": "primaries"}})
    server("PUT", "/books/_settings", {"number_of_replicas": 1})
    assert health(server, "/_cluster/health?wait_for_status=green&timeout=1s")["timed_out"] is True
    server("PUT", "/_cluster/settings", {"transient": {"cluster.routing.allocation.enable": None}})
    assert health(server, "/_cluster/health?wait_for_status=green&timeout=30s")["timed_out"] is False
    wrong = {"transient": {"cluster.routing.allocation.enable": "some"}}
    refused = server("PUT", "/_cluster/settings", wrong)
    assert refused.status_code == 400
    assert "not [some]" in refused.text


def test_settings_and_aliases_are_there_for_every_coordinator(cluster: SmallCluster, server: Server) -> None:
    make(server, 1, 0)
    server("PUT", "/_cluster/settings", {"persistent": {"cluster.routing.rebalance.enable": "none"}})
    server("PUT", "/books/_alias/library")
    with cluster.coordinator() as other:
        elsewhere = Server(other)
        flat = elsewhere("GET", "/_cluster/settings?flat_settings=true").json()
        assert flat["persistent"] == {"cluster.routing.rebalance.enable": "none"}
        assert elsewhere("GET", "/library/_count").status_code == 200
        first, second = (each("GET", "/_cluster/state/version").json() for each in (server, elsewhere))
        assert first["cluster_uuid"] == second["cluster_uuid"]


def test_nodes_that_join_get_copies_and_those_that_leave_are_replaced(
    cluster: SmallCluster, server: Server
) -> None:
    make(server, 4, 1)
    cluster.nodes["late"] = cluster.start_node("late")
    until(lambda: "late" in {node for nodes in places(server).values() for node in nodes})
    assert (
        health(server, "/_cluster/health?wait_for_no_relocating_shards=true&timeout=30s")["status"] == "green"
    )
    cluster.stop_node("late")
    until(lambda: "late" not in {node for nodes in places(server).values() for node in nodes})
    assert health(server, "/_cluster/health?wait_for_status=green&timeout=30s")["timed_out"] is False


def test_copies_spread_over_zones(nats_server: OneServer, cluster: SmallCluster, server: Server) -> None:
    make(server, 2, 0, "apart")
    for name in ("east1", "east2"):
        cluster.nodes[name] = cluster.start_node(name, "east")
    try:
        until(lambda: health(server)["number_of_data_nodes"] == 5)
        make(server, 4, 1)
        for nodes in places(server).values():
            assert sorted(node.startswith("east") for node in nodes) == [False, True]
        zones = server("GET", "/_cat/nodeattrs?format=json").json()
        assert {(row["node"], row["value"]) for row in zones} == {("east1", "east"), ("east2", "east")}
        out = {"persistent": {"cluster.routing.allocation.exclude.zone": "east"}}
        server("PUT", "/_cluster/settings", out)
        until(lambda: not any(node.startswith("east") for nodes in places(server).values() for node in nodes))
    finally:
        for name in ("east1", "east2"):
            cluster.stop_node(name)
