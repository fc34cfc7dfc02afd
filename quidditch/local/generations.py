"""What makes an index anew as a whole: compaction, the upgrade of its format, backup and restore.

Each copies rows into the folder of a new generation, which becomes the index by one change of the catalogue, or
into a new directory. Nothing is ever changed in place: readers go on, and whoever is killed leaves the old index.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from quidditch.errors import StorageError
from quidditch.index.catalog import CATALOG_TABLES, Catalog, IndexEntry
from quidditch.index.copying import Progress, ShardCopy, copy_shard, unwatched
from quidditch.index.environment import Environment, sync_directory
from quidditch.index.storage import Transaction
from quidditch.local.directory import Directory
from quidditch.local.options import Options
from quidditch.local.shard import LocalShard

CATCH_UP_ROUNDS = 5
"""How often a compaction copies what came meanwhile before it stops the writers for the rest."""


def compact(directory: Directory, name: str, shard: LocalShard, progress: Progress = unwatched) -> None:
    """Write the index anew without free pages, in this release's format, while readers go on.

    Writers go on too until the segments are copied, and wait for the rest: the id map and what came meanwhile.
    cost: the disk holds both copies until the last reader of the old one has ended
    raises: StoreFull, CorruptIndex   the index is as it was
            StoreLocked               a stream was being written for all of `write_timeout_s`
            GenerationReplaced        another process was faster
    """
    with directory.catalog.staged() as generation:
        target = directory.options.environment(directory.catalog.folder(generation), create=True)
        try:
            copy = ShardCopy(target)
            for _ in range(CATCH_UP_ROUNDS):
                with shard.environment.read() as transaction:
                    if not copy.add_segments(transaction, progress):
                        break
            with shard.writer.at_rest():
                with shard.environment.read() as transaction:
                    copy.add_segments(transaction, progress)
                    copy.finish(transaction, progress)
                target.close()
                directory.catalog.move(name, shard.generation, generation)
        finally:
            target.close()
    directory.retire(shard.generation)
    directory.catalog.remove_folder(shard.generation)


def backup(directory: Directory, names: Sequence[str], path: Path, progress: Progress = unwatched) -> None:
    """Copy indices, as of one moment, into a new directory that can be opened like any other.

    The catalogue is written last: a backup that was cut short is no Quidditch directory.
    raises: StorageError   there is something at the path; StoreFull; CorruptIndex   a checksum does not fit
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StorageError(f"{path}: is there already; a backup makes a directory of its own")
    entries: dict[str, IndexEntry] = {}
    with ExitStack() as stack:
        for name, entry, transaction in _one_moment(directory, names, stack):
            target = Options().environment(path / entry.generation / "0", create=True)
            try:
                copy_shard(transaction, target, progress)
            finally:
                target.close()
            entries[name] = msgspec.structs.replace(entry, former=[])
    making = path / "catalog.making"
    environment = Environment(making, CATALOG_TABLES)
    try:
        Catalog(environment, path).fill(entries)
        environment.close()
        # Only with its last step is it a directory that opens: a catalogue without entries would pass for a backup.
        with environment.translated():
            making.rename(path / "catalog")
            sync_directory(path)
    finally:
        environment.close()


def _one_moment(
    directory: Directory, names: Sequence[str], stack: ExitStack
) -> list[tuple[str, IndexEntry, Transaction]]:
    """A read transaction of each index, begun while nobody may write to any of them."""
    shards = [(name, stack.enter_context(directory.use(name))) for name in sorted(names)]
    with ExitStack() as locks:
        for _, shard in shards:
            if not directory.options.readonly:
                locks.enter_context(shard.environment.locked(to_write=False))
        # A shard whose index moved before its lock was taken is refused here.
        for _, shard in shards:
            shard.schema.check()
        return [
            (name, directory.catalog.get(name), stack.enter_context(shard.environment.read()))
            for name, shard in shards
        ]


def restore(
    directory: Directory,
    name: str,
    source: LocalShard,
    entry: IndexEntry,
    *,
    replace: bool,
    progress: Progress = unwatched,
) -> None:
    """Make a copy of another directory's shard the index `name`, in place of the one of that name if `replace`.

    raises: IndexExists, StoreFull, CorruptIndex, StoreLocked   what was there is as it was
    """
    with directory.catalog.staged() as generation:
        target = directory.options.environment(directory.catalog.folder(generation), create=True)
        try:
            with source.environment.read() as transaction:
                copy_shard(transaction, target, progress)
        finally:
            target.close()
        made = msgspec.structs.replace(entry, generation=generation, former=[])
        if not (replace and name in directory.catalog.entries()):
            directory.catalog.create(name, made)
            return
        with directory.use(name) as old, old.writer.at_rest():
            directory.catalog.move(name, old.generation, made)
    directory.retire(old.generation)
    directory.catalog.remove_folder(old.generation)
