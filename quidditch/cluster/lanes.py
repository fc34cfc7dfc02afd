"""Entries on their way from a coordinator to the log of a shard, and what became of them back.

A `Lane` is the way of one call to one shard: its entries are appended one after another, and once one could not be,
none that comes later: so a document that is written twice never ends as the earlier write left it. Entries are packed
by whoever writes, and only sent by the network's thread, which searches need too.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from quidditch.cluster.asking import Asking
from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.copies import Copies
from quidditch.cluster.log import JetStreamLog
from quidditch.cluster.loop import Loop
from quidditch.cluster.messages import LogEntry, LoggedOperation, pack_entry
from quidditch.cluster.state import ShardId
from quidditch.cluster.transport import Transport
from quidditch.errors import Overloaded, QuidditchError, Unavailable
from quidditch.index.operations import Applied, IdMaker
from quidditch.index.replication import BatchResults
from quidditch.sequences import Reached, note_write

BATCH_BYTES = 1 << 20
"""Bytes of operations in one entry of a log; a document that is larger is an entry by itself."""

APPEND_S = 30.0
"""How long a batch may take to be in its log."""

RESULTS_S = 60.0
"""How long a copy may take to carry it out."""

ASK_S = 10.0
"""How long one copy may take, before another is asked."""

FULL_PAUSE_S = 0.25
"""Before a log that was full is tried again by who can wait."""

SHARD_BYTES = 24 << 20
"""Bytes of operations on their way from one process to one shard."""

PROCESS_BYTES = 96 << 20
"""Bytes of operations on their way from one process."""

ROOM_S = 30.0
"""How long a call waits for room before it is refused."""

Outcome: TypeAlias = Applied | QuidditchError
"""What became of one operation."""


class Written:
    """The last sequence of each shard that this process has written: what its searches must see."""

    def __init__(self) -> None:
        self._last: dict[ShardId, int] = {}

    def of(self, shard: ShardId) -> int:
        return self._last.get(shard, 0)

    def note(self, shard: ShardId, sequence: int) -> None:
        """This process, on behalf of whoever notes its writes, has written up to there."""
        self.heed(shard, sequence)
        note_write(Reached(*shard, sequence))

    def heed(self, shard: ShardId, sequence: int) -> None:
        """Somebody has."""
        self._last[shard] = max(sequence, self._last.get(shard, 0))


class Room:
    """Bounds the bytes that are on their way, to each shard and together. Safe to share between threads."""

    def __init__(self, shard_bytes: int = SHARD_BYTES, process_bytes: int = PROCESS_BYTES) -> None:
        self._shard_bytes = shard_bytes
        self._process_bytes = process_bytes
        self._taken: dict[ShardId, int] = {}
        self._freed = threading.Condition()

    def take(self, sizes: Mapping[ShardId, int], timeout_s: float = ROOM_S) -> None:
        """Wait until there is room for all of it; what is larger than the bounds has to be alone.

        raises: Overloaded   there was none within `timeout_s`: nothing was taken
        """
        with self._freed:
            if not self._freed.wait_for(lambda: self._fits(sizes), timeout_s):
                raise Overloaded(
                    f"{sum(self._taken.values())} bytes of writes are on their way from here, and no room for "
                    f"{sum(sizes.values())} more within {timeout_s:g} s: send again later"
                )
            for shard, size in sizes.items():
                self._taken[shard] = self._taken.get(shard, 0) + size

    def _fits(self, sizes: Mapping[ShardId, int]) -> bool:
        together = sum(self._taken.values())
        return (together == 0 or together + sum(sizes.values()) <= self._process_bytes) and all(
            shard not in self._taken or self._taken[shard] + size <= self._shard_bytes
            for shard, size in sizes.items()
        )

    def give(self, shard: ShardId, size: int) -> None:
        with self._freed:
            self._taken[shard] -= size
            if not self._taken[shard]:
                del self._taken[shard]
            self._freed.notify_all()


class Means:
    """What a coordinator reads and writes by."""

    def __init__(self, catalogue: Catalogue, transport: Transport, copies: Copies, written: Written) -> None:
        self.catalogue = catalogue
        self.transport = transport
        self.copies = copies
        self.written = written
        self.room = Room()
        self.asking = Asking(transport, copies)
        self.make_id = IdMaker().new

    @property
    def loop(self) -> Loop:
        return self.catalogue.connection.loop

    def log(self, shard: ShardId) -> JetStreamLog:
        return JetStreamLog(self.catalogue.connection, shard)


class Packed(NamedTuple):
    """An entry as it goes to the log, and whose operations it holds: their places in the call, and their ids."""

    batch: str
    data: bytes
    size_bytes: int
    places: list[int]
    ids: list[bytes]

    def all(self, error: QuidditchError) -> list[tuple[int, Outcome]]:
        """The same became of each of its operations."""
        return [(place, error) for place in self.places]


def packed(operations: Sequence[tuple[int, LoggedOperation]], mapping: int, protocol: int) -> list[Packed]:
    """The operations of one shard, with their places, in entries of bounded size."""
    return [_pack(some, mapping, protocol) for some in _batches(operations)]


def _pack(operations: Sequence[tuple[int, LoggedOperation]], mapping: int, protocol: int) -> Packed:
    logged = [operation for _, operation in operations]
    entry = LogEntry(uuid.uuid4().hex, int(time.time() * 1000), mapping, logged, protocol)
    places = [place for place, _ in operations]
    return Packed(
        entry.batch, pack_entry(entry), entry.size_bytes, places, [each.id for each in entry.operations]
    )


def _batches(
    operations: Sequence[tuple[int, LoggedOperation]],
) -> Iterator[list[tuple[int, LoggedOperation]]]:
    batch: list[tuple[int, LoggedOperation]] = []
    size_bytes = 0
    for place, logged in operations:
        if batch and size_bytes + logged.size_bytes > BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
        batch.append((place, logged))
        size_bytes += logged.size_bytes
    yield batch


class Lane:
    """The way of one call to one shard. `write` is for the network's thread."""

    def __init__(self, means: Means, shard: ShardId, patience_s: float = 0.0) -> None:
        """patience_s:  how long it is waited for a log that is full"""
        self._means = means
        self._shard = shard
        self._patience_s = patience_s
        self._log = means.log(shard)
        # Locks of asyncio are taken in the order in which they are asked for.
        self._appending = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._broken: QuidditchError | None = None

    async def write(self, entries: Sequence[Packed]) -> list[tuple[int, Outcome]]:
        """What became of each operation, by its place, once all are settled. Entries of calls that began earlier are
        appended before these."""
        async with self._appending:
            appended = [await self._append(entry) for entry in entries]
        # A lane waits with one call at a time, however much is on its way: a node answers so many at once.
        async with self._asking:
            told = [
                await self._outcomes(entry, sequence)
                for entry, sequence in zip(entries, appended, strict=True)
            ]
        return [one for some in told for one in some]

    async def _append(self, entry: Packed) -> int | QuidditchError:
        """Its sequence, or why it is not known to be in the log, and nothing after it will be."""
        deadline = time.monotonic() + self._patience_s
        while self._broken is None:
            try:
                sequence = await self._log.appending(entry.data, entry.batch, APPEND_S)
            except Overloaded as error:
                if time.monotonic() >= deadline:
                    self._broken = error
                else:
                    await asyncio.sleep(FULL_PAUSE_S)
            except QuidditchError as error:
                self._broken = error
            else:
                self._means.written.note(self._shard, sequence)
                return sequence
        return self._broken

    async def _outcomes(self, entry: Packed, sequence: int | QuidditchError) -> list[tuple[int, Outcome]]:
        if isinstance(sequence, QuidditchError):
            return entry.all(sequence)
        try:
            found = (await self._results(sequence)).results
        except QuidditchError as error:
            return entry.all(error)
        return [
            (place, result.applied(id))
            for place, id, result in zip(entry.places, entry.ids, found, strict=True)
        ]

    async def _ask(self, sequence: int, timeout_s: float) -> BatchResults:
        """What the first copy says; another is asked too when one is slow: it may have lost touch with the log."""
        body = {"sequence": sequence, "timeout_s": timeout_s}
        nodes = self._means.copies.nodes(self._shard)
        _, answer = await self._means.asking.first(
            self._shard, nodes, lambda node: ("results", body), timeout_s + 1.0
        )
        return msgspec.convert(answer, BatchResults)

    async def _results(self, sequence: int) -> BatchResults:
        """What became of an entry, as the first copy that answers says.

        raises: Unavailable   none does; the entry is in the log, and will be carried out
        """
        deadline = time.monotonic() + RESULTS_S
        why: QuidditchError | None = None
        while time.monotonic() < deadline:
            try:
                return await self._ask(sequence, min(ASK_S, max(0.1, deadline - time.monotonic())))
            except QuidditchError as error:
                why = error
            await asyncio.sleep(0.1)
        raise Unavailable(
            f"a write is in the log of shard {self._shard} as entry {sequence}, and will be carried out; no copy has "
            f"said yet what it did: {why}"
        )
