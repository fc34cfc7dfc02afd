"""The Database of a cluster: what a server, or a program, sees of it. Keeps nothing but caches."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import msgspec

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.cluster_index import ClusterIndex
from quidditch.cluster.connection import Connection
from quidditch.cluster.copies import Copies
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
from quidditch.interface import BulkResult, CheckReport, IndexInfo, Problem, SearchResult
from quidditch.local.active_copies import demanded
from quidditch.local.aliases import alter_aliases
from quidditch.local.bulk import carry_out_by
from quidditch.local.matching import matching, search_each
from quidditch.local.settings import check_settings
from quidditch.schema.mapping import Mapping
from quidditch.types import Json

DEFAULT_SHARDS = 1
"""Of an index that says nothing about it."""

MOST_SHARDS = 1_024

MOST_REPLICAS = 1_000

STARTED_S = 30.0
"""How long a new index may take until every shard of it answers."""


class ClusterDatabase:
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
        self._means = Means(self._catalogue, transport, Copies(self._catalogue), Written())
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
        self._wait_active(entry)
        return ClusterIndex(self, name)

    def _wait_started(self, name: str, entry: IndexEntry) -> None:
        shards = [ShardId(entry.generation, number) for number in range(entry.shards)]
        self.catalogue.wait_for_nodes(
            lambda: all(self.catalogue.serving(shard) for shard in shards),
            STARTED_S,
            f"index [{name}] is created, and not all of its shards have started",
        )

    def _wait_active(self, entry: IndexEntry) -> None:
        """Wait for as many copies as are demanded; that they are not there in time is noted, and no error."""
        demand = demanded(entry.settings)
        wanted = demand.of(int(entry.settings.get("number_of_replicas", 1)))
        deadline = time.monotonic() + demand.timeout_s
        for number in range(entry.shards):
            left_s = max(0.0, deadline - time.monotonic())
            if self.catalogue.wait_serving(ShardId(entry.generation, number), wanted, left_s) < wanted:
                demand.met = False

    def index(self, name: str) -> ClusterIndex:
        """raises: IndexNotFound"""
        if not isinstance(name, str):
            raise RequestError(f"index: a name expected, not {name!r}")
        self.catalogue.entry(name)
        return ClusterIndex(self, name)

    def __getitem__(self, name: str) -> ClusterIndex:
        return self.index(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.indices())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.catalogue.entries()

    def indices(self) -> list[str]:
        """The names of all indices, sorted."""
        return sorted(self.catalogue.entries())

    def delete_index(self, name: str) -> None:
        """raises: IndexNotFound"""
        if not isinstance(name, str):
            raise RequestError(f"delete_index: a name expected, not {name!r}")
        self.catalogue.entry(name)

        def remove(entries: dict[str, IndexEntry]) -> dict[str, IndexEntry | None]:
            if name not in entries:
                raise IndexNotFound(f"no index [{name}] in the cluster")
            return {name: None}

        self.catalogue.change(remove)

    def describe(self) -> dict[str, IndexInfo]:
        """What is known of every index, by name, all as of one moment."""
        return {
            name: IndexInfo(
                name,
                entry.generation,
                entry.created_ms,
                entry.closed,
                dict(entry.settings),
                {alias: dict(options) for alias, options in sorted(entry.aliases.items())},
            )
            for name, entry in sorted(self.catalogue.entries().items())
        }

    def update_aliases(self, actions: Sequence[Json]) -> None:
        """As `LocalDatabase.update_aliases`: all of the actions at once, or none."""
        if isinstance(actions, str | bytes | dict) or not isinstance(actions, Iterable):
            raise RequestError(f"update_aliases: a list of actions expected, not {type(actions).__name__}")
        listed = list(actions)
        self.catalogue.change(lambda entries: alter_aliases(entries, listed))

    def close_index(self, name: str) -> None:
        """Refuse reads and writes of an index until `open_index`. raises: IndexNotFound"""
        self._set_closed(name, True)

    def open_index(self, name: str) -> None:
        """Take back `close_index`. raises: IndexNotFound"""
        self._set_closed(name, False)

    def _set_closed(self, name: str, closed: bool) -> None:
        self.index(name)

        def alter(entries: dict[str, IndexEntry]) -> dict[str, IndexEntry]:
            if name not in entries:
                raise IndexNotFound(f"no index [{name}] in the cluster")
            return {name: msgspec.structs.replace(entries[name], closed=closed)}

        self.catalogue.change(alter)

    def templates(self) -> dict[str, dict[str, Any]]:
        """What a server makes new indices after, by kind and name (`index/logs`)."""
        return self.catalogue.templates()

    def change_templates(
        self, alter: Callable[[dict[str, dict[str, Any]]], dict[str, dict[str, Any] | None]]
    ) -> None:
        """Keep the templates that `alter` makes of all there are, all at once; None forgets one."""
        self.catalogue.change_templates(alter)

    # --------------------------------------------------------------------------------------- bulk and search

    def bulk(self, actions: Iterable[Any], *, refresh: bool = False) -> BulkResult:
        """Carry out many writes, to one index or several; `items` says what became of each, in order."""
        return carry_out_by(lambda name: ShardedWriter(self.means, name), actions, None)

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def sharded_settings(settings: dict[str, Json] | None, default_replicas: int) -> tuple[int, dict[str, Json]]:
    """How many shards an index has, and its settings.

    raises: RequestError   naming the setting
    """
    flat = check_settings(settings, most_shards=MOST_SHARDS)
    flat.setdefault("number_of_replicas", default_replicas)
    replicas = flat["number_of_replicas"]
    if not str(replicas).isdecimal() or not 0 <= int(str(replicas)) <= MOST_REPLICAS:
        raise RequestError(f"settings: number_of_replicas: 0 to {MOST_REPLICAS} expected, not {replicas!r}")
    return int(flat.get("number_of_shards") or DEFAULT_SHARDS), flat
