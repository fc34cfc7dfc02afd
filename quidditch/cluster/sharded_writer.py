"""Writes of a coordinator: operations checked, sent to the logs of their shards, and what became of them asked for.

A write is acknowledged when it is in its shard's log, replicated and synced. What it did is what every copy says: one
of them is asked.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator, Sequence

import msgspec

from quidditch.cluster.asking import Asking
from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.copies import Copies
from quidditch.cluster.data_node import shard_path
from quidditch.cluster.log import JetStreamLog
from quidditch.cluster.loop import Loop
from quidditch.cluster.messages import LogEntry, LoggedOperation, pack_entry
from quidditch.cluster.routing import routing_key, shard_of
from quidditch.cluster.state import ShardId
from quidditch.cluster.transport import Request, Transport
from quidditch.errors import (
    IndexBlocked,
    IndexClosed,
    IndexNotFound,
    InternalError,
    QuidditchError,
    RoutingMissing,
    Unavailable,
)
from quidditch.index.document import parse_and_learn
from quidditch.index.operations import Applied, IdMaker, Operation
from quidditch.index.replication import BatchResults
from quidditch.index.single_writes import parse_operations
from quidditch.interface import WriteResult
from quidditch.local.settings import block_of
from quidditch.schema.mapping import Mapping
from quidditch.sequences import Reached, note_write
from quidditch.types import Json

BATCH_BYTES = 1 << 20
"""Bytes of operations in one entry of a log; a document that is larger is an entry by itself."""

APPEND_S = 30.0
"""How long a batch may take to be in its log."""

RESULTS_S = 60.0
"""How long a copy may take to carry it out."""


class ClusterSchema:
    """The mapping of an index in the cluster, as `parse_and_learn` wants it. `version` is that of the last one."""

    def __init__(self, catalogue: Catalogue, index: str) -> None:
        self._catalogue = catalogue
        self._index = index
        self.version = 0

    def current(self) -> Mapping:
        self.version, mapping = self._catalogue.mapping(self._index)
        return mapping

    def check(self) -> None:
        """Whether the index still is there is known when its logs are written."""

    def extend(self, body: dict[str, Json]) -> Mapping:
        self.version, mapping = self._catalogue.extend_mapping(self._index, body)
        return mapping


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


class Means:
    """What a coordinator reads and writes by."""

    def __init__(self, catalogue: Catalogue, transport: Transport, copies: Copies, written: Written) -> None:
        self.catalogue = catalogue
        self.transport = transport
        self.copies = copies
        self.written = written
        self.asking = Asking(transport, copies)
        self.make_id = IdMaker().new

    @property
    def loop(self) -> Loop:
        return self.catalogue.connection.loop

    def log(self, shard: ShardId) -> JetStreamLog:
        return JetStreamLog(self.catalogue.connection, shard)


class ShardedWriter:
    """Takes the operations of one index. Safe to share between threads; each call's operations keep their order."""

    def __init__(self, means: Means, name: str) -> None:
        """raises: IndexNotFound"""
        self._means = means
        self._name = name
        self._uuid = means.catalogue.entry(name).generation

    def make_id(self) -> bytes:
        return self._means.make_id()

    def apply_one(self, operation: Operation) -> WriteResult:
        """Carry out one write, raising what went wrong."""
        (result,) = self.apply([operation])
        if isinstance(result, QuidditchError):
            raise result
        return WriteResult(result.id.decode(), result.version, result.seq_no, result.result)

    def apply(self, operations: Sequence[Operation]) -> list[Applied | QuidditchError]:
        """Carry out the operations, in order where they meet in a shard; what each did, or why it failed.

        raises: IndexNotFound, IndexClosed, IndexBlocked   nothing was written
                Unavailable   a log, or every copy of a shard, did not answer in time: some may have been carried out
                Overloaded    a log is full
        """
        shards = self._open_shards()
        results: list[Applied | QuidditchError | None] = [None] * len(operations)
        schema = ClusterSchema(self._means.catalogue, self._uuid)
        going: dict[ShardId, list[tuple[int, LoggedOperation]]] = {}
        for place, checked in enumerate(_checked(self._name, operations, schema)):
            if isinstance(checked, QuidditchError):
                results[place] = checked
            else:
                shard = shards[shard_of(routing_key(checked.id, checked.routing), len(shards))]
                going.setdefault(shard, []).append((place, checked))
        batches = {shard: list(_batches(own)) for shard, own in going.items()}
        for place, result in self._carry_out(batches, schema.version):
            results[place] = result
        return [InternalError("an operation got no result") if one is None else one for one in results]

    def mark_mapping(self, version: int) -> None:
        """Have every copy take on this version of the mapping, before whatever is written next."""
        empty: list[tuple[int, LoggedOperation]] = []
        self._carry_out({shard: [empty] for shard in self._open_shards()}, version)

    def _open_shards(self) -> list[ShardId]:
        entry = self._means.catalogue.entry(self._name)
        if entry.generation != self._uuid:
            # Another index has taken the name: what was meant for the old one shall not land in it.
            raise IndexNotFound(f"no index [{self._name}] in the cluster: another of its name was made since")
        if entry.closed:
            raise IndexClosed(f"index [{self._name}] is closed; open_index opens it")
        block = block_of(entry.settings)
        if block is not None:
            raise IndexBlocked(f"index [{self._name}] blocked by: [{block}]")
        return [ShardId(self._uuid, number) for number in range(entry.shards)]

    def _carry_out(
        self, batches: dict[ShardId, list[list[tuple[int, LoggedOperation]]]], mapping: int
    ) -> list[tuple[int, Applied | QuidditchError]]:
        """What became of each operation, by its place; all shards at once."""

        async def each() -> list[list[tuple[int, Applied | QuidditchError]]]:
            return await asyncio.gather(
                *(self._write_shard(shard, own, mapping) for shard, own in batches.items())
            )

        if not batches:
            return []
        found = self._means.catalogue.connection.run(each(), APPEND_S + RESULTS_S + 5.0)
        return [one for some in found for one in some]

    async def _write_shard(
        self, shard: ShardId, batches: Sequence[list[tuple[int, LoggedOperation]]], mapping: int
    ) -> list[tuple[int, Applied | QuidditchError]]:
        """Append the batches of one shard, each after the one before, and ask what became of them."""
        write_log = self._means.log(shard)
        sequences = []
        for batch in batches:
            entry = LogEntry(
                uuid.uuid4().hex, int(time.time() * 1000), mapping, [logged for _, logged in batch]
            )
            sequences.append(await write_log.appending(pack_entry(entry), entry.batch, APPEND_S))
        self._means.written.note(shard, sequences[-1])
        told = await asyncio.gather(*(self._results(shard, sequence) for sequence in sequences))
        return [
            (place, result.applied(logged.id))
            for batch, results in zip(batches, told, strict=True)
            for (place, logged), result in zip(batch, results.results, strict=True)
        ]

    async def _results(self, shard: ShardId, sequence: int) -> BatchResults:
        """What became of an entry, as the first copy that answers says.

        raises: Unavailable   none does; the entry is in the log, and will be carried out
        """
        deadline = time.monotonic() + RESULTS_S
        why: QuidditchError | None = None
        while time.monotonic() < deadline:
            try:
                addresses = self._means.copies.of(shard)
            except Unavailable as error:
                why, addresses = error, []
            for address in addresses:
                left_s = min(10.0, max(0.1, deadline - time.monotonic()))
                body = {"sequence": sequence, "timeout_s": left_s}
                request = Request(address, shard_path(shard, "results"), body, left_s + 1.0)
                answer = await self._means.transport.ask(request)
                if not isinstance(answer, QuidditchError):
                    return msgspec.convert(answer, BatchResults)
                why = answer
                self._means.copies.suspect(address)
            await asyncio.sleep(0.1)
        raise Unavailable(
            f"a write is in the log of shard {shard} as entry {sequence}, and will be carried out; no copy has said "
            f"yet what it did: {why}"
        )


def _checked(
    name: str, operations: Sequence[Operation], schema: ClusterSchema
) -> list[LoggedOperation | QuidditchError]:
    """What goes to a log, or why it cannot. The mapping learns what documents bring.

    The part of an update is read for the fields that it brings alone: whether it fits is decided where the document
    is that it changes.
    """
    errors: dict[int, QuidditchError] = {}
    if schema.current().routing_required:
        errors = {
            place: RoutingMissing.of(name, operation.id.decode())
            for place, operation in enumerate(operations)
            if operation.routing is None
        }
    going = [place for place in range(len(operations)) if place not in errors]
    whole = [place for place in going if operations[place].op in ("index", "create")]
    if whole:
        batch = parse_operations([operations[place] for place in whole], schema)
        errors |= {whole[number]: error for number, error in batch.errors.items()}
    updates = [operations[place] for place in going if operations[place].op == "update"]
    parts = [part for one in updates for part in (one.doc, one.upsert) if part is not None]
    if parts:
        parse_and_learn(parts, schema)
    return [errors.get(place) or _logged(operation) for place, operation in enumerate(operations)]


def _logged(operation: Operation) -> LoggedOperation | QuidditchError:
    try:
        return LoggedOperation.of(operation)
    except QuidditchError as error:
        return error


def _batches(
    operations: Sequence[tuple[int, LoggedOperation]],
) -> Iterator[list[tuple[int, LoggedOperation]]]:
    """The operations of one shard in entries of bounded size, with their places."""
    batch: list[tuple[int, LoggedOperation]] = []
    size_bytes = 0
    for place, logged in operations:
        if batch and size_bytes + logged.size_bytes > BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
        batch.append((place, logged))
        size_bytes += logged.size_bytes
    if batch:
        yield batch
