"""The engine of a server: the flows of the blocking client, carried over asynchronous connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from quidditch.errors import CorruptIndex
from quidditch.remote.carriers import AsyncCarrier
from quidditch.remote.database_flows import DatabaseFlows
from quidditch.remote.index_flows import IndexFlows
from quidditch.remote.options import checked
from quidditch.remote.searching import ViewFlows


async def opened(url: str, *, create: bool = True, verify: bool = False, **options: Any) -> OverHttp:
    """As `quidditch.remote.connect`."""
    carrier = AsyncCarrier(checked(url, options))
    engine = OverHttp(DatabaseFlows(carrier.options.bulk_bytes), carrier)
    if verify:
        problems = (await engine.call("check", deep=False)).problems
        if problems:
            await engine.close()
            raise CorruptIndex(f"{url}: {len(problems)} problems, the first: {problems[0]}")
    return engine


class OverHttp:
    """Carries the flows of a database, an index or a view."""

    def __init__(self, flows: Any, carrier: AsyncCarrier) -> None:
        self._flows = flows
        self._carrier = carrier

    async def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        return await self._carrier.run(getattr(self._flows, method)(*args, **kwargs))

    def stream(self, method: str, /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        return self._carrier.stream(getattr(self._flows, method)(*args, **kwargs))

    async def part(self, method: str, /, *args: Any, **kwargs: Any) -> tuple[str, OverHttp]:
        if method == "point_in_time":
            name = self._flows.name
            id, lasting_s = await self.call("open_view", *args, **kwargs)
            return name, OverHttp(ViewFlows(name, id, lasting_s), self._carrier)
        name = await self.call(method, *args, **kwargs)
        return name, OverHttp(IndexFlows(name, self._carrier.options.bulk_bytes), self._carrier)

    async def close(self) -> None:
        await self._carrier.close()
