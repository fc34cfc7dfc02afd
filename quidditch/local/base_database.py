"""What a Database does with its indices wherever they are kept: it finds, describes and alters their entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as Dict
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

import msgspec

from quidditch.errors import IndexNotFound, RequestError
from quidditch.index.catalog import IndexEntry
from quidditch.interface import BulkResult, IndexInfo
from quidditch.local.aliases import alter_aliases
from quidditch.local.bulk import OpenWriter, carry_out
from quidditch.types import Json

AnyIndex = TypeVar("AnyIndex")

AlterEntries: TypeAlias = Callable[[dict[str, IndexEntry]], Dict[str, IndexEntry | None]]
"""Makes entries of all there are, by name; None forgets one."""

AlterTemplates: TypeAlias = Callable[[dict[str, dict[str, Any]]], dict[str, dict[str, Any] | None]]


class Entries(Protocol):
    """Where the entries of indices are kept, and templates."""

    def entries(self) -> dict[str, IndexEntry]: ...

    def change(self, alter: AlterEntries) -> list[IndexEntry]: ...

    def templates(self) -> dict[str, dict[str, Any]]: ...

    def change_templates(self, alter: AlterTemplates) -> None: ...


class BaseDatabase(Generic[AnyIndex]):
    """Indices by name, over the catalogue that a subclass supplies. A context manager."""

    def _where(self) -> str:
        """The place that has the indices, for messages."""
        raise NotImplementedError

    def _entries(self) -> Entries:
        """raises: StorageError   this handle is closed"""
        raise NotImplementedError

    def _writable_entries(self) -> Entries:
        """raises: StorageError   this handle is closed, or may not write"""
        raise NotImplementedError

    def _index(self, name: str) -> AnyIndex:
        """raises: IndexNotFound"""
        raise NotImplementedError

    def _delete(self, name: str) -> None:
        """raises: IndexNotFound"""
        raise NotImplementedError

    def writers(self) -> OpenWriter:
        """What gives the writer of the index of a name. raises: StorageError   nothing may be written"""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------------------- indices

    def index(self, name: str) -> AnyIndex:
        """raises: IndexNotFound"""
        if not isinstance(name, str):
            raise RequestError(f"index: a name expected, not {name!r}")
        return self._index(name)

    def __getitem__(self, name: str) -> AnyIndex:
        return self.index(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.indices())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries().entries()

    def indices(self) -> list[str]:
        """The names of all indices, sorted."""
        return sorted(self._entries().entries())

    def delete_index(self, name: str) -> None:
        """Remove an index and its files.

        raises: IndexNotFound
        """
        if not isinstance(name, str):
            raise RequestError(f"delete_index: a name expected, not {name!r}")
        self._delete(name)

    def describe(self) -> dict[str, IndexInfo]:
        """What is known of every index, by name, all as of one moment."""
        return {
            name: IndexInfo(
                name,
                entry.generation,
                entry.created_ms,
                entry.closed,
                dict(entry.settings),
                {alias: dict(options) for alias, options in sorted(entry.aliases.items())},
            )
            for name, entry in sorted(self._entries().entries().items())
        }

    def update_aliases(self, actions: Sequence[Json]) -> None:
        """Give indices further names, or take them away: all of the actions at once, or none.

        actions:  `{"add": {"index": "logs-1", "alias": "logs"}}`, `{"remove": {...}}`; `add` may hold a `filter`,
                  `routing` and `is_write_index`, and both may hold `indices`, `aliases` and patterns;
                  `{"remove_index": {"index": "old"}}` deletes an index, whose name an alias of the same call may take
        raises: IndexNotFound, RequestError   naming the action that cannot be carried out
        """
        if isinstance(actions, str | bytes | dict) or not isinstance(actions, Iterable):
            raise RequestError(f"update_aliases: a list of actions expected, not {type(actions).__name__}")
        listed = list(actions)
        self._change(lambda entries: alter_aliases(entries, listed))

    def close_index(self, name: str) -> None:
        """Refuse reads and writes of an index until `open_index`; those that run end as they would have.

        raises: IndexNotFound
        """
        self._set_closed(name, True)

    def open_index(self, name: str) -> None:
        """Take back `close_index`.

        raises: IndexNotFound
        """
        self._set_closed(name, False)

    def _set_closed(self, name: str, closed: bool) -> None:
        self.index(name)
        self.change_entry(name, lambda entry: msgspec.structs.replace(entry, closed=closed))

    def change_entry(self, name: str, alter: Callable[[IndexEntry], IndexEntry]) -> None:
        """Put what `alter` makes of an index's entry in its place.

        raises: IndexNotFound; whatever `alter` raises: nothing was changed then
        """

        def change(entries: dict[str, IndexEntry]) -> dict[str, IndexEntry | None]:
            if name not in entries:
                raise IndexNotFound(f"no index [{name}] in {self._where()}")
            return {name: alter(entries[name])}

        self._change(change)

    def _change(self, alter: AlterEntries) -> None:
        """Change entries all at once; what is left of those that are forgotten is removed."""
        self._writable_entries().change(alter)

    def templates(self) -> dict[str, dict[str, Any]]:
        """What a server makes new indices after, by kind and name (`index/logs`)."""
        return self._entries().templates()

    def change_templates(self, alter: AlterTemplates) -> None:
        """Keep the templates that `alter` makes of all there are, all at once; None forgets one."""
        self._writable_entries().change_templates(alter)

    def bulk(self, actions: Iterable[Any], *, refresh: bool = False) -> BulkResult:
        """Carry out many writes, to one index or several; `items` says what became of each, in order.

        An index that is not there is an error of its items: nothing is created on the way. In a directory, after a
        crash, each chunk of 1,000 actions of an index is all there, or nothing of it.
        raises: StorageError   a chunk could not be written; `error.partial` says what became of those before
        """
        return carry_out(self.writers(), actions, None)

    # ------------------------------------------------------------------------------------------------- life

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
