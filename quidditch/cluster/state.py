"""The state of a cluster as values: the routing table and what nodes say of themselves, and how they look as bytes.

Everything here is immutable, and nothing here knows a network or a clock. `allocation.py` makes one routing table of
another; `catalogue.py` and `master.py` read and write these values where all processes see them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import msgspec
import zstandard

from quidditch.errors import StorageError

PROTOCOL_VERSION = 1
"""The newest of what is in PROTOCOL.md. A process refuses what is newer, and says so."""

OLDEST_PROTOCOL = 1
"""The oldest that a process of this release gets on with."""


class Speaks(NamedTuple):
    """The protocols that a process speaks: from `oldest` to `newest`."""

    oldest: int = OLDEST_PROTOCOL
    newest: int = PROTOCOL_VERSION

    def __str__(self) -> str:
        return f"{self.newest}" if self.oldest == self.newest else f"{self.oldest} to {self.newest}"

    def check(self, version: int, what: str) -> None:
        """raises: StorageError   it is not among them"""
        if version > self.newest:
            raise StorageError(f"{what} of protocol {version}; this process speaks {self}: upgrade it")
        if version < self.oldest:
            raise StorageError(
                f"{what} of protocol {version}; this process speaks {self}: upgrade the cluster to a release between"
            )


SPEAKS = Speaks()
"""What this release speaks."""


class ShardId(NamedTuple):
    """One shard of one index; the index by its uuid, which no other index of the same name will have."""

    uuid: str
    number: int

    def __str__(self) -> str:
        return f"{self.uuid}.{self.number}"


class Copy(msgspec.Struct, frozen=True, order=True):
    """One copy of a shard, on a node. One that is `leaving` serves until others do in its place."""

    node: str
    leaving: bool = False


class RoutingTable(msgspec.Struct, frozen=True):
    """Which nodes hold each shard: by the index's uuid and the shard's number. Only the master writes one.

    epoch:    rises with every table; of two tables the higher one counts
    version:  the protocol that everybody writes: the newest that all of the cluster speak; it never falls
    """

    epoch: int = 0
    indices: dict[str, tuple[tuple[Copy, ...], ...]] = {}
    version: int = OLDEST_PROTOCOL

    def shards(self) -> Iterator[tuple[ShardId, tuple[Copy, ...]]]:
        """Every shard and its copies, in order."""
        for index, shards in sorted(self.indices.items()):
            for number, copies in enumerate(shards):
                yield ShardId(index, number), copies

    def copies(self, shard: ShardId) -> tuple[Copy, ...]:
        """The copies of a shard; none of one that is not in the table."""
        shards = self.indices.get(shard.uuid, ())
        return shards[shard.number] if shard.number < len(shards) else ()

    def on_node(self, node: str) -> list[ShardId]:
        """The shards that a node is to hold."""
        return [shard for shard, copies in self.shards() if any(copy.node == node for copy in copies)]


class ShardReport(msgspec.Struct, frozen=True):
    """What a node says of a copy that it holds.

    applied:  the sequence of the log that is durable in it
    started:  it has caught up with the log once, and answers searches
    failed:   why it does not, in words, where it is known
    log:      the identity of the log that it follows, empty of a copy that has followed none yet; None is not known
    lost:     the log is gone, or is not the one that it followed: it applies no more
    marks:    (sequence, checksum of everything up to it) at some sequences that other copies tell of too
    """

    applied: int = 0
    started: bool = False
    failed: str = ""
    log: str | None = None
    lost: bool = False
    marks: tuple[tuple[int, int], ...] = ()


class NodeReport(msgspec.Struct, frozen=True):
    """A heartbeat: what a data node says of itself, every second. Silence means that it is gone.

    run:     of this life of the process; another one means that it was started anew
    address: where its HTTP answers, host and port
    shards:  by `str(ShardId)`
    """

    node: str
    run: str
    address: str
    zone: str = ""
    draining: bool = False
    shards: dict[str, ShardReport] = {}
    version: int = OLDEST_PROTOCOL
    speaks: Speaks = Speaks(1, 1)


class ProcessReport(msgspec.Struct, frozen=True):
    """A heartbeat of a process that holds no copies: a master, or a coordinator."""

    role: str
    name: str
    run: str
    version: int = OLDEST_PROTOCOL
    speaks: Speaks = Speaks(1, 1)


def raised(
    table: RoutingTable, nodes: Mapping[str, NodeReport], others: Iterable[ProcessReport]
) -> RoutingTable:
    """The table with the newest protocol that all speak: once every node that holds something is known to.

    nodes:  those that are not given up, by name, whether they speak at the moment or not
    """
    holding = {copy.node for _, copies in table.shards() for copy in copies}
    newest = [report.speaks.newest for report in nodes.values()]
    newest += [report.speaks.newest for report in others]
    if not nodes or holding - set(nodes) or min(newest) <= table.version:
        return table
    return msgspec.structs.replace(table, epoch=table.epoch + 1, version=min(newest))


Kept = TypeVar("Kept", bound=msgspec.Struct)


def to_bytes(value: msgspec.Struct) -> bytes:
    """A value as it is kept: msgpack, packed by zstd, since a table of thousands of shards repeats itself."""
    # A compressor of its own for each call: one that threads share would mix their bytes.
    return zstandard.ZstdCompressor(level=3).compress(msgspec.msgpack.encode(value))


def from_bytes(data: bytes, kind: type[Kept], speaks: Speaks = SPEAKS) -> Kept:
    """raises: StorageError   these are no such bytes, or those of a protocol that is not spoken"""
    try:
        plain = zstandard.ZstdDecompressor().decompress(data)
        found = msgspec.msgpack.decode(plain, type=kind)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise StorageError(f"cluster state: no {kind.__name__}: {error}") from error
    version = getattr(found, "version", None)
    if version is not None and version > speaks.newest:
        speaks.check(version, f"cluster state: a {kind.__name__}")
    return found
