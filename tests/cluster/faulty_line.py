"""The calls of a coordinator, on a line where nodes can be cut off or slowed down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.transport import NoAnswer, Request


class FaultyLine:
    """Calls go through as they are, but for those of nodes that are `dead` or `slow`; a context manager.

    dead:    by address the calls that get no answer; "" for all
    slow_s:  by address how long an answer takes longer
    calls:   what was asked: (address, call)
    meanwhile: what happens, once, after a copy has answered a query with its statistics in place of hits
    """

    def __init__(self, database: ClusterDatabase) -> None:
        self.dead: dict[str, str] = {}
        self.slow_s: dict[str, float] = {}
        self.calls: list[tuple[str, str]] = []
        self.meanwhile: Callable[[], object] | None = None
        self._transport = database.means.transport
        self._ask = self._transport.ask

    async def ask(self, request: Request) -> Any:
        name = request.path.rpartition("/")[2]
        self.calls.append((request.address, name))
        if self.dead.get(request.address) in ("", name):
            return NoAnswer(f"node {request.address} gives no answer")
        answer = await self._ask(request)
        if self.meanwhile is not None and "stats" in answer:
            meanwhile, self.meanwhile = self.meanwhile, None
            await asyncio.to_thread(meanwhile)
        await asyncio.sleep(self.slow_s.get(request.address, 0.0))
        return answer

    def __enter__(self) -> Self:
        self._transport.ask = self.ask  # type: ignore[method-assign]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.ask = self._ask  # type: ignore[method-assign]
