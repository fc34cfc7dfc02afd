"""One field of one segment: does its dictionary agree with what is kept by document?"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from quidditch.index.checking.dictionary import DictionaryCheck, read_parts
from quidditch.index.checking.digests import Digest
from quidditch.index.checking.findings import Finding, guarded, in_order
from quidditch.index.checking.rows import place, same_keys
from quidditch.index.codecs import (
    COLUMN_CHUNK_DOCS,
    field_chunk_key,
    field_key,
    ids_of,
    split_by,
    unpack_bitmap,
)
from quidditch.index.doc_values import Column
from quidditch.index.reader import SegmentReader
from quidditch.index.segment import FieldRecord
from quidditch.index.storage import Table, Transaction
from quidditch.types import Bools, Ints, U32s, U64s

_NAMED = 5
"""Terms that a finding spells out."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a segment holds of a field by document, deleted ones included: arrays of `doc_count`.

    prints:   digests of terms with frequencies and positions, or of numbers
    present:  which documents have a value
    lengths:  tokens of each
    """

    prints: U64s
    present: Bools
    lengths: Ints

    def part(self, docs: slice) -> Contents:
        """Those of some documents, as views."""
        return Contents(self.prints[docs], self.present[docs], self.lengths[docs])


def empty_contents(doc_count: int) -> Contents:
    """Those of documents that do not have the field."""
    return Contents(
        np.zeros(doc_count, np.uint64), np.zeros(doc_count, np.bool_), np.zeros(doc_count, np.uint8)
    )


def read_contents(reader: SegmentReader, field: FieldRecord) -> Contents:
    """The contents of a field that nothing is wrong with."""
    digest = Digest(reader.doc_count)
    for part in read_parts(reader, field):
        digest.add(part)
    column = reader.column(field.name)
    if column is not None and column.kind != "ordinal":
        digest.add_values(column.docs, column.values)
    return Contents(digest.contents, _present(reader, field), _lengths(reader, field))


def _present(reader: SegmentReader, field: FieldRecord) -> Bools:
    present = np.zeros(reader.doc_count, np.bool_)
    present[ids_of(reader.exists(field.name))] = True
    return present


def _lengths(reader: SegmentReader, field: FieldRecord) -> Ints:
    lengths = reader.lengths(field.name)
    return np.zeros(reader.doc_count, np.uint8) if lengths is None else lengths


class FieldCheck:
    """Checks one field, and gives its contents if nothing is wrong with it.

    cost: decodes the field once; the memory of one field of one segment
    """

    def __init__(self, transaction: Transaction, reader: SegmentReader, field: FieldRecord) -> None:
        self._transaction = transaction
        self._reader = reader
        self._field = field
        self._where = f"segment {reader.segment_id}, field [{field.name}]"
        self._prefix = field_key(reader.segment_id, field.number)
        self._digest = Digest(reader.doc_count)
        self._present = np.zeros(reader.doc_count, np.bool_)

    def findings(self) -> Iterator[Finding]:
        """What is wrong: with presence, else with the dictionary, else between these and lengths or column."""
        by_kind = {"text": self._text, "keyword": self._keyword}.get(self._field.kind, self._numbers)
        yield from in_order(
            lambda: guarded("presence", self._where, self._presence()),
            lambda: guarded("dictionary", self._where, self._dictionary()),
            lambda: guarded("lengths" if self._field.kind == "text" else "column", self._where, by_kind()),
        )

    def contents(self) -> Contents:
        """What `findings` has read, once it is through without any."""
        return Contents(self._digest.contents, self._present, _lengths(self._reader, self._field))

    # -------------------------------------------------------------------------------------------- presence

    def _presence(self) -> Iterator[Finding]:
        doc_count, docs_left = self._reader.doc_count, self._reader.doc_count
        for key, value in self._transaction.rows(Table.PRESENCE, self._prefix):
            chunk = int.from_bytes(key[6:], "big")
            bitmap = unpack_bitmap(value)
            docs_left = doc_count - chunk * COLUMN_CHUNK_DOCS
            if not bitmap or bitmap.max() >= min(COLUMN_CHUNK_DOCS, docs_left):
                words = f"{len(bitmap)} documents, up to {bitmap.max() if bitmap else None}, of {docs_left}"
                yield Finding("presence", f"{self._where}, {place(Table.PRESENCE, key)}", words)
                return
        if self._field.present == doc_count:
            yield from self._same(Table.PRESENCE, [], "presence")
        self._present = _present(self._reader, self._field)
        found = int(np.count_nonzero(self._present))
        if found != self._field.present:
            words = f"{found} documents have a value, the record says {self._field.present}"
            yield Finding("presence", self._where, words)

    def _same(self, table: Table, keys: list[bytes], what: str) -> Iterator[Finding]:
        return same_keys(self._transaction, table, self._prefix, keys, self._where, what)

    def _chunk_keys(self, docs: U32s) -> list[bytes]:
        """The keys of rows for the chunks that these documents lie in."""
        segment, number = self._reader.segment_id, self._field.number
        return [field_chunk_key(segment, number, chunk) for chunk, _ in split_by(docs, COLUMN_CHUNK_DOCS)]

    def _document(self, doc: int) -> str:
        return f"{self._where}, document {doc}"

    def _dictionary(self) -> Iterator[Finding]:
        for part in DictionaryCheck(self._transaction, self._reader, self._field).parts():
            if isinstance(part, Finding):
                yield part
                continue
            self._digest.add(part)
            if self._field.column == "ordinal":
                self._digest.add_ordinals(part.docs, np.repeat(part.ordinals, part.doc_freqs))

    # ------------------------------------------------------------------------------------------------ text

    def _text(self) -> Iterator[Finding]:
        docs = np.arange(self._reader.doc_count if self._field.terms else 0, dtype=np.uint32)
        yield from self._same(Table.LENGTHS, self._chunk_keys(docs), "lengths")
        yield from self._same(Table.COLUMNS, [], "column")
        lengths = _lengths(self._reader, self._field)
        found = (int(np.count_nonzero(lengths)), int(lengths.sum(dtype=np.uint64)))
        recorded = (self._field.doc_count, self._field.sum_length_tokens)
        if found != recorded:
            words = (
                f"{found[1]} tokens in {found[0]} documents; the record says {recorded[1]} in {recorded[0]}"
            )
            yield Finding("lengths", self._where, words)
        yield from self._against_postings(lengths)

    def _against_postings(self, lengths: Ints) -> Iterator[Finding]:
        """A document is as long as its frequencies sum up to, less the tokens at the position of another. Those
        there are in scripts without spaces alone, so a term of ASCII always counts."""
        tokens, plain = self._digest.tokens, self._digest.plain
        too_long = lengths > tokens if self._field.freqs else (lengths > 0) & (tokens == 0)
        for doc in np.flatnonzero(too_long | (lengths < plain)).tolist():
            what = "frequencies sum up to" if self._field.freqs else "distinct terms are"
            words = f"length {lengths[doc]}; its {what} {tokens[doc]}, those of ASCII terms to {plain[doc]}"
            yield Finding("lengths", self._document(doc), words)
        for doc in np.flatnonzero((tokens > 0) & ~self._present).tolist():
            yield Finding("presence", self._document(doc), f"{tokens[doc]} tokens, and no value")

    # --------------------------------------------------------------------------------------------- columns

    def _keyword(self) -> Iterator[Finding]:
        yield from self._same(Table.LENGTHS, [], "lengths")
        tokens = self._digest.tokens
        for doc in np.flatnonzero((tokens > 0) != self._present).tolist():
            words = f"{tokens[doc]} terms; presence says {bool(self._present[doc])}"
            yield Finding("presence", self._document(doc), words)
        column = yield from self._column()
        if column is None:
            return
        if len(column.values) and int(column.values.max()) >= self._field.terms:
            words = f"ordinal {column.values.max()} of {self._field.terms} terms, numbered from 0"
            yield Finding("column", self._where, words)
            return
        by_column = Digest(self._reader.doc_count)
        by_column.add_ordinals(column.docs, column.values)
        for doc in np.flatnonzero(by_column.ordinals != self._digest.ordinals).tolist():
            terms = self._reader.ordinal_terms(self._field.name, column.values[column.docs == doc])
            words = f"the column holds {_spelt(terms)}, the postings do not"
            yield Finding("column", self._document(doc), words)

    def _numbers(self) -> Iterator[Finding]:
        yield from self._same(Table.LENGTHS, [], "lengths")
        column = yield from self._column()
        if column is None:
            return
        if column.kind == "float64" and not bool(np.isfinite(column.values).all()):
            yield Finding("column", self._where, "holds a value that is not finite")
        self._digest.add_values(column.docs, column.values)

    def _column(self) -> Generator[Finding, None, Column | None]:
        """The field's column, if it has one; findings where its rows or their order are wrong."""
        docs = np.flatnonzero(self._present).astype(np.uint32)
        yield from self._same(Table.COLUMNS, self._chunk_keys(docs) if self._field.column else [], "column")
        column = self._reader.column(self._field.name)
        if column is None:
            return None
        earlier, later = column.values[:-1], column.values[1:]
        falls = later <= earlier if column.kind == "ordinal" else later < earlier
        for doc in column.docs[1:][falls & (column.docs[1:] == column.docs[:-1])].tolist():
            yield Finding("column", self._document(doc), "its values do not ascend")
        return column


def _spelt(terms: list[bytes]) -> str:
    shown = ", ".join(repr(term[:40]) for term in terms[:_NAMED])
    return shown if len(terms) <= _NAMED else f"{shown} and {len(terms) - _NAMED} more"
