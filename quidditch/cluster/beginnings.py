"""What a copy of a shard begins with, where its log does not: a file from elsewhere, installed in a node's directory.

It comes from a peer, or out of a snapshot. Either way it is opened before it counts: a file that is damaged shall not
take anything's place.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.state import ShardId
from quidditch.errors import CorruptIndex
from quidditch.index.catalog import IndexEntry
from quidditch.index.environment import Environment
from quidditch.index.opening import sync_directory
from quidditch.index.replication import Followed, begin_anew, read_followed
from quidditch.local.database import LocalDatabase
from quidditch.snapshots.repository import in_words, unpack

RESTORED = Followed(applied=1, mapping=1)
"""Where a restored copy stands: behind the first entry of its log, which says nothing, and by its first mapping."""


def install(
    database: LocalDatabase,
    name: str,
    shard: ShardId,
    catalogue: Catalogue,
    fill: Callable[[Path], None],
    *,
    restored: bool = False,
) -> None:
    """Make the file that `fill` writes the index `name`, in the place of what is there.

    restored:  it follows a new log from now on, and not the one that it has followed
    raises:    CorruptIndex, ...; whatever `fill` raises; what was there is as it was
    """
    directory = database.directory
    with directory.catalog.staged() as generation:
        folder = directory.catalog.folder(generation)
        folder.mkdir(parents=True)
        aside = folder / "data.mdb.part"
        fill(aside)
        os.replace(aside, folder / "data.mdb")
        sync_directory(folder)
        environment = directory.options.environment(folder, create=False)
        try:
            followed = _restored(environment) if restored else _followed(environment)
        finally:
            environment.close()
        mapping = catalogue.mapping_body(shard.uuid, followed.mapping)
        if name in database:
            database.delete_index(name)
        directory.catalog.create(name, IndexEntry(generation, mapping))


def _followed(environment: Environment) -> Followed:
    with environment.read() as transaction:
        return read_followed(transaction) or Followed()


def _restored(environment: Environment) -> Followed:
    """Have it forget its log; its time stays, so that time never falls."""
    before = _followed(environment)
    after = Followed(RESTORED.log, RESTORED.applied, before.now_ms, RESTORED.mapping)
    with environment.write() as transaction:
        begin_anew(transaction, after)
    return after


class Incoming:
    """A shard's file out of a snapshot, being received; a context manager that leaves only what it installs."""

    def __init__(
        self, database: LocalDatabase, name: str, shard: ShardId, catalogue: Catalogue, folder: Path
    ) -> None:
        self._database = database
        self._name = name
        self._shard = shard
        self._catalogue = catalogue
        self._path = folder / f"incoming-{uuid.uuid4().hex}"
        self._digest = hashlib.blake2b(digest_size=32)
        self._file = self._path.open("wb")

    def write(self, piece: bytes) -> None:
        with in_words(self._path):
            self._file.write(piece)
        self._digest.update(piece)

    def install(self, expected: str) -> None:
        """raises: CorruptIndex   what came is not what was sent, or is no shard; StoreFull"""
        with in_words(self._path):
            self._file.close()
        if self._digest.hexdigest() != expected:
            raise CorruptIndex(f"shard {self._shard}: what came out of the snapshot is not what was sent")
        install(
            self._database,
            self._name,
            self._shard,
            self._catalogue,
            lambda file: unpack(self._path, file),
            restored=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)
