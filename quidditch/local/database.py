"""`connect`, and the Database of a directory."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.errors import IndexExists, QuidditchError, RequestError, StorageError
from quidditch.index.catalog import Catalog, check_name
from quidditch.index.datafile import is_file
from quidditch.interface import CheckReport, SearchResult
from quidditch.local.base_database import AlterEntries, BaseDatabase
from quidditch.local.directory import Directory, acquire, apart, release
from quidditch.local.generations import backup, restore
from quidditch.local.index import LocalIndex
from quidditch.local.location import local_path
from quidditch.local.matching import matching, search_each
from quidditch.local.options import Options, check_options
from quidditch.local.settings import check_settings
from quidditch.local.verifying import check_catalogue, check_closed, raise_if_damaged, verify_directory
from quidditch.local.writing import CurrentWriter
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


class LocalDatabase(BaseDatabase[LocalIndex]):
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

    def writers(self) -> Callable[[str], CurrentWriter]:
        directory = self.writable()
        return lambda name: CurrentWriter(directory, name)

    def _where(self) -> str:
        return str(self.path)

    def _entries(self) -> Catalog:
        return self.directory.catalog

    def _writable_entries(self) -> Catalog:
        return self.writable().catalog

    def _change(self, alter: AlterEntries) -> None:
        directory = self.writable()
        for entry in directory.catalog.change(alter):
            directory.discard(entry)

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

    def _index(self, name: str) -> LocalIndex:
        self.directory.catalog.get(name)
        return LocalIndex(self, name)

    def _delete(self, name: str) -> None:
        self.writable().delete(name)

    # -------------------------------------------------------------------------------------------- searching

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


def _reconnect(path: str, options: Options) -> LocalDatabase:
    return LocalDatabase(Path(path), options)
