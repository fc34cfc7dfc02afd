"""When segments are merged: due merges in slices after each commit, or all at once when asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from quidditch.errors import QuidditchError
from quidditch.index import merge
from quidditch.index.codecs import (
    WINDOW_DOCS,
    bitmap_of,
    ids_of,
    segment_chunk_key,
    segment_key,
    split_by,
)
from quidditch.index.commit import discard, leases, own_lease, pieces, sweep, take_segment, write_piece
from quidditch.index.merge import SegmentMerge
from quidditch.index.segment import FieldRecord, encode_record, split_records
from quidditch.index.snapshot import SegmentState, pack_tombstones, read_segments, unpack_tombstones
from quidditch.index.storage import Environment, Table, Transaction
from quidditch.types import U32s

SLICE_BYTES = 4 << 20
"""Bytes a merge writes in one transaction."""


class _Task:
    """A merge on its way: rows still to be written, and what the result will be."""

    def __init__(self, environment: Environment, merge_: SegmentMerge) -> None:
        self.merge = merge_
        self.fields: list[FieldRecord] = []
        self.size_bytes = 0
        self._environment = environment
        rows = split_records(merge_.rows(), self.fields)
        self._pieces: Iterator[dict[Table, list[tuple[bytes, bytes]]]] = pieces(rows, SLICE_BYTES)

    def step(self) -> int | None:
        """Write the next piece; its bytes, or None when nothing is left to write."""
        piece = next(self._pieces, None)
        if piece is None:
            return None
        written = write_piece(self._environment, piece)
        self.size_bytes += written
        return written


class Merger:
    """The merges of one shard by this process, one at a time; other processes' are seen by their leases."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._task: _Task | None = None
        self._lock = threading.Lock()

    def run_due(self, budget_bytes: int) -> None:
        """Go on with the merge at hand, or begin the next that is due, for about so many bytes written.

        Costs nothing when another thread is at it already.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            while budget_bytes > 0:
                if self._task is None and not self._begin(merge.choose):
                    return
                budget_bytes -= self._step()
        finally:
            self._lock.release()

    def force(self, max_segments: int) -> None:
        """Merge until no more than `max_segments` are left and none holds deleted documents."""
        with self._lock:
            self._abandon()
            while self._begin(lambda sizes: merge.choose_down_to(sizes, max_segments)):
                while self._task is not None:
                    self._step()
            while not sweep(self._environment):
                pass

    def close(self) -> None:
        """Give up what is not finished; its rows are swept."""
        with self._lock:
            self._abandon()

    def _begin(self, choose: merge.Choice) -> bool:
        with self._environment.write() as transaction:
            states = read_segments(transaction, {})
            chosen = choose([(state.live_count, state.record.doc_count) for state in states])
            if chosen is None:
                return False
            sources = states[chosen]
            if _taken(transaction, sources):
                return False
            target = take_segment(transaction, own_lease(state.segment_id for state in sources))
        self._task = _Task(self._environment, SegmentMerge(self._environment, sources, target))
        return True

    def _step(self) -> int:
        task = self._task
        if task is None:
            return 0
        try:
            written = task.step()
            if written is not None:
                return written
            self._publish(task)
        except BaseException:
            self._abandon()
            raise
        self._task = None
        sweep(self._environment)
        return 1

    def _publish(self, task: _Task) -> None:
        """Put the result in its sources' place, with the deletes that came meanwhile."""
        sources = {source.state.segment_id for source in task.merge.sources}
        with self._environment.write() as transaction:
            now = [state for state in read_segments(transaction, {}) if state.segment_id in sources]
            if len(now) != len(sources):
                discard(transaction, task.merge.target)
                return
            for segment_id in sources:
                transaction.delete(Table.SEGMENTS, segment_key(segment_id))
                transaction.delete_prefix(Table.TOMBSTONES, segment_key(segment_id))
                discard(transaction, segment_id)
            if not task.merge.doc_count:
                discard(transaction, task.merge.target)
                return
            record = task.merge.record(task.fields, task.size_bytes)
            transaction.put(Table.SEGMENTS, segment_key(task.merge.target), encode_record(record))
            transaction.delete(Table.PENDING, segment_key(task.merge.target))
            add_tombstones(transaction, task.merge.target, ids_of(task.merge.deleted_since(now)))

    def _abandon(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        try:
            with self._environment.write() as transaction:
                discard(transaction, task.merge.target)
        except QuidditchError:
            # The lease names this process: whoever comes after it sweeps the rows.
            return


def _taken(transaction: Transaction, sources: Sequence[SegmentState]) -> bool:
    """Is another process merging any of these?"""
    wanted = {state.segment_id for state in sources}
    return any(lease.alive and not wanted.isdisjoint(lease.sources) for lease in leases(transaction).values())


def add_tombstones(transaction: Transaction, segment: int, docs: U32s) -> None:
    """Mark documents of a segment as deleted; `docs` ascends. Only the windows they lie in are rewritten."""
    for window, part in split_by(docs, WINDOW_DOCS):
        key = segment_chunk_key(segment, window)
        added = bitmap_of(docs[part] - docs.dtype.type(window * WINDOW_DOCS))
        before = transaction.get(Table.TOMBSTONES, key)
        if before is not None:
            added |= unpack_tombstones(before)[1]
        transaction.put(Table.TOMBSTONES, key, pack_tombstones(transaction.id, added))
