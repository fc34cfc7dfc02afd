"""`connect`, and the Database of a directory."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.errors import IndexExists, IndexNotFound, QuidditchError, RequestError, StorageError
from quidditch.index.catalog import IndexEntry, check_name
from quidditch.index.datafile import is_file
from quidditch.interface import BulkResult, CheckReport, IndexInfo, SearchResult
from quidditch.local.aliases import alter_aliases
from quidditch.local.bulk import carry_out
from quidditch.local.directory import Directory, acquire, apart, release
from quidditch.local.generations import backup, restore
from quidditch.local.index import LocalIndex
from quidditch.local.location import local_path
from quidditch.local.matching import matching, search_each
from quidditch.local.options import Options, check_options
from quidditch.local.settings import check_settings
from quidditch.local.verifying import check_catalogue, check_closed, raise_if_damaged, verify_directory
from quidditch.progress import watched, watched_bytes
from quidditch.schema.mapping import Mapping
from quidditch.types import Json

MEMORY = ":memory:"


def connect(
    location: str | Path,
    *,
    readonly: bool = False,
    create: bool = True,
    write_timeout_s: float = 60.0,
    verify: bool = False,
    **options: Any,
) -> LocalDatabase:
    """What `quidditch.connect` says."""
    checked = check_options(readonly, write_timeout_s, options)
    if str(location) == MEMORY:
        return LocalDatabase._temporary(checked)
    path = local_path(location)
    if not verify:
        return LocalDatabase(path, checked, create)
    with apart(path, write_timeout_s) as free:
        if free and is_file(path / "catalog" / "data.mdb"):
            verify_directory(path, checked)
    database = LocalDatabase(path, checked, create)
    if not free:
        try:
            raise_if_damaged(path, database.check(deep=False).problems)
        except BaseException:
            database.close()
            raise
    return database


def check_location(
    location: str | Path, index: str | None, *, deep: bool, progress: bool, what: str = "check"
) -> CheckReport:
    """What `quidditch.check` says; `what` is the call, for messages."""
    path = local_path(location, what)
    if not is_file(path / "catalog" / "data.mdb"):
        raise StorageError(f"{path}: no Quidditch directory is there")
    if index is not None and not isinstance(index, str):
        raise RequestError(f"{what}: the name of an index expected, not {index!r}")
    with apart(path, Options().write_timeout_s) as free:
        if free:
            with watched("checking", progress) as watch:
                return check_closed(path, index, deep=deep, progress=watch)
    with LocalDatabase(path, Options(readonly=True), create=False) as database:
        checked = database if index is None else database.index(index)
        return checked.check(deep=deep, progress=progress)


def _remove_directory(directory: Directory, path: str, pid: int) -> None:
    """Of a temporary database that was dropped, or is there still when the program ends."""
    # A forked child ends too, and the directory is its parent's.
    if pid == os.getpid():
        with suppress(QuidditchError):
            release(directory)
        shutil.rmtree(path, ignore_errors=True)


class LocalDatabase:
    """The indices of one directory. Safe to share between threads; a context manager.

    After a fork a handle refuses by name: connect again in the child. Pickled, it connects again where it is
    unpickled.
    """

    def __init__(self, path: Path, options: Options, create: bool = True) -> None:
        self.path = path
        self._options = options
        self._lock = threading.Lock()
        self._directory: Directory | None = acquire(path, options, create)
        self._removal: weakref.finalize[[Directory, str, int], LocalDatabase] | None = None

    @classmethod
    def _temporary(cls, options: Options) -> LocalDatabase:
        if options.readonly:
            raise RequestError("connect: a temporary database cannot be read-only: nothing is in it")
        path = tempfile.mkdtemp(prefix="quidditch-")
        database = cls(Path(path).resolve(), options)
        # Also when the program ends without close.
        shared = database.directory
        database._removal = weakref.finalize(database, _remove_directory, shared, path, os.getpid())
        return database

    def __reduce__(self) -> tuple[Any, ...]:
        if self._removal is not None:
            raise TypeError("a temporary database (:memory:) belongs to its process and cannot be pickled")
        return (_reconnect, (str(self.path), self._options))

    def __repr__(self) -> str:
        return f"LocalDatabase({str(self.path)!r})"

    @property
    def directory(self) -> Directory:
        """What the handles on this path share in the process."""
        directory = self._directory
        if directory is None:
            raise StorageError(f"{self.path}: this handle is closed")
        return directory

    @property
    def readonly(self) -> bool:
        return self._options.readonly

    def writable(self) -> Directory:
        """The directory, if this handle may write.

        raises: StorageError   opened with readonly=True
        """
        if self._options.readonly:
            raise StorageError(f"{self.path}: opened read-only; connect without readonly=True to write")
        return self.directory

    # ---------------------------------------------------------------------------------------------- indices

    def create_index(
        self, name: str, mappings: dict[str, Json] | None = None, settings: dict[str, Json] | None = None
    ) -> LocalIndex:
        """A new, empty index.

        raises: IndexExists, MappingError, RequestError (the name or a setting)
        """
        check_name(name)
        mapping = Mapping.parse(mappings, analyzers=ANALYZER_NAMES)
        self.writable().create(name, mapping, check_settings(settings))
        return LocalIndex(self, name)

    def index(self, name: str) -> LocalIndex:
        """raises: IndexNotFound"""
        if not isinstance(name, str):
            raise RequestError(f"index: a name expected, not {name!r}")
        self.directory.catalog.get(name)
        return LocalIndex(self, name)

    def __getitem__(self, name: str) -> LocalIndex:
        return self.index(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.indices())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.directory.catalog.entries()

    def indices(self) -> list[str]:
        """The names of all indices, sorted."""
        return sorted(self.directory.catalog.entries())

    def delete_index(self, name: str) -> None:
        """Remove an index and its files.

        raises: IndexNotFound
        """
        if not isinstance(name, str):
            raise RequestError(f"delete_index: a name expected, not {name!r}")
        self.writable().delete(name)

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
            for name, entry in sorted(self.directory.catalog.entries().items())
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
        directory, listed = self.writable(), list(actions)
        for entry in directory.catalog.change(lambda entries: alter_aliases(entries, listed)):
            directory.discard(entry)

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

        def alter(entries: dict[str, IndexEntry]) -> dict[str, IndexEntry]:
            if name not in entries:
                raise IndexNotFound(f"no index [{name}] in {self.path}")
            return {name: msgspec.structs.replace(entries[name], closed=closed)}

        self.writable().catalog.change(alter)

    def templates(self) -> dict[str, dict[str, Any]]:
        """What a server makes new indices after, by kind and name (`index/logs`)."""
        return self.directory.catalog.templates()

    def change_templates(
        self, alter: Callable[[dict[str, dict[str, Any]]], dict[str, dict[str, Any] | None]]
    ) -> None:
        """Keep the templates that `alter` makes of all there are, all at once; None forgets one."""
        self.writable().catalog.change_templates(alter)

    # --------------------------------------------------------------------------------------- bulk and search

    def bulk(self, actions: Iterable[Any], *, refresh: bool = False) -> BulkResult:
        """Carry out many writes, to one index or several; `items` says what became of each, in order.

        An index that is not there is an error of its items: nothing is created on the way. After a crash each
        chunk of 1,000 actions of an index is all there, or nothing of it.
        raises: StorageError   a chunk could not be written; `error.partial` says what became of those before
        """
        return carry_out(self.writable(), actions, None)

    def search(self, index: str, body: dict[str, Json] | None = None) -> SearchResult:
        """Search with an OpenSearch request body; `index` is a name or an alias, several with commas, or patterns.

        raises: IndexNotFound, QueryError, RequestError
        """
        return search_each(self._matching(index), body, self.directory.catalog.mapping, self.index)

    def _matching(self, expression: str) -> dict[str, dict[str, Any] | None]:
        return matching(expression, self.directory.catalog.entries(), str(self.path))

    # --------------------------------------------------------------------------------------------- safekeeping

    def check(self, *, deep: bool = True, progress: bool = False) -> CheckReport:
        """Verify the catalogue and every index; see `Index.check`."""
        catalogue = check_catalogue(self.directory)
        if not catalogue.ok:
            return catalogue
        reports = [self.index(name).check(deep=deep, progress=progress) for name in self.indices()]
        return CheckReport(tuple(problem for report in reports for problem in report.problems))

    def backup(self, path: str | Path, *, progress: bool = False) -> None:
        """Copy every index, all as of one moment, into a new directory, while reads and writes go on.

        The copy is a directory as any other: `connect` opens it. Every checksum is verified on the way. A failure
        leaves nothing behind.
        progress:  draw a bar, on a terminal
        raises: StorageError   there is something at the path; StoreLocked, StoreFull, CorruptIndex
        """
        target = local_path(path, "backup")
        names = self.indices()
        with watched_bytes("copying", progress, sum(map(self._size_bytes, names))) as watch:
            backup(self.directory, names, target, watch)

    def _size_bytes(self, name: str) -> int:
        with self.directory.use(name) as shard:
            return shard.environment.size_bytes()

    def restore(
        self,
        path: str | Path,
        index: str | None = None,
        *,
        name: str | None = None,
        replace: bool = False,
        progress: bool = False,
    ) -> list[str]:
        """Bring indices back from a backup, or from any other directory; the names they have here.

        index:     only this one; without it, all
        name:      what to call it here; without it, as it is called there
        replace:   take the place of an index of the same name: its readers go on with the old one till they end, its
                   writers are told that it is gone
        progress:  draw a bar, on a terminal
        Each is verified (see `check`, without `deep`), copied, and published by itself: when one fails, those
        before it stay, and a note on the error names them.
        raises: IndexExists, IndexNotFound, CorruptIndex (naming what is damaged), StorageError, StoreFull,
                StoreLocked
        """
        if name is not None and index is None:
            raise RequestError("restore: name says what to call one index: say which, by index")
        if not isinstance(replace, bool):
            raise RequestError(f"restore: replace: True or False expected, not {replace!r}")
        target = self.writable()
        report = check_location(path, index, deep=False, progress=progress, what="restore")
        raise_if_damaged(
            local_path(path, "restore"), report.problems, "restore another backup, or other indices"
        )
        with connect(path, readonly=True, create=False) as source:
            wanted = source.indices() if index is None else [source.index(index).name]
            names = {one: check_name(name or one) for one in wanted}
            for taken in () if replace else sorted(set(names.values()) & set(self.indices())):
                raise IndexExists(f"index [{taken}] is already there in {self.path}; see replace and name")
            done: list[str] = []
            try:
                for one, called in names.items():
                    self._restore(target, source, one, called, replace, progress)
                    done.append(called)
            except BaseException as error:
                if done:
                    error.add_note(f"restore: {', '.join(done)} had been restored before")
                raise
        return sorted(names.values())

    def _restore(
        self, target: Directory, source: LocalDatabase, one: str, called: str, replace: bool, progress: bool
    ) -> None:
        with (
            source.directory.use(one) as shard,
            watched_bytes(f"restoring {called}", progress, shard.environment.size_bytes()) as watch,
        ):
            entry = source.directory.catalog.get(one)
            restore(target, called, shard, entry, in_place=replace, progress=watch)

    # ------------------------------------------------------------------------------------------------- life

    def close(self) -> None:
        """Let go of the directory; the last handle of the process unmaps it, once open snapshots have ended."""
        with self._lock:
            directory, self._directory = self._directory, None
        if self._removal is not None:
            self._removal()
        elif directory is not None:
            release(directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _reconnect(path: str, options: Options) -> LocalDatabase:
    return LocalDatabase(Path(path), options)
