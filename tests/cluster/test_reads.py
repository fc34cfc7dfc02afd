"""Searches of a cluster when copies fail, are slow or gone; which copies and shards they ask; and what they see."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

import quidditch
from quidditch.cluster.cluster_index import ClusterIndex
from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.routing import shard_of
from quidditch.cluster.state import ShardId
from quidditch.cluster.transport import Request
from quidditch.errors import RequestError, ShardsFailed, SnapshotExpired

from .faulty_line import FaultyLine
from .one_server import OneServer
from .small_cluster import SmallCluster

WORDS = ["sand", "spice", "worm", "desert", "water", "storm", "prince", "voice"]
TEXT = {"match": {"text": "sand worm"}}


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


def documents(count: int = 120, seed: int = 1) -> list[dict[str, Any]]:
    choose = random.Random(seed)
    return [
        {"_id": str(number), "text": " ".join(choose.choices(WORDS, k=12)), "n": number}
        for number in range(count)
    ]


def made(database: ClusterDatabase, replicas: int, shards: int = 3) -> ClusterIndex:
    """An index of some documents, every copy of which serves."""
    settings = {"number_of_shards": shards, "number_of_replicas": replicas}
    index = database.create_index("books", settings=settings)
    index.add_many(documents())
    wait_serving(database, index, 1 + replicas)
    return index


def wait_serving(database: ClusterDatabase, index: ClusterIndex, copies: int) -> None:
    entry = database.catalogue.entry(index.name)
    shards = [ShardId(entry.generation, number) for number in range(entry.shards)]
    database.catalogue.wait_for_nodes(
        lambda: all(len(database.catalogue.serving(shard)) >= copies for shard in shards), 20.0, "copies"
    )


def addresses(cluster: SmallCluster) -> dict[str, str]:
    return {name: process.node.options.address for name, process in cluster.nodes.items()}


def holder(database: ClusterDatabase, index: ClusterIndex, number: int) -> str:
    """The node that has the one copy of a shard."""
    shard = ShardId(database.catalogue.entry(index.name).generation, number)
    (name,) = database.catalogue.serving(shard)
    return name


def seen(index: ClusterIndex, **more: Any) -> list[tuple[str, float | None]]:
    found = index.search_body({"query": TEXT, "size": 20, "sort": ["_score", "_id"], **more})
    assert found.shards.failed == 0
    return [(hit.id, hit.score) for hit in found]


# ------------------------------------------------------------------------------------- copies that fail


@pytest.mark.parametrize("call", ["", "query", "fetch", "statistics"])
@pytest.mark.parametrize("size", [10, 80])
def test_a_copy_that_fails_is_replaced_by_its_sibling_within_the_search(
    cluster: SmallCluster, database: ClusterDatabase, call: str, size: int
) -> None:
    """A page of 80 of three shards is fetched by a call of its own."""
    index = made(database, replicas=1)
    body = {"query": TEXT, "size": size, "sort": ["_score", "_id"]}
    expected = [(hit.id, hit.score, hit.source) for hit in index.search_body(body)]
    assert len(expected) == size
    with FaultyLine(database) as line:
        for address in addresses(cluster).values():
            line.dead = {address: call}
            for _ in range(3):
                found = index.search_body(body)
                assert [(hit.id, hit.score, hit.source) for hit in found] == expected
                assert found.shards.failed == 0
                assert index.count(TEXT) == found.total
                # Who failed is asked last for a while; the next search shall meet it again.
                database.means.copies._suspects.clear()


def test_a_slow_copy_is_overtaken_by_its_sibling(cluster: SmallCluster, database: ClusterDatabase) -> None:
    index = made(database, replicas=1)
    expected = seen(index)
    with FaultyLine(database) as line:
        line.slow_s = {addresses(cluster)["n0"]: 20.0}
        began = time.monotonic()
        for _ in range(6):
            assert seen(index) == expected
        assert time.monotonic() - began < 20.0
    assert database.means.asking.hedged > 0


def test_second_calls_are_few(database: ClusterDatabase) -> None:
    index = made(database, replicas=1)
    with FaultyLine(database) as line:
        line.slow_s = dict.fromkeys((address for address, _ in line.calls), 0.0)
        for _ in range(60):
            seen(index)
    asking = database.means.asking
    assert asking.hedged <= 10 + asking.asked * 0.05


# --------------------------------------------------------------------------------------- partial results


def test_shards_without_a_copy_are_told_and_the_others_answer(
    cluster: SmallCluster, database: ClusterDatabase
) -> None:
    index = made(database, replicas=0)
    whole = index.search_body({"query": TEXT, "size": 120})
    gone = holder(database, index, 1)
    with FaultyLine(database) as line:
        line.dead = {addresses(cluster)[gone]: ""}
        found = index.search_body({"query": TEXT, "size": 120})
        assert (found.shards.total, found.shards.successful, found.shards.failed) == (3, 2, 1)
        (failure,) = found.shards.failures
        assert (failure.index, failure.shard, failure.node) == ("books", 1, gone)
        left = [hit.id for hit in whole if shard_of(hit.id.encode(), 3) != 1]
        assert sorted(hit.id for hit in found) == sorted(left)
        assert found.total == len(left)
        with pytest.raises(ShardsFailed, match=r"Partial shards failure: \[books\]\[1\]"):
            index.search_body({"query": TEXT, "allow_partial_search_results": False})
        with pytest.raises(ShardsFailed):
            index.count(TEXT)
        with pytest.raises(Exception, match="gives no answer"):
            list(index.scan())
        line.dead = dict.fromkeys(addresses(cluster).values(), "")
        with pytest.raises(ShardsFailed, match="all shards failed") as refused:
            index.search_body({"query": TEXT})
        assert refused.value.status == 503
        assert len(refused.value.failures) == 3


def test_one_index_of_two_without_copies_leaves_the_other(
    cluster: SmallCluster, database: ClusterDatabase
) -> None:
    index = made(database, replicas=0, shards=1)
    other = database.create_index("films", settings={"number_of_replicas": 0})
    other.add({"text": "sand"}, id="1")
    gone = holder(database, index, 0)
    if holder(database, other, 0) == gone:
        pytest.skip("both indices are on one node")
    with FaultyLine(database) as line:
        line.dead = {addresses(cluster)[gone]: ""}
        found = database.search("books,films", {"query": TEXT})
        assert [(hit.index, hit.id) for hit in found] == [("films", "1")]
        assert (found.shards.total, found.shards.failed) == (2, 1)


def test_a_shard_that_takes_longer_than_the_search_may_is_left_out(
    cluster: SmallCluster, database: ClusterDatabase
) -> None:
    index = made(database, replicas=0)
    late = holder(database, index, 2)
    with FaultyLine(database) as line:
        line.slow_s = {addresses(cluster)[late]: 30.0}
        began = time.monotonic()
        found = index.search_body({"query": TEXT, "size": 120, "timeout": "300ms"})
        assert time.monotonic() - began < 20.0
    assert found.timed_out
    assert found.total_relation == "gte"
    assert found.hits
    assert {shard_of(hit.id.encode(), 3) for hit in found} == {0, 1}


# ------------------------------------------------------------------------------- which copies and shards


def test_only_the_nodes_that_are_named_are_asked(cluster: SmallCluster, database: ClusterDatabase) -> None:
    index = made(database, replicas=2)
    with FaultyLine(database) as line:
        for _ in range(3):
            seen(index, preference="_only_nodes:n1")
        assert {address for address, _ in line.calls} == {addresses(cluster)["n1"]}
        line.calls.clear()
        seen(index, preference="_prefer_nodes:n2")
        assert {address for address, _ in line.calls} == {addresses(cluster)["n2"]}
        with pytest.raises(ShardsFailed, match=r"among \[nobody\]"):
            seen(index, preference="_only_nodes:nobody")
    with pytest.raises(RequestError, match=r"no Preference for \[_fastest\]"):
        seen(index, preference="_fastest")


def test_searches_of_one_key_ask_the_same_copies(database: ClusterDatabase) -> None:
    index = made(database, replicas=2)
    asked = []
    with FaultyLine(database) as line:
        for _ in range(4):
            line.calls.clear()
            seen(index, preference="somebody's session")
            asked.append(sorted({address for address, _ in line.calls}))
        line.calls.clear()
        for _ in range(4):
            seen(index)
        turns = {address for address, _ in line.calls}
    assert asked == [asked[0]] * 4
    assert len(turns) == 3


def test_shards_and_routings_narrow_a_search(database: ClusterDatabase) -> None:
    index = database.create_index("books", settings={"number_of_shards": 3})
    for number in range(30):
        index.add({"text": "sand"}, id=str(number), routing=f"r{number % 5}")
    found = index.search_body({"query": TEXT, "size": 30, "routing": "r2"})
    assert found.shards.total == 1
    assert {str(number) for number in range(2, 30, 5)} <= {hit.id for hit in found}
    assert {hit.routing for hit in found} == {
        f"r{number}" for number in range(5) if shard_of(f"r{number}".encode(), 3) == shard_of(b"r2", 3)
    }
    parts = [
        {hit.id for hit in index.search_body({"size": 30, "preference": f"_shards:{numbers}"})}
        for numbers in ("0", "1,2")
    ]
    assert parts[0] | parts[1] == {str(number) for number in range(30)}
    assert not parts[0] & parts[1]


# ------------------------------------------------------------------------------------- what searches see


def test_pages_in_the_order_of_writes_leave_nothing_out(database: ClusterDatabase) -> None:
    index = made(database, replicas=1)
    for sort in (["_doc"], [{"n": "desc"}, "_doc"], ["_score", {"_doc": "desc"}]):
        ids: list[str] = []
        after = None
        while True:
            body: dict[str, Any] = {"size": 7, "sort": sort}
            page = index.search_body(body if after is None else {**body, "search_after": after}).hits
            if not page:
                break
            ids += [hit.id for hit in page]
            after = list(page[-1].sort)
        assert len(ids) == 120
        assert len(set(ids)) == 120


def test_a_scan_under_writes_is_complete(cluster: SmallCluster, database: ClusterDatabase) -> None:
    index = made(database, replicas=1)
    with cluster.coordinator() as other:
        scan = index.scan()
        found = [next(scan).id]
        for number in range(120):
            if number % 2:
                other.index("books").delete(str(number))
            else:
                other.index("books").add({"text": "new"}, id=f"new-{number}")
        found += [hit.id for hit in scan]
    assert sorted(found) == sorted(str(number) for number in range(120))
    index.refresh()
    assert len(list(index.scan())) == 120


def test_a_point_in_time_whose_node_is_gone_says_which(
    cluster: SmallCluster, database: ClusterDatabase
) -> None:
    index = made(database, replicas=1)
    with index.point_in_time() as then:
        nodes = {view.where.shard.number: view._view.node for view in then._frozen}
        index.add({"text": "sand"}, id="later")
        assert len(list(then.scan())) == 120
        with FaultyLine(database) as line:
            line.dead = {nodes[0].address: ""}
            found = then.search_body({"query": TEXT})
            assert found.shards.failed >= 1
            reason = found.shards.failures[0].reason
            assert f"the view of [books][0] was held by node {nodes[0].name}" in reason
            with pytest.raises(SnapshotExpired, match=f"was held by node {nodes[0].name}"):
                list(then.scan())
        assert then.search_body({"query": TEXT}).shards.failed == 0


def test_scores_follow_the_writes_of_others_to_the_bit(
    cluster: SmallCluster, database: ClusterDatabase
) -> None:
    """What a coordinator remembers of statistics is of no harm once they are others."""
    index = made(database, replicas=1)
    choose = random.Random(7)
    with quidditch.connect(":memory:") as alone, cluster.coordinator() as other:
        single = alone.create_index("books")
        single.add_many(documents())
        writer = other.index("books")
        for turn in range(12):
            for each in (single, writer):
                each.add({"text": f"sand {WORDS[turn % 8]}"}, id=f"new-{turn}")
            gone = str(choose.randrange(120))
            assert single.delete(gone).result == writer.delete(gone).result
            index.refresh()
            expected = single.search_body({"query": TEXT, "size": 20, "sort": ["_score", "_id"]})
            assert seen(index) == [(hit.id, hit.score) for hit in expected]
            assert seen(index) == [(hit.id, hit.score) for hit in expected]


def test_shards_that_move_on_while_they_are_asked_show_each_document_as_it_is(
    cluster: SmallCluster, database: ClusterDatabase
) -> None:
    """The first answers are of views in which documents have other numbers than in those of the last."""
    index = made(database, replicas=1)
    seen(index)
    body = {"query": TEXT, "size": 20, "sort": ["_score", "_id"]}
    moves = sorted((str(number) for number in range(120)), key=lambda id: shard_of(id.encode(), 3))
    with cluster.coordinator() as other, quidditch.connect(":memory:") as alone, FaultyLine(database) as line:
        single = alone.create_index("books")
        single.add_many(documents())
        writer = other.index("books")

        moved: list[bool] = []

        def move_on() -> None:
            moved.append(True)
            for each in (single, writer):
                each.delete(moves[1])
                each.add_many({"_id": f"more-{number}", "text": "sand worm"} for number in range(90))
            writer.refresh()

        for each in (single, writer):
            each.add({"text": "sand"}, id=moves[-1])
        writer.refresh()
        line.meanwhile = move_on
        found = index.search_body(body)
        assert moved
        expected = single.search_body(body)
        assert [(hit.id, hit.score, hit.source) for hit in found] == [
            (hit.id, hit.score, hit.source) for hit in expected
        ]


def test_what_explains_a_document_is_never_told_of_another(
    cluster: SmallCluster, database: ClusterDatabase
) -> None:
    """The copy that holds the view dies between the two calls; no sibling can find the document by the query."""
    index = made(database, replicas=1)
    hits = index.search_body({"query": TEXT, "size": 100}).hits
    wanted = hits[-1]
    assert index.explain(wanted.id, TEXT).value == pytest.approx(wanted.score)
    with FaultyLine(database) as line:
        line.dead = dict.fromkeys(addresses(cluster).values(), "fetch")
        with pytest.raises(ShardsFailed):
            index.explain(wanted.id, TEXT)


def test_documents_of_hits_that_were_cut_short_are_not_looked_for_elsewhere(
    cluster: SmallCluster, database: ClusterDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that left segments out has its hits at other places than a sibling, which leaves out none."""
    index = made(database, replicas=1)
    body = {"query": TEXT, "size": 80, "timeout": "30s"}
    expected = {(hit.id, hit.score, hit.source["n"]) for hit in index.search_body({**body, "size": 120})}
    with FaultyLine(database) as line:
        line.dead = dict.fromkeys(addresses(cluster).values(), "fetch")
        ask = database.means.transport.ask

        async def cut_short(request: Request) -> Any:
            answer = await ask(request)
            if isinstance(answer, dict) and "answer" in answer and answer["view"]:
                answer["answer"] |= {"hits": answer["answer"]["hits"][3:], "timed_out": True}
            return answer

        monkeypatch.setattr(database.means.transport, "ask", cut_short)
        try:
            found = {(hit.id, hit.score, hit.source["n"]) for hit in index.search_body(body)}
        except ShardsFailed:
            found = set()
    assert found <= expected
