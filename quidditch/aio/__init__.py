"""The same object model, awaited: every method of `Database` and `Index` under its own name.

import quidditch.aio

async with await quidditch.aio.connect("./data") as db:
    books = await db.index("books")
    for hit in await books.search("dune"):
        print(hit.score, hit["title"])
    async for hit in books.scan():
        ...

A directory is read and written in a few threads; a server is asked over connections that no thread waits for.
What reads like an attribute or an operator in process is a method here: `await index.mappings()`,
`await index.exists(id)`, `await index.count()`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from quidditch.aio.threads import InThreads, Pool
from quidditch.aio.twins import AsyncDatabase, AsyncIndex, AsyncView
from quidditch.errors import MissingLibrary

__all__ = ["AsyncDatabase", "AsyncIndex", "AsyncView", "connect"]


async def connect(location: str | Path, *, threads: int = 8, **options: Any) -> AsyncDatabase:
    """As `quidditch.connect`.

    threads:  calls to a directory that run at a time; further ones wait. A server's connections are counted by
              `max_connections`
    raises: RequestError, StorageError, MissingLibrary
    """
    if isinstance(location, str) and location.lower().startswith(("http://", "https://")):
        try:
            from quidditch.aio.over_http import opened
        except ImportError as error:
            raise MissingLibrary(
                "a server is reached by httpx, which is not installed: pip install 'quidditch[client]'"
            ) from error
        return AsyncDatabase(await opened(location, **options))
    from quidditch.local import connect as open_directory

    pool = Pool(threads)
    try:
        database = await asyncio.get_running_loop().run_in_executor(
            pool.threads, partial(open_directory, location, **options)
        )
    except BaseException:
        pool.close()
        raise
    return AsyncDatabase(InThreads(database, pool))
