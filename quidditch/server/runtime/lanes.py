"""How many requests of a kind run at a time in one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

SLOW_S = 0.02
"""A request that has run for this long lets another begin beside it."""


class Lane:
    """Lets requests run, while others wait in order; of one event loop.

    Threads of one interpreter that search at the same time take it from each other many times a search: four
    connections got 260 answers a second from sixteen threads, 390 from one. So reads run one by one. But nobody
    waits for a slow one: it does not count any more once it has run for `SLOW_S`, as long as fewer than `most` run.
    """

    def __init__(self, at_once: int, most: int) -> None:
        self._turns = anyio.CapacityLimiter(min(at_once, most))
        self._most = most

    def enter_now(self) -> bool:
        """Take a turn, if there is one."""
        try:
            self._turns.acquire_nowait()
        except anyio.WouldBlock:
            return False
        return True

    async def enter(self) -> None:
        """Wait for a turn."""
        await self._turns.acquire()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A turn that was taken, until the end of the block."""
        run = _Run(self)
        slow = asyncio.get_running_loop().call_later(SLOW_S, run.count_no_more)
        try:
            yield
        finally:
            slow.cancel()
            self._turns.release()
            run.end()

    def widen(self) -> bool:
        """Let one more run, if so many may."""
        if self._turns.total_tokens >= self._most:
            return False
        self._turns.total_tokens += 1
        return True

    def narrow(self) -> None:
        self._turns.total_tokens -= 1


class _Run:
    """One request that runs."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._widened = False

    def count_no_more(self) -> None:
        self._widened = self._lane.widen()

    def end(self) -> None:
        if self._widened:
            self._lane.narrow()
