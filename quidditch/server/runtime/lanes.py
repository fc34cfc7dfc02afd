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
        self._at_once = at_once
        self._most = most
        self._slow = 0
        self._turns = anyio.CapacityLimiter(min(at_once, most))

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
        counts = True

        def count_no_more() -> None:
            nonlocal counts
            counts = False
            self._are_slow(1)

        timer = asyncio.get_running_loop().call_later(SLOW_S, count_no_more)
        try:
            yield
        finally:
            timer.cancel()
            # Before the turn is given back: it must not be given to one that may not run any more.
            if not counts:
                self._are_slow(-1)
            self._turns.release()

    def _are_slow(self, more: int) -> None:
        """So many more of those that run are slow."""
        self._slow += more
        self._turns.total_tokens = min(self._most, self._at_once + self._slow)
