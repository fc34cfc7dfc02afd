"""When segments are merged: due merges in slices after each commit, or all at once when asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import groupby

from quidditch.errors import CorruptIndex, InternalError, QuidditchError
from quidditch.index import merge
from quidditch.index.codecs import (
    WINDOW_DOCS,
    bitmap_of,
    ids_of,
    segment_chunk_key,
    segment_key,
    split_by,
)
from quidditch.index.commit import LeaseLost, Leases, discard, pieces, read_leases, sweep, write_piece
from quidditch.index.environment import Environment
from quidditch.index.merge import SegmentMerge
from quidditch.index.segment import FieldRecord, encode_record, split_records
from quidditch.index.snapshot import SegmentState, pack_tombstones, read_segments, unpack_tombstones
from quidditch.index.storage import Table, Transaction
from quidditch.types import U32s

SLICE_BYTES = 4 << 20
"""Bytes a merge writes in one transaction."""

PATIENCE_S = 10.0
"""How long merging by force waits for another that does the same, before it takes its merge away."""

NAP_S = 0.05


class _Task:
    """A merge on its way: rows still to be written, and what the result will be."""

    def __init__(self, environment: Environment, leases: Leases, merge_: SegmentMerge) -> None:
        self.merge = merge_
        self._leases = leases
        self.fields: list[FieldRecord] = []
        self.size_bytes = 0
        self._environment = environment
        rows = split_records(merge_.rows(), self.fields)
        self._pieces: Iterator[dict[Table, list[tuple[bytes, bytes]]]] = pieces(rows, SLICE_BYTES)

    def step(self) -> int | None:
        """Write the next piece; its bytes, or None when nothing is left to write."""
        try:
            piece = next(self._pieces, None)
        except CorruptIndex:
            # Rows are missing too when another process took the merge over, finished it, and swept its sources.
            with self._environment.read() as transaction:
                self._leases.check(transaction, self.merge.target)
            raise
        finally:
            self.merge.release()
        if piece is None:
            return None
        written = write_piece(self._environment, self._leases, self.merge.target, piece)
        self.size_bytes += written
        return written


class Merger:
    """The merges of one shard by this process, one at a time; other processes' are seen by their leases."""

    def __init__(self, environment: Environment, leases: Leases) -> None:
        self._environment = environment
        self._leases = leases
        self._task: _Task | None = None
        self._lock = threading.Lock()

    def run_due(self, budget_bytes: int) -> int | None:
        """Go on with the merge at hand, or begin the next that is due, for about so many bytes; the bytes written.

        None when nothing is left to do, or another thread is at it already: that costs nothing.
        """
        if not self._lock.acquire(blocking=False):
            return None
        written = 0
        try:
            while written < budget_bytes:
                if self._task is None and not self._begin(merge.choose):
                    return None
                written += self._step()
        finally:
            self._lock.release()
        return written

    def force(self, max_segments: int) -> None:
        """Merge until no more than `max_segments` are left and none holds deleted documents.

        A merge that another process has under way is taken from it: it may lie idle for as long as that lives.
        """

        def choose(sizes: Sequence[tuple[int, int]]) -> slice | None:
            return merge.choose_down_to(sizes, max_segments)

        with self._lock:
            self._abandon()
            patience = 0.0
            while self._is_due(choose):
                # Two that are at it at once would take each other's merges away for ever: one waits for the other.
                if self._begin(choose, preempt=time.monotonic() >= patience):
                    while self._task is not None:
                        self._step()
                    patience = time.monotonic() + PATIENCE_S
                else:
                    time.sleep(NAP_S)
            while not sweep(self._environment, self._leases):
                pass

    def _is_due(self, choose: merge.Choice) -> bool:
        """Whether there is something to merge, be another at it or not."""
        with self._environment.read() as transaction:
            return bool(self._due(transaction, choose, preempt=True))

    def close(self) -> None:
        """Give up what is not finished; its rows are swept."""
        with self._lock:
            self._abandon()

    def _begin(self, choose: merge.Choice, *, preempt: bool = False) -> bool:
        """Begin the next merge; whether there is one that no other process has under way, or `preempt`."""
        with self._environment.read() as transaction:
            # Most often nothing is due: no reason to stop the writers.
            if not self._due(transaction, choose, preempt):
                return False
        with self._environment.write() as transaction:
            if preempt:
                for target, lease in read_leases(transaction).items():
                    if lease.sources:
                        discard(transaction, target)
            sources = self._due(transaction, choose, preempt)
            if not sources:
                return False
            target = self._leases.take(transaction, (state.segment_id for state in sources))
        self._task = _Task(self._environment, self._leases, SegmentMerge(self._environment, sources, target))
        return True

    def _due(self, transaction: Transaction, choose: merge.Choice, preempt: bool) -> Sequence[SegmentState]:
        """The segments to merge next, those left out that another merge has, unless it is to give way."""
        busy = {
            source
            for target, lease in read_leases(transaction).items()
            if not preempt and self._leases.alive(target, lease)
            for source in lease.sources
        }
        return _first_choice(read_segments(transaction, {}), busy, choose)

    def _step(self) -> int:
        """Take the merge at hand a piece further, or publish it; the bytes written."""
        task = self._task
        if task is None:
            return 0
        try:
            written = task.step()
            if written is not None:
                return written
            self._publish(task)
        except LeaseLost:
            self._abandon()
            return 0
        except BaseException:
            self._abandon()
            raise
        self._leases.forget(task.merge.target)
        self._task = None
        sweep(self._environment, self._leases)
        return 0

    def _publish(self, task: _Task) -> None:
        """Put the result in its sources' place, with the deletes that came meanwhile."""
        sources = {source.state.segment_id for source in task.merge.sources}
        with self._environment.write() as transaction:
            self._leases.release(transaction, task.merge.target)
            now = [state for state in read_segments(transaction, {}) if state.segment_id in sources]
            if len(now) != len(sources):
                raise InternalError(
                    f"{self._environment.path}: segments vanished while they were being merged"
                )
            for segment_id in sources:
                transaction.delete(Table.SEGMENTS, segment_key(segment_id))
                transaction.delete_prefix(Table.TOMBSTONES, segment_key(segment_id))
                discard(transaction, segment_id)
            if not task.merge.doc_count:
                discard(transaction, task.merge.target)
                return
            record = task.merge.record(task.fields, task.size_bytes)
            task.merge.release()
            transaction.put(Table.SEGMENTS, segment_key(task.merge.target), encode_record(record))
            add_tombstones(transaction, task.merge.target, ids_of(task.merge.deleted_since(now)))

    def _abandon(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        task.merge.release()
        self._leases.forget(task.merge.target)
        try:
            with self._environment.write() as transaction:
                discard(transaction, task.merge.target)
        except QuidditchError:
            # The disk may be what failed. Forgotten, the lease counts as dead, and the next sweep has the rows.
            return


def _first_choice(
    states: Sequence[SegmentState], busy: set[int], choose: merge.Choice
) -> Sequence[SegmentState]:
    """What `choose` picks from the first run of neighbours, none of them busy, that it finds a merge in."""
    for is_busy, group in groupby(states, key=lambda state: state.segment_id in busy):
        run = list(group)
        chosen = None if is_busy else choose([(state.live_count, state.record.doc_count) for state in run])
        if chosen is not None:
            return run[chosen]
    return ()


def add_tombstones(transaction: Transaction, segment: int, docs: U32s) -> None:
    """Mark documents of a segment as deleted; `docs` ascends. Only the windows they lie in are rewritten."""
    for window, part in split_by(docs, WINDOW_DOCS):
        key = segment_chunk_key(segment, window)
        added = bitmap_of(docs[part] - docs.dtype.type(window * WINDOW_DOCS))
        before = transaction.get(Table.TOMBSTONES, key)
        if before is not None:
            added |= unpack_tombstones(before)[1]
        transaction.put(Table.TOMBSTONES, key, pack_tombstones(transaction.id, added))
