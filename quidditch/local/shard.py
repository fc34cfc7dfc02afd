"""One open shard of this process: what searches run on, its writer, and who is using it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from quidditch.index.catalog import Catalog, IndexEntry
from quidditch.index.environment import Environment
from quidditch.index.snapshot import Snapshots
from quidditch.index.storage import Transaction
from quidditch.index.writer import IndexWriter
from quidditch.interface import (
    ShardSnapshot,
)
from quidditch.local.options import Options
from quidditch.local.settings import durability_of
from quidditch.local.views import Views
from quidditch.schema.mapping import Mapping
from quidditch.search.searcher import SnapshotSearcher
from quidditch.types import Json


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

    `users` counts who is at work on it, under the directory's lock.
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
        self.views = Views()
        self._keep_alive_s = options.keep_alive_s

    @contextmanager
    def snapshot(
        self,
        lasting: bool = False,
        keep_alive_s: float | None = None,
        look: Callable[[Transaction], object] | None = None,
    ) -> Iterator[ShardSnapshot]:
        """A view for one search, or a lasting one for a scan; nothing it hands out lies in the mapped file.

        look:  is called with the transaction that the view reads by
        raises: LimitExceeded   too many lasting ones are open
        """
        if lasting:
            self.environment.prepare_to_write()
        with self.environment.translated(), self.snapshots.open(self.schema.current) as snapshot:
            if look is not None:
                look(snapshot.transaction)
            searcher = SnapshotSearcher(snapshot, self.number, snapshot.mapping)
            if not lasting:
                yield searcher
                return
            with self.views.registered(snapshot, searcher, keep_alive_s or self._keep_alive_s) as view:
                yield view

    def close(self) -> None:
        """Wait for running searches, end the scans that are between two of theirs, and unmap.

        raises: StoreFull, ...   what was acknowledged from memory could not be committed
        """
        try:
            if not self.environment.readonly and not self.environment.closed:
                self.writer.close()
        finally:
            self.views.close()
            self.environment.close()
