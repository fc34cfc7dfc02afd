"""Writes of people to operations of a shard, and what became of them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Dict
from contextlib import suppress
from typing import Any, TypeVar

from quidditch.errors import DocumentError, IndexBlocked, QuidditchError, RequestError, RoutingMissing
from quidditch.index.catalog import GenerationReplaced
from quidditch.index.environment import EnvironmentGone
from quidditch.index.operations import Applied, Operation, Published
from quidditch.index.segment import SegmentBuilder
from quidditch.local.directory import Directory
from quidditch.local.generations import compact
from quidditch.local.settings import block_of
from quidditch.local.shard import LocalShard

_UPDATE_KEYS = ("doc", "upsert", "doc_as_upsert", "detect_noop")


_Result = TypeVar("_Result")


class CurrentWriter:
    """The writer of an index, in whichever generation it is: what a move interrupted is done again.

    raises: IndexNotFound   the index was deleted
    """

    def __init__(self, directory: Directory, name: str) -> None:
        self._directory = directory
        self._name = name
        self._generation = directory.catalog.get(name).generation

    @property
    def chunk_bytes(self) -> int:
        return self.on_shard(lambda shard: shard.writer.chunk_bytes)

    def make_id(self) -> bytes:
        return self._directory.make_id()

    def on_shard(self, work: Callable[[LocalShard], _Result]) -> _Result:
        """What `work` returns of the index's shard; it must write all or nothing."""
        while True:
            with self._directory.use(self._name) as shard:
                self._follow(shard.generation)
                try:
                    if not shard.environment.outdated:
                        return work(shard)
                    compact(self._directory, self._name, shard)
                except (GenerationReplaced, EnvironmentGone):
                    if self._directory.catalog.get(self._name).generation == shard.generation:
                        raise

    def _follow(self, generation: str) -> None:
        """raises: IndexNotFound   the index of this name is another one by now"""
        if generation != self._generation:
            with suppress(GenerationReplaced):
                self._directory.catalog.check(self._name, self._generation)
            self._generation = generation

    def apply(self, operations: Sequence[Operation]) -> list[Applied | QuidditchError]:
        """As `IndexWriter.apply`; what lacks a routing that the mapping demands is refused."""
        self._check_block()
        if not self._directory.catalog.mapping(self._name).routing_required:
            return self.on_shard(lambda shard: shard.writer.apply(operations))
        routed = [operation for operation in operations if operation.routing is not None]
        applied = iter(self.on_shard(lambda shard: shard.writer.apply(routed)) if routed else ())
        return [
            RoutingMissing.of(self._name, operation.id.decode())
            if operation.routing is None
            else next(applied)
            for operation in operations
        ]

    def publish(self, builder: SegmentBuilder) -> Published:
        """As `IndexWriter.publish`, which looks whether the shard is current before it reads the builder."""
        self._check_block()
        return self.on_shard(lambda shard: shard.writer.publish(builder))

    def _check_block(self) -> None:
        """raises: IndexBlocked"""
        block = block_of(self._directory.catalog.get(self._name).settings)
        if block is not None:
            raise IndexBlocked(f"index [{self._name}] blocked by: [{block}]")

    def merge_due(self, size_bytes: int) -> None:
        """As `IndexWriter.merge_due`."""
        self.on_shard(lambda shard: shard.writer.merge_due(size_bytes))


def update_operation(
    id_bytes: bytes,
    body: Dict[str, Any],
    if_seq_no: int | None = None,
    if_primary_term: int | None = None,
    routing: str | None = None,
) -> Operation:
    """An update from its body as OpenSearch has it."""
    for key in body:
        if key == "script":
            raise RequestError("update: scripts are not in this release")
        if key not in _UPDATE_KEYS:
            raise RequestError(f"update: unknown key [{key}]; there are {', '.join(_UPDATE_KEYS)}")
    for key in ("doc", "upsert"):
        if body.get(key) is not None and not isinstance(body[key], Dict):
            raise DocumentError(f"update: an object expected as {key}, not {body[key]!r:.80}")
    return Operation(
        "update",
        id_bytes,
        body.get("doc"),
        if_seq_no,
        if_primary_term,
        body.get("upsert"),
        bool(body.get("doc_as_upsert", False)),
        bool(body.get("detect_noop", True)),
        routing=routing,
    )
