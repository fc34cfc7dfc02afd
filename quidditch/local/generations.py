"""What makes an index anew as a whole: compaction, the upgrade of its format, backup and restore.

Each copies rows into the folder of a new generation, which becomes the index by one change of the catalogue, or
into a new directory. Nothing is ever changed in place: readers go on, and whoever is killed leaves the old index.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec

from quidditch.errors import StorageError
from quidditch.index.catalog import CATALOG_TABLES, Catalog, IndexEntry
from quidditch.index.copying import Progress, ShardCopy, copy_shard, unwatched
from quidditch.index.environment import Environment
from quidditch.index.opening import sync_directory
from quidditch.index.storage import Transaction
from quidditch.local.directory import Directory
from quidditch.local.shard import LocalShard

MOMENT_TRIES = 50
"""How often a reader looks for a moment in which nobody commits."""

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

    The catalogue gets its name last: a backup that was cut short is no Quidditch directory.
    raises: StorageError   there is something at the path; StoreFull; CorruptIndex   a checksum does not fit
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StorageError(f"{path}: is there already; a backup makes a directory of its own")
    if path.is_relative_to(directory.path):
        raise StorageError(f"{path}: lies inside the directory that is to be copied")
    there = path.exists()
    try:
        _copy_all(directory, names, path, progress)
    except BaseException:
        for part in path.iterdir() if path.exists() else ():
            shutil.rmtree(part, ignore_errors=True)
        if not there:
            shutil.rmtree(path, ignore_errors=True)
        raise


def _copy_all(directory: Directory, names: Sequence[str], path: Path, progress: Progress) -> None:
    options = replace(directory.options, readonly=False)
    entries: dict[str, IndexEntry] = {}
    with ExitStack() as stack:
        for name, entry, transaction in _one_moment(directory, names, stack):
            target = options.environment(path / entry.generation / "0", create=True)
            try:
                copy_shard(transaction, target, progress)
            finally:
                target.close()
            entries[name] = msgspec.structs.replace(entry, former=[])
    making = path / "catalog.making"
    environment = Environment(making, CATALOG_TABLES)
    try:
        Catalog(environment, path).fill(entries, directory.catalog.templates())
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
    """A read transaction of each index, all as of one moment.

    raises: StorageError   opened read-only, and others write without pause
    """
    for _ in range(MOMENT_TRIES):
        with ExitStack() as tried:
            shards = [(name, tried.enter_context(directory.use(name))) for name in sorted(names)]
            with ExitStack() as locks:
                for _, shard in shards:
                    if not directory.options.readonly:
                        locks.enter_context(shard.environment.locked(to_write=False))
                found = []
                for name, shard in shards:
                    shard.schema.check()
                    transaction = tried.enter_context(shard.environment.read())
                    found.append((name, directory.catalog.get(name), transaction))
                # A reader takes no lock: if nobody committed since, it saw one moment all the same.
                commits = zip(shards, found, strict=True)
                if all(shard.environment.last_commit() == one[2].id for (_, shard), one in commits):
                    stack.enter_context(tried.pop_all())
                    return found
    raise StorageError(
        f"{directory.path}: is being written without pause; back it up from a handle that may write"
    )


def restore(
    directory: Directory,
    name: str,
    source: LocalShard,
    entry: IndexEntry,
    *,
    in_place: bool,
    progress: Progress = unwatched,
) -> None:
    """Make a copy of another directory's shard the index `name`, if `in_place` instead of the one of that name.

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
        if not (in_place and name in directory.catalog.entries()):
            directory.catalog.create(name, made)
            return
        with directory.use(name) as old, old.writer.at_rest():
            directory.catalog.move(name, old.generation, made)
    directory.retire(old.generation)
    directory.catalog.remove_folder(old.generation)
