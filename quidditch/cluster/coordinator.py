"""The Database of a cluster: what a server, or a program, sees of it. Keeps nothing but caches."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from collections.abc import Mapping as Dict
from pathlib import Path
from typing import NoReturn

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.cluster.administration import Administration
from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.cluster_index import ClusterIndex
from quidditch.cluster.connection import Connection
from quidditch.cluster.copies import Copies
from quidditch.cluster.index_settings import MOST_SHARDS, sharded_settings
from quidditch.cluster.lanes import Means, Written
from quidditch.cluster.presence import Presence
from quidditch.cluster.remote_search import RemoteGather
from quidditch.cluster.repositories import ClusterSnapshots
from quidditch.cluster.sharded_writer import ShardedWriter
from quidditch.cluster.state import ShardId
from quidditch.cluster.tls import Tls
from quidditch.cluster.transport import Transport
from quidditch.errors import IndexExists, IndexNotFound, RequestError, StorageError, Unsupported
from quidditch.index.catalog import IndexEntry, check_name
from quidditch.interface import CheckReport, Problem, SearchResult
from quidditch.local.active_copies import demanded
from quidditch.local.base_database import BaseDatabase
from quidditch.local.matching import matching, search_each
from quidditch.schema.mapping import Mapping
from quidditch.sequences import HEADER, Sequences
from quidditch.topology import Order, Placement, Topology, Verdict
from quidditch.types import Json

STARTED_S = 30.0
"""How long a new index may take until every shard of it answers."""


class ClusterDatabase(BaseDatabase[ClusterIndex]):
    """The indices of a cluster. Safe to share between threads; a context manager.

    The connection stays the caller's to close.
    """

    most_shards = MOST_SHARDS

    def __init__(
        self,
        connection: Connection,
        secret: str = "",
        default_replicas: int = 1,
        tls: Tls | None = None,
        name: str = "coordinator",
        repositories: Sequence[Path] = (),
    ) -> None:
        """
        secret:            of the cluster, which its data nodes ask for
        default_replicas:  of an index that says nothing of it
        tls:               the files of this process, where the cluster has TLS
        name:              of this process, among the others of the cluster
        repositories:      the directories below which repositories of snapshots may lie
        raises: StorageError   the cluster writes a protocol that this process does not speak
        """
        self._catalogue = Catalogue(connection)
        self._presence = Presence(self._catalogue, "coordinator", name)
        self._closed = False
        self.snapshots = ClusterSnapshots(self, repositories)
        self._default_replicas = default_replicas
        transport = Transport(connection.loop, secret, tls)
        transport.open()
        self._means = Means(self._catalogue, transport, Copies(self._catalogue), Written())
        self._administration = Administration(self._catalogue, transport, self._presence.run)
        self.gather = RemoteGather(self._means.asking, connection.loop)

    def __repr__(self) -> str:
        return f"ClusterDatabase({self._catalogue.connection.options.urls})"

    @property
    def catalogue(self) -> Catalogue:
        """raises: StorageError   this handle is closed"""
        if self._closed:
            raise StorageError("this handle on the cluster is closed")
        return self._catalogue

    @property
    def means(self) -> Means:
        """raises: StorageError   this handle is closed"""
        if self._closed:
            raise StorageError("this handle on the cluster is closed")
        return self._means

    def writers(self) -> Callable[[str], ShardedWriter]:
        return lambda name: ShardedWriter(self.means, name)

    def _where(self) -> str:
        return "the cluster"

    def _entries(self) -> Catalogue:
        return self.catalogue

    def _writable_entries(self) -> Catalogue:
        return self.catalogue

    # ---------------------------------------------------------------------------------------------- indices

    def create_index(
        self, name: str, mappings: dict[str, Json] | None = None, settings: dict[str, Json] | None = None
    ) -> ClusterIndex:
        """A new, empty index, once a copy of each of its shards answers. Settings may hold `number_of_shards` and
        `number_of_replicas`.

        raises: IndexExists, MappingError, RequestError (the name or a setting)
                Unavailable   its shards did not start in time: is a master running, and a data node?
        """
        check_name(name)
        mapping = Mapping.parse(mappings, analyzers=ANALYZER_NAMES)
        shards, checked = sharded_settings(settings, self._default_replicas)
        entry = IndexEntry(uuid.uuid4().hex, {}, checked, shards, created_ms=int(time.time() * 1000))
        self.catalogue.extend_mapping(entry.generation, mapping.to_dict())

        def add(entries: dict[str, IndexEntry]) -> dict[str, IndexEntry]:
            if name in entries:
                raise IndexExists(f"index [{name}] is already there in the cluster")
            if any(name in other.aliases for other in entries.values()):
                raise IndexExists(f"index [{name}]: an alias has this name")
            return {name: entry}

        self.catalogue.change(add)
        self._wait_started(name, entry)
        return ClusterIndex(self, name)

    def _wait_started(self, name: str, entry: IndexEntry) -> None:
        shards = [ShardId(entry.generation, number) for number in range(entry.shards)]
        self.catalogue.wait_for_nodes(
            lambda: all(self.catalogue.serving(shard) for shard in shards),
            STARTED_S,
            f"index [{name}] is created, and not all of its shards have started",
        )
        self._wait_active(entry)

    def _wait_active(self, entry: IndexEntry) -> None:
        """Wait for as many copies as are demanded; that they are not there in time is noted, and no error."""
        demand = demanded(entry.settings)
        wanted = demand.of(int(entry.settings.get("number_of_replicas", 1)))
        deadline = time.monotonic() + demand.timeout_s
        for number in range(entry.shards):
            left_s = max(0.0, deadline - time.monotonic())
            if self.catalogue.wait_serving(ShardId(entry.generation, number), wanted, left_s) < wanted:
                demand.met = False

    def _index(self, name: str) -> ClusterIndex:
        self.catalogue.entry(name)
        return ClusterIndex(self, name)

    def _delete(self, name: str) -> None:
        self.catalogue.entry(name)

        def remove(entries: dict[str, IndexEntry]) -> dict[str, IndexEntry | None]:
            if name not in entries:
                raise IndexNotFound(f"no index [{name}] in the cluster")
            return {name: None}

        self.catalogue.change(remove)

    # ------------------------------------------------------------------------------- nodes, shards, settings

    def topology(self, indices: Collection[str] | None = None, *, sizes: bool = False) -> Topology:
        """Nodes, and the shards of these indices, or of all. `sizes` asks every node."""
        return self._administration.topology(indices, sizes)

    def wait_topology(self, true: Callable[[], object], timeout_s: float) -> bool:
        """Whether it becomes true of what nodes and the master say, within that time."""
        return self._administration.wait(true, timeout_s)

    def placements(self, index: str, shard: int) -> list[Placement]:
        """For every node, whether the shard may be there. raises: IndexNotFound, RequestError"""
        return self._administration.placements(index, shard)

    def reroute(
        self, orders: Iterable[Order], *, dry_run: bool = False, timeout_s: float = 30.0
    ) -> list[Verdict]:
        """Have the master carry out orders: those that can be. raises: IndexNotFound, Unavailable"""
        return self._administration.reroute(list(orders), dry_run, timeout_s)

    @property
    def cluster_uuid(self) -> str:
        """Names the cluster for good."""
        return self.catalogue.cluster_id()

    def cluster_settings(self) -> dict[str, dict[str, str]]:
        """By name, under `persistent` and `transient`."""
        return self._administration.settings()

    def change_cluster_settings(self, scope: str, changes: Dict[str, str | None]) -> None:
        """Set some, for the whole cluster; None takes one back. raises: RequestError"""
        self._administration.change_settings(scope, changes)

    # ---------------------------------------------------------------------------------------------- sessions

    def heed(self, sequences: Sequences) -> None:
        """Have the reads of this coordinator see what others have written: what a client brings of its own writes.

        raises: RequestError   it was never written; Unavailable   whether it was is not known
        """
        shards = {entry.generation: entry.shards for entry in self.catalogue.entries().values()}
        for reached in sequences:
            shard = ShardId(reached.uuid, reached.shard)
            # Of an index that is gone there is nothing to see.
            if reached.shard < shards.get(reached.uuid, 0):
                self._heed_one(shard, reached.sequence)

    def _heed_one(self, shard: ShardId, sequence: int) -> None:
        written = self.means.written
        if sequence <= written.of(shard):
            return
        reports = self.catalogue.serving(shard).values()
        if all(report.shards[str(shard)].applied < sequence for report in reports):
            # Nobody shall make the others wait for what never comes.
            last = self.means.log(shard).bounds().last
            if sequence > last:
                raise RequestError(f"{HEADER}: shard {shard} is at {last}, and {sequence} was never written")
        written.heed(shard, sequence)

    # -------------------------------------------------------------------------------------------- searching

    def search(self, index: str, body: dict[str, Json] | None = None) -> SearchResult:
        """As `LocalDatabase.search`. raises: IndexNotFound, QueryError, RequestError, Unavailable"""
        filters = matching(index, self.catalogue.entries(), "the cluster")
        return search_each(filters, body, lambda name: self.index(name)._mapping(), self.index)

    def check(self, *, deep: bool = True, progress: bool = False) -> CheckReport:
        """Verify every copy that answers, of every index that is open."""
        problems: list[Problem] = []
        for name, entry in sorted(self.catalogue.entries().items()):
            if not entry.closed:
                problems += self.index(name).check(deep=deep).problems
        return CheckReport(problems)

    def backup(self, path: str | Path, *, progress: bool = False) -> NoReturn:
        raise Unsupported("backup: is of a directory; of a cluster there are snapshots (docs/cluster.md)")

    # ------------------------------------------------------------------------------------------------- life

    def close(self) -> None:
        """End what this handle has under way; the connection stays open."""
        if self._closed:
            return
        self._closed = True
        self._means.transport.close()
        self._presence.close()
        self._catalogue.close()
