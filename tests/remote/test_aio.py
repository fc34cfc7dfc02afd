"""The asynchronous twins do what the blocking handles do, on a directory and over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

import quidditch
import quidditch.aio
from quidditch import query as q
from quidditch.aio import AsyncDatabase
from quidditch.server.app import create_app

Work: TypeAlias = Callable[[AsyncDatabase], Awaitable[None]]
Run: TypeAlias = Callable[[Work], None]


@asynccontextmanager
async def on_a_directory(path: Path) -> AsyncIterator[AsyncDatabase]:
    async with await quidditch.aio.connect(path) as database:
        yield database


@asynccontextmanager
async def over_http(path: Path) -> AsyncIterator[AsyncDatabase]:
    with quidditch.connect(path) as served:
        transport = httpx.ASGITransport(create_app(served))
        async with await quidditch.aio.connect("http://127.0.0.1", transport=transport) as database:
            yield database


@pytest.fixture(params=[on_a_directory, over_http], ids=["directory", "http"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs what a test does with an empty database."""
    opened: Any = request.param

    async def carried(work: Work) -> None:
        async with opened(tmp_path / "data") as database:
            await work(database)

    return lambda work: asyncio.run(carried(work))


def test_documents_go_in_and_come_out(run: Run) -> None:
    async def work(db: AsyncDatabase) -> None:
        books = await db.create_index("books")
        assert (await books.add({"title": "Dune"}, id="1")).result == "created"
        assert (await books.add_many([{"title": "Emma"}, {"title": "Dune Messiah"}])).ok == 2
        assert (await books.bulk([{"index": {"_id": "b"}}, {"title": "Ilium"}])).ok == 1
        assert (await books.get("1"))["title"] == "Dune"
        assert [found and found.id for found in await books.mget(["1", "none"])] == ["1", None]
        assert await books.exists("1")
        assert not await books.exists("none")
        assert (await books.update("1", {"year": 1965})).version == 2
        assert (await books.search("dune")).total == 2
        assert (await books.search(q.Match("title", "dune"), size=1))[0].id == "1"
        assert await books.count() == 4
        assert (await books.explain("1", "dune")).value > 0
        assert (await books.mappings())["properties"]["year"] == {"type": "long"}
        assert await books.settings() == {}
        assert (await books.stats()).documents == 4
        assert (await books.check(deep=False)).ok
        assert (await books.delete("1")).result == "deleted"
        assert (await books.delete_by_query("emma")).deleted == 1

    run(work)


def test_indices_are_made_listed_and_removed(run: Run) -> None:
    async def work(db: AsyncDatabase) -> None:
        await db.create_index("books", {"properties": {"title": {"type": "keyword"}}})
        assert await db.indices() == ["books"]
        assert await db.exists("books")
        assert (await db.index("books")).name == "books"
        await db.update_aliases([{"add": {"index": "books", "alias": "all"}}])
        assert (await db.search("all")).total == 0
        assert (await db.describe())["books"].aliases == {"all": {}}
        await db.delete_index("books")
        assert not await db.exists("books")

    run(work)


def test_errors_are_those_of_the_blocking_calls(run: Run) -> None:
    async def work(db: AsyncDatabase) -> None:
        with pytest.raises(quidditch.IndexNotFound, match="bokks"):
            await db.index("bokks")
        books = await db.create_index("books", {"properties": {"year": {"type": "integer"}}})
        with pytest.raises(quidditch.DocumentNotFound):
            await books.get("none")
        with pytest.raises(quidditch.DocumentError, match="year"):
            await books.add({"year": "soon"})
        with pytest.raises(quidditch.QueryError, match="mtach"):
            await books.search({"mtach": {}})

    run(work)


def test_a_scan_streams_one_moment(run: Run) -> None:
    async def work(db: AsyncDatabase) -> None:
        books = await db.create_index("books")
        await books.add_many({"_id": str(number), "n": number} for number in range(2500))
        seen: list[str] = []
        async for hit in books.scan({"range": {"n": {"lt": 2300}}}):
            if not seen:
                await books.delete_by_query(None)
            seen.append(hit.id)
        assert seen == [str(number) for number in range(2300)]
        assert await books.count() == 0

    run(work)


def test_a_scan_that_is_left_early_lets_go_of_its_view(run: Run) -> None:
    async def work(db: AsyncDatabase) -> None:
        books = await db.create_index("books")
        await books.add_many({"n": number} for number in range(2500))
        scan: Any = books.scan()
        await anext(scan)
        assert (await books.stats()).open_views == 1
        await scan.aclose()
        for _ in range(100):
            if (await books.stats()).open_views == 0:
                break
            await asyncio.sleep(0.01)
        assert (await books.stats()).open_views == 0

    run(work)


def test_a_point_in_time_stays_as_it_was(run: Run) -> None:
    async def work(db: AsyncDatabase) -> None:
        books = await db.create_index("books")
        await books.add({"title": "Dune"}, id="1")
        async with await books.point_in_time() as then:
            await books.delete("1")
            assert await then.count("dune") == 1
            assert (await then.search_body({"query": {"match": {"title": "dune"}}})).total == 1
            assert [hit.id async for hit in then.scan()] == ["1"]
            assert (await then.explain("1", {"match": {"title": "dune"}})).value > 0
            with pytest.raises(quidditch.DocumentNotFound):
                await then.explain("none", {"match": {"title": "dune"}})
        assert await books.count() == 0

    run(work)


def test_calls_run_side_by_side(run: Run) -> None:
    async def work(db: AsyncDatabase) -> None:
        books = await db.create_index("books")
        await asyncio.gather(*(books.add({"n": number}, id=str(number)) for number in range(50)))
        results = await asyncio.gather(*(books.search({"term": {"n": number}}) for number in range(50)))
        assert [result[0].id for result in results] == [str(number) for number in range(50)]

    run(work)


def test_a_closed_handle_refuses(run: Run) -> None:
    async def work(db: AsyncDatabase) -> None:
        books = await db.create_index("books")
        await db.close()
        await db.close()
        with pytest.raises(quidditch.StorageError, match="closed"):
            await books.count()

    run(work)


def test_the_event_loop_goes_on_while_a_directory_works(tmp_path: Path) -> None:
    """The documents are given only once the loop has run something else meanwhile."""
    turned = threading.Event()

    def docs() -> Any:
        assert turned.wait(10)
        yield {"n": 1}

    async def turn() -> None:
        turned.set()

    async def both() -> None:
        async with on_a_directory(tmp_path / "data") as db:
            books = await db.create_index("books")
            done, _ = await asyncio.gather(books.add_many(docs()), turn())
            assert done.ok == 1

    asyncio.run(both())


@pytest.mark.parametrize("threads", [0, True, "many"])
def test_a_bad_number_of_threads_is_refused(threads: Any, tmp_path: Path) -> None:
    with pytest.raises(quidditch.RequestError, match="threads"):
        asyncio.run(quidditch.aio.connect(tmp_path / "data", threads=threads))
