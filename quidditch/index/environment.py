"""The LMDB environment of one shard or of the catalogue: its life, its transactions and its locks.

Nothing but this and `opening.py` imports `lmdb`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb

from quidditch.errors import (
    StorageError,
    StoreLocked,
)
from quidditch.index.codecs import FORMAT_VERSION
from quidditch.index.datafile import check_file_size, check_format, format_record, is_file
from quidditch.index.file_lock import WriteLock
from quidditch.index.opening import (
    close_lmdb,
    make_directory,
    open_lmdb,
    open_table,
    sync_directory,
    translated,
)
from quidditch.index.seals import SEALED_SINCE, SealMemory
from quidditch.index.storage import FORMAT_KEY, Table, Transaction

DEFAULT_MAP_BYTES = 64 << 30
"""Addresses reserved for one environment. On POSIX this takes neither memory nor disk."""

SPARE_BYTES = 1 << 18
"""How far a data file may reach past its last page."""

READS_WAIT_S = 5.0
"""How long a first write waits for this process's running searches, should it have to open the file anew."""

UNLOCKED_WAIT_S = 0.2
"""How long opening waits for a writer before it opens for reading alone, and for writing when that is asked."""


class EnvironmentGone(StorageError):
    """The files of an open environment were removed, or it was closed: another generation may have its place."""


class Environment:
    """One LMDB environment on disk: opened once a process, shared by all handles and threads.

    raises: CorruptIndex, FormatTooNew, FormatTooOld, StorageError   at opening, before LMDB maps the file
    """

    def __init__(
        self,
        path: Path,
        tables: tuple[Table, ...],
        *,
        readonly: bool = False,
        create: bool = True,
        write_timeout_s: float = 60.0,
        map_bytes: int = DEFAULT_MAP_BYTES,
    ) -> None:
        """raises: EnvironmentGone   with `create` False, where there is none"""
        self.path = path
        self.readonly = readonly
        self.write_timeout_s = write_timeout_s
        self._names = tables
        self._map_bytes = map_bytes
        self._pid = os.getpid()
        self._closed = False
        self._can_write = False
        self._draining = False
        self._reads: set[Transaction] = set()
        # Entered by itself, not through the condition, whose methods a signal can interrupt halfway.
        self._state_lock = threading.RLock()
        self._state = threading.Condition(self._state_lock)
        self._thread_lock = threading.RLock()
        self._seals = SealMemory()
        self._env: Any = None
        self._lost = False
        self.format = 0
        if not readonly and create:
            make_directory(path)
        self._create = create
        self._write_lock = WriteLock(path)
        self._depth = 0
        self.keeper: Callable[[], None] | None = None
        """Set while this process keeps the write lock between transactions: called to finish what it is kept for
        before anything else is written."""
        try:
            if readonly:
                self._open_for_reading()
            else:
                self._open_or_create()
        except BaseException:
            self._write_lock.close()
            raise
        _forks.watch(self)

    # ------------------------------------------------------------------------------------------- life

    @property
    def file(self) -> Path:
        """The file that holds everything."""
        return self.path / "data.mdb"

    def _open_or_create(self) -> None:
        """Open for writing, or for reading alone while another process writes: LMDB opens tables for writing
        inside a write transaction only, and a reader shall not wait for one."""
        there = is_file(self.file)
        if not there and not self._create:
            raise EnvironmentGone(f"{self.path}: there is no index")
        try:
            with self.locked(timeout_s=UNLOCKED_WAIT_S if there else None):
                self._open_for_writing()
        except StoreLocked:
            if not there:
                raise
            self._open_for_reading()

    def _open_for_writing(self) -> None:
        """Under the write lock."""
        if not is_file(self.file):
            if not self._create:
                raise EnvironmentGone(f"{self.path}: was removed")
            self._create_file()
        with translated(self.path):
            # Also when somebody else made it: a process that was killed in between left a name that is not on disk.
            for folder in (self.path, *self.path.parents[:2]):
                sync_directory(folder)
        check_file_size(self.file)
        with self._opened(readonly=False) as env:
            # Of a commit that was cut short, or said to have failed, the system's cache may hold more than the disk,
            # or less: nothing may be built on it before they agree.
            env.sync(True)
            with env.begin(write=True) as txn:
                meta = open_table(env, self.path, Table.META, txn, create=False)
                self.format = check_format(self.path, txn.get(FORMAT_KEY, db=meta))
                # Never made here: a table whose name was damaged would come back empty, and nothing would say so.
                self._tables = {
                    table: open_table(env, self.path, table, txn, create=False) for table in self._names
                }
        self._can_write = True

    def _create_file(self) -> None:
        """An empty environment: made aside and renamed, so that a kill leaves it whole or not there."""
        aside = self.path / "new"
        shutil.rmtree(aside, ignore_errors=True)
        with translated(self.path):
            aside.mkdir()
            env = open_lmdb(aside, len(self._names), False, self._map_bytes)
            with env.begin(write=True) as txn:
                tables = {table: env.open_db(str(table).encode(), txn) for table in self._names}
                txn.put(FORMAT_KEY, format_record(), db=tables[Table.META])
            close_lmdb(env)
            os.replace(aside / "data.mdb", self.file)
        shutil.rmtree(aside, ignore_errors=True)

    def _open_for_reading(self) -> None:
        if not is_file(self.file):
            raise EnvironmentGone(f"{self.path}: there is no index to open read-only")
        check_file_size(self.file)
        with self._opened(readonly=True) as env:
            meta = open_table(env, self.path, Table.META, None, create=False)
            with env.begin() as txn:
                self.format = check_format(self.path, txn.get(FORMAT_KEY, db=meta))
            self._tables = {
                table: open_table(env, self.path, table, None, create=False) for table in self._names
            }

    @contextlib.contextmanager
    def _opened(self, *, readonly: bool) -> Iterator[Any]:
        """LMDB's environment, closed again if the block fails."""
        try:
            with translated(self.path):
                env = open_lmdb(self.path, len(self._names), readonly, self._map_bytes)
        except StorageError as error:
            if not is_file(self.file):
                raise EnvironmentGone(f"{self.path}: was removed while it was being opened") from error
            raise
        with translated(self.path):
            try:
                yield env
            except BaseException:
                close_lmdb(env)
                raise
        self._env = env
        self._page_bytes = int(self._env.stat()["psize"])

    def _reopen_for_writing(self) -> None:
        """Under the write lock: make an environment that was opened for reading alone able to write.

        raises: StorageError   while a read of this process lasts: LMDB opens a file once in a process
        """
        with self._state_lock:
            if self._can_write and not self._lost:
                return
            self._draining = True
            drained = self._state.wait_for(lambda: not self._reads, min(self.write_timeout_s, READS_WAIT_S))
            self._draining = False
            self._state.notify_all()
            if not drained:
                raise StorageError(
                    f"{self.path}: cannot write while a scan of this process is open; end it first"
                )
            close_lmdb(self._env)
            self._lost = True
            self._open_for_writing()
            self._lost = False

    def sync(self) -> None:
        """Have on disk what is in the file, whoever wrote it."""
        with self.locked(joins=True), translated(self.path):
            self._env.sync(True)

    def prepare_to_write(self) -> None:
        """Before a read that will last: become able to write meanwhile, unless another process is writing."""
        if self.readonly or self._can_write or self._reads:
            return
        with contextlib.suppress(StorageError), self.locked(timeout_s=UNLOCKED_WAIT_S):
            pass

    def close(self) -> None:
        """Unmap the file, once every open read and write has ended; waits for them."""
        if self._pid != os.getpid():
            return
        with self._state_lock:
            if self._closed:
                return
            self._closed = True
            self._state.wait_for(lambda: not self._reads)
        with self._thread_lock:
            close_lmdb(self._env)
            self._write_lock.close()

    @property
    def closed(self) -> bool:
        return self._closed

    def disown(self) -> None:
        """In a forked child: never touch what is the parent's. LMDB clears the parent's reader slots when its
        objects are freed, so they are kept for the life of the process."""
        for inherited in (self._env, *(read.handle for read in self._reads)):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
        self._reads = set()
        self._state_lock = threading.RLock()
        self._state = threading.Condition(self._state_lock)
        self._thread_lock = threading.RLock()

    def _guard(self) -> None:
        if self._pid != os.getpid():
            raise StorageError(
                f"{self.path}: opened by process {self._pid} before it forked, and LMDB opens a file once in a "
                "process and its forks; connect after the fork, or start the process anew (spawn)"
            )
        if self._closed:
            raise EnvironmentGone(f"{self.path}: this handle is closed")

    # ------------------------------------------------------------------------------------ transactions

    def begin_read(self) -> Transaction:
        """A read transaction that the caller ends with `end_read`."""
        with translated(self.path):
            try:
                return self._begin_read()
            except lmdb.PanicError:
                self._lost = True
            with self.locked(joins=True):
                self._begin_lmdb_write().abort()
            return self._begin_read()

    def _begin_read(self) -> Transaction:
        with self._state_lock:
            self._state.wait_for(lambda: not self._draining, READS_WAIT_S)
            self._guard()
            if self._lost:
                raise lmdb.PanicError("the file is to be opened anew")
            transaction = self._transaction(self._begin_lmdb_read())
            self._reads.add(transaction)
        return transaction

    def _begin_lmdb_read(self) -> Any:
        try:
            return self._env.begin(buffers=True)
        except lmdb.ReadersFullError:
            self.clear_dead_readers()
            return self._env.begin(buffers=True)

    def clear_dead_readers(self) -> int:
        """Free the slots of readers whose process has died: until then they pin the pages that they saw. How many."""
        with self._state_lock:
            return 0 if self._lost else int(self._env.reader_check())

    def end_read(self, transaction: Transaction) -> None:
        if self._pid != os.getpid():
            return
        with self._state_lock:
            if transaction in self._reads:
                transaction.handle.abort()
                self._reads.discard(transaction)
                self._state.notify_all()

    def last_commit(self) -> int:
        """The newest commit of any process: what `id` of a transaction that began now would be. Some 2 us.

        -1 while the file is being opened anew: a transaction waits for that.
        """
        self._guard()
        try:
            return -1 if self._lost else int(self._env.info()["last_txnid"])
        except lmdb.Error:
            return -1

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        transaction = self.begin_read()
        try:
            with self.translated():
                yield transaction
        finally:
            self.end_read(transaction)

    def translated(self) -> contextlib.AbstractContextManager[None]:
        """LMDB's errors inside the block as ours."""
        return translated(self.path)

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """A write transaction, committed and synced when the block ends, undone when it raises.

        raises: StoreLocked   naming the holder, after `write_timeout_s` of waiting
                StoreFull     the disk or the map has no room; nothing is left behind
        """
        self._guard()
        if self.readonly:
            raise StorageError(f"{self.path}: opened read-only; connect without readonly=True to write")
        with self.locked(), translated(self.path):
            self._guard()
            with self._begin_lmdb_write() as txn:
                yield self._transaction(txn)
            self._cover_last_page()

    def _begin_lmdb_write(self) -> Any:
        """Under the write lock. Once LMDB could not write a meta page it refuses every transaction of this process,
        though the file is sound: it is opened anew.

        raises: StorageError   the disk still fails, or a scan of this process is open
        """
        if self._can_write and not self._lost:
            try:
                return self._env.begin(write=True, buffers=True)
            except lmdb.PanicError:
                self._lost = True
        self._reopen_for_writing()
        return self._env.begin(write=True, buffers=True)

    def _transaction(self, txn: Any) -> Transaction:
        if self.outdated:
            # Another process may have brought it up to date since.
            self.format = check_format(self.path, txn.get(FORMAT_KEY, None, self._tables[Table.META]))
        return Transaction(txn, self._tables, self._seals if self.format >= SEALED_SINCE else None)

    @property
    def outdated(self) -> bool:
        """In a format older than this release writes."""
        return self.format < FORMAT_VERSION

    def copy_to(self, descriptor: int) -> None:
        """The file as of one commit, into a descriptor, which may be a pipe. Writers go on; what they replace
        meanwhile is not reused before the end."""
        with self.translated():
            self._guard()
            self._env.copyfd(descriptor)

    def upgrade(self) -> None:
        """Write every row anew in this release's format, in one transaction: for small environments.

        Costs nothing where that is done already.
        """
        if not self.outdated:
            return
        with self.write() as old:
            if self.format == FORMAT_VERSION:
                return
            new = Transaction(old.handle, self._tables, self._seals)
            for table in self._names:
                for key, value in list(old.rows(table)):
                    new.put(table, key, value)
            old.handle.put(FORMAT_KEY, format_record(), db=self._tables[Table.META])
        self.format = FORMAT_VERSION

    def _cover_last_page(self) -> None:
        """Make the file as long as its newest meta page says. LMDB counts pages that a transaction took at the
        end and freed again without writing them, and a shorter file is what truncation looks like. Some spare
        bytes, which take no disk, cover the next transactions too, should the process be killed after them."""
        expected = (self._env.info()["last_pgno"] + 1) * self._page_bytes
        # What was written is on disk: that the file could not be lengthened costs the next opening a walk.
        with contextlib.suppress(OSError):
            if self.file.stat().st_size < expected + SPARE_BYTES // 2:
                os.truncate(self.file, expected + SPARE_BYTES)

    @contextlib.contextmanager
    def locked(
        self, timeout_s: float | None = None, *, joins: bool = False, to_write: bool = True
    ) -> Iterator[None]:
        """The write lock, over several transactions if need be; a thread that holds it may take it again.

        joins:     take it as it is left to `keeper`, who otherwise is asked to finish first
        to_write:  False keeps others from writing, and no more
        raises: StoreLocked   naming the holder, after `timeout_s` (`write_timeout_s`) of waiting
        """
        patience_s = self.write_timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + patience_s
        if not self._thread_lock.acquire(timeout=patience_s):
            raise self._still_locked(patience_s, "another thread of this process")
        # So that a signal that raises, wherever it does, leaves no lock behind.
        before = -1
        try:
            before = self._depth
            self._depth = before + 1
            if before == 0:
                self._take_lock(deadline, patience_s, to_write)
                if self.keeper is not None and not joins:
                    self.keeper()
            yield
        finally:
            try:
                if before == 0 and self.keeper is None:
                    self._write_lock.release()
            finally:
                if before >= 0:
                    self._depth = before
                self._thread_lock.release()

    def _take_lock(self, deadline: float, patience_s: float, to_write: bool) -> None:
        if self._write_lock.held:
            return
        try:
            had = self._write_lock.acquire(deadline)
        except OSError as error:
            if not self.file.exists():
                raise EnvironmentGone(f"{self.path}: was removed while this handle was open") from error
            raise StorageError(f"{self.path}: cannot take the write lock: {error.strerror}") from error
        if not had:
            raise self._still_locked(patience_s, self._write_lock.holder())
        try:
            if to_write or self._can_write:
                self._catch_up()
        except BaseException:
            self._write_lock.release()
            raise

    def _catch_up(self) -> None:
        """Have readers see the newest commit. LMDB writes a commit to the file and then tells readers of it; a
        writer killed in between leaves them with the commit before, until somebody begins to write. Who decides
        by what a read transaction sees, and then writes, would decide by a state that is past."""
        if self._env is None or self.readonly:
            return
        self._guard()
        with translated(self.path):
            self._begin_lmdb_write().abort()

    def _still_locked(self, patience_s: float, holder: str) -> StoreLocked:
        return StoreLocked(
            f"{self.path}: waited {patience_s:g} s for the write lock, held by {holder}; "
            "raise write_timeout_s or end that writer"
        )

    def wanted(self) -> bool:
        """Whether another process waits for the write lock."""
        return self._write_lock.wanted()

    def used_bytes(self) -> int:
        """Bytes up to the last page that is taken, or was."""
        return int((self._env.info()["last_pgno"] + 1) * self._page_bytes)

    def size_bytes(self) -> int:
        """Bytes of the file."""
        return (self.path / "data.mdb").stat().st_size


class _Forks:
    """The environments of this process, told when they find themselves in a forked child."""

    def __init__(self) -> None:
        self._environments: weakref.WeakSet[Environment] = weakref.WeakSet()
        self._watching = False

    def watch(self, environment: Environment) -> None:
        self._environments.add(environment)
        if not self._watching and hasattr(os, "register_at_fork"):
            self._watching = True
            os.register_at_fork(after_in_child=self._disown_all)

    def _disown_all(self) -> None:
        for environment in list(self._environments):
            environment.disown()


_forks = _Forks()
