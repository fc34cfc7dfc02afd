"""Opening an environment's files, and LMDB's errors as ours."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from quidditch.errors import CorruptIndex, FormatTooNew, QuidditchError, StorageError, StoreFull
from quidditch.index.storage import Table

MAX_READERS = 1024

FULL_BYTES = 1 << 18
"""Free bytes below which a write that failed is put down to the full disk."""


def open_table(env: Any, path: Path, table: Table, txn: Any, *, create: bool) -> Any:
    try:
        return env.open_db(str(table).encode(), txn, create=create)
    except lmdb.NotFoundError as error:
        raise CorruptIndex(
            f"{path}: data.mdb is no Quidditch environment: it has no table {table}"
        ) from error


def sync_directory(path: Path) -> None:
    """Have the names inside it survive a loss of power, where directories can be synced at all.

    raises: OSError   the disk failed: the names may be lost
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        # Of a parent that this process may pass through and not read.
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """Make the directory, and have it and its new parents survive a loss of power."""
    try:
        new = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in new:
            sync_directory(folder.parent)
    except FileExistsError as error:
        raise StorageError(f"{path}: a file is where the index's directory should be") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot make the directory: {error.strerror}") from error


def open_lmdb(path: Path, tables: int, readonly: bool, map_bytes: int) -> Any:
    lock_file = path / "lock.mdb"
    can_lock = os.access(lock_file if lock_file.exists() else path, os.W_OK)
    with translated(path):
        if can_lock:
            _allocate(lock_file)
        with _turns.lock:
            env = lmdb.open(
                str(path),
                map_size=map_bytes,
                max_dbs=tables + 1,
                max_readers=MAX_READERS,
                readonly=readonly,
                # A reader takes its slot in lock.mdb. Where it may not, the files must be at rest: `connect` says so.
                lock=can_lock or not readonly,
                readahead=False,
                create=not readonly,
                max_spare_txns=4,
            )
        # The slot of a reader that was killed pins the pages that it saw, until somebody looks.
        env.reader_check()
        return env


def close_lmdb(env: Any) -> None:
    """Unmap an environment's file and let go of it."""
    with _turns.lock:
        env.close()


class _Turns:
    """Opening and closing take turns in a process. LMDB's binding knows open files by their inodes, and forgets one
    only after its file is closed: of a file that had been removed the system may have given the inode to a new one by
    then, which would look as if it were open already."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may close an environment while this thread opens another.
        self.lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._anew)

    def _anew(self) -> None:
        self.lock = threading.RLock()


_turns = _Turns()


def _allocate(lock_file: Path) -> None:
    """Give LMDB's table of readers its room on the disk. LMDB makes the file without and writes to it in memory:
    on a disk that is full then, the process would be killed (SIGBUS). Before LMDB opens the file, because closing
    any handle of it lets go of this process's locks on it."""
    if not hasattr(os, "posix_fallocate"):
        return
    handle = os.open(lock_file, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        found = os.fstat(handle)
        # As large as LMDB makes its table: two lines of a processor's cache, and one for each reader.
        size = found.st_size or 128 + 64 * MAX_READERS
        # Not touched again once it has its room: other processes write to it.
        if found.st_blocks * 512 < size:
            os.posix_fallocate(handle, 0, size)
    finally:
        os.close(handle)


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path).free < FULL_BYTES
    except OSError:
        return False


def translated(path: Path) -> AbstractContextManager[None]:
    """LMDB's errors as ours; nothing else sees them."""
    return _Translation(path)


class _Translation:
    """The block of `translated`: not a generator, since every search enters two."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, lmdb.Error):
            raise _of_lmdb(error, self._path) from error
        if isinstance(error, OSError) and not isinstance(error, QuidditchError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise (StoreFull if full else StorageError)(
                f"{self._path}: {'the disk is full: ' if full else ''}{error}"
            ) from error


def _of_lmdb(error: lmdb.Error, path: Path) -> StorageError:
    """What an error of LMDB's means to whoever runs the index."""
    if isinstance(error, lmdb.MapFullError | lmdb.DiskError):
        return StoreFull(f"{path}: no room to write: {error}; the write was undone")
    if isinstance(error, lmdb.ReadersFullError):
        return StorageError(
            f"{path}: as many readers are open already as this environment holds (there were to be {MAX_READERS}, "
            "unless an older lock.mdb says otherwise); close scans, or threads that read"
        )
    if isinstance(error, lmdb.CorruptedError | lmdb.InvalidError | lmdb.PageNotFoundError):
        return CorruptIndex(f"{path}: LMDB cannot read its pages: {error}")
    if isinstance(error, lmdb.VersionMismatchError):
        return FormatTooNew(f"{path}: written by another version of LMDB: {error}")
    if isinstance(error, lmdb.ReadonlyError):
        return StorageError(f"{path}: the directory is read-only")
    if isinstance(error, lmdb.LockError):
        return StorageError(f"{path}: LMDB's lock file cannot be used: {error}")
    if "No space left" in str(error) or ("Input/output" in str(error) and _is_full(path)):
        # LMDB takes a write that the full disk cut short for one that failed.
        return StoreFull(f"{path}: the disk is full; the write was undone")
    return StorageError(f"{path}: {error}")
