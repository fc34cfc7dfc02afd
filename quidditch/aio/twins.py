"""Asynchronous `Database`, `Index` and `View`: their methods taken from the contracts, carried out by an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from quidditch.interface import Database, Index, View
from quidditch.types import Json

P = ParamSpec("P")
T = TypeVar("T")
Subject = TypeVar("Subject")


class Engine(Protocol):
    """Carries out the calls to one database, index or view, wherever it lives."""

    async def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """What the method returns; of `mappings` and `settings`, what they are."""

    def stream(self, method: str, /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """What the method's iterator gives."""

    async def part(self, method: str, /, *args: Any, **kwargs: Any) -> tuple[str, Engine]:
        """The name and the engine of the index, or view, that the method returns."""

    async def close(self) -> None:
        """Let go of the database."""


class _Twin:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine


def _awaited(
    method: Callable[Concatenate[Subject, P], T],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """The method of the contract, awaited."""
    name = method.__name__

    @wraps(method)
    async def call(self: _Twin, /, *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._engine.call(name, *args, **kwargs)
        return result

    call.__doc__ = f"`{method.__qualname__}`, awaited."
    return call


def _streamed(
    method: Callable[Concatenate[Subject, P], Iterator[T]],
) -> Callable[Concatenate[Any, P], AsyncIterator[T]]:
    """The method of the contract, whose iterator is asynchronous."""
    name = method.__name__

    @wraps(method)
    def call(self: _Twin, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._engine.stream(name, *args, **kwargs)

    call.__doc__ = f"`{method.__qualname__}`, for `async for`."
    return call


class AsyncView(_Twin):
    """An index as it was at one moment. An asynchronous context manager."""

    search_body = _awaited(View.search_body)
    count = _awaited(View.count)
    explain = _awaited(View.explain)
    scan = _streamed(View.scan)
    close = _awaited(View.close)

    def __init__(self, engine: Engine, name: str) -> None:
        super().__init__(engine)
        self.name = name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncIndex(_Twin):
    """One index. Its methods may be awaited side by side."""

    put_mappings = _awaited(Index.put_mappings)
    put_settings = _awaited(Index.put_settings)
    add = _awaited(Index.add)
    add_many = _awaited(Index.add_many)
    bulk = _awaited(Index.bulk)
    get = _awaited(Index.get)
    mget = _awaited(Index.mget)
    update = _awaited(Index.update)
    delete = _awaited(Index.delete)
    delete_by_query = _awaited(Index.delete_by_query)
    update_by_query = _awaited(Index.update_by_query)
    search = _awaited(Index.search)
    search_body = _awaited(Index.search_body)
    count = _awaited(Index.count)
    explain = _awaited(Index.explain)
    scan = _streamed(Index.scan)
    analyze = _awaited(Index.analyze)
    refresh = _awaited(Index.refresh)
    flush = _awaited(Index.flush)
    force_merge = _awaited(Index.force_merge)
    stats = _awaited(Index.stats)
    check = _awaited(Index.check)
    backup = _awaited(Index.backup)

    def __init__(self, engine: Engine, name: str) -> None:
        super().__init__(engine)
        self.name = name

    def __repr__(self) -> str:
        return f"AsyncIndex({self.name!r})"

    async def mappings(self) -> dict[str, Json]:
        """The mapping in OpenSearch's shape."""
        found: dict[str, Json] = await self._engine.call("mappings")
        return found

    async def settings(self) -> dict[str, Json]:
        """The settings that were given."""
        found: dict[str, Json] = await self._engine.call("settings")
        return found

    async def exists(self, id: object) -> bool:
        """Whether there is a document of this id."""
        return bool(await self._engine.call("exists", id))

    async def point_in_time(self, keep_alive_s: float | None = None) -> AsyncView:
        """`Index.point_in_time`, awaited."""
        name, engine = await self._engine.part("point_in_time", keep_alive_s)
        return AsyncView(engine, name)


class AsyncDatabase(_Twin):
    """Indices by name. An asynchronous context manager."""

    indices = _awaited(Database.indices)
    delete_index = _awaited(Database.delete_index)
    describe = _awaited(Database.describe)
    update_aliases = _awaited(Database.update_aliases)
    open_index = _awaited(Database.open_index)
    close_index = _awaited(Database.close_index)
    bulk = _awaited(Database.bulk)
    search = _awaited(Database.search)
    check = _awaited(Database.check)
    backup = _awaited(Database.backup)

    async def create_index(
        self, name: str, mappings: dict[str, Json] | None = None, settings: dict[str, Json] | None = None
    ) -> AsyncIndex:
        """`Database.create_index`, awaited."""
        found, engine = await self._engine.part("create_index", name, mappings, settings)
        return AsyncIndex(engine, found)

    async def index(self, name: str) -> AsyncIndex:
        """`Database.index`, awaited."""
        found, engine = await self._engine.part("index", name)
        return AsyncIndex(engine, found)

    async def exists(self, name: object) -> bool:
        """Whether there is an index of this name."""
        return bool(await self._engine.call("exists", name))

    async def close(self) -> None:
        """`Database.close`, awaited."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
