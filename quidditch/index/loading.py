"""A stream of documents into an index: bounded batches, analysed outside the write lock, published in chunks."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quidditch.errors import DocumentError, QuidditchError
from quidditch.index.batches import Analysis, Stage
from quidditch.index.document import Schema, encode_source, parse_and_learn
from quidditch.index.operations import Applied, Operation, Published, check_id, without_id
from quidditch.index.segment import SegmentBuilder, Vocabularies
from quidditch.index.single_writes import BUFFER_DOCS
from quidditch.schema.fields import spell

BATCH_DOCS = 4_000
"""Documents analysed at once: more is no faster, and falls out of the processor's cache."""

BATCH_BYTES = 8 << 20
"""Bytes of JSON analysed at once."""

FIRST_CHUNK_SHARE = 4
"""Which part of a full chunk the first of a stream is."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A document of the stream that did not go in: its position from 0, its id if it had one, and why."""

    position: int
    id: str | None
    status: int
    type: str
    reason: str

    @classmethod
    def because(cls, position: int, id: str | None, error: QuidditchError) -> Rejected:
        # The error itself would keep the whole document alive, through the frames of its traceback.
        return cls(position, id, error.status, error.type, str(error))


class ChunkWriter(Protocol):
    """Where a stream goes: an IndexWriter, or what stands for the one that an index has at the moment."""

    @property
    def chunk_bytes(self) -> int: ...

    def make_id(self) -> bytes: ...

    def apply(self, operations: Sequence[Operation]) -> list[Applied | QuidditchError]: ...

    def publish(self, builder: SegmentBuilder) -> Published: ...

    def merge_due(self, size_bytes: int) -> None: ...


class StreamLoader:
    """Takes documents one by one and writes them chunk by chunk. Use by one thread; end with `finish`.

    The caller's thread reads documents into typed values, `analysis` brings them into a segment, and a thread of
    its own writes the chunk before.
    A chunk is atomic: after a crash all of it is there, or nothing. When a chunk fails, what came before it is
    in, and nothing that came after.
    """

    def __init__(
        self,
        writer: ChunkWriter,
        schema: Schema,
        vocabularies: Vocabularies,
        chunk_docs: int | None,
        id_field: str | None,
        analysis: Analysis,
    ) -> None:
        self._writer = writer
        self._chunk_bytes = writer.chunk_bytes
        self._schema = schema
        self._vocabularies = vocabularies
        self._chunk_docs = chunk_docs
        self._id_field = id_field
        self._builder = SegmentBuilder(vocabularies)
        self._taken = 0
        self._committed_bytes = 0
        self._analysis = analysis
        self._publishing = Stage("publishing")
        self._to_publish: list[tuple[SegmentBuilder, int]] = []
        self._docs: list[Dict[str, Any]] = []
        self._ids: list[bytes] = []
        self._sources: list[bytes] = []
        self._positions: list[int] = []
        self._batch_bytes = 0
        self._position = 0
        self._included = 0
        self.rejected: list[Rejected] = []
        self.accepted = 0
        self.settled = 0
        """Positions from the start of the stream whose documents are in, or rejected."""

    def add(self, doc: Dict[str, Any]) -> None:
        """Take the next document; one that cannot be indexed is noted in `rejected`.

        raises: StorageError, ...   a chunk could not be written; the loader takes no more
        """
        position = self._position
        self._position += 1
        try:
            id_bytes, doc = self._take_id(doc)
            source = encode_source(doc)
        except QuidditchError as error:
            self.rejected.append(Rejected.because(position, None, error))
            self._included = self._position
            return
        if len(source) > BATCH_BYTES // 2:
            # Analysing it takes some twenty times its size: it gets the memory to itself.
            self._commit()
            self._publishing.wait()
        self._included = self._position
        self._docs.append(doc)
        self._ids.append(id_bytes)
        self._sources.append(source)
        self._positions.append(position)
        self._batch_bytes += len(source)
        if self._chunk_docs is not None and self._taken + len(self._docs) >= self._chunk_docs:
            self._commit()
        elif len(self._docs) >= BATCH_DOCS or self._batch_bytes >= BATCH_BYTES:
            self._analyse()
            if self._builder.size_bytes >= self._enough_bytes() or self._vocabularies.over_limit:
                self._commit()

    def _enough_bytes(self) -> int:
        """What a chunk holds: as much as went in before, so that a short stream too has its chunks written while the
        next is read, and a long one makes few segments."""
        return min(self._chunk_bytes, max(self._chunk_bytes // FIRST_CHUNK_SHARE, self._committed_bytes))

    def _take_id(self, doc: Dict[str, Any]) -> tuple[bytes, Dict[str, Any]]:
        """The document's id, and the document without `_id`, which is no part of the source."""
        if type(doc) is not dict and not isinstance(doc, Dict):
            raise DocumentError(f"an object expected as document, not {spell(doc)}")
        given = doc.get(self._id_field) if self._id_field is not None else None
        id_bytes = self._writer.make_id() if given is None else check_id(given)
        return id_bytes, without_id(doc)

    def finish(self) -> None:
        """Write the rest, and end the other threads."""
        try:
            self._commit()
            self._publishing.wait()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """End the other threads and processes; what was taken since the last chunk is dropped."""
        self._analysis.end()
        self._publishing.end()

    def _commit(self) -> None:
        """Write what has been taken so far; done when the next commit, or `finish`, has waited for it."""
        if not self._taken and len(self._docs) < BUFFER_DOCS:
            self._publishing.wait()
            self._write_small()
            return
        self._analyse()
        if self._taken:
            self._analysis.wait()
            builder, self._builder = self._builder, SegmentBuilder(self._vocabularies)
            self._committed_bytes += builder.size_bytes
            self._taken = 0
            self._vocabularies.trim()
            self._publishing.wait()
            self._to_publish.append((builder, self._included))
            self._publishing.start(self._publish)

    def _write_small(self) -> None:
        """Few documents go through the buffer, as single writes do."""
        operations = [Operation("index", one, doc) for one, doc in zip(self._ids, self._docs, strict=True)]
        for place, result in enumerate(self._writer.apply(operations) if operations else ()):
            if isinstance(result, QuidditchError):
                self._reject(place, result)
            else:
                self.accepted += 1
        self.settled = self._included
        self._clear_batch()

    def _analyse(self) -> None:
        """Parse the batch, and have it brought into the builder."""
        if not self._docs:
            return
        batch = parse_and_learn(self._docs, self._schema, self._sources)
        for place, error in sorted(batch.errors.items()):
            self._reject(place, error)
        ids = [self._ids[place] for place in batch.accepted]
        self._clear_batch()
        self._analysis.start(self._builder, batch, ids)
        self._taken += len(ids)

    def _reject(self, place: int, error: QuidditchError) -> None:
        self.rejected.append(Rejected.because(self._positions[place], self._ids[place].decode(), error))

    def _clear_batch(self) -> None:
        self._docs, self._ids, self._sources, self._positions = [], [], [], []
        self._batch_bytes = 0

    def _publish(self) -> None:
        builder, position = self._to_publish.pop()
        size_bytes = self._writer.publish(builder).size_bytes
        self.accepted += builder.doc_count
        self.settled = position
        # Nothing holds the builder any more while segments are merged, which takes memory of its own.
        del builder
        self._writer.merge_due(size_bytes)
