"""Writes of a coordinator: operations checked, sent to the logs of their shards, and what became of them asked for.

A write is acknowledged when it is in its shard's log, replicated and synced. What it did is what every copy says: one
of them is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import CancelledError, Future

from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.lanes import APPEND_S, Lane, Means, Outcome, Packed, packed
from quidditch.cluster.messages import LoggedOperation
from quidditch.cluster.routing import routing_key, shard_of
from quidditch.cluster.state import ShardId
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
from quidditch.index.operations import Operation
from quidditch.index.single_writes import parse_operations
from quidditch.local.active_copies import demanded
from quidditch.local.settings import block_of
from quidditch.schema.mapping import Mapping
from quidditch.types import Json


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


class UnderWay:
    """Operations that are on their way to their shards."""

    def __init__(self, refused: dict[int, QuidditchError], size: int) -> None:
        self._outcomes: dict[int, Outcome] = {**refused}
        self._size = size
        self._going: list[Future[list[tuple[int, Outcome]]]] = []

    def add(self, going: Future[list[tuple[int, Outcome]]]) -> None:
        self._going.append(going)

    def done(self) -> bool:
        """Whether `results` need not wait."""
        return all(each.done() for each in self._going)

    def results(self) -> list[Outcome]:
        """What each operation did, or why it failed, in order; waits until all are settled."""
        missing: QuidditchError = InternalError("an operation got no result")
        for each in self._going:
            try:
                self._outcomes.update(each.result())
            except CancelledError:
                missing = Unavailable(
                    "this process has closed its connections: a write may yet have happened"
                )
        return [self._outcomes.get(place, missing) for place in range(self._size)]


class ShardedWriter:
    """Takes the operations of one index, for one call of a user: once the log of a shard has refused some, it takes
    none of this call any more."""

    def __init__(self, means: Means, name: str, *, patient: bool = False) -> None:
        """patient:  wait for logs that are full, in place of refusing what comes

        raises: IndexNotFound
        """
        self._means = means
        self._name = name
        self._patience_s = APPEND_S if patient else 0.0
        self._uuid = means.catalogue.entry(name).generation
        self._lanes: dict[ShardId, Lane] = {}

    def make_id(self) -> bytes:
        return self._means.make_id()

    def apply(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Carry out the operations, in order where they meet in a shard; what each did, or why it failed: among
        others as

            Unavailable   a log, or every copy of a shard, did not answer in time: it may have been carried out; or
                          too few copies of its shard serve: it was not
            Overloaded    a log is full: it was not

        raises: IndexNotFound, IndexClosed, IndexBlocked, Overloaded (too much is on its way): nothing was written
        """
        return self.begin(operations).results()

    def begin(self, operations: Sequence[Operation]) -> UnderWay:
        """As `apply`, without waiting for what becomes of them. What is begun later is appended later."""
        shards = self._open_shards()
        schema = ClusterSchema(self._means.catalogue, self._uuid)
        refused: dict[int, QuidditchError] = {}
        going: dict[ShardId, list[tuple[int, LoggedOperation]]] = {}
        for place, checked in enumerate(_checked(self._name, operations, schema)):
            if isinstance(checked, QuidditchError):
                refused[place] = checked
            else:
                shard = shards[shard_of(routing_key(checked.id, checked.routing), len(shards))]
                going.setdefault(shard, []).append((place, checked))
        for shard, lacking in self._lacking(going).items():
            refused |= {place: lacking for place, _ in going.pop(shard)}
        protocol = self._means.catalogue.protocol()
        entries = {shard: packed(own, schema.version, protocol) for shard, own in going.items()}
        return self._send(entries, UnderWay(refused, len(operations)))

    def mark_mapping(self, version: int) -> None:
        """Have every copy take on this version of the mapping, before whatever is written next.

        raises: Unavailable, Overloaded   not every log has it
        """
        for shard in self._open_shards():
            (entry,) = packed([], version, self._means.catalogue.protocol())
            self._means.written.note(shard, self._means.log(shard).append(entry.data, entry.batch, APPEND_S))

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

    def _lacking(self, shards: Collection[ShardId]) -> dict[ShardId, Unavailable]:
        """The shards of which too few copies serve, however long was to be waited for them."""
        entry = self._means.catalogue.entry(self._name)
        demand = demanded(entry.settings)
        wanted = demand.of(int(entry.settings.get("number_of_replicas", 1)))
        deadline = time.monotonic() + demand.timeout_s
        found: dict[ShardId, Unavailable] = {}
        for shard in shards:
            left_s = max(0.0, deadline - time.monotonic())
            serving = self._means.catalogue.wait_serving(shard, wanted, left_s)
            if serving < wanted:
                found[shard] = Unavailable(
                    f"[{self._name}][{shard.number}]: not enough active copies: have {serving}, needed {wanted}; "
                    f"waited {demand.timeout_s:g} s, and nothing was written"
                )
        return found

    def _send(self, entries: dict[ShardId, list[Packed]], under_way: UnderWay) -> UnderWay:
        """All shards at once, as soon as there is room."""
        sizes = {shard: sum(entry.size_bytes for entry in own) for shard, own in entries.items()}
        self._means.room.take(sizes)
        for shard, own in entries.items():
            lane = self._lanes.setdefault(shard, Lane(self._means, shard, self._patience_s))
            going = self._means.catalogue.connection.loop.begin(lane.write(own))
            going.add_done_callback(_given_back(self._means, shard, sizes[shard]))
            under_way.add(going)
        return under_way


def _given_back(means: Means, shard: ShardId, size_bytes: int) -> Callable[[object], None]:
    return lambda done: means.room.give(shard, size_bytes)


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
