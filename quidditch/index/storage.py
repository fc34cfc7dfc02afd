"""The LMDB environment of one shard or of the catalogue: its tables, its transactions and its locks.

Nothing else imports `lmdb`. `TABLES` is the one list of named databases; `FORMAT.md` draws their bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import lmdb

from quidditch.errors import (
    CorruptIndex,
    FormatTooNew,
    FormatTooOld,
    StorageError,
    StoreFull,
    StoreLocked,
)
from quidditch.index.codecs import FORMAT_VERSION, OLDEST_READABLE, Buffer
from quidditch.version import __version__

if TYPE_CHECKING:
    from filelock import BaseFileLock

MAGIC = "quidditch"
DEFAULT_MAP_BYTES = 64 << 30
"""Addresses reserved for one environment. On POSIX this takes neither memory nor disk."""

MAX_READERS = 1024

UNLOCKED_WAIT_S = 0.2
"""How long opening waits for a writer before it opens for reading alone, and for writing when that is asked."""


class Table(StrEnum):
    """Every named database there is: the catalogue has the first two, a shard all but `indices`."""

    META = "meta"
    INDICES = "indices"
    IDS = "ids"
    BUFFER = "buffer"
    DELETES = "deletes"
    SEGMENTS = "segments"
    PENDING = "pending"
    TOMBSTONES = "tombstones"
    TERM_INDEX = "term_index"
    TERM_BLOCKS = "term_blocks"
    POSTINGS = "postings"
    POSITIONS = "positions"
    LENGTHS = "lengths"
    PRESENCE = "presence"
    COLUMNS = "columns"
    DOC_IDS = "doc_ids"
    SEQ_NOS = "seq_nos"
    STORED = "stored"


SEGMENT_TABLES = (
    Table.TERM_INDEX,
    Table.TERM_BLOCKS,
    Table.POSTINGS,
    Table.POSITIONS,
    Table.LENGTHS,
    Table.PRESENCE,
    Table.COLUMNS,
    Table.DOC_IDS,
    Table.SEQ_NOS,
    Table.STORED,
)
"""The tables whose keys start with a segment's number and whose rows never change once written."""


class Rows(Protocol):
    """Where a segment's rows are read from: a transaction, or the memory of a private segment."""

    def get(self, table: Table, key: bytes) -> Buffer | None: ...

    def floor(self, table: Table, key: bytes) -> tuple[bytes, Buffer] | None: ...


class Transaction:
    """One LMDB transaction. Values it hands out are views that end with it; decoders copy."""

    def __init__(self, txn: Any, tables: dict[Table, Any]) -> None:
        self._txn = txn
        self._tables = tables

    @property
    def id(self) -> int:
        """Of a reader: the commit that it sees. Of a writer: the commit that it will be."""
        return int(self._txn.id())

    def get(self, table: Table, key: bytes) -> Buffer | None:
        return self._txn.get(key, None, self._tables[table])  # type: ignore[no-any-return]

    def get_many(self, table: Table, keys: list[bytes]) -> dict[bytes, Buffer]:
        """The values of those keys that are there."""
        with self._txn.cursor(self._tables[table]) as cursor:
            return {bytes(key): value for key, value in cursor.getmulti(keys)}

    def floor(self, table: Table, key: bytes) -> tuple[bytes, Buffer] | None:
        """The row with the largest key that is not above `key`."""
        with self._txn.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(key)
            if found and bytes(cursor.key()) == key:
                return key, cursor.value()
            if not (cursor.prev() if found else cursor.last()):
                return None
            return bytes(cursor.key()), cursor.value()

    def rows(self, table: Table, prefix: bytes = b"") -> Iterator[tuple[bytes, Buffer]]:
        """Every row whose key starts with `prefix`, in key order."""
        with self._txn.cursor(self._tables[table]) as cursor:
            if not (cursor.set_range(prefix) if prefix else cursor.first()):
                return
            for key, value in cursor:
                owned = bytes(key)
                if not owned.startswith(prefix):
                    return
                yield owned, value

    def page(self, table: Table, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to `limit` rows with the prefix and a key above `after`, copied."""
        rows: list[tuple[bytes, bytes]] = []
        with self._txn.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(max(prefix, after))
            if found and bytes(cursor.key()) == after:
                found = cursor.next()
            while found and len(rows) < limit and bytes(cursor.key()).startswith(prefix):
                rows.append((bytes(cursor.key()), bytes(cursor.value())))
                found = cursor.next()
        return rows

    def put(self, table: Table, key: bytes, value: Buffer) -> None:
        self._txn.put(key, value, db=self._tables[table])

    def put_many(self, table: Table, rows: list[tuple[bytes, bytes]]) -> None:
        """Write rows sorted by key; appended as full pages where they all lie past the table's last key."""
        if not rows:
            return
        with self._txn.cursor(self._tables[table]) as cursor:
            append = not cursor.last() or bytes(cursor.key()) < rows[0][0]
            consumed, _ = cursor.putmulti(rows, append=append)
        if consumed != len(rows):
            raise StorageError(
                f"table {table}: {consumed} of {len(rows)} rows were taken; keys out of order?"
            )

    def delete(self, table: Table, key: bytes) -> bool:
        return bool(self._txn.delete(key, db=self._tables[table]))

    def delete_prefix(self, table: Table, prefix: bytes, limit: int | None = None) -> int:
        """Delete rows whose key starts with `prefix`, at most `limit` of them; how many were deleted."""
        deleted = 0
        with self._txn.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(prefix)
            while found and (limit is None or deleted < limit) and bytes(cursor.key()).startswith(prefix):
                cursor.delete()
                deleted += 1
                found = bool(cursor.key())
        return deleted

    def count(self, table: Table) -> int:
        return int(self._txn.stat(self._tables[table])["entries"])

    def size_bytes(self, table: Table) -> int:
        """Bytes of the pages that hold the table."""
        stat = self._txn.stat(self._tables[table])
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(pages * stat["psize"])

    def last(self, table: Table) -> tuple[bytes, Buffer] | None:
        with self._txn.cursor(self._tables[table]) as cursor:
            return (bytes(cursor.key()), cursor.value()) if cursor.last() else None

    def first(self, table: Table) -> tuple[bytes, Buffer] | None:
        with self._txn.cursor(self._tables[table]) as cursor:
            return (bytes(cursor.key()), cursor.value()) if cursor.first() else None


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
        write_timeout_s: float = 60.0,
        map_bytes: int = DEFAULT_MAP_BYTES,
    ) -> None:
        self.path = path
        self.readonly = readonly
        self.write_timeout_s = write_timeout_s
        self._pid = os.getpid()
        self._closed = False
        self._readers = 0
        self._state = threading.Condition()
        self._thread_lock = threading.RLock()
        existed = is_file(path / "data.mdb")
        if existed:
            check_file_size(path / "data.mdb")
        elif readonly:
            raise StorageError(f"{path}: there is no index to open read-only")
        else:
            _make_directory(path)
        self._file_lock = _file_lock(path / "write.lock")
        self._names = tables
        self._map_bytes = map_bytes
        # LMDB opens tables for writing only inside a write transaction, and a reader shall not wait for one.
        self._opened_for_writing = not readonly and (not existed or self._open_if_unlocked())
        if not self._opened_for_writing:
            self._open(existed, readonly=True)
        elif not existed:
            with self.locked():
                self._open(existed, readonly=False)

    # ------------------------------------------------------------------------------------------- life

    def _open_if_unlocked(self) -> bool:
        """Open for reading and writing, unless some process is writing just now."""
        try:
            with self.locked(timeout_s=UNLOCKED_WAIT_S):
                self._open(existed=True, readonly=False)
        except StoreLocked:
            return False
        return True

    def _open(self, existed: bool, *, readonly: bool) -> None:
        self._env = _open_lmdb(self.path, len(self._names), readonly, self._map_bytes)
        try:
            with _translated(self.path):
                self._tables = self._read_tables() if readonly else self._make_tables(existed)
        except BaseException:
            self._env.close()
            raise

    def _read_tables(self) -> dict[Table, Any]:
        meta = self._open_meta(None, True)
        with self._env.begin() as txn:
            check_format(self.path, txn.get(b"format", db=meta))
        others = [table for table in self._names if table is not Table.META]
        return {
            Table.META: meta,
            **{table: self._env.open_db(str(table).encode(), create=False) for table in others},
        }

    def _make_tables(self, existed: bool) -> dict[Table, Any]:
        with self._env.begin(write=True) as txn:
            meta = self._open_meta(txn, existed)
            if not existed and txn.get(b"format", db=meta) is None:
                txn.put(b"format", _format_record(), db=meta)
            check_format(self.path, txn.get(b"format", db=meta))
            others = [table for table in self._names if table is not Table.META]
            return {
                Table.META: meta,
                **{table: self._env.open_db(str(table).encode(), txn) for table in others},
            }

    def _reopen_for_writing(self) -> None:
        """Turn an environment that was opened while another process wrote into one that can write.

        raises: StorageError   while a read of this process lasts: LMDB opens a file once in a process
        """
        with self._state:
            if not self._state.wait_for(lambda: self._readers == 0, self.write_timeout_s):
                raise StorageError(
                    f"{self.path}: cannot write while a scan of this process is open; end it first"
                )
            self._env.close()
            self._open(existed=True, readonly=False)
            self._opened_for_writing = True

    def _open_meta(self, txn: Any, existed: bool) -> Any:
        try:
            return self._env.open_db(b"meta", txn, create=not existed)
        except lmdb.NotFoundError as error:
            raise CorruptIndex(f"{self.path}: data.mdb is no Quidditch environment") from error

    def close(self) -> None:
        """Unmap the file, once every open read has ended; waits for them."""
        with self._state:
            if self._closed:
                return
            self._closed = True
            self._state.wait_for(lambda: self._readers == 0)
        if self._pid == os.getpid():
            self._env.close()

    @property
    def closed(self) -> bool:
        return self._closed

    def _guard(self) -> None:
        if self._closed:
            raise StorageError(f"{self.path}: this handle is closed")
        if self._pid != os.getpid():
            raise StorageError(
                f"{self.path}: this handle was opened by process {self._pid} before a fork; connect again here"
            )

    # ------------------------------------------------------------------------------------ transactions

    def begin_read(self) -> Transaction:
        """A read transaction that the caller ends with `end_read`."""
        with self._state:
            self._guard()
            self._readers += 1
        try:
            with _translated(self.path):
                return Transaction(self._env.begin(buffers=True), self._tables)
        except BaseException:
            self._reader_left()
            raise

    def end_read(self, transaction: Transaction) -> None:
        transaction._txn.abort()
        self._reader_left()

    def _reader_left(self) -> None:
        with self._state:
            self._readers -= 1
            self._state.notify_all()

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        transaction = self.begin_read()
        try:
            yield transaction
        finally:
            self.end_read(transaction)

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """A write transaction, committed and synced when the block ends, undone when it raises.

        raises: StoreLocked   naming the holder, after `write_timeout_s` of waiting
                StoreFull     the disk or the map has no room; nothing is left behind
        """
        self._guard()
        if self.readonly:
            raise StorageError(f"{self.path}: opened read-only; connect without readonly=True to write")
        with self.locked(), _translated(self.path):
            self._guard()
            if not self._opened_for_writing:
                self._reopen_for_writing()
            with self._state:
                self._readers += 1
            try:
                with self._env.begin(write=True, buffers=True) as txn:
                    yield Transaction(txn, self._tables)
            finally:
                self._reader_left()

    @contextlib.contextmanager
    def locked(self, timeout_s: float | None = None) -> Iterator[None]:
        """The write lock, over several transactions if need be; a thread that holds it may take it again.

        raises: StoreLocked   naming the holder, after `timeout_s` (`write_timeout_s`) of waiting
        """
        patience_s = self.write_timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + patience_s
        if not self._thread_lock.acquire(timeout=patience_s):
            raise self._still_locked("another thread of this process")
        try:
            if self._file_lock.is_locked:
                yield
                return
            try:
                self._file_lock.acquire(timeout=max(0.0, deadline - time.monotonic()), poll_interval=0.005)
            except TimeoutError as error:
                raise self._still_locked(self._holder()) from error
            except OSError as error:
                raise StorageError(f"{self.path}: cannot take the write lock: {error}") from error
            try:
                self._sign()
                yield
            finally:
                self._file_lock.release()
        finally:
            self._thread_lock.release()

    def _still_locked(self, holder: str) -> StoreLocked:
        return StoreLocked(
            f"{self.path}: waited {self.write_timeout_s:g} s for the write lock, held by {holder}; "
            "raise write_timeout_s or end that writer"
        )

    def _sign(self) -> None:
        """Name this process as the holder, for those who wait. Only words: the lock is the file lock."""
        with contextlib.suppress(OSError):
            (self.path / "write.holder").write_text(f"process {os.getpid()} on {socket.gethostname()}")

    def _holder(self) -> str:
        try:
            return (self.path / "write.holder").read_text() or "another process"
        except OSError:
            return "another process"

    def size_bytes(self) -> int:
        """Bytes of the file."""
        return (self.path / "data.mdb").stat().st_size

    def copy_to(self, path: Path) -> None:
        """Write a consistent, compacted copy into an empty directory, while writes go on."""
        with _translated(self.path):
            path.mkdir(parents=True, exist_ok=False)
            self._env.copy(str(path), compact=True)


# ------------------------------------------------------------------------------------------------ opening


def _file_lock(path: Path) -> BaseFileLock:
    # Imported here because it brings asyncio along, which would double the cost of `import quidditch`.
    from filelock import FileLock

    return FileLock(str(path), thread_local=False)


def is_file(path: Path) -> bool:
    """Whether there is such a file.

    raises: StorageError   where the directories above it may not be looked into
    """
    try:
        return path.stat().st_size >= 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StorageError(f"{path}: no permission to look: {error.strerror}") from error


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise StorageError(f"{path}: a file is where the index's directory should be") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot make the directory: {error.strerror}") from error


def _open_lmdb(path: Path, tables: int, readonly: bool, map_bytes: int) -> Any:
    writable_directory = os.access(path, os.W_OK)
    with _translated(path):
        return lmdb.open(
            str(path),
            map_size=map_bytes,
            max_dbs=tables + 1,
            max_readers=MAX_READERS,
            readonly=readonly,
            # A reader takes its slot in lock.mdb; on read-only media no writer can be there to need it.
            lock=writable_directory or not readonly,
            readahead=False,
            create=not readonly,
            max_spare_txns=4,
        )


def _format_record() -> bytes:
    return json.dumps({"magic": MAGIC, "format": FORMAT_VERSION, "writer": __version__}).encode()


def check_format(path: Path, record: Buffer | None) -> None:
    """Three ways to fail: no format record, a format too old, a format too new."""
    try:
        found = json.loads(bytes(record or b""))
        version = int(found["format"])
        if found["magic"] != MAGIC:
            raise ValueError(found["magic"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptIndex(f"{path}: the format record is missing or unreadable") from error
    if version > FORMAT_VERSION:
        raise FormatTooNew(
            f"{path}: written in format {version} by release {found.get('writer')}; this release "
            f"({__version__}) reads formats {OLDEST_READABLE} to {FORMAT_VERSION}: install a newer one"
        )
    if version < OLDEST_READABLE:
        raise FormatTooOld(
            f"{path}: written in format {version}; this release reads {OLDEST_READABLE} to {FORMAT_VERSION}"
        )


_META_MAGIC = 0xBEEFC0DE
_META_PAGE = struct.Struct("<16xIIQQI44x48xQQ")
"""An LMDB meta page on a 64-bit little-endian machine: page header, magic, version, address, map size, page
size (the first words of the free list's record), the main tree's record, last page, transaction."""


def check_file_size(file: Path) -> None:
    """Refuse a data file shorter than its newest meta page says: LMDB would map it and die of SIGBUS.

    raises: CorruptIndex   truncated, or no LMDB file at all
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            first = stream.read(_META_PAGE.size)
            newest = _parse_meta(file, first, size)
            stream.seek(newest[0])
            second = stream.read(_META_PAGE.size)
            newest = max(newest, _parse_meta(file, second, size), key=lambda meta: meta[2])
    except PermissionError as error:
        raise StorageError(f"{file}: no permission to read it") from error
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}") from error
    page_bytes, last_page, _ = newest
    expected = (last_page + 1) * page_bytes
    if size < expected:
        raise CorruptIndex(
            f"{file}: truncated: {size:,} bytes on disk, {expected:,} expected; restore it from a backup"
        )


def _parse_meta(file: Path, page: bytes, size: int) -> tuple[int, int, int]:
    """(page size, last page, transaction) of a meta page."""
    if len(page) < _META_PAGE.size:
        raise CorruptIndex(f"{file}: truncated: {size:,} bytes are too few for an LMDB file")
    magic, _, _, _, page_bytes, last_page, transaction = _META_PAGE.unpack(page)
    if magic != _META_MAGIC:
        raise CorruptIndex(f"{file}: not an LMDB file, or its first pages are damaged")
    return page_bytes, last_page, transaction


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """LMDB's errors as ours; nothing else sees them."""
    try:
        yield
    except (lmdb.MapFullError, lmdb.DiskError) as error:
        raise StoreFull(f"{path}: no room to write: {error}; the write was undone") from error
    except lmdb.ReadersFullError as error:
        raise StorageError(
            f"{path}: {MAX_READERS} readers are open already, the most this environment holds"
        ) from error
    except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PanicError, lmdb.PageNotFoundError) as error:
        raise CorruptIndex(f"{path}: LMDB cannot read its pages: {error}") from error
    except lmdb.VersionMismatchError as error:
        raise FormatTooNew(f"{path}: written by another version of LMDB: {error}") from error
    except lmdb.ReadonlyError as error:
        raise StorageError(f"{path}: the directory is read-only") from error
    except lmdb.LockError as error:
        raise StorageError(f"{path}: LMDB's lock file cannot be used: {error}") from error
    except lmdb.Error as error:
        if "No space left" in str(error):
            raise StoreFull(f"{path}: the disk is full; the write was undone") from error
        raise StorageError(f"{path}: {error}") from error
