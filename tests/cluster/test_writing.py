"""Writes of several coordinators at once, and writes that are sent again: each counts once, in one order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nats.js import errors as js_errors
from nats.js.api import StreamConfig
from server.asking import Server

from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.lanes import Room
from quidditch.cluster.log import JetStreamLog
from quidditch.cluster.state import ShardId
from quidditch.errors import Overloaded, QuidditchError, RequestError, Unavailable, VersionConflict
from quidditch.local.active_copies import Demand, demanding

from .one_server import OneServer
from .small_cluster import SmallCluster


@pytest.fixture(scope="module")
def cluster(nats_server: OneServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path_factory.mktemp("writing"), nodes=2)
    yield made
    made.close()


@pytest.fixture
def two(cluster: SmallCluster) -> Iterator[list[ClusterDatabase]]:
    """Two coordinators; the index `events` has two shards, with a replica each."""
    with cluster.coordinator() as first, cluster.coordinator() as second:
        first.create_index("events", settings={"number_of_shards": 2, "number_of_replicas": 1})
        until(lambda: "events" in second)
        yield [first, second]
    cluster.empty()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def at_once(works: list[Callable[[], None]]) -> None:
    """Each in a thread of its own; what one raises fails the test."""
    failed: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


# ------------------------------------------------------------------------------------- several coordinators


def test_a_counter_that_many_raise_by_its_sequence_number_loses_none(two: list[ClusterDatabase]) -> None:
    two[0].index("events").add({"count": 0}, "counter")

    def raise_it(database: ClusterDatabase) -> None:
        index = database.index("events")
        done = 0
        while done < 8:
            found = index.get("counter")
            raised = {"count": found.source["count"] + 1}
            try:
                index.add(raised, "counter", if_seq_no=found.seq_no, if_primary_term=found.primary_term)
                done += 1
            except VersionConflict:
                continue

    at_once([lambda database=database: raise_it(database) for database in two * 2])  # type: ignore[misc]
    found = two[1].index("events").get("counter")
    assert (found.source, found.version) == ({"count": 32}, 33)


def test_of_many_who_create_a_document_one_does(two: list[ClusterDatabase]) -> None:
    winners: list[tuple[str, int]] = []

    def create(database: ClusterDatabase, who: int) -> None:
        actions: list[Any] = []
        for number in range(30):
            actions += [{"create": {"_id": str(number)}}, {"who": who}]
        for item in database.index("events").bulk(actions).items:
            assert item.status in (201, 409)
            if item.status == 201:
                winners.append((str(item.id), who))

    at_once(
        [lambda who=who: create(two[who % 2], who) for who in range(4)]  # type: ignore[misc]
    )
    assert sorted(id for id, _ in winners) == sorted(str(number) for number in range(30))
    index = two[0].index("events")
    index.refresh()
    assert {(hit.id, hit.source["who"]) for hit in index.scan()} == set(winners)
    assert {document.version for document in index.mget([str(n) for n in range(30)]) if document} == {1}


def test_partial_updates_of_one_document_all_count(two: list[ClusterDatabase]) -> None:
    def change(database: ClusterDatabase, who: int) -> None:
        for step in range(6):
            changed = {f"field{who}": {f"step{step}": step}}
            database.index("events").update("shared", changed, doc_as_upsert=True)

    at_once(
        [lambda who=who: change(two[who % 2], who) for who in range(4)]  # type: ignore[misc]
    )
    # Half of the writes are the other coordinator's.
    two[0].index("events").refresh()
    found = two[0].index("events").get("shared")
    assert found.version == 24
    assert found.source == {f"field{who}": {f"step{step}": step for step in range(6)} for who in range(4)}


# ------------------------------------------------------------------------------------------------ sent again


def test_a_batch_whose_acknowledgement_is_lost_counts_once(
    two: list[ClusterDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent again under its id: a document that must be new is, and what was counted is counted once."""
    jetstream = two[0].catalogue.connection.jetstream
    publish = jetstream.publish
    lost: list[str] = []

    async def deaf(subject: str, *args: Any, **named: Any) -> Any:
        answer = await publish(subject, *args, **named)
        batch = named["headers"]["Nats-Msg-Id"]
        if subject.startswith("q.") and lost.count(batch) < 2:
            lost.append(batch)
            raise TimeoutError
        return answer

    monkeypatch.setattr(jetstream, "publish", deaf)
    index = two[0].index("events")
    assert index.add({"count": 1}, "new", op="create").version == 1
    assert index.update("new", {"count": 2}).version == 2
    items = index.bulk([{"create": {"_id": "other"}}, {"count": 1}, {"delete": {"_id": "new"}}]).items
    assert [item.result for item in items] == ["created", "deleted"]
    assert len(lost) >= 6
    assert index.check().ok
    with pytest.raises(VersionConflict):
        index.add({}, "other", op="create")


def test_nothing_of_a_call_is_written_after_what_its_log_refused(
    two: list[ClusterDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same document three times, in three entries: the second is refused, so the third must not be there."""
    monkeypatch.setattr("quidditch.cluster.lanes.BATCH_BYTES", 1)
    jetstream = two[0].catalogue.connection.jetstream
    publish = jetstream.publish
    seen: list[str] = []

    async def full_once(subject: str, *args: Any, **named: Any) -> Any:
        if subject.startswith("q."):
            seen.append(subject)
        if len(seen) == 2:
            raise js_errors.ServerError(code=503, err_code=10077, description="maximum bytes exceeded")
        return await publish(subject, *args, **named)

    monkeypatch.setattr(jetstream, "publish", full_once)
    actions: list[Any] = []
    for step in range(3):
        actions += [{"index": {"_id": "one"}}, {"step": step}]
    result = two[0].index("events").bulk(actions)
    assert [(item.status, item.error_type) for item in result.items] == [
        (201, None),
        (429, "rejected_execution_exception"),
        (429, "rejected_execution_exception"),
    ]
    assert len(seen) == 2
    two[1].index("events").refresh()
    assert two[1].index("events").get("one").source == {"step": 0}


# ---------------------------------------------------------------------------------------------- backpressure


def shrink(database: ClusterDatabase, max_bytes: int) -> list[JetStreamLog]:
    """Bound the logs of the index `events`, which is as if the copies were far behind."""
    connection = database.catalogue.connection
    entry = database.catalogue.entry("events")
    logs = [JetStreamLog(connection, ShardId(entry.generation, number)) for number in range(entry.shards)]
    for log in logs:
        info = connection.call(lambda log=log: connection.jetstream.stream_info(log.stream), "asking")  # type: ignore[misc]
        config: StreamConfig = info.config
        changed = config.evolve(max_bytes=max_bytes)
        connection.call(lambda changed=changed: connection.jetstream.update_stream(changed), "bounding")  # type: ignore[misc]
    return logs


def test_a_full_log_refuses_by_item_and_takes_more_once_there_is_room(two: list[ClusterDatabase]) -> None:
    logs = shrink(two[0], 20_000)
    index = two[0].index("events")
    accepted: set[str] = set()
    refused: set[str] = set()
    for call in range(40):
        actions: list[Any] = []
        for number in range(20):
            id = f"{call}-{number}"
            actions += [{"index": {"_id": id}}, {"text": f"{hash(id)} " * 20}]
        for item in index.bulk(actions).items:
            assert item.status in (201, 429)
            (accepted if item.status == 201 else refused).add(str(item.id))
    assert accepted
    assert refused
    with pytest.raises(Overloaded, match="has no room until its shards have caught up"):
        index.add({"text": [str(hash(str(number))) for number in range(2_000)]})
    index.refresh()
    assert {hit.id for hit in index.scan()} == accepted
    for log in logs:
        log.trim(log.bounds().last)
    assert index.bulk([{"index": {"_id": "later"}}, {"text": "room"}]).items[0].status == 201


def test_a_bulk_that_finds_no_room_half_way_says_which_of_it_is_written(
    two: list[ClusterDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused as a whole it would be sent again, and what is written of it would be there twice."""
    monkeypatch.setattr("quidditch.local.bulk.BULK_CHUNK", 2)
    room = two[0].means.room
    take = room.take
    taken: list[Any] = []

    def take_once(sizes: Any) -> None:
        taken.append(sizes)
        if len(taken) > 1:
            raise Overloaded("no room for more")
        take(sizes)

    monkeypatch.setattr(room, "take", take_once)
    index = two[0].index("events")
    actions: list[Any] = []
    for number in range(4):
        actions += [{"index": {}}, {"text": str(number)}]
    items = index.bulk(actions).items
    assert [item.status for item in items] == [201, 201, 429, 429]
    assert len(index) == 2


def test_a_stream_of_documents_waits_for_a_log_that_is_full(two: list[ClusterDatabase]) -> None:
    logs = shrink(two[0], 20_000)
    ended = threading.Event()

    def make_room() -> None:
        while not ended.wait(0.1):
            for log in logs:
                log.trim(log.bounds().last)

    maker = threading.Thread(target=make_room)
    maker.start()
    try:
        docs = [{"_id": str(number), "text": f"{hash(str(number))} " * 20} for number in range(1_500)]
        result = two[0].index("events").add_many(docs, chunk=40)
    finally:
        ended.set()
        maker.join()
    assert (result.ok, result.items) == (1_500, [])
    assert len(two[1].index("events")) == 1_500


def test_a_stream_whose_log_stays_full_ends_with_the_reason(
    two: list[ClusterDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quidditch.cluster.sharded_writer.APPEND_S", 0.5)
    shrink(two[0], 5_000)
    docs = ({"text": f"{hash(str(number))} " * 20} for number in range(2_000))
    with pytest.raises(Overloaded, match="has no room"):
        two[0].index("events").add_many(docs, chunk=40)


def test_room_is_bounded_by_shard_and_together() -> None:
    room = Room(shard_bytes=10, process_bytes=15)
    one, other, third = (ShardId("uuid", number) for number in range(3))
    room.take({one: 100})  # Larger than any bound: alone.
    with pytest.raises(Overloaded, match="100 bytes of writes are on their way"):
        room.take({other: 1}, timeout_s=0.0)
    room.give(one, 100)
    room.take({one: 6, other: 6})
    with pytest.raises(Overloaded):
        room.take({one: 5}, timeout_s=0.0)
    with pytest.raises(Overloaded):
        room.take({third: 4}, timeout_s=0.0)
    room.take({third: 3}, timeout_s=0.0)
    waited = threading.Thread(target=lambda: room.take({one: 5}, timeout_s=30.0))
    waited.start()
    room.give(one, 6)
    waited.join()
    with pytest.raises(Overloaded):
        room.take({one: 6}, timeout_s=0.0)


# -------------------------------------------------------------------------------------------- active copies


def test_writes_wait_for_the_copies_that_are_demanded(
    cluster: SmallCluster, two: list[ClusterDatabase]
) -> None:
    index = two[0].index("events")
    before = [log.bounds().last for log in shrink(two[0], 1 << 30)]
    with demanding(Demand(3, 0.2)):
        with pytest.raises(
            Unavailable, match=r"\[events\]\[\d\]: not enough active copies: have \d, needed 3"
        ):
            index.add({"n": 1}, "one")
        (item,) = index.bulk([{"index": {"_id": "one"}}, {"n": 1}]).items
        assert (item.status, item.error_type) == (503, "unavailable_shards_exception")
    assert [log.bounds().last for log in shrink(two[0], 1 << 30)] == before
    assert "one" not in index
    with demanding(Demand(None)):
        assert index.add({"n": 1}, "one").result == "created"
    index.put_settings({"write.wait_for_active_shards": "all", "number_of_replicas": 2})
    with demanding(Demand(1)):
        assert index.add({"n": 2}, "one").result == "updated"
    waiting = threading.Thread(target=lambda: index.add({"n": 3}, "one"))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    node = cluster.start_node("third")
    try:
        waiting.join(60.0)
        assert index.get("one").source == {"n": 3}
    finally:
        index.put_settings({"number_of_replicas": 1})
        node.stop()


def test_requests_say_how_many_copies_are_to_serve(two: list[ClusterDatabase]) -> None:
    rest = Server(two[0])
    refused = rest("PUT", "/events/_doc/1?wait_for_active_shards=3&timeout=100ms", {"n": 1})
    assert (refused.status_code, refused.json()["error"]["type"]) == (503, "unavailable_shards_exception")
    assert "needed 3; waited 0.1 s, and nothing was written" in refused.json()["error"]["reason"]
    assert rest("GET", "/events/_doc/1").status_code == 404
    lines = [{"index": {"_id": "1"}}, {"n": 1}]
    (item,) = rest("POST", "/events/_bulk?wait_for_active_shards=3&timeout=100ms", lines).json()["items"]
    assert item["index"]["status"] == 503
    assert rest("PUT", "/events/_doc/1?wait_for_active_shards=all", {"n": 1}).status_code == 201
    assert rest("POST", "/events/_update/1?wait_for_active_shards=2", {"doc": {"n": 2}}).status_code == 200
    assert rest("DELETE", "/events/_doc/1?wait_for_active_shards=some").status_code == 400
    assert rest("DELETE", "/events/_doc/1?wait_for_active_shards=0").status_code == 200
    made = rest("PUT", "/later?wait_for_active_shards=5&timeout=100ms", {})
    assert made.json() == {"acknowledged": True, "shards_acknowledged": False, "index": "later"}
    made = rest("PUT", "/sooner?wait_for_active_shards=all", {})
    assert made.json()["shards_acknowledged"] is True


def test_refresh_shows_a_write_to_searches_by_every_coordinator(two: list[ClusterDatabase]) -> None:
    """Whichever copy they ask: each is asked in turn."""
    first, second = Server(two[0]), Server(two[1])
    for number in range(12):
        waits = ("wait_for", "true")[number % 2]
        if number % 3:
            first("PUT", f"/events/_doc/{number}?refresh={waits}", {"n": number})
        else:
            first(
                "POST",
                f"/_bulk?refresh={waits}",
                [{"index": {"_index": "events", "_id": number}}, {"n": number}],
            )
        for _ in range(3):
            found = second("GET", "/events/_search?q=" + f"n:{number}").json()
            assert found["hits"]["total"]["value"] == 1


def test_a_demand_that_is_no_number_is_refused(two: list[ClusterDatabase]) -> None:
    with pytest.raises(RequestError, match=r'write\.wait_for_active_shards: "all", or a number of copies'):
        two[0].index("events").put_settings({"write.wait_for_active_shards": "some"})


def test_a_write_by_a_coordinator_that_is_closed_says_so(cluster: SmallCluster) -> None:
    database = cluster.coordinator()
    index = database.create_index("closed")
    database.close()
    with pytest.raises(QuidditchError, match="this handle on the cluster is closed"):
        index.add({"n": 1})
    cluster.empty()
