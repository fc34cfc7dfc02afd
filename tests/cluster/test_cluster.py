"""A cluster answers as one directory does: the same hits, order and score bits; writes are there, once, for good."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

import quidditch
from quidditch.cluster import data_node
from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.errors import IndexNotFound, VersionConflict
from quidditch.interface import Database

from .one_server import OneServer
from .processes import wait_until
from .small_cluster import SmallCluster

WORDS = [
    "sand",
    "spice",
    "worm",
    "desert",
    "water",
    "storm",
    "prince",
    "ghola",
    "voice",
    "sword",
    "rain",
    "dune",
    "house",
    "planet",
]
BODY = {"size": 30, "sort": ["_score", {"_id": "asc"}]}


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


def history(seed: int) -> list[object]:
    """Bulk actions: documents, some of them replaced, changed or deleted later."""
    choose = random.Random(seed)
    actions: list[object] = []
    for _ in range(400):
        id = str(choose.randrange(250))
        kind = choose.choices(["index", "delete", "update"], [8, 1, 1])[0]
        text = " ".join(choose.choices(WORDS, k=choose.randrange(3, 30)))
        if kind == "index":
            actions += [{"index": {"_id": id}}, {"text": text, "year": choose.randrange(1960, 2020)}]
        elif kind == "delete":
            actions.append({"delete": {"_id": id}})
        else:
            actions += [{"update": {"_id": id}}, {"doc": {"text": text}, "doc_as_upsert": True}]
    return actions


QUERIES: list[dict[str, Any]] = [
    {"match": {"text": "sand worm"}},
    {"match_phrase": {"text": "sand worm"}},
    {"bool": {"must": {"match": {"text": "spice"}}, "filter": {"range": {"year": {"gte": 1990}}}}},
    {"multi_match": {"query": "storm rain dune", "fields": ["text^2", "year"], "lenient": True}},
    {
        "dis_max": {
            "queries": [{"match": {"text": "prince"}}, {"match": {"text": "voice"}}],
            "tie_breaker": 0.3,
        }
    },
]


def seen(database: Database, query: dict[str, Any]) -> list[tuple[object, ...]]:
    result = database.search("books", {**BODY, "query": query})
    return [(result.total,), *((hit.id, hit.score, hit.source) for hit in result.hits)]


@pytest.mark.parametrize("shards", [1, 3, 5])
def test_scores_and_order_are_those_of_one_directory(database: ClusterDatabase, shards: int) -> None:
    actions = history(shards)
    with quidditch.connect(":memory:") as alone:
        expected = alone.create_index("books").bulk(actions)
        index = database.create_index("books", settings={"number_of_shards": shards})
        result = index.bulk(actions)
        assert [(one.id, one.status, one.version, one.error) for one in result.items] == [
            (one.id, one.status, one.version, one.error) for one in expected.items
        ]
        assert len(index) == len(alone.index("books"))
        for query in QUERIES:
            assert seen(database, query) == seen(alone, query)
        by_year = {"query": {"match_all": {}}, "sort": ["year", "_id"], "size": 25}
        one, other = database.search("books", by_year), alone.search("books", by_year)
        assert [(hit.id, hit.sort) for hit in one.hits] == [(hit.id, hit.sort) for hit in other.hits]
        assert index.explain(one.hits[0].id, QUERIES[0]) == alone["books"].explain(one.hits[0].id, QUERIES[0])


def test_a_write_is_seen_by_the_coordinator_that_made_it_and_by_others_after_refresh(
    cluster: SmallCluster, database: ClusterDatabase
) -> None:
    index = database.create_index("books", settings={"number_of_shards": 2})
    made = index.add({"title": "Dune"}, id="1")
    assert (made.version, made.result) == (1, "created")
    assert index.get("1").source == {"title": "Dune"}
    assert [hit.id for hit in index.search("dune").hits] == ["1"]
    with cluster.coordinator() as other:
        other.index("books").refresh()
        assert other.index("books").get("1").version == 1
        with pytest.raises(VersionConflict):
            other.index("books").add({"title": "Other"}, id="1", op="create")


def test_an_index_that_is_deleted_is_gone_from_the_nodes_too(
    cluster: SmallCluster, database: ClusterDatabase
) -> None:
    database.create_index("books").add({"title": "Dune"}, id="1")
    database.delete_index("books")
    with pytest.raises(IndexNotFound):
        database.index("books")
    database.catalogue.wait_for_nodes(
        lambda: not any(report.shards for report in database.catalogue.nodes().values()), 10.0, "nodes"
    )
    again = database.create_index("books")
    assert len(again) == 0
    assert again.add({"title": "Emma"}, id="1").version == 1


def test_a_point_in_time_shows_what_was(database: ClusterDatabase) -> None:
    index = database.create_index("books", settings={"number_of_shards": 3})
    index.add_many({"_id": str(number), "title": f"dune {number}"} for number in range(50))
    with index.point_in_time() as then:
        index.delete("7")
        index.add({"title": "dune fifty"}, id="50")
        assert then.count({"match": {"title": "dune"}}) == 50
        assert {hit.id for hit in then.scan()} == {str(number) for number in range(50)}
    assert index.count({"match": {"title": "dune"}}) == 50
    assert "7" not in index


def test_a_field_that_two_documents_bring_at_once_has_one_type(
    cluster: SmallCluster, database: ClusterDatabase
) -> None:
    index = database.create_index("books", settings={"number_of_shards": 2})
    with cluster.coordinator() as other:
        index.add({"year": 1965}, id="1")
        other.index("books").put_mappings({"properties": {"author": {"type": "keyword"}}})
        index.add({"author": "Frank Herbert"}, id="2")
        assert index.mappings == other.index("books").mappings
        assert index.count({"term": {"author": "Frank Herbert"}}) == 1
        assert index.count({"range": {"year": {"lt": 1970}}}) == 1


def test_pages_in_the_order_of_the_writes_lose_nothing_between_shards(database: ClusterDatabase) -> None:
    index = database.create_index("pages", settings={"number_of_shards": 3})
    index.bulk([{"_id": str(number), "title": "dune"} for number in range(100)])
    body: dict[str, Any] = {"size": 7, "sort": ["_doc"]}
    seen: list[str] = []
    while hits := index.search_body(body).hits:
        seen += [hit.id for hit in hits]
        body["search_after"] = list(hits[-1].sort)
    assert sorted(seen, key=int) == [str(number) for number in range(100)]


def test_nodes_that_rest_after_writes_write_on(
    cluster: SmallCluster, database: ClusterDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_node, "REST_S", 0.1)
    index = database.create_index("books", settings={"number_of_shards": 2})
    for round in range(2):
        index.add_many({"_id": f"{round}-{at}", "text": f"sand {WORDS[at % 14]}"} for at in range(2_000))
        wait_until(lambda: kept_bytes(cluster) == 0)
        assert index.search("sand").total == 2_000 * (round + 1)


def kept_bytes(cluster: SmallCluster) -> int:
    """What the vocabularies take of the writers of all copies."""
    kept = 0
    for process in cluster.nodes.values():
        for replica in process.node._replicas.values():
            with replica._shard() as shard:
                kept += shard.writer._vocabularies.size_bytes
                kept += shard.writer._buffer_vocabularies.size_bytes
    return kept
