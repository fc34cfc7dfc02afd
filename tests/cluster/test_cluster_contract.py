"""A cluster of three data nodes keeps the contracts of `Database` and `Index`, with several shards and a replica."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quidditch.cluster import index_settings
from quidditch.cluster.coordinator import ClusterDatabase

from .one_server import OneServer
from .small_cluster import SmallCluster

sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))

from database_contract import DatabaseContract, OpenAgain
from index_contract import IndexContract
from upkeep_contract import UpkeepContract


@pytest.fixture(scope="module")
def cluster(nats_server: OneServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


class OnCluster:
    """Supplies databases over one cluster, emptied after each test."""

    @pytest.fixture
    def database(self, cluster: SmallCluster) -> Iterator[ClusterDatabase]:
        with cluster.coordinator() as opened:
            yield opened
        cluster.empty()

    @pytest.fixture
    def open_again(self, cluster: SmallCluster) -> OpenAgain:
        return cluster.coordinator


class TestClusterDatabase(OnCluster, DatabaseContract):
    """A coordinator's database."""


class TestClusterUpkeep(OnCluster, UpkeepContract):
    """Aliases, settings, closing and writes by query of a coordinator's database."""


@pytest.mark.long
class TestClusterIndex(OnCluster, IndexContract):
    """An index of one shard; the default run has one of three, which is harder."""


ORDER_OF_ONE_SHARD = {
    "test_no_query_is_everything_in_order",
    "test_sorts[sort0-order0]",
    "test_sorts[sort1-order1]",
    "test_sorts[sort2-order2]",
    "test_sorts[year-order5]",
    "test_stats_count_documents",
}
"""Of documents that are equal by the sort asked for; and one counts segments, which each shard has of its own."""


class TestShardedIndex(OnCluster, IndexContract):
    """An index of three shards. Equal documents come in the order of their shards, not of their writes."""

    @pytest.fixture(autouse=True)
    def sharded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(index_settings, "DEFAULT_SHARDS", 3)

    @pytest.fixture(autouse=True)
    def one_shard_alone(self, request: pytest.FixtureRequest) -> None:
        if request.node.name in ORDER_OF_ONE_SHARD:
            pytest.skip("holds of one shard: equal documents in the order of their writes")
