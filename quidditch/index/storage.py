"""The tables of an LMDB environment, and a transaction over them.

`Table` is the one list of named databases; `FORMAT.md` draws their bytes. `environment.py` opens the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Protocol

from quidditch.errors import InternalError
from quidditch.index.codecs import Buffer
from quidditch.index.seals import SealMemory, is_whole, seal, seal_many, unseal


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


SHARD_TABLES = tuple(table for table in Table if table is not Table.INDICES)

_IMMUTABLE = frozenset(SEGMENT_TABLES)

FORMAT_KEY = b"format"
"""The row of table `meta` that says which format the others are in; it has a checksum of its own."""


class Rows(Protocol):
    """Where a segment's rows are read from: a transaction, or the memory of a private segment."""

    def get(self, table: Table, key: bytes) -> Buffer | None: ...

    def floor(self, table: Table, key: bytes) -> tuple[bytes, Buffer] | None: ...


class Transaction:
    """One LMDB transaction. Values it hands out are views that end with it; decoders copy.

    Values are sealed on the way in and checked on the way out, those of segments once in a process.
    raises: CorruptIndex   from whatever reads a value whose checksum does not fit
    """

    def __init__(self, txn: Any, tables: dict[Table, Any], seals: SealMemory | None) -> None:
        """`seals` is None in an environment of format 1, which has none."""
        self.handle = txn
        self._tables = tables
        self._seals = seals

    def _opened(self, table: Table, key: bytes, value: Buffer) -> Buffer:
        if self._seals is None:
            return value
        if table in _IMMUTABLE:
            return self._seals.unseal(table, key, value)
        if key == FORMAT_KEY and table is Table.META:
            return value
        return unseal(table, key, value)

    @property
    def id(self) -> int:
        """Of a reader: the commit that it sees. Of a writer: the commit that it will be."""
        return int(self.handle.id())

    # --------------------------------------------------------------------------------------------- reading

    def get(self, table: Table, key: bytes) -> Buffer | None:
        value = self.handle.get(key, None, self._tables[table])
        return None if value is None else self._opened(table, key, value)

    def get_many(self, table: Table, keys: list[bytes]) -> dict[bytes, Buffer]:
        """The values of those keys that are there."""
        with self.handle.cursor(self._tables[table]) as cursor:
            found = ((bytes(key), value) for key, value in cursor.getmulti(keys))
            return {key: self._opened(table, key, value) for key, value in found}

    def begins(self, table: Table, prefix: bytes) -> bool:
        """Is there a row whose key starts with `prefix`? No value is read."""
        with self.handle.cursor(self._tables[table]) as cursor:
            return bool(cursor.set_range(prefix)) and bytes(cursor.key()).startswith(prefix)

    def floor(self, table: Table, key: bytes) -> tuple[bytes, Buffer] | None:
        """The row with the largest key that is not above `key`."""
        with self.handle.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(key)
            if not (found and bytes(cursor.key()) == key) and not (cursor.prev() if found else cursor.last()):
                return None
            return self._row_at(table, cursor)

    def first(self, table: Table) -> tuple[bytes, Buffer] | None:
        with self.handle.cursor(self._tables[table]) as cursor:
            return self._row_at(table, cursor) if cursor.first() else None

    def last(self, table: Table) -> tuple[bytes, Buffer] | None:
        with self.handle.cursor(self._tables[table]) as cursor:
            return self._row_at(table, cursor) if cursor.last() else None

    def _row_at(self, table: Table, cursor: Any) -> tuple[bytes, Buffer]:
        key = bytes(cursor.key())
        return key, self._opened(table, key, cursor.value())

    def rows(self, table: Table, prefix: bytes = b"") -> Iterator[tuple[bytes, Buffer]]:
        """Every row whose key starts with `prefix`, in key order."""
        for key, value in self._stored(table, prefix):
            yield key, self._opened(table, key, value)

    def joined_keys(self, table: Table, start: bytes = b"\0") -> bytes:
        """The keys from `start` on, ascending, end to end: for a table whose keys have one length. No value is
        read."""
        with self.handle.cursor(self._tables[table]) as cursor:
            return b"".join(cursor.iternext(keys=True, values=False)) if cursor.set_range(start) else b""

    def _stored(self, table: Table, prefix: bytes = b"") -> Iterator[tuple[bytes, Buffer]]:
        with self.handle.cursor(self._tables[table]) as cursor:
            if not (cursor.set_range(prefix) if prefix else cursor.first()):
                return
            for key, value in cursor:
                owned = bytes(key)
                if not owned.startswith(prefix):
                    return
                yield owned, value

    def page(self, table: Table, prefix: bytes, after: bytes, limit_bytes: int) -> list[tuple[bytes, bytes]]:
        """Rows with the prefix and a key above `after`, copied: as many as pass `limit_bytes`, at least one."""
        rows: list[tuple[bytes, bytes]] = []
        held = 0
        with self.handle.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(max(prefix, after)) if prefix or after else cursor.first()
            if found and after and bytes(cursor.key()) == after:
                found = cursor.next()
            while found and held < limit_bytes and bytes(cursor.key()).startswith(prefix):
                key, value = self._row_at(table, cursor)
                rows.append((key, bytes(value)))
                held += len(key) + len(value)
                found = cursor.next()
        return rows

    def broken_seals(self, table: Table) -> Iterator[bytes]:
        """The keys of all rows whose checksum does not fit; none in format 1, which has no checksums."""
        if self._seals is None:
            return
        for key, value in self._stored(table):
            if not (table is Table.META and key == FORMAT_KEY) and not is_whole(table, key, value):
                yield key

    # --------------------------------------------------------------------------------------------- writing

    def put(self, table: Table, key: bytes, value: Buffer) -> None:
        stored = value if self._seals is None else seal(table, key, value)
        self.handle.put(key, stored, db=self._tables[table])

    def put_many(self, table: Table, rows: list[tuple[bytes, bytes]]) -> None:
        """Write rows sorted by key; appended as full pages where they all lie past the table's last key."""
        if not rows:
            return
        stored = rows if self._seals is None else seal_many(table, rows)
        with self.handle.cursor(self._tables[table]) as cursor:
            append = not cursor.last() or bytes(cursor.key()) < rows[0][0]
            # Of rows out of order appending takes all and adds some: only the second number tells.
            _, added = cursor.putmulti(stored, append=append)
        if added != len(rows):
            raise InternalError(f"table {table}: {added} of {len(rows)} rows were added; keys out of order?")

    def delete(self, table: Table, key: bytes) -> bool:
        return bool(self.handle.delete(key, db=self._tables[table]))

    def delete_prefix(self, table: Table, prefix: bytes, limit: int | None = None) -> int:
        """Delete rows whose key starts with `prefix`, at most `limit` of them; how many were deleted."""
        deleted = 0
        with self.handle.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(prefix)
            while found and (limit is None or deleted < limit) and bytes(cursor.key()).startswith(prefix):
                cursor.delete()
                deleted += 1
                found = bool(cursor.key())
        return deleted

    # ----------------------------------------------------------------------------------------------- sizes

    def count(self, table: Table) -> int:
        return int(self.handle.stat(self._tables[table])["entries"])

    def size_bytes(self, table: Table) -> int:
        """Bytes of the pages that hold the table."""
        return sum(self.page_bytes(table))

    def page_bytes(self, table: Table) -> tuple[int, int]:
        """Bytes of the table's pages: (those that rows share, those that one long value has to itself)."""
        stat = self.handle.stat(self._tables[table])
        page = int(stat["psize"])
        return (stat["branch_pages"] + stat["leaf_pages"]) * page, stat["overflow_pages"] * page
