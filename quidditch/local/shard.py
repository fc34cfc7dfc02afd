"""One open shard of this process: what searches run on, its writer, and who is using it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quidditch.errors import StorageError
from quidditch.index.catalog import Catalog, IndexEntry
from quidditch.index.environment import DEFAULT_MAP_BYTES, Environment
from quidditch.index.reader import DEFAULT_CACHE_BYTES
from quidditch.index.snapshot import Snapshot, Snapshots
from quidditch.index.storage import SHARD_TABLES
from quidditch.index.writer import DEFAULT_MEMORY_BYTES, IndexWriter
from quidditch.interface import (
    CollectionStats,
    Fetched,
    FetchRequest,
    QueryRequest,
    QueryResult,
    ShardSnapshot,
)
from quidditch.local.settings import durability_of
from quidditch.schema.mapping import Mapping
from quidditch.search.searcher import SnapshotSearcher
from quidditch.types import DocAddress, Json


@dataclass(frozen=True, slots=True)
class Options:
    """How a directory is opened. `memory_bytes` bounds indexing, `cache_bytes` what searches keep decoded,
    `map_size_bytes` the addresses reserved for each index, and so its size on disk."""

    readonly: bool = False
    write_timeout_s: float = 60.0
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    cache_bytes: int = DEFAULT_CACHE_BYTES
    map_size_bytes: int = DEFAULT_MAP_BYTES

    def environment(self, folder: Path) -> Environment:
        """A shard's environment, opened so."""
        return Environment(
            folder,
            SHARD_TABLES,
            readonly=self.readonly,
            write_timeout_s=self.write_timeout_s,
            map_bytes=self.map_size_bytes,
        )


class IndexSchema:
    """An index's mapping in the catalogue, as the write path sees it, and whether its shard still is the index's.

    raises: IndexNotFound   the index was deleted, even if another of its name was made since
    """

    def __init__(self, catalog: Catalog, name: str, generation: str) -> None:
        self._catalog = catalog
        self._name = name
        self._generation = generation

    def current(self) -> Mapping:
        return self._catalog.mapping(self._name, self._generation)

    def check(self) -> None:
        """raises: GenerationReplaced   the index has moved, and what is written here would be lost"""
        self._catalog.check(self._name, self._generation)

    def extend(self, body: dict[str, Json]) -> Mapping:
        return self._catalog.extend_mapping(self._name, self._generation, body)


class LocalShard:
    """One shard in this process: what a search runs on, and its writer.

    `users` counts who is at work on it, under the directory's lock: once retired, the last one closes it.
    """

    def __init__(
        self,
        environment: Environment,
        schema: IndexSchema,
        entry: IndexEntry,
        options: Options,
        number: int = 0,
    ) -> None:
        self.environment = environment
        self.schema = schema
        self.generation = entry.generation
        self.number = number
        self.snapshots = Snapshots(environment, options.cache_bytes)
        self.writer = IndexWriter(self.snapshots, schema, options.memory_bytes, durability_of(entry.settings))
        self.users = 0
        self.retired = False
        self._lasting: set[LastingView] = set()
        self._closing = False

    @contextmanager
    def snapshot(self, lasting: bool = False) -> Iterator[ShardSnapshot]:
        """A view for one search, or a lasting one for a scan; nothing it hands out lies in the mapped file."""
        if lasting:
            self.environment.prepare_to_write()
        with self.environment.translated(), self.snapshots.open(self.schema.current) as snapshot:
            searcher = SnapshotSearcher(snapshot, self.number, self.schema.current())
            if not lasting:
                yield searcher
                return
            view = LastingView(snapshot, searcher)
            self._lasting.add(view)
            if self._closing:
                view.end()
            try:
                yield view
            finally:
                self._lasting.discard(view)

    def close(self) -> None:
        """Wait for running searches, end the scans that are between two of theirs, and unmap.

        raises: StoreFull, ...   what was acknowledged from memory could not be committed
        """
        try:
            if not self.environment.readonly and not self.environment.closed:
                self.writer.close()
        finally:
            self._closing = True
            for view in list(self._lasting):
                view.end()
            self.environment.close()


class LastingView(ShardSnapshot):
    """A scan's view. It may lie idle for long, so closing the shard ends it rather than wait for it."""

    def __init__(self, snapshot: Snapshot, searcher: SnapshotSearcher) -> None:
        self._snapshot = snapshot
        self._searcher = searcher
        self._ended = False
        self._lock = threading.Lock()

    def end(self) -> None:
        with self._lock:
            self._ended = True
            self._snapshot.close()

    @contextmanager
    def _at_work(self) -> Iterator[SnapshotSearcher]:
        with self._lock:
            if self._ended:
                raise StorageError("the database was closed while this scan was open")
            yield self._searcher

    def statistics(self, fields: Iterable[str], terms: Iterable[tuple[str, bytes]]) -> CollectionStats:
        with self._at_work() as searcher:
            return searcher.statistics(fields, terms)

    def query(self, request: QueryRequest) -> QueryResult:
        with self._at_work() as searcher:
            return searcher.query(request)

    def fetch(self, addresses: Sequence[DocAddress], request: FetchRequest) -> list[Fetched]:
        with self._at_work() as searcher:
            return searcher.fetch(addresses, request)
