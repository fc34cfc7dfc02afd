"""What the handles on one directory share in a process: the catalogue, and each index's open shard."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from quidditch.errors import CorruptIndex, IndexClosed, IndexExists, QuidditchError, StorageError
from quidditch.index.catalog import CATALOG_TABLES, Catalog, IndexEntry
from quidditch.index.datafile import is_file
from quidditch.index.environment import Environment, EnvironmentGone
from quidditch.index.filesystems import network_filesystem
from quidditch.index.operations import IdMaker
from quidditch.local.options import Options
from quidditch.local.shard import IndexSchema, LocalShard
from quidditch.schema.mapping import Mapping

logger = logging.getLogger("quidditch")


class Directory:
    """One open directory of this process, shared by every handle on it."""

    def __init__(self, path: Path, options: Options, create: bool) -> None:
        self.path = path
        self.options = options
        self.handles = 0
        self.closing = False
        self.pid = os.getpid()
        # Reentrant: the garbage collector may close an abandoned scan while this thread holds it.
        self._lock = threading.RLock()
        self._closed = False
        self._shards: dict[str, LocalShard] = {}
        self._retired: dict[str, LocalShard] = {}
        """Shards of past generations, still open for those that are at work on them: LMDB opens a file once."""
        catalog_path = path / "catalog"
        if not is_file(catalog_path / "data.mdb"):
            _check_new(path, create and not options.readonly)
        if not options.readonly and not options.allow_network_files:
            _check_filesystem(path)
        self._environment = Environment(
            catalog_path,
            CATALOG_TABLES,
            readonly=options.readonly,
            write_timeout_s=options.write_timeout_s,
            map_bytes=min(options.map_size_bytes, 1 << 30),
        )
        self.catalog = Catalog(self._environment, path)
        self.make_id = IdMaker().new
        try:
            if not options.readonly:
                self._environment.upgrade()
                self.catalog.remove_orphans()
        except BaseException:
            self._environment.close()
            raise

    # ------------------------------------------------------------------------------------------------ shards

    @contextmanager
    def use(self, name: str) -> Iterator[LocalShard]:
        """The open shard of an index, which stays open for the block even if the index moves or is deleted.

        raises: IndexNotFound, IndexClosed
        """
        shard = self._take(name)
        try:
            yield shard
        finally:
            # A forked child leaves alone what is its parent's; another thread may have held the lock.
            if self.pid == os.getpid():
                self._give_back(shard)

    def cached_bytes(self) -> int:
        """Decoded parts of segments that this process keeps."""
        with self._lock:
            return sum(shard.snapshots.cache.size_bytes for shard in self._shards.values())

    def _give_back(self, shard: LocalShard) -> None:
        with self._lock:
            shard.users -= 1
            last = shard.generation in self._retired and not shard.users
        if last:
            self._close_retired(shard)

    def _take(self, name: str) -> LocalShard:
        self._retire_gone()
        entry = self.catalog.get(name)
        if entry.closed:
            raise IndexClosed(f"index [{name}] is closed; open_index opens it")
        while True:
            with self._lock:
                if self._closed:
                    raise StorageError(f"{self.path}: this handle is closed")
                shard = self._shards.get(entry.generation)
                if shard is None and entry.generation not in self._retired:
                    shard = self._open_shard(name, entry)
                if shard is not None:
                    self._shards[entry.generation] = shard
                    shard.users += 1
                    return shard
            # The index has moved, or was deleted, since the entry was read.
            entry = self.catalog.get(name)

    def _open_shard(self, name: str, entry: IndexEntry) -> LocalShard | None:
        """None if the index has moved since the entry was read."""
        folder = self.catalog.folder(entry.generation)
        try:
            environment = self.options.environment(folder, create=False)
        except EnvironmentGone as error:
            if self.catalog.get(name).generation != entry.generation:
                return None
            raise CorruptIndex(
                f"{folder}: the data of index [{name}] is missing; restore it from a backup"
            ) from error
        return LocalShard(environment, IndexSchema(self.catalog, name, entry.generation), entry, self.options)

    def _retire_gone(self) -> None:
        """Let go of shards whose index moved or was deleted, by whichever process: they hold its disk space."""
        # Looked at before the catalogue is: a shard opened since belongs to an index that may not be listed here.
        known = list(self._shards)
        gone = set(known) - self.catalog.generations()
        for generation in gone:
            self.retire(generation)

    def retire(self, generation: str) -> None:
        """Close a shard once nobody uses it any more."""
        with self._lock:
            shard = self._shards.pop(generation, None)
            if shard is None:
                return
            self._retired[generation] = shard
            idle = not shard.users
        if idle:
            self._close_retired(shard)

    def _close_retired(self, shard: LocalShard) -> None:
        try:
            shard.close()
        finally:
            with self._lock:
                self._retired.pop(shard.generation, None)

    # ----------------------------------------------------------------------------------------------- indices

    def create(self, name: str, mapping: Mapping, settings: dict[str, Any]) -> None:
        """raises: IndexExists"""
        if name in self.catalog.entries():
            raise IndexExists(f"index [{name}] is already there in {self.path}")
        created_ms = int(time.time() * 1000)
        with self.catalog.staged() as generation:
            self.options.environment(self.catalog.folder(generation), create=True).close()
            self.catalog.create(
                name, IndexEntry(generation, mapping.to_dict(), settings, created_ms=created_ms)
            )

    def delete(self, name: str) -> None:
        """raises: IndexNotFound"""
        self.discard(self.catalog.delete(name))

    def discard(self, entry: IndexEntry) -> None:
        """Remove the files of an index that the catalogue has forgotten."""
        self.retire(entry.generation)
        self.catalog.remove_folder(entry.generation)

    # -------------------------------------------------------------------------------------------------- life

    def close(self) -> None:
        """Close every shard, and the catalogue; what goes wrong with one is raised when all are closed."""
        with self._lock:
            self._closed = True
            shards = [*self._shards.values(), *self._retired.values()]
            self._shards = {}
        with ExitStack() as stack:
            stack.callback(self._environment.close)
            for shard in shards:
                stack.callback(shard.close)

    def settle(self) -> None:
        """At the end of the process: have everything acknowledged on disk, and what merges are owed done."""
        for shard in list(self._shards.values()):
            try:
                if not self.options.readonly:
                    shard.writer.close()
            except QuidditchError as error:
                logger.error("%s: not everything could be settled at the end: %s", self.path, error)


def _check_new(path: Path, may_create: bool) -> None:
    """Refuse a path that is no directory of ours and must not, or cannot, become one."""
    if path.exists() and not path.is_dir():
        raise StorageError(f"{path}: a file is there where a directory is expected")
    if not may_create:
        raise StorageError(f"{path}: no Quidditch directory is there, and none is to be made")


def _check_filesystem(path: Path) -> None:
    kind = network_filesystem(path)
    if kind is not None:
        raise StorageError(
            f"{path}: lies on a network file system ({kind}), where another machine that has it open can destroy the "
            "index; use a local disk, or connect with allow_network_files=True if no other machine ever will"
        )


_open: dict[Path, Directory] = {}
_open_changed = threading.Condition()
_apart: set[Path] = set()
"""Directories that are being looked at before LMDB, which opens a file once in a process, may see them."""


@atexit.register
def _settle_all() -> None:
    """For programs that end without closing."""
    for directory in list(_open.values()):
        if directory.pid == os.getpid():
            directory.settle()


def _unlock_in_child() -> None:
    """Another thread may have held the lock when this process was forked; in the child nobody does."""
    global _open_changed
    _open_changed = threading.Condition()
    _apart.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_in_child)


def acquire(path: Path, options: Options, create: bool) -> Directory:
    """The process's one Directory of a path, opened if need be; each call is paid back by `release`.

    raises: StorageError   in a forked child for a path that its parent had open
    """
    with _open_changed:
        # The last handle's close may still wait for running searches; LMDB cannot open the file before.
        _open_changed.wait_for(
            lambda: path not in _apart and (path not in _open or not _open[path].closing),
            options.write_timeout_s,
        )
        if path in _apart:
            raise StorageError(f"{path}: is being checked by another thread of this process")
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


@contextmanager
def apart(path: Path, timeout_s: float) -> Iterator[bool]:
    """Whether nobody in this process has the directory open; then nobody opens it before the block ends.

    raises: StorageError   another looks at it for all of `timeout_s`
    """
    with _open_changed:
        if not _open_changed.wait_for(lambda: path not in _apart, timeout_s):
            raise StorageError(f"{path}: is being checked by another thread of this process")
        free = path not in _open
        if free:
            _apart.add(path)
    try:
        yield free
    finally:
        if free:
            with _open_changed:
                _apart.discard(path)
                _open_changed.notify_all()


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
