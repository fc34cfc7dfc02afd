"""What the handles on one directory share in a process: the catalogue, and each index's open shard."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quidditch.errors import IndexNotFound, StorageError
from quidditch.index.catalog import CATALOG_TABLES, Catalog, IndexEntry
from quidditch.index.datafile import is_file
from quidditch.index.environment import DEFAULT_MAP_BYTES, Environment
from quidditch.index.reader import DEFAULT_CACHE_BYTES
from quidditch.index.snapshot import Snapshot, Snapshots
from quidditch.index.storage import Table
from quidditch.index.writer import DEFAULT_MEMORY_BYTES, IndexWriter
from quidditch.interface import (
    CollectionStats,
    Fetched,
    FetchRequest,
    QueryRequest,
    QueryResult,
    ShardSnapshot,
)
from quidditch.schema.mapping import Mapping
from quidditch.search.searcher import SnapshotSearcher
from quidditch.types import DocAddress, Json

SHARD_TABLES = tuple(table for table in Table if table is not Table.INDICES)


@dataclass(frozen=True, slots=True)
class Options:
    """How a directory is opened. `memory_bytes` bounds indexing, `cache_bytes` what searches keep decoded,
    `map_size_bytes` the addresses reserved for each index, and so its size on disk."""

    readonly: bool = False
    write_timeout_s: float = 60.0
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    cache_bytes: int = DEFAULT_CACHE_BYTES
    map_size_bytes: int = DEFAULT_MAP_BYTES


class IndexSchema:
    """An index's mapping in the catalogue, as the write path sees it.

    raises: IndexNotFound   the index was deleted, even if another of its name was made since
    """

    def __init__(self, catalog: Catalog, name: str, generation: str) -> None:
        self._catalog = catalog
        self._name = name
        self._generation = generation

    def current(self) -> Mapping:
        return self._catalog.mapping(self._name, self._generation)

    def extend(self, body: dict[str, Json]) -> Mapping:
        return self._catalog.extend_mapping(self._name, self._generation, body)


class LocalShard:
    """One shard in this process: what a search runs on, and its writer."""

    def __init__(self, folder: Path, schema: IndexSchema, options: Options, number: int = 0) -> None:
        self.schema = schema
        self.number = number
        self.environment = Environment(
            folder,
            SHARD_TABLES,
            readonly=options.readonly,
            write_timeout_s=options.write_timeout_s,
            map_bytes=options.map_size_bytes,
        )
        self.snapshots = Snapshots(self.environment, options.cache_bytes)
        self._lasting: set[_LastingView] = set()
        self._closing = False
        self.writer = IndexWriter(self.snapshots, schema, options.memory_bytes)

    @contextmanager
    def snapshot(self, lasting: bool = False) -> Iterator[ShardSnapshot]:
        """A view for one search, or a lasting one for a scan; nothing it hands out lies in the mapped file."""
        if lasting:
            self.environment.prepare_to_write()
        with self.environment.translated(), self.snapshots.open(self.schema.current) as snapshot:
            searcher = SnapshotSearcher(snapshot, self.number, self.schema.current())
            if not lasting:
                yield searcher
                return
            view = _LastingView(snapshot, searcher)
            self._lasting.add(view)
            if self._closing:
                view.end()
            try:
                yield view
            finally:
                self._lasting.discard(view)

    def close(self) -> None:
        """Wait for running searches, end the scans that are between two of theirs, and unmap."""
        if not self.environment.readonly and not self.environment.closed:
            self.writer.close()
        self._closing = True
        for view in list(self._lasting):
            view.end()
        self.environment.close()


class _LastingView(ShardSnapshot):
    """A scan's view. It may lie idle for long, so closing the shard ends it rather than wait for it."""

    def __init__(self, snapshot: Snapshot, searcher: SnapshotSearcher) -> None:
        self._snapshot = snapshot
        self._searcher = searcher
        self._ended = False
        self._lock = threading.Lock()

    def end(self) -> None:
        with self._lock:
            self._ended = True
            self._snapshot.close()

    @contextmanager
    def _at_work(self) -> Iterator[SnapshotSearcher]:
        with self._lock:
            if self._ended:
                raise StorageError("the database was closed while this scan was open")
            yield self._searcher

    def statistics(self, fields: Iterable[str], terms: Iterable[tuple[str, bytes]]) -> CollectionStats:
        with self._at_work() as searcher:
            return searcher.statistics(fields, terms)

    def query(self, request: QueryRequest) -> QueryResult:
        with self._at_work() as searcher:
            return searcher.query(request)

    def fetch(self, addresses: Sequence[DocAddress], request: FetchRequest) -> list[Fetched]:
        with self._at_work() as searcher:
            return searcher.fetch(addresses, request)


class Directory:
    """One open directory of this process, shared by every handle on it."""

    def __init__(self, path: Path, options: Options, create: bool) -> None:
        self.path = path
        self.options = options
        self.handles = 0
        self.closing = False
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._shards: dict[str, LocalShard] = {}
        catalog_path = path / "catalog"
        if not is_file(catalog_path / "data.mdb"):
            _check_new(path, create and not options.readonly)
        self._environment = Environment(
            catalog_path,
            CATALOG_TABLES,
            readonly=options.readonly,
            write_timeout_s=options.write_timeout_s,
            map_bytes=min(options.map_size_bytes, 1 << 30),
        )
        self.catalog = Catalog(self._environment, path)
        if not options.readonly:
            self.catalog.remove_orphans()

    def shard(self, name: str) -> LocalShard:
        """The open shard of an index.

        raises: IndexNotFound
        """
        entry = self.catalog.get(name)
        self._close_deleted()
        with self._lock:
            shard = self._shards.get(entry.generation)
            if shard is None:
                shard = self._open_shard(name, entry)
                self._shards[entry.generation] = shard
        return shard

    def _close_deleted(self) -> None:
        """Let go of shards whose index another process deleted: they hold its disk space."""
        # Looked at before the catalogue is: a shard opened since belongs to an index that may not be listed here.
        known = list(self._shards)
        deleted = set(known) - self.catalog.generations()
        with self._lock:
            gone = [self._shards.pop(one) for one in deleted if one in self._shards]
        for shard in gone:
            shard.close()

    def _open_shard(self, name: str, entry: IndexEntry) -> LocalShard:
        folder = self.catalog.folder(entry)
        if not is_file(folder / "data.mdb"):
            if name not in self.catalog.entries():
                raise IndexNotFound(f"index [{name}] was deleted")
            if self.options.readonly:
                raise StorageError(f"{folder}: the data of index [{name}] is missing")
        return LocalShard(folder, IndexSchema(self.catalog, name, entry.generation), self.options)

    def create(self, name: str, mapping: Mapping, settings: dict[str, Any]) -> None:
        self.catalog.create(name, mapping, settings)
        self.shard(name)

    def delete(self, name: str) -> None:
        entry = self.catalog.delete(name)
        with self._lock:
            shard = self._shards.pop(entry.generation, None)
        if shard is not None:
            shard.close()
        self.catalog.remove_folder(entry)

    def close(self) -> None:
        with self._lock:
            shards, self._shards = list(self._shards.values()), {}
        for shard in shards:
            shard.close()
        self._environment.close()


def _check_new(path: Path, may_create: bool) -> None:
    """Refuse a path that is no directory of ours and must not, or cannot, become one."""
    if path.exists() and not path.is_dir():
        raise StorageError(f"{path}: a file is there where a directory is expected")
    if not may_create:
        raise StorageError(f"{path}: no Quidditch directory is there, and none is to be made")


_open: dict[Path, Directory] = {}
_open_changed = threading.Condition()


def _unlock_in_child() -> None:
    """Another thread may have held the lock when this process was forked; in the child nobody does."""
    global _open_changed
    _open_changed = threading.Condition()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_in_child)


def acquire(path: Path, options: Options, create: bool) -> Directory:
    """The process's one Directory of a path, opened if need be; each call is paid back by `release`.

    raises: StorageError   in a forked child for a path that its parent had open
    """
    with _open_changed:
        # The last handle's close may still wait for running searches; LMDB cannot open the file before.
        _open_changed.wait_for(lambda: path not in _open or not _open[path].closing, options.write_timeout_s)
        directory = _open.get(path)
        if directory is not None and directory.closing:
            raise StorageError(f"{path}: is being closed in this process, and a search holds it open")
        if directory is not None and directory.pid != os.getpid():
            raise StorageError(
                f"{path}: process {directory.pid} had it open when it forked this one, and LMDB opens a file once "
                "in a process and its forks; connect only after the fork, or start the process anew (spawn)"
            )
        if directory is None:
            directory = Directory(path, options, create)
            _open[path] = directory
        elif directory.options.readonly and not options.readonly:
            raise StorageError(
                f"{path}: open read-only in this process already; close that handle before writing"
            )
        directory.handles += 1
        return directory


def release(directory: Directory) -> None:
    if directory.pid != os.getpid():
        return
    with _open_changed:
        directory.handles -= 1
        directory.closing = directory.handles == 0
    if not directory.closing:
        return
    try:
        directory.close()
    finally:
        with _open_changed:
            del _open[directory.path]
            _open_changed.notify_all()
