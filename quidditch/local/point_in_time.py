"""An index as it was at one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from quidditch.errors import QuidditchError, RequestError, StorageError
from quidditch.interface import Shard, ShardSnapshot
from quidditch.local.options import is_seconds
from quidditch.local.searches import Searches
from quidditch.schema.mapping import Mapping
from quidditch.search.request import SearchRequest

if TYPE_CHECKING:
    from quidditch.local.index import LocalIndex


class PointInTime(Searches):
    """`search`, `count`, `explain` and `scan` over what was acknowledged when it was opened. A context manager.

    Safe to share between threads, whose calls take turns.
    raises: SnapshotExpired   from each call, once it has lain unused for longer than it was to be kept alive
    """

    def __init__(self, index: LocalIndex, keep_alive_s: float | None) -> None:
        if keep_alive_s is not None and not (is_seconds(keep_alive_s) and keep_alive_s > 0):
            raise RequestError(f"point_in_time: keep_alive_s: seconds above 0 expected, not {keep_alive_s!r}")
        self.name = index.name
        self._held = ExitStack()
        self._open = True
        with ExitStack() as stack:
            shard = stack.enter_context(index._reading())
            self._schema = shard.schema
            self._newest = shard.schema.current()
            view = stack.enter_context(shard.snapshot(lasting=True, keep_alive_s=keep_alive_s))
            self._shard = _Frozen(view)
            self._held = stack.pop_all()

    def _mapping(self) -> Mapping:
        """As it is now: fields that came since may be asked for, and no document of then has a value in them."""
        with suppress(QuidditchError):
            # Of an index that was moved or deleted: what was last known.
            self._newest = self._schema.current()
        return self._newest

    @contextmanager
    def _shards(self, request: SearchRequest | None = None) -> Iterator[Sequence[Shard]]:
        if not self._open:
            raise StorageError(f"this point in time of index [{self.name}] is closed")
        yield [self._shard]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a point in time belongs to its process and cannot be pickled")

    def close(self) -> None:
        """Let go of the snapshot."""
        self._open = False
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Frozen(Shard):
    """A shard that is always the same view."""

    def __init__(self, view: ShardSnapshot) -> None:
        self._view = view

    @contextmanager
    def snapshot(self, lasting: bool = False) -> Iterator[ShardSnapshot]:
        yield self._view
