"""The engine of a directory: its calls run in a few threads, so that the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from quidditch.errors import RequestError, StorageError

T = TypeVar("T")

PAGE = 200
"""Hits of a scan that are read by one visit to a thread."""


class Pool:
    """The threads that the handles of one database share."""

    def __init__(self, threads: int) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise RequestError(f"connect: threads: a number from 1 on expected, not {threads!r}")
        self.threads = ThreadPoolExecutor(threads, "quidditch-aio")
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, run in one of the threads. Cancelling ends the waiting, not the work."""
        if self._closed:
            raise StorageError("this handle is closed")
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    def finish(self, work: Callable[[], object]) -> None:
        """Have `work` run, which nobody waits for."""
        if not self._closed:
            self.threads.submit(work)

    def close(self) -> None:
        """Take no more work; what runs ends as it would have."""
        self._closed = True
        self.threads.shutdown(wait=False)


class InThreads:
    """Calls the methods of a `Database`, `Index` or `View` in threads."""

    def __init__(self, subject: Any, pool: Pool) -> None:
        self._subject = subject
        self._pool = pool

    async def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        return await self._pool.run(partial(self._called, method, args, kwargs))

    def _called(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if method == "exists":
            return args[0] in self._subject
        found = getattr(self._subject, method)
        return found(*args, **kwargs) if callable(found) else found

    async def stream(self, method: str, /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        items: Generator[Any, None, None] = await self.call(method, *args, **kwargs)
        try:
            while page := await self._pool.run(lambda: list(islice(items, PAGE))):
                for item in page:
                    yield item
        finally:
            # The snapshot is let go of at once, also where the reader was cancelled and can wait for nothing.
            self._pool.finish(items.close)

    async def part(self, method: str, /, *args: Any, **kwargs: Any) -> tuple[str, InThreads]:
        found = await self.call(method, *args, **kwargs)
        return found.name, InThreads(found, self._pool)

    async def close(self) -> None:
        """Once more is as good as once."""
        with suppress(StorageError):
            await self._pool.run(self._subject.close)
        self._pool.close()
