"""A client reads its own writes, whichever coordinator and copy it asks."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx
import pytest

import quidditch
from quidditch import aio
from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.replica import Replica
from quidditch.sequences import HEADER, Reached, Sequences
from quidditch.server.app import create_app

from .one_server import OneServer
from .small_cluster import SmallCluster

sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))

from bridging import IN_PROCESS, InProcess

URL = IN_PROCESS


@pytest.fixture(scope="module")
def cluster(nats_server: OneServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path_factory.mktemp("cluster"), nodes=2)
    yield made
    made.close()


@pytest.fixture
def coordinators(cluster: SmallCluster) -> Iterator[list[ClusterDatabase]]:
    with cluster.coordinator() as one, cluster.coordinator() as other:
        yield [one, other]
    cluster.empty()


class InTurns(httpx.BaseTransport):
    """Each request goes to another coordinator than the one before, as behind a balancer."""

    def __init__(self, several: list[httpx.BaseTransport]) -> None:
        self._turns = itertools.cycle(several)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return next(self._turns).handle_request(request)


class InTurnsAsynchronously(httpx.AsyncBaseTransport):
    def __init__(self, several: list[httpx.AsyncBaseTransport]) -> None:
        self._turns = itertools.cycle(several)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await next(self._turns).handle_async_request(request)


@contextmanager
def lagging(cluster: SmallCluster, node: str, seconds: float = 0.7) -> Iterator[None]:
    """The copies of a node carry out everything later."""
    replicas = list(cluster.nodes[node].node._replicas.values())
    stop = threading.Event()

    def later(replica: Replica) -> None:
        apply = replica.apply

        def applied(entries: Any) -> None:
            stop.wait(seconds)
            apply(entries)

        replica.apply = applied  # type: ignore[method-assign]

    for replica in replicas:
        later(replica)
    try:
        yield
    finally:
        stop.set()
        for replica in replicas:
            del replica.apply


def made(database: ClusterDatabase) -> None:
    index = database.create_index("books", settings={"number_of_shards": 2})
    index.add_many([{"_id": str(number), "text": "sand"} for number in range(20)])
    database.catalogue.wait_for_nodes(
        lambda: all(
            len(database.catalogue.serving(shard)) == 2 for shard in database.catalogue.shards_of("books")
        ),
        20.0,
        "copies",
    )


def test_a_client_reads_what_it_wrote_by_another_coordinator(
    cluster: SmallCluster, coordinators: list[ClusterDatabase]
) -> None:
    made(coordinators[0])
    # Both coordinators know the index before the clock of what they do not know begins.
    coordinators[1].index("books").refresh()
    with anyio.from_thread.start_blocking_portal() as portal, lagging(cluster, "n1"):
        carried = [InProcess(create_app(each), portal) for each in coordinators]
        with quidditch.connect(URL, transport=InTurns([*carried])) as client:
            books = client.index("books")
            for turn in range(4):
                id = f"new-{turn}"
                books.add({"text": "worm", "n": turn}, id=id)
                assert books.get(id)["n"] == turn
                assert books.search_body({"query": {"term": {"n": turn}}}).total == 1
                assert books.count({"match": {"text": "worm"}}) == turn + 1
                books.add({"text": "worm", "n": turn}, id=id)


def test_an_asynchronous_client_does_too(cluster: SmallCluster, coordinators: list[ClusterDatabase]) -> None:
    made(coordinators[0])
    coordinators[1].index("books").refresh()

    async def session() -> None:
        carried = [httpx.ASGITransport(create_app(each)) for each in coordinators]
        async with await aio.connect(URL, transport=InTurnsAsynchronously([*carried])) as client:
            books = await client.index("books")
            for turn in range(3):
                await books.add({"text": "worm", "n": turn}, id=f"new-{turn}")
                assert await books.count({"match": {"text": "worm"}}) == turn + 1
                await books.add({"text": "worm", "n": turn}, id=f"new-{turn}")

    with lagging(cluster, "n1"):
        asyncio.run(session())


def test_any_client_may_send_the_header_of_a_write_with_its_reads(
    cluster: SmallCluster, coordinators: list[ClusterDatabase]
) -> None:
    made(coordinators[0])

    async def asked() -> None:
        apps = [httpx.ASGITransport(create_app(each)) for each in coordinators]
        async with (
            httpx.AsyncClient(transport=apps[0], base_url=URL) as one,
            httpx.AsyncClient(transport=apps[1], base_url=URL) as other,
        ):
            put = await one.put("/books/_doc/new", json={"text": "worm"})
            reached = put.headers[HEADER]
            found = await other.get("/books/_doc/new", headers={HEADER: reached})
            assert (found.status_code, found.json()["_version"]) == (200, 1)
            assert HEADER not in found.headers
            ((uuid, shard, sequence),) = Sequences.parse(reached)
            never = Sequences()
            never.note(Reached(uuid, shard, sequence + 1_000_000))
            refused = await other.get("/books/_doc/new", headers={HEADER: str(never)})
            assert refused.status_code == 400
            assert "was never written" in refused.json()["error"]["reason"]
            refused = await other.get("/books/_doc/new", headers={HEADER: "soon"})
            assert refused.status_code == 400
            gone = Sequences()
            gone.note(Reached("0" * 32, 0, 7))
            assert (await other.get("/books/_doc/new", headers={HEADER: str(gone)})).status_code == 200

    asyncio.run(asked())


def test_the_newest_of_each_shard_is_kept() -> None:
    kept = Sequences()
    for shard, sequence in ((2, 5), (0, 9), (2, 3)):
        kept.note(Reached("a" * 32, shard, sequence))
    kept.note(Reached("b" * 32, 0, 1))
    assert str(kept) == f"{'a' * 32}=9::5;{'b' * 32}=1"
    assert sorted(Sequences.parse(str(kept))) == sorted(kept)
