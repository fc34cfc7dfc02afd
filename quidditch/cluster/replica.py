"""One copy of a shard: a local index that follows the shard's log.

A thread reads the log and carries out what it says, several entries in one transaction with the sequence they end at.
So a copy that is killed at any moment goes on behind its last commit, and every copy does the same with the same
entries: ids, times and mappings are in the log, and versions and conflicts follow from what came before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from quidditch.cluster.log import SURE_S, Beginning, Entry, LogLost, LogTrimmed, WriteLog
from quidditch.cluster.logs import about
from quidditch.cluster.messages import LogEntry, unpack_entry
from quidditch.cluster.state import SPEAKS, ShardReport, Speaks
from quidditch.errors import InternalError, QuidditchError, StorageError, Unavailable
from quidditch.index.replication import (
    WINDOW,
    Batch,
    BatchResults,
    Followed,
    read_followed,
    read_known,
    read_results,
    renumber,
    write_followed,
    write_results,
)
from quidditch.index.single_writes import Results
from quidditch.index.storage import Transaction
from quidditch.interface import ShardSnapshot
from quidditch.local.database import LocalDatabase
from quidditch.local.shard import LocalShard
from quidditch.local.writing import CurrentWriter

ENTRIES_AT_ONCE = 64
"""Entries of the log in one transaction, at most: each commit is a sync of the disk."""

OPERATIONS_AT_ONCE = 8_000
"""More make no larger segments worth having, and whoever waits for the first of them waits for all."""

BYTES_AT_ONCE = 16 << 20
"""Of operations: a copy takes some ten times as much memory while it carries them out."""

READ_S = 0.5
"""How long a read of the log waits, and so how soon a copy notices that it is to stop."""

PAUSE_S = 0.5
"""Before what failed is tried again."""

log = logging.getLogger("quidditch.cluster")


class Mappings(Protocol):
    """Where the versions of an index's mapping are."""

    def get(self, version: int) -> dict[str, Any]:
        """The body of one version. raises: Unavailable   it cannot be had"""


class Replica:
    """A copy of a shard in a node's directory, where it is the index `name`. Safe to share between threads."""

    def __init__(
        self,
        database: LocalDatabase,
        name: str,
        write_log: WriteLog,
        mappings: Mappings,
        speaks: Speaks = SPEAKS,
    ) -> None:
        self.name = name
        self._speaks = speaks
        self._database = database
        self.index = database.index(name)
        self._log = write_log
        self._mappings = mappings
        self._progress = threading.Condition()
        self._stopping = False
        self._started = False
        self._failed = ""
        self._lost = False
        self._found_s = time.monotonic()
        """When the log was there last."""
        self._expected = 0
        """What is in the log, as somebody knows who waits for it."""
        self.behind = False
        """The log no longer holds what comes next: only a copy of a peer helps."""
        self._thread: threading.Thread | None = None
        self._serves: Callable[[], None] = lambda: None
        with self._shard() as shard, shard.environment.read() as transaction:
            self._followed = read_followed(transaction) or Followed()
            self._known = read_known(transaction)

    @contextmanager
    def _shard(self) -> Iterator[LocalShard]:
        with self._database.directory.use(self.name) as shard:
            yield shard

    # -------------------------------------------------------------------------------------------- following

    @property
    def applied(self) -> int:
        """The last sequence that is carried out, durably."""
        return self._followed.applied

    @property
    def followed(self) -> Followed:
        """Which log it follows, and up to where it has durably done so."""
        return self._followed

    def report(self) -> ShardReport:
        followed = self._followed
        marks = (*followed.marks, (followed.applied, followed.checksum))
        return ShardReport(followed.applied, self._started, self._failed, followed.log, self._lost, marks)

    def can_go_on(self) -> bool:
        """Whether the log holds what comes next. So it counts while the log is lost: there is nothing better to have.

        raises: Unavailable   the engine does not answer
        """
        try:
            beginning = self._log.beginning()
            if beginning is not None and beginning.follows == self._followed.log:
                return self.applied >= beginning.applied
            return self.applied + 1 >= self._log.bounds().first
        except LogLost:
            return True

    def start(self, serves: Callable[[], None] = lambda: None) -> None:
        """Follow the log, in a thread of its own, until `stop`; `serves` is called once, when it has caught up."""
        self._serves = serves
        self._thread = threading.Thread(target=self._follow, name=f"quidditch-{self.name[-12:]}", daemon=True)
        self._thread.start()

    def begin_stop(self) -> None:
        """Have following end soon; several copies can end at the same time."""
        with self._progress:
            self._stopping = True
            self._progress.notify_all()

    def stop(self) -> None:
        """Follow no more; what was begun is carried out."""
        self.begin_stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _follow(self) -> None:
        while not self._stopping:
            try:
                self._follow_once()
            except QuidditchError as error:
                self._fail(error)
            except Exception as error:
                # Whatever it is: a copy that stops following without a word would be believed to be there.
                log.exception("shard %s at %d", self.name, self.applied)
                self._fail(InternalError(f"{type(error).__name__}: {error}"))

    def _follow_once(self) -> None:
        """Follow until told to stop, or until something is wrong."""
        self._expected = 0
        self._check_identity()
        reader = self._log.read_from(self.applied + 1)
        try:
            target = self._log.bounds().last
            self._lost = False
            while not self._stopping:
                self._set_started(target)
                entries = reader.read(ENTRIES_AT_ONCE, READ_S)
                if entries:
                    self.apply(entries)
                self._found_s = time.monotonic()
                if not entries and self._expected > self.applied:
                    # It is in the log and does not come: whoever served this reader is gone, and did not say so.
                    return
        finally:
            reader.close()

    def _check_identity(self) -> None:
        """raises: LogLost   the log is not the one that this copy has followed so far"""
        identity = self._log.identity()
        if self._followed.log == "":
            self._followed = msgspec.structs.replace(self._followed, log=identity)
        if self._followed.log == identity:
            return
        beginning = self._log.beginning()
        if beginning is None or beginning.follows != self._followed.log:
            raise LogLost(
                f"copy {self.name} has followed the log {self._followed.log} up to {self.applied}; the log is now "
                f"{identity}: it was made anew"
            )
        self._go_over(identity, beginning)

    def _go_over(self, identity: str, beginning: Beginning) -> None:
        """Go on with the log that was made in the place of the one that this copy has followed.

        raises: LogTrimmed   others were further: one of them is to be copied
                LogLost      this copy is further than those that the log was made for
        """
        if self.applied < beginning.applied:
            raise LogTrimmed(
                f"copy {self.name} is at {self.applied}; its log was lost, and made anew from {beginning.applied} on"
            )
        if self.applied > beginning.applied:
            raise LogLost(
                f"copy {self.name} is at {self.applied}; its log was lost, and made anew by copies that were at "
                f"{beginning.applied} only"
            )
        applied = beginning.first - 1
        followed = msgspec.structs.replace(self._followed, log=identity, applied=applied, marks=())
        with self._shard() as shard, shard.environment.write() as transaction:
            renumber(transaction, applied - beginning.applied)
            write_followed(transaction, followed)
            known = read_known(transaction)
        with self._progress:
            self._followed, self._known = followed, known
            self._progress.notify_all()
        log.warning("shard %s goes on with another log, from %d", self.name, beginning.first)

    def _set_started(self, target: int) -> None:
        """Serve from the moment on at which everything is there that was in the log when following began."""
        if self.applied >= target and (self._failed or not self._started):
            with self._progress:
                self._started, self._failed = True, ""
                self._progress.notify_all()
            self._serves()

    def _fail(self, error: QuidditchError) -> None:
        """Say what is wrong; whoever has lost its log serves what it has, and applies no more."""
        if self._stopping:
            return
        if str(error) != self._failed:
            known = about(shard=self.name, applied=self.applied)
            log.error("shard %s at %d: %s", self.name, self.applied, error, extra=known)
        with self._progress:
            self._failed = str(error)
            self.behind = self.behind or isinstance(error, LogTrimmed)
            self._lost = isinstance(error, LogLost) and time.monotonic() - self._found_s > SURE_S
            self._progress.wait_for(lambda: self._stopping, PAUSE_S)

    # --------------------------------------------------------------------------------------------- applying

    def apply(self, entries: Sequence[Entry]) -> None:
        """Carry out entries that follow the last one: as many transactions as there are mappings in them.

        raises: StorageError, ...   from a failing one on nothing was written
        """
        unpacked = [(entry.sequence, unpack_entry(entry.data, self._speaks)) for entry in entries]
        for group in _groups(unpacked, self._followed.mapping):
            self._take_on(max(entry.mapping for _, entry in group))
            self._carry_out(group)

    def _take_on(self, version: int) -> None:
        """Index from now on by a newer mapping."""
        if version > self._followed.mapping:
            self.index.put_mappings(self._mappings.get(version))
            self._followed = msgspec.structs.replace(self._followed, mapping=version)

    def _carry_out(self, group: Sequence[tuple[int, LogEntry]]) -> None:
        if group[0][0] != self.applied + 1:
            raise StorageError(f"shard {self.name}: entry {self.applied + 1} expected, not {group[0][0]}")
        now_ms, known = self._followed.now_ms, dict(self._known)
        batches: list[Batch] = []
        for sequence, entry in group:
            now_ms = max(now_ms, entry.now_ms)
            again = entry.batch in known
            known.setdefault(entry.batch, sequence)
            batches.append(Batch([] if again else [each.operation() for each in entry.operations], now_ms))
        followed = self._followed

        def mark(transaction: Transaction, results: list[Results]) -> None:
            nonlocal followed
            followed = self._followed
            for (sequence, entry), batch, done in zip(group, batches, results, strict=True):
                kept = (
                    None if known[entry.batch] == sequence else read_results(transaction, known[entry.batch])
                )
                made = kept or BatchResults.of(entry.batch, done)
                write_results(transaction, sequence, made)
                followed = followed.after(sequence, batch.now_ms, made)
            write_followed(transaction, followed)

        writer = CurrentWriter(self._database.writable(), self.name)
        writer.on_shard(lambda shard: shard.writer.follow(batches, mark))
        with self._progress:
            self._followed, self._known = followed, _recent(known, followed.applied)
            self._progress.notify_all()

    def rest(self) -> None:
        """Let go of what makes writes fast: none has come for a while."""
        with self._shard() as shard:
            shard.writer.rest()

    def leave_merges(self) -> None:
        """After `stop`, where its process ends: closing the shard shall not wait for merges."""
        with self._shard() as shard:
            shard.writer.leave_merges()

    # ---------------------------------------------------------------------------------------------- asking

    def wait_applied(self, sequence: int, timeout_s: float) -> None:
        """Wait until a sequence that is in the log is carried out.

        raises: Unavailable   it is not within `timeout_s`
        """
        self._expected = max(self._expected, sequence)
        with self._progress:
            if not self._progress.wait_for(
                lambda: self._followed.applied >= sequence or self._stopping, timeout_s
            ):
                raise Unavailable(
                    f"shard {self.name} is at {self.applied}, not yet at {sequence}"
                    + (f": {self._failed}" if self._failed else "")
                )
            if self._followed.applied < sequence:
                raise Unavailable(f"shard {self.name} is being closed")

    def results(self, sequence: int, timeout_s: float) -> BatchResults:
        """What became of an entry of the log, waited for.

        raises: Unavailable   it is not carried out within `timeout_s`, or was so long ago that this is forgotten
        """
        self.wait_applied(sequence, timeout_s)
        with self._shard() as shard, shard.environment.read() as transaction:
            found = read_results(transaction, sequence)
        if found is None:
            raise Unavailable(f"shard {self.name}: the results of entry {sequence} are no longer kept")
        return found

    def copy_to(self, descriptor: int) -> None:
        """The file of this copy as of one commit, into a descriptor, which may be a pipe."""
        with self._shard() as shard:
            shard.environment.copy_to(descriptor)

    @contextmanager
    def snapshot(
        self, lasting: bool = False, keep_alive_s: float | None = None
    ) -> Iterator[tuple[ShardSnapshot, int]]:
        """As `LocalShard.snapshot`; and the sequence of the log that the view shows."""
        shown = Followed()

        def look(transaction: Transaction) -> None:
            nonlocal shown
            shown = read_followed(transaction) or shown

        with self._shard() as shard, shard.snapshot(lasting, keep_alive_s, look) as view:
            yield view, shown.applied


def _groups(entries: Sequence[tuple[int, LogEntry]], mapping: int) -> Iterator[list[tuple[int, LogEntry]]]:
    """Entries that can be carried out at once: none but the first asks for a newer mapping."""
    group: list[tuple[int, LogEntry]] = []
    operations = size_bytes = 0
    for sequence, entry in entries:
        newer = entry.mapping > mapping
        operations += len(entry.operations)
        size_bytes += entry.size_bytes
        if group and (newer or operations > OPERATIONS_AT_ONCE or size_bytes > BYTES_AT_ONCE):
            yield group
            group, operations, size_bytes = [], len(entry.operations), entry.size_bytes
        mapping = max(mapping, entry.mapping)
        group.append((sequence, entry))
    if group:
        yield group


def _recent(known: Mapping[str, int], applied: int) -> dict[str, int]:
    return {batch: sequence for batch, sequence in known.items() if sequence > applied - WINDOW}
