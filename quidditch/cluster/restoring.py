"""Restoring a snapshot: into a cluster with as many shards or another number, or into a directory.

With as many shards the files themselves become what the copies begin with: versions and sequence numbers stay. The
log of such a shard begins behind its first entry, which says nothing, so that no copy takes its beginning for empty.
With another number the documents are written anew, with their versions and routings; sequence numbers are new.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.cluster.beginnings import RESTORED
from quidditch.cluster.data_node import COPY_S, shard_path
from quidditch.cluster.index_settings import sharded_settings
from quidditch.cluster.messages import LogEntry, pack_entry
from quidditch.cluster.snapshots import Told, untold
from quidditch.cluster.state import ShardId
from quidditch.cluster.transport import Request
from quidditch.errors import (
    CorruptIndex,
    IndexExists,
    QuidditchError,
    StorageError,
    Unavailable,
)
from quidditch.index.catalog import IndexEntry
from quidditch.index.opening import sync_directory
from quidditch.index.replication import begin_anew
from quidditch.interface import BulkResult, CollectionStats, FetchRequest, Index, QueryRequest, ShardSnapshot
from quidditch.local.database import LocalDatabase, connect
from quidditch.query.primitive import Everything
from quidditch.schema.mapping import Mapping
from quidditch.search.phases import WRITE_ORDER
from quidditch.snapshots.repository import IndexPart, Repository, ShardFile, pieces_of, unpack
from quidditch.snapshots.wish import Wish
from quidditch.types import Json

if TYPE_CHECKING:
    from quidditch.cluster.coordinator import ClusterDatabase

PLACED_S = 60.0
"""How long the master may take to say which node holds a shard."""

STARTED_S = 300.0
"""How long the copies of a restored index may take to serve, all shards being there."""

BATCH = 1_000
"""Documents read, and written, at once where they are written anew."""


def restore(
    database: ClusterDatabase,
    repository: Repository,
    name: str,
    wish: Wish | None = None,
    told: Told = untold,
) -> dict[str, int]:
    """Bring indices back; the shards that each has now, by its name.

    Every file is read and compared with its digest before anything is made. An index that fails is removed again;
    those before it stay, and a note on the error names them.
    raises: SnapshotNotFound, IndexNotFound, IndexExists, RequestError
            CorruptIndex   naming the files that are damaged; nothing was restored
            Unavailable    the master or the nodes do not take it
    """
    wish = wish or Wish()
    manifest = repository.manifest(name)
    named = wish.names(list(manifest.indices), name)
    _check_free(database, list(named.values()))
    if damages := repository.damages(name, named):
        raise CorruptIndex(f"snapshot [{name}]: nothing is restored: {'; '.join(damages)}")
    done: dict[str, int] = {}
    try:
        for index, called in named.items():
            part = manifest.indices[index]
            done[called] = _restore_index(database, repository, name, part, called, wish, told)
        if wish.templates:
            database.change_templates(lambda before: {**dict.fromkeys(before), **manifest.templates})
    except BaseException as error:
        if done:
            error.add_note(f"restore: {', '.join(done)} had been restored before")
        raise
    return done


def _check_free(database: ClusterDatabase, names: Sequence[str]) -> None:
    """raises: IndexExists"""
    entries = database.catalogue.entries()
    for name in names:
        if name in entries or any(name in entry.aliases for entry in entries.values()):
            raise IndexExists(
                f"index [{name}] is already there in the cluster: delete it first, or restore under another name"
            )


def _restore_index(
    database: ClusterDatabase,
    repository: Repository,
    snapshot: str,
    part: IndexPart,
    called: str,
    wish: Wish,
    told: Told,
) -> int:
    from quidditch.cluster.index_settings import sharded_settings

    settings = {**part.settings, "number_of_shards": str(len(part.shards)), **wish.settings}
    shards, _ = sharded_settings(settings, 1)
    files = [(file, repository.file(snapshot, file)) for file in part.shards]
    if shards == len(files):
        _in_place(database, called, part, settings, files, told)
    else:
        _written_anew(database, called, part, settings, files, told)
    if wish.aliases and part.aliases:
        actions = [
            {"add": {"index": called, "alias": alias, **about}} for alias, about in part.aliases.items()
        ]
        database.update_aliases(actions)
    return shards


# -------------------------------------------------------------------------------------- with the same shards


def _in_place(
    database: ClusterDatabase,
    called: str,
    part: IndexPart,
    settings: dict[str, Json],
    files: Sequence[tuple[ShardFile, Path]],
    told: Told,
) -> None:
    """Make an index whose copies begin with these files."""
    shards, checked = sharded_settings(settings, 1)
    entry = IndexEntry(uuid.uuid4().hex, {}, checked, shards, created_ms=int(time.time() * 1000))
    ids = [ShardId(entry.generation, number) for number in range(shards)]
    catalogue = database.catalogue
    try:
        catalogue.extend_mapping(
            entry.generation, Mapping.parse(part.mappings, analyzers=ANALYZER_NAMES).to_dict()
        )
        for shard in ids:
            _begin_log(database, shard)
        catalogue.change(lambda entries: _added(entries, called, entry))
        for shard, (file, path) in zip(ids, files, strict=True):
            _hand_over(database, shard, file, path, told, f"{called} {shard.number}")
        catalogue.wait_for_nodes(
            lambda: all(catalogue.serving(shard) for shard in ids),
            STARTED_S,
            f"index [{called}] is restored, and not all of its shards have started",
        )
    except BaseException:
        _undo(database, called, entry)
        raise


def _added(entries: dict[str, IndexEntry], name: str, entry: IndexEntry) -> dict[str, IndexEntry]:
    if name in entries:
        raise IndexExists(f"index [{name}] is already there in the cluster")
    return {name: entry}


def _begin_log(database: ClusterDatabase, shard: ShardId) -> None:
    """Make its log, without its beginning: what a copy needs before entry 2 is in a file alone."""
    log = database.means.log(shard)
    log.create()
    nothing = LogEntry(f"beginning-{shard}", 0, 0)
    log.trim(log.append(pack_entry(nothing), nothing.batch, PLACED_S))
    if log.bounds().first != RESTORED.applied + 1:
        raise StorageError(f"the log of shard {shard} does not begin behind its first entry: {log.bounds()}")


def _hand_over(
    database: ClusterDatabase, shard: ShardId, file: ShardFile, path: Path, told: Told, what: str
) -> None:
    """Give a shard's file to one of its nodes, once one waits for it; the others copy it from there.

    raises: Unavailable   none takes it in time; CorruptIndex
    """
    deadline = time.monotonic() + PLACED_S
    while True:
        database.catalogue.wait_for_nodes(
            lambda: _waiting(database, shard),
            PLACED_S,
            f"shard {shard} is to be restored, and no node waits for it: is a master running, and a data node?",
        )
        try:
            _send(database, _waiting(database, shard)[0], shard, file, path, told, what)
            return
        except (Unavailable, IndexError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _waiting(database: ClusterDatabase, shard: ShardId) -> list[str]:
    """The addresses of the nodes that are to hold the shard, and say so."""
    nodes = database.catalogue.nodes()
    copies = [copy.node for copy in database.catalogue.routing().copies(shard)]
    return [nodes[name].address for name in copies if name in nodes and str(shard) in nodes[name].shards]


def _send(
    database: ClusterDatabase,
    address: str,
    shard: ShardId,
    file: ShardFile,
    path: Path,
    told: Told,
    what: str,
) -> None:
    def pieces() -> Iterator[bytes]:
        for piece in pieces_of(path):
            told(what, len(piece))
            yield piece

    request = Request(address, shard_path(shard, "restore"), {}, COPY_S)
    database.means.transport.upload(request, pieces(), {"x-blake2b": file.blake2b})


def _undo(database: ClusterDatabase, called: str, entry: IndexEntry) -> None:
    """Remove what was made of an index that failed; a log that the master does not know of is ours to remove."""
    with contextlib.suppress(QuidditchError):
        if database.catalogue.entries().get(called) == entry:
            database.delete_index(called)
        if entry.generation not in database.catalogue.routing().indices:
            for number in range(entry.shards):
                database.means.log(ShardId(entry.generation, number)).delete()
            database.catalogue.forget_mappings(entry.generation)


# ------------------------------------------------------------------------------------- with other shards


class _Creates(Protocol):
    def create_index(
        self, name: str, mappings: dict[str, Json] | None = None, settings: dict[str, Json] | None = None
    ) -> Index: ...

    def delete_index(self, name: str) -> None: ...


def _written_anew(
    database: _Creates,
    called: str,
    part: IndexPart,
    settings: dict[str, Json],
    files: Sequence[tuple[ShardFile, Path]],
    told: Told,
) -> None:
    """Make an index and write the documents of these files into it."""
    blocks = {key: value for key, value in settings.items() if "blocks." in key}
    free = {key: value for key, value in settings.items() if key not in blocks}
    index = database.create_index(called, part.mappings, free)
    try:
        for number, (_, path) in enumerate(files):
            with (
                opened(path, part) as local,
                local.directory.use("shard") as shard,
                shard.snapshot(lasting=True) as view,
            ):
                _write(index, view, told, f"{called} {number}")
        if blocks:
            index.put_settings(blocks)
    except BaseException:
        with contextlib.suppress(QuidditchError):
            database.delete_index(called)
        raise


@contextlib.contextmanager
def opened(path: Path, part: IndexPart) -> Iterator[LocalDatabase]:
    """A shard's file as the index `shard` of a directory of its own, which lies in this machine's temporary files."""
    with tempfile.TemporaryDirectory(prefix="quidditch-restoring-") as folder, connect(folder) as local:
        put_in_place(local, "shard", path, part)
        yield local


def put_in_place(local: LocalDatabase, name: str, path: Path, part: IndexPart) -> None:
    """A shard's file as an index of a directory, which follows no log.

    raises: IndexExists, CorruptIndex, StoreFull
    """
    directory = local.writable()
    with directory.catalog.staged() as generation:
        folder = directory.catalog.folder(generation)
        folder.mkdir(parents=True)
        unpack(path, folder / "data.mdb")
        sync_directory(folder)
        environment = directory.options.environment(folder, create=False)
        try:
            with environment.write() as transaction:
                begin_anew(transaction, None)
        finally:
            environment.close()
        directory.catalog.create(name, IndexEntry(generation, part.mappings, _in_one(part.settings)))


def _in_one(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of an index that has one shard."""
    return {name: value for name, value in settings.items() if name != "number_of_shards"}


def _write(index: Index, view: ShardSnapshot, told: Told, what: str) -> None:
    """Write what a view shows, with its versions and routings.

    raises: StorageError   a document was refused
    """
    after: tuple[Json, ...] | None = None
    while True:
        request = QueryRequest(
            Everything(), CollectionStats(), size=BATCH, sort=WRITE_ORDER, search_after=after
        )
        hits = view.query(request).hits
        if not hits:
            return
        found = view.fetch([hit.address for hit in hits], FetchRequest(versions=True))
        actions = []
        for one in found:
            about = {"_id": one.id, "version": one.version, "version_type": "external_gte"}
            if one.routing is not None:
                about["routing"] = one.routing
            actions += [{"index": about}, one.source]
        _refuse_errors(index.bulk(actions), what)
        told(what, len(hits))
        after = hits[-1].sort


def _refuse_errors(result: BulkResult, what: str) -> None:
    if result.errors:
        first = result.errors[0]
        raise StorageError(f"restoring {what}: document [{first.id}] is refused: {first.error}")


def restore_into_directory(
    local: LocalDatabase, repository: Repository, name: str, wish: Wish | None = None, told: Told = untold
) -> list[str]:
    """The road back from a cluster: indices of a snapshot as indices of a directory, with one shard each.

    An index with one shard is its file; the documents of one with several are written into one, with versions and
    routings. The names they have now. raises: as `restore`
    """
    wish = wish or Wish()
    manifest = repository.manifest(name)
    named = wish.names(list(manifest.indices), name)
    for called in named.values():
        if called in local:
            raise IndexExists(f"index [{called}] is already there in {local.path}")
    if damages := repository.damages(name, named):
        raise CorruptIndex(f"snapshot [{name}]: nothing is restored: {'; '.join(damages)}")
    for index, called in named.items():
        part = manifest.indices[index]
        files = [(file, repository.file(name, file)) for file in part.shards]
        if len(files) == 1:
            put_in_place(local, called, files[0][1], part)
            continue
        _written_anew(local, called, part, _in_one(part.settings), files, told)
    return sorted(named.values())
