"""Documents that name their routing lie, and are found, where it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import quidditch
from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.routing import shard_of
from quidditch.errors import RoutingMissing

from .one_server import OneServer
from .small_cluster import SmallCluster

READERS = ["ann", "bob", "cleo", "dora", "eve", "finn"]


@pytest.fixture(scope="module")
def cluster(nats_server: OneServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
def database(cluster: SmallCluster) -> Iterator[ClusterDatabase]:
    with cluster.coordinator() as opened:
        yield opened
    cluster.empty()


def loans(database: ClusterDatabase) -> quidditch.Index:
    """An index of three shards, a loan for each reader, all of one id."""
    index = database.create_index("loans", settings={"number_of_shards": 3})
    for reader in READERS:
        index.add({"reader": reader, "title": "Dune"}, id="1", routing=reader)
    return index


def test_one_id_in_several_shards_is_several_documents(database: ClusterDatabase) -> None:
    index = loans(database)
    shards = {shard_of(reader.encode(), 3) for reader in READERS}
    assert len(shards) == 3, "the readers of this test were to lie in all shards"
    found = index.search("dune", size=10)
    assert found.total == len(index) == 3
    assert {hit.routing for hit in found} <= set(READERS)


def test_a_document_is_found_by_its_routing_and_not_by_its_id(database: ClusterDatabase) -> None:
    index = database.create_index("loans", settings={"number_of_shards": 3})
    elsewhere = next(name for name in READERS if shard_of(name.encode(), 3) != shard_of(b"1", 3))
    index.add({"title": "Dune"}, id="1", routing=elsewhere)
    assert index.get("1", routing=elsewhere).routing == elsewhere
    with pytest.raises(quidditch.DocumentNotFound):
        index.get("1")
    assert index.mget(["1", "1"], routings=[None, elsewhere])[0] is None
    assert index.delete("1").result == "not_found"
    assert index.delete("1", routing=elsewhere).result == "deleted"


def test_updates_and_writes_by_query_go_where_the_document_lies(database: ClusterDatabase) -> None:
    index = loans(database)
    last = {shard_of(reader.encode(), 3): reader for reader in READERS}
    for reader in last.values():
        assert index.update("1", {"returned": True}, routing=reader).version > 1
    assert index.count({"term": {"returned": True}}) == 3
    assert index.update_by_query().updated == 3
    assert {hit.routing for hit in index.search(size=10)} == set(last.values())
    assert index.delete_by_query({"match_all": {}}).deleted == 3
    assert len(index) == 0


def test_a_bulk_names_routings_and_a_mapping_may_demand_them(database: ClusterDatabase) -> None:
    index = database.create_index("loans", {"_routing": {"required": True}}, {"number_of_shards": 3})
    actions: list[Any] = []
    for number, reader in enumerate(READERS):
        actions += [{"index": {"_id": str(number), "routing": reader}}, {"n": number}]
    done = index.bulk(actions)
    assert not done.errors
    assert [found and found.source for found in index.mget([str(n) for n in range(6)], routings=READERS)] == [
        {"n": n} for n in range(6)
    ]
    with pytest.raises(RoutingMissing):
        index.add({"n": 7}, id="7")
    with pytest.raises(RoutingMissing):
        index.get("1")
    with pytest.raises(RoutingMissing):
        index.add_many([{"n": 8}])
