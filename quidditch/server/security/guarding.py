"""A database as one caller may use it: what he may not see is not there, and what he may not do is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn, cast

from quidditch.errors import IndexNotFound
from quidditch.interface import (
    BulkResult,
    Database,
    Document,
    Index,
    IndexInfo,
    KeepsTemplates,
    SearchResult,
)
from quidditch.server.failures import RestError, no_such_index
from quidditch.server.security.grants import ANYONE, Caller, Level, Need
from quidditch.topology import Topology, topology_of
from quidditch.types import Json

NEEDED = {
    Level.READ: "name mappings settings get mget search search_body count explain scan point_in_time analyze "
    "refresh stats check",
    Level.WRITE: "add add_many bulk update update_by_query delete delete_by_query flush",
    Level.ADMIN: "put_mappings put_settings force_merge",
}
"""The level that each call of an `Index` needs. One that is not here is refused, whoever calls."""

_LEVELS = {name: level for level, names in NEEDED.items() for name in names.split()}


def guarded(database: Database, caller: Caller, level: Level) -> Database:
    """The database as it is there for a caller on a route that needs a level: the indices on which he has it."""
    if caller is ANYONE:
        return database
    return cast(Database, GuardedDatabase(database, caller, level))


class GuardedIndex:
    """An `Index` whose every call is checked. It makes none of its own, so that none can be forgotten."""

    def __init__(self, index: Index, caller: Caller) -> None:
        self._index = index
        self._caller = caller

    def __getattr__(self, call: str) -> Any:
        level = _LEVELS.get(call)
        if level is None:
            raise self._caller.denied(call, self._index.name)
        self._check(level)
        return getattr(self._index, call)

    def _check(self, level: Level) -> None:
        if not self._caller.may(self._index.name, level):
            raise self._caller.denied(level.word, self._index.name)

    def __getitem__(self, id: str) -> Document:
        self._check(Level.READ)
        return self._index[id]

    def __contains__(self, id: object) -> bool:
        self._check(Level.READ)
        return id in self._index

    def __len__(self) -> int:
        self._check(Level.READ)
        return len(self._index)


class GuardedDatabase:
    """A `Database` with the indices on which a caller has a level.

    A name that no pattern of his covers is refused with 403, whether it is there or not; one that is covered and is
    not there is 404. So neither says anything of an index that is not his. An alias is there when he may see every
    index that it stands for.
    """

    def __init__(self, database: Database, caller: Caller, level: Level) -> None:
        self._database = database
        self._caller = caller
        # No route goes without a look at the indices that are read.
        self._level = max(level, Level.READ)

    # ------------------------------------------------------------------------------------------------ seeing

    def describe(self) -> dict[str, IndexInfo]:
        """cost: one look at the name of every index"""
        infos = self._database.describe()
        hidden = [info for name, info in infos.items() if not self._may(name)]
        if not hidden:
            return infos
        mixed = {alias for info in hidden for alias in info.aliases}
        return {
            name: replace(info, aliases={key: each for key, each in info.aliases.items() if key not in mixed})
            for name, info in infos.items()
            if self._may(name)
        }

    def indices(self) -> list[str]:
        return [name for name in self._database.indices() if self._may(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.indices())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._may(name) and name in self._database

    def index(self, name: str) -> Index:
        """raises: RestError   403; IndexNotFound"""
        self._check(name)
        with self._known(name):
            found = self._database.index(name)
        self._check(found.name)
        return cast(Index, GuardedIndex(found, self._caller))

    def __getitem__(self, name: str) -> Index:
        return self.index(name)

    @contextmanager
    def _known(self, name: str) -> Iterator[None]:
        """In place of the database's own words, which name what is near, be it of others, and its directory."""
        try:
            yield
        except IndexNotFound:
            raise self.missing(name) from None

    def missing(self, name: str) -> RestError:
        """Why there is nothing of this name: it is not his, or not there."""
        return no_such_index(name) if self._may(name) else self._caller.denied(self._level.word, name)

    def search(self, index: str, body: dict[str, Json] | None = None) -> SearchResult:
        """`index`: names, which are checked; a pattern would stand for indices that are not his.

        raises: RestError   403
        """
        infos = self.describe()
        aliases = {alias for info in infos.values() for alias in info.aliases}
        for name in index.split(","):
            if name not in infos and name not in aliases:
                raise self.missing(name)
        return self._database.search(index, body)

    # ---------------------------------------------------------------------------------------------- changing

    def create_index(
        self, name: str, mappings: dict[str, Json] | None = None, settings: dict[str, Json] | None = None
    ) -> Index:
        """A write makes the index that it goes to; more than that needs what the route needs."""
        self._check(name, Level.WRITE)
        made = self._database.create_index(name, mappings, settings)
        return cast(Index, GuardedIndex(made, self._caller))

    def delete_index(self, name: str) -> None:
        self._check(name, Level.ADMIN)
        with self._known(name):
            self._database.delete_index(name)

    def open_index(self, name: str) -> None:
        self._check(name, Level.ADMIN)
        with self._known(name):
            self._database.open_index(name)

    def close_index(self, name: str) -> None:
        self._check(name, Level.ADMIN)
        with self._known(name):
            self._database.close_index(name)

    def update_aliases(self, actions: Sequence[Json]) -> None:
        """Whoever gives an alias administers its name, the index, and all that the alias stands for by now:
        he could lead the writes and searches of others elsewhere with it."""
        for action in actions:
            for op, body in action.items():
                for name in _names(body, "index", "indices"):
                    self._check(name, Level.ADMIN)
                self._check_given(_names(body, "alias", "aliases") if op == "add" else ())
        self._database.update_aliases(actions)

    def _check_given(self, aliases: Iterable[str]) -> None:
        infos = self._database.describe()
        for alias in aliases:
            self._check(alias, Level.ADMIN)
            if any(alias in info.aliases and not self._may(name) for name, info in infos.items()):
                raise self._caller.denied(Level.ADMIN.word, alias)

    def for_making(self, name: str, aliases: Iterable[str]) -> Database:
        """What an index is made in, once it is known that the caller may make it and give it aliases.

        raises: RestError   403
        """
        given = list(aliases)
        self._check(name, Level.ADMIN if given else Level.WRITE)
        self._check_given(given)
        return self._database

    def templates(self) -> dict[str, dict[str, Any]]:
        """All of them: whoever makes an index makes it after them. The routes that show them need the cluster."""
        return self._database.templates() if isinstance(self._database, KeepsTemplates) else {}

    def change_templates(
        self, alter: Callable[[dict[str, dict[str, Any]]], dict[str, dict[str, Any] | None]]
    ) -> None:
        """They are made into indices of any name, so this needs the cluster."""
        self._caller.check(Need(Level.ADMIN, cluster=True))
        if not isinstance(self._database, KeepsTemplates):
            raise RestError("this server's database keeps no templates", 501, "not_implemented")
        self._database.change_templates(alter)

    def topology(self, indices: Collection[str] | None = None, *, sizes: bool = False) -> Topology:
        """The nodes, and the shards of indices that are the caller's."""
        names = [name for name in self.indices() if indices is None or name in indices]
        return topology_of(self._database, names, sizes=sizes)

    @property
    def most_shards(self) -> int:
        """How many an index may have: no secret."""
        return int(getattr(self._database, "most_shards", 1))

    def bulk(self, actions: Iterable[Any], *, refresh: bool = False) -> BulkResult:
        """The flat alternation of action lines and documents, every index of which is named and checked."""
        given = list(actions)
        lines = iter(given)
        checked: set[str] = set()
        for line in lines:
            ((op, meta),) = line.items()
            if op != "delete":
                next(lines, None)
            name = meta["_index"]
            if name not in checked:
                self._check(name, Level.WRITE)
                checked.add(name)
        return self._database.bulk(given, refresh=refresh)

    def __getattr__(self, call: str) -> NoReturn:
        raise self._caller.denied(call)

    # ----------------------------------------------------------------------------------------------- looking

    def _may(self, name: str, level: Level = Level.NOTHING) -> bool:
        return self._caller.may(name, max(level, self._level))

    def _check(self, name: str, level: Level = Level.NOTHING) -> None:
        if not self._may(name, level):
            raise self._caller.denied(max(level, self._level).word, name)


def missing(database: Database, name: str) -> RestError:
    """The error for a name that a database does not show."""
    return database.missing(name) if isinstance(database, GuardedDatabase) else no_such_index(name)


def without_guard(database: Database) -> Database:
    """The database below, for routes that need the cluster, which the caller has then: whoever may look after all of
    it may see and change what has no index."""
    return database._database if isinstance(database, GuardedDatabase) else database


def for_making(database: Database, name: str, aliases: Iterable[str]) -> Database:
    """What an index of this name is made in, and given aliases.

    raises: RestError   403 for a caller who may not
    """
    return database.for_making(name, aliases) if isinstance(database, GuardedDatabase) else database


def _names(body: Any, one: str, many: str) -> list[str]:
    """The names that an action on aliases is about. A pattern among them is covered where all that it means is."""
    value = body.get(one, body.get(many))
    parts = [
        part for each in ([value] if isinstance(value, str) else value or []) for part in each.split(",")
    ]
    return ["*" if part == "_all" else part for part in parts]
