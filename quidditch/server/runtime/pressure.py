"""Which requests are let in, and how slowly a body may come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from typing import TypeVar

import anyio
from starlette.types import Message, Receive

from quidditch.server.failures import RestError
from quidditch.server.runtime.board import Numbers
from quidditch.server.runtime.lanes import Lane
from quidditch.server.runtime.limits import Limits

Result = TypeVar("Result")

LANES = {"bulk": "bulk", "write": "write"}
"""Requests of these kinds wait for those of their kind alone: a search never stands behind writes that queue for the
one writer, nor a single write behind the body of a bulk."""

STREAMED_BYTES = 16 << 20
"""What a bulk holds of its body at a time, at most, whatever it is long."""


class Pressure:
    """What one worker has taken upon itself; of one event loop."""

    def __init__(self, limits: Limits, numbers: Numbers) -> None:
        self.limits = limits
        self._numbers = numbers
        # Writes that run at a time are committed together; one search after the other is faster than all at once.
        most = limits.threads
        self._lanes = {"read": Lane(1, most), "write": Lane(most, most), "bulk": Lane(most, most)}
        self._waiting: dict[str, int] = {}
        self._held_bytes = 0
        # Whoever has a turn has a thread.
        self._threads = ThreadPoolExecutor(len(self._lanes) * most, "quidditch-request")

    async def run(self, kind: str, work: Callable[[], Result]) -> Result:
        """What a function returns, run in a thread when its turn has come.

        raises: RestError   429
        """
        async with self.turn(kind):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, copy_context().run, work)

    @asynccontextmanager
    async def turn(self, kind: str) -> AsyncIterator[None]:
        """The turn of a request to run.

        raises: RestError   429: too many wait already, or it came to wait for too long
        """
        name = LANES.get(kind, "read")
        lane = self._lanes[name]
        if not lane.enter_now():
            await self._queue(name, lane)
        with lane.turn():
            yield

    async def _queue(self, name: str, lane: Lane) -> None:
        waiting = self._waiting.get(name, 0)
        if waiting >= self.limits.queue:
            raise self._rejected("queue", f"{waiting} requests wait already, limit [{self.limits.queue}]")
        self._waiting[name] = waiting + 1
        self._numbers.add("quidditch_http_queued")
        try:
            with anyio.fail_after(self.limits.wait_s):
                await lane.enter()
        except TimeoutError:
            raise self._rejected("wait", f"waited for {self.limits.wait_s:g} s for a thread") from None
        finally:
            self._waiting[name] -= 1
            self._numbers.add("quidditch_http_queued", -1)

    @contextmanager
    def body(self) -> Iterator[Held]:
        """What is held of one request's body, until it has been answered."""
        held = Held(self)
        try:
            yield held
        finally:
            self.take(-held.size_bytes)

    def take(self, size_bytes: int) -> None:
        """raises: RestError   429: too much is held already, unless nothing is"""
        if not size_bytes:
            return
        if (
            size_bytes > 0
            and self._held_bytes
            and self._held_bytes + size_bytes > self.limits.in_flight_bytes
        ):
            limit = self.limits.in_flight_bytes
            raise self._rejected(
                "bytes",
                f"bodies in flight [{self._held_bytes}] and this one's [{size_bytes}] bytes, limit [{limit}]",
            )
        self._held_bytes += size_bytes
        self._numbers.set("quidditch_http_in_flight_bytes", self._held_bytes)

    def _rejected(self, reason: str, words: str) -> RestError:
        self._numbers.add(f'quidditch_http_rejected_total{{reason="{reason}"}}')
        return RestError(
            f"rejected execution: {words}", 429, "rejected_execution_exception", headers={"Retry-After": "1"}
        )


class Held:
    """The bytes of one request that count as in flight."""

    def __init__(self, pressure: Pressure) -> None:
        self._pressure = pressure
        self.size_bytes = 0

    def grow_to(self, size_bytes: int) -> None:
        """raises: RestError   429"""
        more = size_bytes - self.size_bytes
        if more > 0:
            self._pressure.take(more)
            self.size_bytes = size_bytes


def patient(receive: Receive, limits: Limits, numbers: Numbers) -> Receive:
    """The messages of a body, whose sender is waited for as long as it sends fast enough."""
    waited_s = 0.0
    received_bytes = 0
    ended = False

    async def receiving() -> Message:
        nonlocal waited_s, received_bytes, ended
        if ended:
            return await receive()
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(limits.body_s):
                message = await receive()
        except TimeoutError:
            raise _too_slow(numbers, f"nothing came for {limits.body_s:g} s") from None
        waited_s += time.monotonic() - began_s
        size_bytes = len(message.get("body", b""))
        received_bytes += size_bytes
        numbers.add("quidditch_http_received_bytes_total", size_bytes)
        ended = not message.get("more_body")
        if waited_s > limits.body_s and received_bytes < limits.body_rate * waited_s and not ended:
            raise _too_slow(numbers, f"{received_bytes} bytes in {waited_s:.1f} s")
        return message

    return receiving


def _too_slow(numbers: Numbers, words: str) -> RestError:
    numbers.add('quidditch_http_rejected_total{reason="slow"}')
    return RestError(f"request body: {words}", 408, "timeout_exception", headers={"Connection": "close"})
