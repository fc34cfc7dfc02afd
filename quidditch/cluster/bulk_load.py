"""A stream of documents on its way to the shards of an index: read while what came before is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from collections.abc import Mapping as Dict
from typing import Any

from quidditch.cluster.sharded_writer import ShardedWriter, UnderWay
from quidditch.errors import DocumentError, Overloaded, QuidditchError, RequestError
from quidditch.index.document import encode_source
from quidditch.index.operations import Operation, check_id, without_id
from quidditch.interface import BulkItem
from quidditch.schema.fields import spell

CHUNK_DOCS = 1_000
"""Documents that are sent at once, for each shard of a few."""

CHUNK_BYTES = 4 << 20
"""Bytes of documents that are sent at once."""


class BulkLoad:
    """Documents in, and what became of them. Use by one thread."""

    def __init__(self, writer: ShardedWriter, id_field: str | None, chunk_docs: int) -> None:
        self._writer = writer
        self._id_field = id_field
        self._chunk_docs = chunk_docs
        self._position = 0
        self._operations: list[Operation] = []
        self._positions: list[int] = []
        self._size_bytes = 0
        self._under_way: deque[tuple[list[int], list[Operation], UnderWay]] = deque()
        self._failed: QuidditchError | None = None
        self.accepted = 0
        self.rejected: list[BulkItem] = []

    def load(self, stream: Iterable[Any]) -> None:
        """Take the whole stream; returns, or raises, when everything that was sent is settled.

        raises: Unavailable, Overloaded, ...   the first batch that could not be written, or of which nobody knows
                whatever reading raises        what was read before is in
        """
        try:
            self._take(stream)
        finally:
            self._collect(wait=True)
        self._check()

    def _take(self, stream: Iterable[Any]) -> None:
        reading = iter(stream)
        while True:
            try:
                doc = next(reading)
            except StopIteration:
                return self._send()
            except Exception:
                self._send()
                raise
            self._add(doc)

    def _add(self, doc: Any) -> None:
        position = self._position
        self._position += 1
        try:
            operation = self._operation(doc)
        except QuidditchError as error:
            self._reject(position, None, error)
            return
        self._operations.append(operation)
        self._positions.append(position)
        self._size_bytes += len(operation.source or b"")
        if len(self._operations) >= self._chunk_docs or self._size_bytes >= CHUNK_BYTES:
            self._send()

    def _operation(self, doc: Any) -> Operation:
        if not isinstance(doc, Dict):
            raise DocumentError(f"an object expected as document, not {spell(doc)}")
        given = doc.get(self._id_field) if self._id_field is not None else None
        id_bytes = self._writer.make_id() if given is None else check_id(given)
        doc = without_id(doc)
        return Operation("index", id_bytes, doc, source=encode_source(doc))

    def _send(self) -> None:
        if self._operations:
            going = self._writer.begin(self._operations)
            self._under_way.append((self._positions, self._operations, going))
            self._operations, self._positions, self._size_bytes = [], [], 0
        self._collect(wait=False)
        self._check()

    def _collect(self, wait: bool) -> None:
        """Note what became of what is settled, or with `wait` of everything."""
        while self._under_way and (wait or self._under_way[0][2].done()):
            positions, operations, going = self._under_way.popleft()
            for position, operation, result in zip(positions, operations, going.results(), strict=True):
                if not isinstance(result, QuidditchError):
                    self.accepted += 1
                elif isinstance(result, RequestError) and not isinstance(result, Overloaded):
                    self._reject(position, operation.id.decode(), result)
                else:
                    self._failed = self._failed or result

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _reject(self, position: int, id: str | None, error: QuidditchError) -> None:
        self.rejected.append(BulkItem(position, "index", id, error.status, None, str(error), error.type))
