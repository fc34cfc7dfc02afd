"""The Index of a directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as Dict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from quidditch.errors import (
    RequestError,
    StorageError,
)
from quidditch.index.batches import ThreadAnalysis
from quidditch.index.catalog import IndexEntry
from quidditch.index.codecs import id_key
from quidditch.index.document import decode_source
from quidditch.index.loading import StreamLoader
from quidditch.index.reader import SegmentCache
from quidditch.index.routings import read_routing
from quidditch.index.snapshot import SegmentState, read_entry, read_source
from quidditch.index.storage import SHARD_TABLES, Table, Transaction
from quidditch.index.workers import MAX_WORKERS, WorkerAnalysis
from quidditch.interface import (
    BulkItem,
    BulkResult,
    CheckReport,
    Document,
    IndexStats,
    Shard,
)
from quidditch.local.base_index import BaseIndex
from quidditch.local.generations import backup, compact
from quidditch.local.location import local_path
from quidditch.local.point_in_time import PointInTime
from quidditch.local.settings import changed_settings
from quidditch.local.shard import LocalShard
from quidditch.local.sizes import structure_sizes
from quidditch.local.verifying import check_index
from quidditch.local.writing import CurrentWriter
from quidditch.progress import watched, watched_bytes, watched_stream
from quidditch.schema.mapping import Mapping
from quidditch.search.request import SearchRequest
from quidditch.tables import records
from quidditch.types import Json

if TYPE_CHECKING:
    from quidditch.local.database import LocalDatabase


FIXED_BYTES = 4 * 4096
"""What LMDB's two meta pages and its own two tables take of an environment."""


class LocalIndex(BaseIndex[CurrentWriter]):
    """One index of a directory. A search sees every write acknowledged before it, whoever made it."""

    def __init__(self, database: LocalDatabase, name: str) -> None:
        self._database = database
        self.name = name

    def __repr__(self) -> str:
        return f"LocalIndex({self.name!r} in {str(self._database.path)!r})"

    @contextmanager
    def _reading(self) -> Iterator[LocalShard]:
        """The shard, with everything on disk that was acknowledged: only that is read."""
        with self._database.directory.use(self.name) as shard:
            shard.writer.sync()
            yield shard

    @contextmanager
    def _shards(self, request: SearchRequest | None = None) -> Iterator[Sequence[Shard]]:
        with self._reading() as shard:
            yield [shard]

    def point_in_time(self, keep_alive_s: float | None = None) -> PointInTime:
        """The index as it is now, to search again and again whatever is written meanwhile; close it soon.

        keep_alive_s:  how long it may lie unused before it is ended; without it, `keep_alive_s` of `connect`
        cost: the disk space of what is replaced meanwhile is reused only after its end; see `stats`
        raises: LimitExceeded   when too many scans and points in time are open
        """
        return PointInTime(self, keep_alive_s)

    def _writers(self) -> Callable[[str], CurrentWriter]:
        return self._database.writers()

    def _mapping(self) -> Mapping:
        return self._database.directory.catalog.mapping(self.name)

    # ---------------------------------------------------------------------------------------------- mappings

    @property
    def settings(self) -> dict[str, Json]:
        return dict(self._database.directory.catalog.get(self.name).settings)

    def put_settings(self, settings: dict[str, Json], *, preserve: bool = False) -> None:
        """Change settings; None takes one back, and with `preserve` those that are there stay as they are.

        raises: RequestError   naming one that is unknown, or that an index has from its beginning
        """

        def alter(entry: IndexEntry) -> IndexEntry:
            changed = changed_settings(entry.settings, settings, preserve)
            return msgspec.structs.replace(entry, settings=changed)

        self._database.change_entry(self.name, alter)

    def put_mappings(self, mappings: dict[str, Json]) -> None:
        """Add fields; documents already there keep what was indexed.

        raises: MappingError   for a change that documents already indexed could not follow
        """

        def extend(shard: LocalShard) -> None:
            with shard.environment.locked():
                # What is buffered was taken under the mapping as it is, and is indexed by it.
                shard.writer.flush()
                shard.schema.extend(mappings)

        self._writer().on_shard(extend)

    # ------------------------------------------------------------------------------------------------ writes

    def add_many(
        self,
        docs: Iterable[Dict[str, Any]],
        *,
        id_field: str | None = "_id",
        progress: bool = False,
        chunk: int | None = None,
        workers: int = 1,
    ) -> BulkResult:
        """Add or replace a stream of documents in bounded memory; a document that does not fit fails alone.

        docs:      dicts, a pyarrow table or reader, a Polars or pandas frame
        id_field:  the field that holds the id; `_id` is no part of the source, any other field stays in it
        chunk:     documents a commit holds at most; without it, as many as `memory_bytes` allows
        workers:   from 2 on, processes that analyse the documents, each with some 150 MB of its own; the index comes
                   out the same. They need no `if __name__ == "__main__"` and end with this process
        Each chunk is all there or not at all after a crash. If `docs` raises, what it gave before is kept.
        raises: StorageError   a chunk could not be written; the error says up to where the stream is in, and
                               `error.partial` what a return would have said
                RoutingMissing the mapping demands one, which `bulk` takes
        """
        self._check_stream(chunk, id_field)
        if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= MAX_WORKERS:
            raise RequestError(
                f"add_many: workers: a number of processes from 1 to {MAX_WORKERS} expected, not {workers!r}"
            )
        self._check_unrouted()
        started = time.monotonic()
        writer = self._writer()
        stream = records(docs)
        schema, lend = writer.on_shard(lambda shard: (shard.schema, shard.writer.lend_vocabularies))
        with lend() as vocabularies:
            analysis = ThreadAnalysis() if workers == 1 else WorkerAnalysis(workers, vocabularies.limit_bytes)
            loader = StreamLoader(writer, schema, vocabularies, chunk, id_field, analysis)
            try:
                self._load(loader, watched_stream(stream, docs) if progress else stream)
            except BaseException as error:
                _explain_stop(error, loader, _loaded(loader, started), self.name)
                raise
        return _loaded(loader, started)

    def _load(self, loader: StreamLoader, stream: Iterator[Any]) -> None:
        """The whole stream into the loader. If reading it fails, what it gave before goes in; if writing fails,
        nothing more is written."""
        try:
            while True:
                try:
                    doc = next(stream)
                except StopIteration:
                    break
                except BaseException:
                    loader.finish()
                    raise
                loader.add(doc)
            loader.finish()
        finally:
            loader.abandon()

    def refresh(self) -> None:
        """Make writes visible: on a directory they are already."""
        with self._reading():
            pass

    def flush(self) -> None:
        """Have everything acknowledged on disk, and make a segment of buffered documents."""
        self._writer().on_shard(lambda shard: shard.writer.flush())

    def _force_merge(self, max_segments: int) -> None:
        self._writer().on_shard(lambda shard: shard.writer.force_merge(max_segments))

    def compact(self, *, progress: bool = False) -> None:
        """Write the index anew without the pages that deletes and merges freed; its file is as small as can be.

        Readers go on, and writers for most of the time. Documents that are only marked as deleted stay:
        `force_merge` drops those.
        progress:  draw a bar, on a terminal
        cost: reads and writes the whole index; the disk holds both copies until the old one's readers have ended
        raises: StoreFull, CorruptIndex, StoreLocked   the index is as it was
        """

        def rewrite(shard: LocalShard) -> None:
            with watched_bytes("compacting", progress, shard.environment.size_bytes()) as watch:
                compact(self._database.writable(), self.name, shard, watch)

        self._writer().on_shard(rewrite)

    def check(self, *, deep: bool = True, progress: bool = False) -> CheckReport:
        """Verify every page, checksum and structure on disk, each against the others; nothing is changed.

        deep:      analyse the stored documents anew too, and compare; takes about as long as indexing did
        progress:  draw a bar, on a terminal
        cost: reads everything; writers wait while the pages are walked, some seconds a gigabyte
        """
        with watched("checking", progress) as watch:
            return check_index(self._database.directory, self.name, deep, watch)

    def backup(self, path: str | Path, *, progress: bool = False) -> None:
        """Copy this index alone into a new directory; see `Database.backup`."""
        target = local_path(path, "backup")
        with watched_bytes("copying", progress, self.stats().size_bytes) as watch:
            backup(self._database.directory, [self.name], target, watch)

    # ------------------------------------------------------------------------------------------ by document

    def _read(self, ids: Sequence[bytes], routings: Sequence[str | None]) -> list[Document | None]:
        with self._reading() as shard, shard.environment.read() as transaction:
            segments = shard.snapshots.segment_list.read(transaction)
            cache = shard.snapshots.cache
            return [_read_document(transaction, segments, cache, id_bytes) for id_bytes in ids]

    def _holds(self, id_bytes: bytes) -> bool:
        with self._reading() as shard, shard.environment.read() as transaction:
            entry = read_entry(transaction, id_bytes)
        return entry is not None and not entry[2]

    def __len__(self) -> int:
        with self._reading() as shard, shard.environment.read() as transaction:
            stored = shard.snapshots.segment_list.read(transaction)
            return transaction.count(Table.BUFFER) + sum(state.live_count for state in stored)

    # ------------------------------------------------------------------------------------------------- stats

    def stats(self, *, detail: bool = False) -> IndexStats:
        """Documents, segments, and bytes on disk by structure.

        detail:  also what is in each structure's pages, and how much of it is each field's; reads every row
        """
        with self._reading() as shard, shard.environment.read() as transaction:
            states = shard.snapshots.segment_list.read(transaction)
            buffered = transaction.count(Table.BUFFER)
            structures = {str(table): transaction.size_bytes(table) for table in SHARD_TABLES}
            size_bytes = shard.environment.size_bytes()
            free_bytes = shard.environment.used_bytes() - sum(structures.values())
            views_s = shard.views.ages_s()
            sizes = structure_sizes(transaction, states) if detail else {}
        fields: dict[str, int] = {}
        for state in states:
            for field in state.record.fields:
                fields[field.name] = fields.get(field.name, 0) + field.terms
        return IndexStats(
            documents=buffered + sum(state.live_count for state in states),
            deleted=sum(len(state.deleted) for state in states),
            segments=len(states),
            buffered=buffered,
            size_bytes=size_bytes,
            fields=fields,
            structures=structures,
            free_bytes=max(0, free_bytes - FIXED_BYTES),
            open_views=len(views_s),
            oldest_view_s=max(views_s, default=0.0),
            detail=sizes,
        )


def _read_document(
    transaction: Transaction, segments: tuple[SegmentState, ...], cache: SegmentCache, id_bytes: bytes
) -> Document | None:
    entry = read_entry(transaction, id_bytes)
    if entry is None or entry[2]:
        return None
    seq_no, version, _ = entry
    source = read_source(transaction, segments, cache, seq_no)
    if source is None:
        return None
    routing = read_routing(transaction, id_key(id_bytes), seq_no)
    return Document(id_bytes.decode(), decode_source(source), version, seq_no, routing=routing)


def _loaded(loader: StreamLoader, started: float) -> BulkResult:
    items = [
        BulkItem(one.position, "index", one.id, one.status, None, one.reason, one.type)
        for one in sorted(loader.rejected, key=lambda one: one.position)
        if one.position < loader.settled
    ]
    return BulkResult(items, loader.accepted, round((time.monotonic() - started) * 1000))


def _explain_stop(error: BaseException, loader: StreamLoader, partial: BulkResult, name: str) -> None:
    """Say on the error which documents of a stream are in."""
    if isinstance(error, StorageError):
        error.partial = partial
    error.add_note(
        f"add_many: of the first {loader.settled:,} documents of the stream {partial.ok:,} are in index [{name}] and "
        f"{len(partial.errors):,} were rejected; none of those after them is in"
    )
