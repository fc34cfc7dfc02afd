"""The tables of an LMDB environment, and a transaction over them.

`Table` is the one list of named databases; `FORMAT.md` draws their bytes. `environment.py` opens the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Protocol

from quidditch.errors import InternalError
from quidditch.index.codecs import Buffer


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
        self.handle = txn
        self._tables = tables

    @property
    def id(self) -> int:
        """Of a reader: the commit that it sees. Of a writer: the commit that it will be."""
        return int(self.handle.id())

    def get(self, table: Table, key: bytes) -> Buffer | None:
        return self.handle.get(key, None, self._tables[table])  # type: ignore[no-any-return]

    def get_many(self, table: Table, keys: list[bytes]) -> dict[bytes, Buffer]:
        """The values of those keys that are there."""
        with self.handle.cursor(self._tables[table]) as cursor:
            return {bytes(key): value for key, value in cursor.getmulti(keys)}

    def floor(self, table: Table, key: bytes) -> tuple[bytes, Buffer] | None:
        """The row with the largest key that is not above `key`."""
        with self.handle.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(key)
            if found and bytes(cursor.key()) == key:
                return key, cursor.value()
            if not (cursor.prev() if found else cursor.last()):
                return None
            return bytes(cursor.key()), cursor.value()

    def rows(self, table: Table, prefix: bytes = b"") -> Iterator[tuple[bytes, Buffer]]:
        """Every row whose key starts with `prefix`, in key order."""
        with self.handle.cursor(self._tables[table]) as cursor:
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
        with self.handle.cursor(self._tables[table]) as cursor:
            found = cursor.set_range(max(prefix, after))
            if found and bytes(cursor.key()) == after:
                found = cursor.next()
            while found and len(rows) < limit and bytes(cursor.key()).startswith(prefix):
                rows.append((bytes(cursor.key()), bytes(cursor.value())))
                found = cursor.next()
        return rows

    def put(self, table: Table, key: bytes, value: Buffer) -> None:
        self.handle.put(key, value, db=self._tables[table])

    def put_many(self, table: Table, rows: list[tuple[bytes, bytes]]) -> None:
        """Write rows sorted by key; appended as full pages where they all lie past the table's last key."""
        if not rows:
            return
        with self.handle.cursor(self._tables[table]) as cursor:
            append = not cursor.last() or bytes(cursor.key()) < rows[0][0]
            # Of rows out of order appending takes all and adds some: only the second number tells.
            _, added = cursor.putmulti(rows, append=append)
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

    def count(self, table: Table) -> int:
        return int(self.handle.stat(self._tables[table])["entries"])

    def size_bytes(self, table: Table) -> int:
        """Bytes of the pages that hold the table."""
        stat = self.handle.stat(self._tables[table])
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(pages * stat["psize"])

    def last(self, table: Table) -> tuple[bytes, Buffer] | None:
        with self.handle.cursor(self._tables[table]) as cursor:
            return (bytes(cursor.key()), cursor.value()) if cursor.last() else None

    def first(self, table: Table) -> tuple[bytes, Buffer] | None:
        with self.handle.cursor(self._tables[table]) as cursor:
            return (bytes(cursor.key()), cursor.value()) if cursor.first() else None
