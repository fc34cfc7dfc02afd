"""What all processes of a cluster know of it: indices, mappings, routing table, nodes; read from memory, changed by
compare-and-set.

The entries of indices are those of a directory's catalogue, `generation` being the uuid of the index, without its
mapping: that has versions of its own, each written once, so that a log can name the one its documents were read by.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from collections.abc import Mapping as Dict
from typing import Any

import msgspec

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.cluster.connection import Connection
from quidditch.cluster.keys import Changed, Keys, Value
from quidditch.cluster.orders import Orders
from quidditch.cluster.state import (
    Kept,
    NodeReport,
    ProcessReport,
    RoutingTable,
    ShardId,
    from_bytes,
    to_bytes,
)
from quidditch.errors import IndexNotFound, StorageError, Unavailable
from quidditch.index.catalog import IndexEntry
from quidditch.schema.mapping import Mapping, nearest
from quidditch.types import Json

GONE_S = 5.0
"""A node that has been silent for so long is gone."""

REPOSITORIES = "repositories"
CLUSTER, INDICES, ROUTING, TEMPLATES, SETTINGS = "cluster", "indices", "routing", "templates", "settings"
ORDERS = "orders"


class Indices(msgspec.Struct, frozen=True):
    """All indices by name: one value, so that a change of several aliases is one change."""

    entries: dict[str, IndexEntry] = {}
    version: int = 1


class Templates(msgspec.Struct, frozen=True):
    """What new indices are made after, by kind and name."""

    bodies: dict[str, dict[str, Any]] = {}
    version: int = 1


class Repositories(msgspec.Struct, frozen=True):
    """The repositories of snapshots: the location of each, by name."""

    locations: dict[str, str] = {}
    version: int = 1


class Settings(msgspec.Struct, frozen=True):
    """Settings of the cluster by name. Both kinds are kept: there is no moment at which all of a cluster ends."""

    persistent: dict[str, str] = {}
    transient: dict[str, str] = {}
    version: int = 1

    @property
    def effective(self) -> dict[str, str]:
        return {**self.persistent, **self.transient}


class Catalogue:
    """The shared state, followed. Safe to share between threads."""

    def __init__(self, connection: Connection) -> None:
        """raises: StorageError   the cluster writes a protocol that this process does not speak"""
        self.connection = connection
        self.speaks = connection.options.speaks
        self._keys = Keys(connection, "quidditch")
        self._node_keys = Keys(connection, "quidditch_nodes")
        self._keys.create()
        self._node_keys.create(in_memory=True)
        self._state = self._keys.mirror()
        self._reports = self._node_keys.mirror()
        self._lock = threading.Lock()
        self._decoded: dict[str, tuple[Value, Any]] = {}
        self._mappings: dict[str, tuple[int, Mapping]] = {}
        try:
            self.speaks.check(self.protocol(), "the cluster is")
        except StorageError:
            self.close()
            raise

    def close(self) -> None:
        self._state.close()
        self._reports.close()

    def _read(self, key: str, kind: type[Any]) -> Any:
        """A key's value; an empty one where there is none."""
        value = self._state.get(key)
        if value is None:
            return kind()
        return self._decode(key, value, kind)

    def _decode(self, key: str, value: Value, kind: type[Any]) -> Any:
        """A value, decoded once. Revisions alone do not tell: they begin anew where NATS has lost a bucket."""
        with self._lock:
            known = self._decoded.get(key)
            if known is None or known[0] != value:
                known = self._decoded[key] = (value, from_bytes(value.data, kind, self.speaks))
            return known[1]

    def cluster_id(self) -> str:
        """Names this cluster for good; made by whoever asks first."""

        def make(now: bytes | None) -> bytes | None:
            return None if now else uuid.uuid4().hex.encode()

        self._state.wait_revision(self._keys.change(CLUSTER, make))
        value = self._state.get(CLUSTER)
        return "" if value is None else value.data.decode()

    def check_cluster(self, known: str) -> None:
        """raises: StorageError   the state that is followed has become that of another cluster than this one"""
        value = self._state.get(CLUSTER)
        found = known if value is None else value.data.decode()
        if found != known:
            raise StorageError(
                f"NATS held the state of cluster {known} and holds that of {found} now: what it lost is not followed"
            )

    def wait_for(self, true: Callable[[], object], timeout_s: float, what: str) -> None:
        """Wait until it is true of the state. raises: Unavailable"""
        self._state.wait_for(true, timeout_s, what)

    def wait_change(self, timeout_s: float) -> None:
        self._state.wait_change(timeout_s)

    def restore(self) -> bool:
        """Put back what NATS has lost, as this process saw it last; whether there was anything to put back.

        For the active master alone: it has seen the last routing table, since it wrote it. What others have written
        meanwhile stays, but for the id of the cluster, which the folders of data nodes are known by.
        """
        lost = self._state.before_loss
        if not lost:
            return False
        self._keys.create()
        if CLUSTER in lost:
            self._keys.put(CLUSTER, lost[CLUSTER].data)
        # Last what says which shards there are: a table without its indices is a state that is not whole.
        for key in sorted(lost.keys() - {CLUSTER}, key=lambda key: (key in (INDICES, ROUTING), key)):
            if key == INDICES:
                self._keys.change(key, lambda now: _joined(lost[INDICES].data, now))
            else:
                with contextlib.suppress(Changed):
                    self._keys.replace(key, lost[key].data, 0)
        self._state.before_loss = None
        return True

    # ---------------------------------------------------------------------------------------------- indices

    def entries(self) -> dict[str, IndexEntry]:
        """All indices by name."""
        found: Indices = self._read(INDICES, Indices)
        return found.entries

    def lost(self) -> bool:
        """Whether there is a routing table without a list of indices: what was in NATS is no longer all there."""
        return self._state.get(INDICES) is None and bool(self.routing().indices)

    def entry(self, name: str) -> IndexEntry:
        """raises: IndexNotFound"""
        entries = self.entries()
        try:
            return entries[name]
        except KeyError:
            raise IndexNotFound(f"no index [{name}] in the cluster{nearest(name, entries)}") from None

    def change(
        self, alter: Callable[[dict[str, IndexEntry]], Dict[str, IndexEntry | None]]
    ) -> list[IndexEntry]:
        """As `Catalog.change` of a directory: entries put in place of those of the same names, None forgets one.

        returns: the entries that were forgotten
        raises:  whatever `alter` raises; nothing was changed then
        """
        forgotten: list[IndexEntry] = []

        def rewrite(now: bytes | None) -> bytes | None:
            before = Indices() if now is None else from_bytes(now, Indices, self.speaks)
            changes = alter(dict(before.entries))
            after = {**before.entries, **changes}
            forgotten[:] = [before.entries[name] for name, entry in changes.items() if entry is None]
            kept = {name: entry for name, entry in sorted(after.items()) if entry is not None}
            return None if kept == before.entries else to_bytes(Indices(kept))

        self._state.wait_revision(self._keys.change(INDICES, rewrite))
        return forgotten

    def templates(self) -> dict[str, dict[str, Any]]:
        found: Templates = self._read(TEMPLATES, Templates)
        return found.bodies

    def change_templates(
        self, alter: Callable[[dict[str, dict[str, Any]]], dict[str, dict[str, Any] | None]]
    ) -> None:
        """As `Catalog.change_templates` of a directory."""

        def rewrite(now: bytes | None) -> bytes | None:
            before = Templates() if now is None else from_bytes(now, Templates, self.speaks)
            after = {**before.bodies, **alter(dict(before.bodies))}
            return to_bytes(Templates({name: body for name, body in after.items() if body is not None}))

        self._state.wait_revision(self._keys.change(TEMPLATES, rewrite))

    def repositories(self) -> dict[str, str]:
        """The locations of repositories of snapshots, by name."""
        found: Repositories = self._read(REPOSITORIES, Repositories)
        return found.locations

    def change_repositories(self, alter: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Know those that `alter` makes of all there are."""

        def rewrite(now: bytes | None) -> bytes | None:
            before = Repositories() if now is None else from_bytes(now, Repositories)
            return to_bytes(Repositories(alter(dict(before.locations))))

        self._state.wait_revision(self._keys.change(REPOSITORIES, rewrite))

    def settings(self) -> Settings:
        """Of the cluster."""
        found: Settings = self._read(SETTINGS, Settings)
        return found

    def change_settings(self, alter: Callable[[Settings], Settings]) -> None:
        """raises: whatever `alter` raises; nothing was changed then"""
        self._change(SETTINGS, Settings, alter)

    def orders(self) -> Orders:
        """What people have ordered, and the master has not yet carried out."""
        found: Orders = self._read(ORDERS, Orders)
        return found

    def change_orders(self, alter: Callable[[Orders], Orders]) -> None:
        """raises: whatever `alter` raises; nothing was changed then"""
        self._change(ORDERS, Orders, alter)

    def _change(self, key: str, kind: type[Kept], alter: Callable[[Kept], Kept]) -> None:
        def rewrite(now: bytes | None) -> bytes | None:
            before = kind() if now is None else from_bytes(now, kind)
            after = alter(before)
            return None if after == before else to_bytes(after)

        self._state.wait_revision(self._keys.change(key, rewrite))

    # --------------------------------------------------------------------------------------------- mappings

    def mapping(self, index: str) -> tuple[int, Mapping]:
        """The newest mapping of an index, by uuid, and its version."""
        version = self._newest(index)
        with self._lock:
            known = self._mappings.get(index)
        if known is None or known[0] != version:
            body = self.mapping_body(index, version)
            known = (version, Mapping.parse(body, analyzers=ANALYZER_NAMES))
            with self._lock:
                self._mappings[index] = known
        return known

    def _newest(self, index: str) -> int:
        prefix = f"mapping.{index}."
        return max((int(key[len(prefix) :]) for key in self._state.values(prefix)), default=0)

    def mapping_body(self, index: str, version: int) -> dict[str, Any]:
        """One version of a mapping; version 0 has no field.

        raises: Unavailable   it cannot be had
        """
        if version == 0:
            return {}
        value = self._state.get(f"mapping.{index}.{version}") or self._keys.get(f"mapping.{index}.{version}")
        if value is None:
            raise Unavailable(f"version {version} of the mapping of index {index} is not there")
        body: dict[str, Any] = msgspec.json.decode(value.data)
        return body

    def extend_mapping(self, index: str, body: dict[str, Json]) -> tuple[int, Mapping]:
        """Add fields to the mapping; the version that has them, and which others may have made.

        raises: MappingError
        """
        while True:
            version, old = self.mapping(index)
            new = old.merged(body, analyzers=ANALYZER_NAMES)
            if new == old and version:
                return version, old
            try:
                revision = self._keys.replace(
                    f"mapping.{index}.{version + 1}", msgspec.json.encode(new.to_dict()), 0
                )
            except Changed:
                self._state.wait_for(lambda: self._newest(index) > version, 10.0, "a mapping")  # noqa: B023
                continue
            self._state.wait_revision(revision)
            return version + 1, new

    def forget_mappings(self, index: str) -> None:
        """Of an index that was deleted."""
        for key in self._state.values(f"mapping.{index}."):
            self._keys.delete(key)

    # ---------------------------------------------------------------------------------------------- routing

    def routing(self) -> RoutingTable:
        found: RoutingTable = self._read(ROUTING, RoutingTable)
        return found

    def protocol(self) -> int:
        """The protocol to write, as all of the cluster speak it: what a newer one brings is not used before."""
        return self.routing().version if self._state.get(ROUTING) else self.speaks.oldest

    def routing_at(self) -> tuple[RoutingTable, int]:
        """The table, and the revision that it has in its key.

        What is read of the state afterwards is as new as this table, or newer.
        """
        value = self._state.get(ROUTING)
        return (
            (RoutingTable(), 0)
            if value is None
            else (from_bytes(value.data, RoutingTable, self.speaks), value.revision)
        )

    def put_routing(self, table: RoutingTable, revision: int) -> None:
        """Put a table in the place of the one at this revision; the master's alone to call.

        raises: Changed   another has been written since: what was decided is old, and is to be decided anew
        """
        self._state.wait_revision(self._keys.replace(ROUTING, to_bytes(table), revision))

    # ------------------------------------------------------------------------------------------------ nodes

    def report(self, report: NodeReport) -> None:
        """A node says that it lives."""
        self._node_keys.put(f"node.{report.node}", to_bytes(report))

    def forget_node(self, node: str) -> None:
        self._node_keys.delete(f"node.{node}")

    def nodes(self, gone_s: float = GONE_S) -> dict[str, NodeReport]:
        """What the nodes say that have not been silent for so long."""
        found = {}
        for key, value in self._reports.values("node.").items():
            if self._reports.silent_s(key) < gone_s:
                report: NodeReport = self._decode(key, value, NodeReport)
                found[report.node] = report
        return found

    def report_process(self, report: ProcessReport) -> None:
        """A process that holds no copies says that it lives."""
        self._node_keys.put(f"process.{report.run}", to_bytes(report))

    def forget_process(self, run: str) -> None:
        self._node_keys.delete(f"process.{run}")

    def processes(self, gone_s: float = GONE_S) -> dict[str, ProcessReport]:
        """Masters and coordinators that have not been silent for so long, by run."""
        return {
            key.removeprefix("process."): from_bytes(value.data, ProcessReport, self.speaks)
            for key, value in self._reports.values("process.").items()
            if self._reports.silent_s(key) < gone_s
        }

    def wait_for_nodes(self, true: Callable[[], object], timeout_s: float, what: str) -> None:
        """Wait until it is true of what nodes say. raises: Unavailable"""
        self._reports.wait_for(true, timeout_s, what)

    def serving(self, shard: ShardId) -> dict[str, NodeReport]:
        """The nodes that hold a copy of the shard which answers, by name; those that leave come last."""
        alive = self.nodes()
        found = {}
        for copy in sorted(self.routing().copies(shard), key=lambda copy: copy.leaving):
            report = alive.get(copy.node)
            if report is not None and report.shards.get(str(shard)) and report.shards[str(shard)].started:
                found[copy.node] = report
        return found

    def wait_serving(self, shard: ShardId, count: int, timeout_s: float) -> int:
        """How many copies of the shard serve, once so many do, or after `timeout_s`."""
        found = len(self.serving(shard))
        if found < count and timeout_s > 0:
            with contextlib.suppress(Unavailable):
                self.wait_for_nodes(lambda: len(self.serving(shard)) >= count, timeout_s, f"shard {shard}")
            found = len(self.serving(shard))
        return found

    def shards_of(self, name: str) -> list[ShardId]:
        """raises: IndexNotFound"""
        entry = self.entry(name)
        return [ShardId(entry.generation, number) for number in range(entry.shards)]


def _joined(before: bytes, now: bytes | None) -> bytes:
    """The indices that were there, and those that were made since."""
    since = {} if now is None else from_bytes(now, Indices).entries
    return to_bytes(Indices(dict(sorted({**from_bytes(before, Indices).entries, **since}.items()))))


class IndexMappings:
    """The versions of one index's mapping, for its replicas."""

    def __init__(self, catalogue: Catalogue, index: str) -> None:
        self._catalogue = catalogue
        self._index = index

    def get(self, version: int) -> dict[str, Any]:
        return self._catalogue.mapping_body(self._index, version)


def check_cluster(catalogue: Catalogue, known: str) -> str:
    """The id of the cluster, which must be the one that a node belongs to already, if it does.

    raises: StorageError   it is another cluster: its state was lost, or the node's folder is of another one
    """
    found = catalogue.cluster_id()
    if known not in ("", found):
        raise StorageError(
            f"this folder belongs to cluster {known}, and NATS holds the state of cluster {found}"
        )
    return found
