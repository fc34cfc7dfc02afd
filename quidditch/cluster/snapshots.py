"""Taking a snapshot of a cluster: one copy of each shard, streamed from its node into a repository.

The coordinator writes, so that it alone needs to reach the directory: no shared mount on the data nodes, and one
process that knows whether all of it is there. Each shard is as of one commit of its own, and holds every write that
was acknowledged before its turn came; shards are not of one moment.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from quidditch.cluster.cluster_index import again
from quidditch.cluster.data_node import COPY_S, shard_path
from quidditch.cluster.state import ShardId
from quidditch.cluster.transport import Request
from quidditch.errors import QuidditchError, Unavailable
from quidditch.index.catalog import IndexEntry
from quidditch.snapshots.repository import IndexPart, Making, Manifest, Repository, ShardFile
from quidditch.version import __version__

if TYPE_CHECKING:
    from quidditch.cluster.coordinator import ClusterDatabase

WAIT_S = 30.0
"""How long a copy may take to have everything that was acknowledged."""

Told = Callable[[str, int], None]
"""Is told what is under way, and how many bytes of it were just carried."""


def untold(what: str, size_bytes: int) -> None:
    """Nobody watches."""


def take(
    database: ClusterDatabase,
    repository: Repository,
    name: str,
    indices: Sequence[str] | None = None,
    told: Told = untold,
) -> Manifest:
    """Write a snapshot of these indices, or of all; templates come along.

    raises: IndexNotFound, SnapshotExists, StoreFull, CorruptIndex
            Unavailable   no copy of a shard answers; nothing is left in the repository
    """
    catalogue = database.catalogue
    wanted = database.indices() if indices is None else list(dict.fromkeys(indices))
    entries = {index: catalogue.entry(index) for index in wanted}
    started_ms = _now_ms()
    with repository.making(name) as making:
        taking = _Taking(database, repository, making, told)
        parts = {index: taking.index(index, entry) for index, entry in entries.items()}
        manifest = Manifest(
            name,
            uuid.uuid4().hex,
            catalogue.cluster_id(),
            __version__,
            started_ms,
            _now_ms(),
            parts,
            catalogue.templates(),
        )
        making.publish(manifest)
    return manifest


class _Taking:
    """A snapshot under way."""

    def __init__(self, database: ClusterDatabase, repository: Repository, making: Making, told: Told) -> None:
        self._database = database
        self._making = making
        self._told = told
        self._earlier = _exact_files(repository)

    def index(self, name: str, entry: IndexEntry) -> IndexPart:
        ids = self._database.catalogue.shards_of(name)
        shards = [again(partial(self._shard, name, shard)) for shard in ids]
        # After the files: it has every field that they have.
        mappings = self._database.catalogue.mapping(entry.generation)[1].to_dict()
        return IndexPart(
            entry.generation, dict(entry.settings), mappings, shards, dict(entry.aliases), entry.created_ms
        )

    def _shard(self, name: str, shard: ShardId) -> ShardFile:
        means = self._database.means
        last = means.log(shard).bounds().last
        address = means.copies.of(shard)[0]
        try:
            before = self._followed(address, shard, last)
            known = self._earlier.get((str(shard), before["log"], before["applied"]))
            if known is not None and self._making.link(known[1], known[0]):
                return known[1]
            return self._copied(f"{name} {shard.number}", shard, address, before)
        except Unavailable:
            means.copies.suspect(address)
            raise

    def _followed(self, address: str, shard: ShardId, sequence: int) -> dict[str, Any]:
        asked = {"sequence": sequence, "timeout_s": WAIT_S}
        path = shard_path(shard, "followed")
        said: dict[str, Any] = self._database.means.transport.call(
            Request(address, path, asked, WAIT_S + 1.0)
        )
        return said

    def _copied(self, what: str, shard: ShardId, address: str, before: dict[str, Any]) -> ShardFile:
        name = f"{shard.uuid}-{shard.number}.zst"
        with self._making.writing(name) as file:

            def write(piece: bytes) -> None:
                file.write(piece)
                self._told(what, len(piece))

            self._database.means.transport.pour(
                Request(address, shard_path(shard, "copy"), {}, COPY_S), write
            )
            file.finish()
        after = self._followed(address, shard, 0)
        exact = (after["log"], after["applied"]) == (before["log"], before["applied"])
        return ShardFile(
            name,
            file.size_bytes,
            file.plain_bytes,
            file.blake2b,
            before["log"],
            before["applied"],
            exact,
            before["documents"],
        )


def _exact_files(repository: Repository) -> dict[tuple[str, str, int], tuple[str, ShardFile]]:
    """Files of earlier snapshots by shard, log and sequence, with the snapshot's name: where a copy still is there,
    the file is its own."""
    found = {}
    for name in repository.names():
        try:
            manifest = repository.manifest(name)
        except QuidditchError:
            # One that cannot be read is no reason to take no other.
            continue
        for index, number, file in manifest.files():
            if file.exact and file.log:
                shard = ShardId(manifest.indices[index].uuid, number)
                found[str(shard), file.log, file.applied] = (name, file)
    return found


def _now_ms() -> int:
    return int(time.time() * 1000)
