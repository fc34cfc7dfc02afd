"""Where the copies of indices are, as an operator looks at them: nodes, shards, and what became of each copy.

A database over many machines tells it itself (`HasTopology`); any other is one node that holds a copy of each index.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from quidditch.interface import Database, IndexInfo

State: TypeAlias = Literal["STARTED", "INITIALIZING", "RELOCATING", "UNASSIGNED"]

Status: TypeAlias = Literal["green", "yellow", "red"]

WORSE: tuple[Status, ...] = ("green", "yellow", "red")

HERE = ""
"""The node that a database without others is, by name."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A process that takes part.

    address:  where others call it, host and port
    roles:    some of `data`, `cluster_manager`; none of either is a coordinator
    alive:    it has been heard of lately
    draining: it is to give its copies to others
    """

    name: str
    address: str = ""
    roles: tuple[str, ...] = ("cluster_manager", "data")
    zone: str = ""
    alive: bool = True
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """How large one copy is."""

    documents: int = 0
    deleted: int = 0
    segments: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CopyView:
    """One copy of a shard.

    state:    STARTED serves; RELOCATING serves until another does; INITIALIZING does not yet; UNASSIGNED has a place
              on a node that is silent
    partner:  of a copy that moves, the node it moves to; of one that takes its place, the node it comes from
    applied:  the sequence of the log that is durable in it; None where there is no log
    size:     None where it was not asked for, or not answered
    failed:   why it does not serve, in words
    """

    node: str
    state: State
    partner: str = ""
    applied: int | None = None
    size: Size | None = None
    failed: str = ""

    @property
    def serves(self) -> bool:
        return self.state in ("STARTED", "RELOCATING")


@dataclass(frozen=True, slots=True)
class ShardView:
    """A shard: how many copies are wanted, and those that there are, the first that serves in front."""

    index: str
    number: int
    wanted: int
    copies: tuple[CopyView, ...] = ()

    @property
    def active(self) -> int:
        return sum(copy.serves for copy in self.copies)

    @property
    def relocating(self) -> int:
        return sum(copy.state == "RELOCATING" for copy in self.copies)

    @property
    def initializing(self) -> int:
        """Copies that are to serve; without those that take the place of one that serves until then."""
        return sum(copy.state == "INITIALIZING" and not copy.partner for copy in self.copies)

    @property
    def unassigned(self) -> int:
        return max(0, self.wanted - self.active - self.initializing)

    @property
    def delayed(self) -> int:
        """Of the unassigned, those whose node may come back."""
        return min(self.unassigned, sum(copy.state == "UNASSIGNED" for copy in self.copies))

    @property
    def size(self) -> Size:
        """Of the first copy that told it; nothing where none did."""
        return next((copy.size for copy in self.copies if copy.size is not None), Size())

    @property
    def total_bytes(self) -> int:
        """Of all copies that told it."""
        return sum(copy.size.size_bytes for copy in self.copies if copy.size is not None)

    @property
    def status(self) -> Status:
        return "red" if not self.active else "green" if self.active >= self.wanted else "yellow"


@dataclass(frozen=True, slots=True)
class Topology:
    """All that is known at one moment. `master` is the node that places copies; None while there is
    none.

    version:  rises when a copy gets or loses its place
    alone:    it is one node for good: replicas are wanted in vain
    """

    nodes: tuple[NodeView, ...]
    shards: tuple[ShardView, ...] = ()
    master: str | None = None
    version: int = 1
    alone: bool = False

    @property
    def alive(self) -> list[NodeView]:
        return [node for node in self.nodes if node.alive]

    @property
    def status(self) -> Status:
        return max((shard.status for shard in self.shards), key=WORSE.index, default="green")

    def of_index(self, name: str) -> list[ShardView]:
        return [shard for shard in self.shards if shard.index == name]

    def by_index(self) -> dict[str, list[ShardView]]:
        """The shards of each index, in order."""
        found: dict[str, list[ShardView]] = {}
        for shard in self.shards:
            found.setdefault(shard.index, []).append(shard)
        return found


@dataclass(frozen=True, slots=True)
class Order:
    """What a person wants done with the copies of one shard.

    kind:    `move` a copy from `node` to `target`; `cancel` what is on its way to `node`; `allocate` a copy on `node`
    """

    kind: Literal["move", "cancel", "allocate"]
    index: str
    shard: int
    node: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an order can be carried out, and why not."""

    order: Order
    accepted: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Whether a copy of a shard may be on a node, rule by rule: words for each that says no."""

    node: str
    holds: bool
    against: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class HasTopology(Protocol):
    """A database that knows of nodes."""

    def topology(self, indices: Collection[str] | None = None, *, sizes: bool = False) -> Topology:
        """Nodes, and the shards of these indices, or of all. `sizes` asks every node, which costs a call to each."""


@runtime_checkable
class Reroutes(Protocol):
    """A database whose copies can be given other places."""

    def wait_topology(self, true: Callable[[], object], timeout_s: float) -> bool:
        """Whether it becomes true within that time; asked again whenever something has changed."""

    def placements(self, index: str, shard: int) -> list[Placement]:
        """For every node, whether the shard may be there. raises: IndexNotFound, RequestError"""

    def reroute(
        self, orders: Iterable[Order], *, dry_run: bool = False, timeout_s: float = 30.0
    ) -> list[Verdict]:
        """Have the master carry out orders: all that are accepted, once one by one they have been looked at.

        raises: Unavailable   no master has done it in time
        """


@runtime_checkable
class KeepsSettings(Protocol):
    """A database that keeps the settings of a cluster for all its servers."""

    @property
    def cluster_uuid(self) -> str:
        """Names the cluster for good."""

    def cluster_settings(self) -> dict[str, dict[str, Any]]:
        """By name, under `persistent` and `transient`."""

    def change_cluster_settings(self, scope: str, changes: Mapping[str, str | None]) -> None:
        """Set some; None takes one back. raises: RequestError   for a value that the cluster cannot heed"""


def topology_of(
    database: Database, indices: Collection[str] | None = None, *, sizes: bool = False
) -> Topology:
    """What a database says of itself, or as the one node that it is."""
    if isinstance(database, HasTopology):
        return database.topology(indices, sizes=sizes)
    infos = database.describe()
    names = sorted(infos) if indices is None else sorted(set(infos) & set(indices))
    shards = tuple(_only_shard(database, infos[name], sizes) for name in names)
    return Topology((NodeView(HERE),), shards, HERE, alone=True)


def _only_shard(database: Database, info: IndexInfo, sizes: bool) -> ShardView:
    """The shard of an index in a directory. Replicas are wanted in vain."""
    size = None
    if sizes and not info.closed:
        stats = database.index(info.name).stats()
        size = Size(stats.documents, stats.deleted, stats.segments, stats.size_bytes)
    wanted = 1 + int(info.settings.get("number_of_replicas", 1))
    return ShardView(info.name, 0, wanted, (CopyView(HERE, "STARTED", size=size),))
