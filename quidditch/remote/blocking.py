"""The blocking client: flows carried over connections that threads share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, NoReturn, ParamSpec, Self, TypeVar

from quidditch.interface import Document
from quidditch.remote.carriers import Carrier, Stream
from quidditch.remote.database_flows import DatabaseFlows
from quidditch.remote.exchange import Flow
from quidditch.remote.index_flows import IndexFlows
from quidditch.remote.options import Options
from quidditch.remote.searching import ViewFlows
from quidditch.types import Json

P = ParamSpec("P")
T = TypeVar("T")
Flows = TypeVar("Flows")


class _Handle:
    """Has a carrier, and the flows that it carries."""

    def __init__(self, carrier: Carrier, flows: Any) -> None:
        self._carrier = carrier
        self._flows = flows


def _carried(method: Callable[Concatenate[Flows, P], Flow[T]]) -> Callable[Concatenate[Any, P], T]:
    """The method that carries out a flow: its arguments and its documentation, and the flow's result."""

    @wraps(method)
    def call(self: _Handle, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._carrier.run(method(self._flows, *args, **kwargs))

    return call


def _streamed(
    method: Callable[Concatenate[Flows, P], Stream[T]],
) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """As `_carried`, of a stream."""

    @wraps(method)
    def call(self: _Handle, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._carrier.stream(method(self._flows, *args, **kwargs))

    return call


class RemoteView(_Handle):
    """An index as it was at one moment, held by the server until closed or unused for too long. A context manager."""

    _flows: ViewFlows

    search = _carried(ViewFlows.search)
    search_body = _carried(ViewFlows.search_body)
    count = _carried(ViewFlows.count)
    explain = _carried(ViewFlows.explain)
    scan = _streamed(ViewFlows.scan)
    close = _carried(ViewFlows.close)

    def __init__(self, carrier: Carrier, name: str, id: str, keep_alive_s: float) -> None:
        super().__init__(carrier, ViewFlows(name, id, keep_alive_s))
        self.name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RemoteIndex(_Handle):
    """One index of a server. Safe to share between threads; pickled, it connects again where it is unpickled."""

    _flows: IndexFlows

    add = _carried(IndexFlows.add)
    add_many = _carried(IndexFlows.add_many)
    bulk = _carried(IndexFlows.bulk)
    get = _carried(IndexFlows.get)
    mget = _carried(IndexFlows.mget)
    update = _carried(IndexFlows.update)
    delete = _carried(IndexFlows.delete)
    delete_by_query = _carried(IndexFlows.delete_by_query)
    update_by_query = _carried(IndexFlows.update_by_query)

    search = _carried(IndexFlows.search)
    search_body = _carried(IndexFlows.search_body)
    count = _carried(IndexFlows.count)
    explain = _carried(IndexFlows.explain)
    scan = _streamed(IndexFlows.scan)
    analyze = _carried(IndexFlows.analyze)

    put_mappings = _carried(IndexFlows.put_mappings)
    put_settings = _carried(IndexFlows.put_settings)
    refresh = _carried(IndexFlows.refresh)
    flush = _carried(IndexFlows.flush)
    force_merge = _carried(IndexFlows.force_merge)
    stats = _carried(IndexFlows.stats)
    check = _carried(IndexFlows.check)
    backup = _carried(IndexFlows.backup)

    def __init__(self, carrier: Carrier, name: str) -> None:
        super().__init__(carrier, IndexFlows(name, carrier.options.bulk_bytes))
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return (_index_again, (self._carrier.options, self.name))

    def __repr__(self) -> str:
        return f"RemoteIndex({self.name!r} at {self._carrier.options.url!r})"

    @property
    def mappings(self) -> dict[str, Json]:
        """The mapping in OpenSearch's shape."""
        return self._carrier.run(self._flows.mappings())

    @property
    def settings(self) -> dict[str, Json]:
        return self._carrier.run(self._flows.settings())

    def point_in_time(self, keep_alive_s: float | None = None) -> RemoteView:
        """The index as it is now, to search again and again whatever is written meanwhile; close it soon.

        keep_alive_s:  how long it may lie unused before it is ended, 300 without it
        raises: LimitExceeded   when the server has too many open
        """
        id, lasting_s = self._carrier.run(self._flows.open_view(keep_alive_s))
        return RemoteView(self._carrier, self.name, id, lasting_s)

    def __getitem__(self, id: str) -> Document:
        return self.get(id)

    def __iter__(self) -> NoReturn:
        """Refused, because Python would ask for the ids 0, 1, 2, ... instead."""
        raise TypeError("an index is not iterable: scan() streams its documents")

    def __contains__(self, id: object) -> bool:
        return self._carrier.run(self._flows.exists(id))

    def __len__(self) -> int:
        return self.count()


class RemoteDatabase(_Handle):
    """The indices of a server. Safe to share between threads; a context manager.

    Nothing is sent before the first call. After a fork a child makes connections of its own; pickled, it connects
    again where it is unpickled.
    """

    _flows: DatabaseFlows

    indices = _carried(DatabaseFlows.indices)
    describe = _carried(DatabaseFlows.describe)
    delete_index = _carried(DatabaseFlows.delete_index)
    open_index = _carried(DatabaseFlows.open_index)
    close_index = _carried(DatabaseFlows.close_index)
    update_aliases = _carried(DatabaseFlows.update_aliases)
    bulk = _carried(DatabaseFlows.bulk)
    search = _carried(DatabaseFlows.search)
    check = _carried(DatabaseFlows.check)
    backup = _carried(DatabaseFlows.backup)

    def __init__(self, options: Options) -> None:
        super().__init__(Carrier(options), DatabaseFlows(options.bulk_bytes))

    def __reduce__(self) -> tuple[Any, ...]:
        return (RemoteDatabase, (self._carrier.options,))

    def __repr__(self) -> str:
        return f"RemoteDatabase({self._carrier.options.url!r})"

    @property
    def readonly(self) -> bool:
        return self._carrier.options.readonly

    def create_index(
        self, name: str, mappings: dict[str, Json] | None = None, settings: dict[str, Json] | None = None
    ) -> RemoteIndex:
        """A new, empty index.

        raises: IndexExists, MappingError, RequestError (the name or a setting)
        """
        return RemoteIndex(
            self._carrier, self._carrier.run(self._flows.create_index(name, mappings, settings))
        )

    def index(self, name: str) -> RemoteIndex:
        """raises: IndexNotFound"""
        return RemoteIndex(self._carrier, self._carrier.run(self._flows.index(name)))

    def __getitem__(self, name: str) -> RemoteIndex:
        return self.index(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.indices())

    def __contains__(self, name: object) -> bool:
        return self._carrier.run(self._flows.exists(name))

    def close(self) -> None:
        """Close the connections."""
        self._carrier.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _index_again(options: Options, name: str) -> RemoteIndex:
    return RemoteIndex(Carrier(options), name)
