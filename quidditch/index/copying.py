"""One environment's rows into another: what compaction, backup, restore and the upgrade of a format have in common.

Rows go over in key order and are checked on the way, so the copy is dense, sealed, and never a copy of damage.
"""

from __future__ import annotations

from collections.abc import Callable

from quidditch.index.codecs import segment_key
from quidditch.index.environment import Environment
from quidditch.index.snapshot import pack_tombstones, unpack_tombstones
from quidditch.index.storage import FORMAT_KEY, SEGMENT_TABLES, Table, Transaction
from quidditch.types import SegmentId

PAGE_BYTES = 16 << 20
"""Bytes of rows in one transaction, and what a copy keeps in memory."""

_WHOLE = (Table.META, Table.IDS, Table.BUFFER, Table.DELETES, Table.SEGMENTS)
"""Tables that are copied as they are; `pending` is not, because nobody writes segments in the copy."""

Progress = Callable[[int], None]
"""Told how many bytes more have been copied."""


def unwatched(size_bytes: int) -> None:
    """Nobody looks on."""


def copy_shard(source: Transaction, target: Environment, progress: Progress = unwatched) -> None:
    """Everything that a shard's transaction sees, into an empty environment.

    raises: CorruptIndex   a row's checksum does not fit; StoreFull
    """
    copy = ShardCopy(target)
    copy.add_segments(source, progress)
    copy.finish(source, progress)


def copy_rows(
    source: Transaction,
    target: Environment,
    table: Table,
    prefix: bytes = b"",
    progress: Progress = unwatched,
) -> None:
    """The rows of one table whose key starts with `prefix`, a transaction of the target for each page."""
    after = b""
    while rows := source.page(table, prefix, after, PAGE_BYTES):
        after = rows[-1][0]
        with target.write() as transaction:
            transaction.put_many(table, [row for row in rows if row[0] != FORMAT_KEY or table != Table.META])
        progress(sum(len(key) + len(value) for key, value in rows))


class ShardCopy:
    """A copy of a shard that may be brought up to date several times, so that the last time is short.

    Rows of segments never change, so only new segments are copied again.
    """

    def __init__(self, target: Environment) -> None:
        self._target = target
        self._segments: set[SegmentId] = set()

    def add_segments(self, source: Transaction, progress: Progress = unwatched) -> int:
        """Copy the segments that the copy does not have yet; how many there were."""
        new = sorted(_published(source) - self._segments)
        for segment in new:
            for table in SEGMENT_TABLES:
                copy_rows(source, self._target, table, segment_key(segment), progress)
            self._segments.add(segment)
        return len(new)

    def finish(self, source: Transaction, progress: Progress = unwatched) -> None:
        """Everything else; the copy is whole then, if `source` sees what `add_segments` last saw."""
        for segment in self._segments - _published(source):
            with self._target.write() as transaction:
                for table in SEGMENT_TABLES:
                    transaction.delete_prefix(table, segment_key(segment))
        for table in _WHOLE:
            copy_rows(source, self._target, table, b"", progress)
        with self._target.write() as transaction:
            for key, value in source.rows(Table.TOMBSTONES):
                # Each names the commit that wrote it, and the copy counts its commits anew.
                _, deleted = unpack_tombstones(value)
                transaction.put(Table.TOMBSTONES, key, pack_tombstones(transaction.id, deleted))


def _published(transaction: Transaction) -> set[SegmentId]:
    return {int.from_bytes(key, "big") for key, _ in transaction.rows(Table.SEGMENTS)}
