"""An immutable segment: the record that describes it, the builder that freezes documents into its rows, and the
reader that hands its rows out as arrays."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from quidditch.analysis.registry import get_analyzer
from quidditch.analysis.vocabulary import Vocabulary
from quidditch.errors import CorruptIndex, InternalError
from quidditch.index.codecs import COLUMN_CHUNK_DOCS, Buffer, pack_integers, segment_chunk_key
from quidditch.index.doc_values import (
    column_rows,
    last_of_each,
    length_rows,
    presence_rows,
)
from quidditch.index.document import FieldValues, ParsedBatch
from quidditch.index.inversion import KeywordInversion
from quidditch.index.postings import PostingsWriter, Row
from quidditch.index.runs import Run
from quidditch.index.storage import Table
from quidditch.index.stored_fields import SourceWriter, id_rows
from quidditch.index.text_inversion import TextInversion, Tokens
from quidditch.schema.fields import Field, KeywordField, TextField
from quidditch.types import Ints, U32s


class FieldRecord(msgspec.Struct, frozen=True):
    """What a segment holds of one field.

    number:      stands for the field in this segment's keys
    terms:       distinct terms in the dictionary; 0 means that there is none
    present:     documents with a value
    doc_count:   documents with a token (text) or a value (all others)
    sum_length_tokens: tokens of all documents; 0 for fields that are not text
    """

    name: str
    number: int
    kind: Literal["text", "keyword", "int64", "float64"]
    terms: int = 0
    present: int = 0
    doc_count: int = 0
    sum_length_tokens: int = 0
    freqs: bool = False
    positions: bool = False
    column: Literal["int64", "float64", "ordinal"] | None = None


class SegmentRecord(msgspec.Struct, frozen=True):
    """The row of table `segments`. Sequence numbers run from `first_seq_no` without a gap where `contiguous`;
    otherwise table `seq_nos` has them, as distances from `first_seq_no`."""

    doc_count: int
    first_seq_no: int
    last_seq_no: int
    contiguous: bool
    size_bytes: int
    fields: list[FieldRecord]


_record_decoder = msgspec.json.Decoder(SegmentRecord)


def encode_record(record: SegmentRecord) -> bytes:
    return msgspec.json.encode(record)


def decode_record(value: Buffer) -> SegmentRecord:
    try:
        return _record_decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise CorruptIndex(f"segment record: {error}") from error


# ------------------------------------------------------------------------------------------------ vocabularies


class Vocabularies:
    """One vocabulary a field, kept from batch to batch and from segment to segment, least recently used first
    out. A vocabulary past its share is replaced between segments, never under one that is being built."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._by_field: OrderedDict[tuple[str, str], Vocabulary] = OrderedDict()

    def of(self, field: TextField) -> Vocabulary:
        key = (field.path, field.analyzer)
        if key not in self._by_field:
            self._by_field[key] = get_analyzer(field.analyzer).vocabulary()
        self._by_field.move_to_end(key)
        return self._by_field[key]

    @property
    def size_bytes(self) -> int:
        # A copy of the list, because another thread may be adding a field.
        return sum(vocabulary.size_bytes for vocabulary in list(self._by_field.values()))

    @property
    def over_limit(self) -> bool:
        return self.size_bytes > self.limit_bytes

    def trim(self) -> None:
        """Forget vocabularies until the rest fits; only while no segment is being built."""
        while self._by_field and self.over_limit:
            self._by_field.popitem(last=False)


# ---------------------------------------------------------------------------------------------------- building


class _TextBuilder:
    def __init__(self, field: TextField, vocabularies: Vocabularies) -> None:
        self._field = field
        self._inversion = TextInversion(
            vocabularies.of(field),
            with_positions=field.index and field.has_positions,
            with_freqs=field.has_freqs,
        )

    @property
    def size_bytes(self) -> int:
        return self._inversion.size_bytes

    def look_up(self, docs: U32s, values: Sequence[str]) -> Tokens:
        return self._inversion.look_up(docs, values)

    def sort(self, tokens: Tokens) -> None:
        self._inversion.sort(tokens)

    def take(self, docs: U32s, lengths: U32s, run: Run | None) -> None:
        self._inversion.take(docs, lengths, run)

    @property
    def vocabulary(self) -> Vocabulary:
        return self._inversion.vocabulary

    def rows(self, segment: int, number: int, doc_count: int) -> Iterator[Row | FieldRecord]:
        field, inversion = self._field, self._inversion
        present = inversion.present()
        yield from presence_rows(segment, number, present, doc_count)
        lengths = inversion.lengths(doc_count if field.index else 0)
        terms = 0
        if field.index:
            writer = PostingsWriter(
                segment, number, with_freqs=field.has_freqs, with_positions=field.has_positions
            )
            for part in inversion.finish():
                yield from writer.add(part)
            yield from writer.finish()
            terms = writer.term_count
        if terms:
            yield from length_rows(segment, number, lengths)
        yield FieldRecord(
            field.path,
            number,
            "text",
            terms=terms,
            present=len(present),
            doc_count=int(np.count_nonzero(lengths)),
            sum_length_tokens=int(lengths.sum(dtype=np.uint64)),
            freqs=field.has_freqs,
            positions=field.has_positions,
        )


class _KeywordBuilder:
    def __init__(self, field: KeywordField) -> None:
        self._field = field
        self._inversion = KeywordInversion()

    @property
    def size_bytes(self) -> int:
        return self._inversion.size_bytes

    def add(self, docs: U32s, values: Sequence[bytes]) -> None:
        self._inversion.add(docs, values)

    def rows(self, segment: int, number: int, doc_count: int) -> Iterator[Row | FieldRecord]:
        inverted, docs, ordinals = self._inversion.finish()
        present = last_of_each(docs)
        yield from presence_rows(segment, number, present, doc_count)
        # The dictionary is written for columns alone too: it spells the ordinals out.
        writer = PostingsWriter(segment, number, with_freqs=False, with_positions=False)
        yield from writer.add(inverted)
        yield from writer.finish()
        if self._field.doc_values:
            yield from column_rows(segment, number, "ordinal", docs, ordinals)
        yield FieldRecord(
            self._field.path,
            number,
            "keyword",
            terms=writer.term_count,
            present=len(present),
            doc_count=len(present),
            column="ordinal" if self._field.doc_values else None,
        )


class _NumberBuilder:
    def __init__(self, field: Field, kind: Literal["int64", "float64"]) -> None:
        self._field = field
        self._kind: Literal["int64", "float64"] = kind
        self._docs: list[U32s] = []
        self._values: list[NDArray[Any]] = []
        self.size_bytes = 0

    def add(self, docs: U32s, values: NDArray[Any]) -> None:
        self._docs.append(docs)
        self._values.append(values)
        self.size_bytes += docs.nbytes + values.nbytes

    def rows(self, segment: int, number: int, doc_count: int) -> Iterator[Row | FieldRecord]:
        docs, values = np.concatenate(self._docs), np.concatenate(self._values)
        if not bool((docs[1:] > docs[:-1]).all()):
            order = np.lexsort((values, docs))
            docs, values = docs[order], values[order]
        present = last_of_each(docs)
        yield from presence_rows(segment, number, present, doc_count)
        yield from column_rows(segment, number, self._kind, docs, values)
        yield FieldRecord(
            self._field.path,
            number,
            self._kind,
            present=len(present),
            doc_count=len(present),
            column=self._kind,
        )


_Builder = _TextBuilder | _KeywordBuilder | _NumberBuilder
Unsorted = list[tuple[_TextBuilder, Tokens]]
"""A batch's text as terms, in the order of the text."""


def _builder_for(field: Field, vocabularies: Vocabularies) -> _Builder | None:
    """How a field is frozen; None for one that is neither indexed nor kept as a column."""
    if isinstance(field, TextField):
        return _TextBuilder(field, vocabularies)
    if not field.searchable:
        return None
    if isinstance(field, KeywordField):
        return _KeywordBuilder(field)
    if field.column == "int64" or field.column == "float64":
        return _NumberBuilder(field, field.column)
    return None


class SegmentBuilder:
    """Gathers parsed batches and freezes them into the rows of one segment. Documents are numbered as they come."""

    def __init__(self, vocabularies: Vocabularies) -> None:
        self._vocabularies = vocabularies
        self._builders: dict[str, _Builder | None] = {}
        self._sources = SourceWriter()
        self.ids: list[bytes] = []
        self._id_bytes = 0

    @property
    def doc_count(self) -> int:
        return len(self.ids)

    @property
    def size_bytes(self) -> int:
        """Bytes held until the segment is written, about."""
        # A copy of the list, because another thread may be adding a field.
        builders = list(self._builders.values())
        held = sum(builder.size_bytes for builder in builders if builder is not None)
        return held + self._sources.size_bytes + self._id_bytes

    def add(self, batch: ParsedBatch, ids: Sequence[bytes]) -> None:
        """Take one batch; `ids` are aligned with its documents."""
        sources = SourceWriter()
        sources.add(batch.sources)
        self.add_sources(sources)
        self.add_values(batch, ids)

    def add_sources(self, sources: SourceWriter) -> None:
        """The part of `add` that takes the sources, compressed by now. The parts share nothing: each may have a
        thread of its own, if all take the batches in the same order."""
        self._sources.join(sources)

    def add_values(self, batch: ParsedBatch, ids: Sequence[bytes]) -> None:
        """The part of `add` that analyses and sorts."""
        self.sort(self.look_up(batch, ids))

    def look_up(self, batch: ParsedBatch, ids: Sequence[bytes]) -> Unsorted:
        """The first half of `add_values`: all but the sorting of the text, which `sort` does."""
        first_doc, texts = self.take(batch, ids)
        builders = [(self._text_builder(part.field.path), part) for part in texts]
        return [(one, one.look_up(part.docs + np.uint32(first_doc), part.values)) for one, part in builders]

    def sort(self, unsorted: Unsorted) -> None:
        """The second half; array code, and nearly all of it lets go of the interpreter."""
        for builder, tokens in unsorted:
            builder.sort(tokens)

    def take(self, batch: ParsedBatch, ids: Sequence[bytes]) -> tuple[int, list[FieldValues]]:
        """Number the batch's documents and take everything but its text: the number of the first, and the text,
        which `take_text` wants back, analysed."""
        first_doc = len(self.ids)
        texts = []
        for part in batch.values:
            builder = self._builder(part.field)
            if isinstance(builder, _TextBuilder):
                texts.append(part)
            elif builder is not None:
                builder.add(part.docs + np.uint32(first_doc), part.values)
        self.ids.extend(ids)
        self._id_bytes += sum(map(len, ids)) + 50 * len(ids)
        return first_doc, texts

    def take_text(self, path: str, docs: U32s, lengths: U32s, run: Run | None) -> None:
        """One field of the next batch, analysed by the terms of `vocabulary`; see `TextInversion.take`."""
        self._text_builder(path).take(docs, lengths, run)

    def vocabulary(self, path: str) -> Vocabulary:
        """Whose term ids a text field's runs have."""
        return self._text_builder(path).vocabulary

    def _text_builder(self, path: str) -> _TextBuilder:
        builder = self._builders[path]
        assert isinstance(builder, _TextBuilder)
        return builder

    def _builder(self, field: Field) -> _Builder | None:
        if field.path not in self._builders:
            self._builders[field.path] = _builder_for(field, self._vocabularies)
        return self._builders[field.path]

    def rows(self, segment: int) -> Iterator[Row | FieldRecord]:
        """Every row of the segment, ascending inside each table, and a record for each field."""
        if self._sources.doc_count != self.doc_count:
            raise InternalError(
                f"a segment of {self.doc_count} documents has {self._sources.doc_count} sources"
            )
        yield from id_rows(segment, self.ids)
        yield from self._sources.rows(segment)
        # In the order of names, so that the same documents give the same bytes.
        for number, path in enumerate(sorted(self._builders)):
            builder = self._builders[path]
            if builder is not None:
                yield from builder.rows(segment, number, self.doc_count)


def seq_no_rows(segment: int, seq_nos: Ints) -> Iterator[Row]:
    """Rows of ascending sequence numbers, as distances from the first; none where they have no gap."""
    if not len(seq_nos) or int(seq_nos[-1]) - int(seq_nos[0]) + 1 == len(seq_nos):
        return
    distances = (seq_nos - seq_nos[0]).astype(np.int64)
    for start in range(0, len(distances), COLUMN_CHUNK_DOCS):
        key = segment_chunk_key(segment, start // COLUMN_CHUNK_DOCS)
        yield Table.SEQ_NOS, key, pack_integers(distances[start : start + COLUMN_CHUNK_DOCS])


def split_records(rows: Iterable[Row | FieldRecord], into: list[FieldRecord]) -> Iterator[Row]:
    """The rows alone; the records go into the list as they come by."""
    for row in rows:
        if isinstance(row, FieldRecord):
            into.append(row)
        else:
            yield row
