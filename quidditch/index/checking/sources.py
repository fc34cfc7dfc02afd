"""The index against the sources: analysed anew, do they give what is stored?

Two differences are no fault. Documents that were indexed before the mapping got a field are not in it, though they
may hold values for it: they all come before the first document that is. And as long as `ignore_above` was another,
keywords of other lengths were left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from quidditch.index.checking.dictionary import read_parts
from quidditch.index.checking.fields import Contents, empty_contents, read_contents
from quidditch.index.checking.findings import LIMIT, Finding, Meter
from quidditch.index.checking.held import Entry, difference, held
from quidditch.index.checking.reanalysis import Reanalysis, source_batches
from quidditch.index.reader import SegmentReader
from quidditch.index.storage import Transaction
from quidditch.schema.fields import Field, KeywordField, TextField
from quidditch.schema.mapping import Mapping
from quidditch.types import Bools, DocId, U32s

_GROUP_DOCS = 5_000
"""Documents whose keywords are compared one by one at a time."""


class SourceCheck:
    """Compares segments with what the mapping makes of their sources.

    cost: indexes the documents anew, a few thousand at a time in memory
    """

    def __init__(self, transaction: Transaction, mapping: Mapping) -> None:
        self._transaction = transaction
        self._reanalysis = Reanalysis(mapping)
        self._born: dict[str, Field] = {}

    def findings(
        self, reader: SegmentReader, contents: dict[str, Contents], meter: Meter, units: int
    ) -> Iterator[Finding]:
        """What differs in the fields whose contents are given. Segments are to come in the order of their writes.

        units:  of the meter, for each document
        """
        fields: dict[str, Field] = {}
        for name in contents:
            field, words = self._mapped(reader, name)
            if field is None:
                yield Finding("mapping", f"segment {reader.segment_id}, field [{name}]", words)
            else:
                fields[name] = field
        missing = {name: field for name, field in self._born.items() if reader.field(name) is None}
        wrong = self._wrong(reader, {**fields, **missing}, contents, meter, units)
        for name, field in {**fields, **missing}.items():
            if isinstance(field, KeywordField) and ignores(field):
                judge = KeywordJudge(reader, field, self._reanalysis.mapping)
                wrong[name] = judge.wrong(np.flatnonzero(wrong[name]).astype(np.uint32))
            yield from self._told(reader, name, wrong[name])
        self._born.update(fields)

    def _wrong(
        self,
        reader: SegmentReader,
        fields: dict[str, Field],
        contents: dict[str, Contents],
        meter: Meter,
        units: int,
    ) -> dict[str, Bools]:
        """By field, the documents of which the index holds something else than the sources give."""
        wrong = {name: np.zeros(reader.doc_count, np.bool_) for name in fields}
        there = {name: name in self._born for name in fields}
        for first, sources in source_batches(self._transaction, reader.segment_id):
            fresh = self._reanalysis.segment(sources, fields)
            part = slice(first, first + len(sources))
            for name, field in fields.items():
                stored = contents[name].part(part) if name in contents else empty_contents(len(sources))
                differing, absent = _compared(stored, fresh, name)
                if not ignores(field):
                    absent = _late(absent, stored, there[name])
                wrong[name][part] = differing | absent
                there[name] = there[name] or bool(stored.present.any())
            meter.add(units * len(sources))
        return wrong

    def _mapped(self, reader: SegmentReader, name: str) -> tuple[Field | None, str]:
        """The mapping's field of this name if it is of the segment's kind; else in words what is there."""
        field, record = self._reanalysis.mapping.field(name), reader.field(name)
        if field is None:
            return None, "the segment has this field, and the mapping does not"
        kind = _kind(field)
        if record is None or kind != record.kind:
            return None, f"kind {record.kind if record else None} in the segment, {kind} in the mapping"
        return field, ""

    def _told(self, reader: SegmentReader, name: str, wrong: Bools) -> Iterator[Finding]:
        """A finding for each document; of the first ones, what differs."""
        docs = np.flatnonzero(wrong).astype(np.uint32)
        named = docs[:LIMIT]
        if not len(named):
            return
        stored = held(reader, name, named)
        fresh = self._reanalysis.segment(reader.sources(named), {name})
        given = held(fresh, name, np.arange(len(named), dtype=np.uint32))
        for place, doc in enumerate(named.tolist()):
            yield _finding(reader, name, doc, difference(stored[doc], given[place]))
        for doc in docs[LIMIT:].tolist():
            yield Finding("source", f"segment {reader.segment_id}, field [{name}], document {doc}", "differs")


def _finding(reader: SegmentReader, name: str, doc: DocId, words: str) -> Finding:
    (id_bytes,) = reader.id_bytes(np.array([doc]))
    spelt = id_bytes[:80].decode(errors="replace")
    return Finding(
        "source", f"segment {reader.segment_id}, field [{name}], document {doc} ({spelt!r})", words
    )


def _kind(field: Field) -> str | None:
    """What a segment calls the kind of such a field."""
    if isinstance(field, TextField):
        return "text"
    return "keyword" if isinstance(field, KeywordField) else field.column


def _compared(stored: Contents, fresh: SegmentReader, name: str) -> tuple[Bools, Bools]:
    """Documents of which the index holds something else than the sources give, and those that it does not hold."""
    record = fresh.field(name)
    given = empty_contents(fresh.doc_count) if record is None else read_contents(fresh, record)
    same = (stored.prints == given.prints) & (stored.lengths == given.lengths) & given.present
    return stored.present & ~same, given.present & ~stored.present


def _late(absent: Bools, stored: Contents, there_before: bool) -> Bools:
    """Those of the absent documents that come after one that is there: by then the mapping had the field."""
    late = absent.copy()
    if not there_before:
        late[: int(stored.present.argmax()) if stored.present.any() else None] = False
    return late


# ---------------------------------------------------------------------------------------------------- keywords


def ignores(field: Field) -> bool:
    """Are some keywords too long to be indexed? How long may have changed."""
    return isinstance(field, KeywordField) and field.ignore_above is not None


class KeywordJudge:
    """Which documents differ by more than another `ignore_above`, in a keyword field that has one.

    What the index holds, the source must give, whatever its length. What the index lacks must be too long by now, or
    have been so once: then no document before holds a keyword of that length.
    """

    def __init__(self, reader: SegmentReader, field: KeywordField, mapping: Mapping) -> None:
        self._reader = reader
        self._name = field.path
        self._longest = field.ignore_above or 0
        whole = {**mapping.fields, field.path: dataclasses.replace(field, ignore_above=None)}
        self._reanalysis = Reanalysis(Mapping(whole, mapping.objects))

    def wrong(self, suspects: U32s) -> Bools:
        """Those of the suspects that are wrong.

        cost: reads the dictionary once for every few thousand suspects
        """
        wrong = np.zeros(self._reader.doc_count, np.bool_)
        short: dict[DocId, int] = {}
        for start in range(0, len(suspects), _GROUP_DOCS):
            docs = suspects[start : start + _GROUP_DOCS]
            fresh = self._reanalysis.segment(self._reader.sources(docs), {self._name})
            given = held(fresh, self._name, np.arange(len(docs), dtype=np.uint32))
            for place, (doc, stored) in enumerate(held(self._reader, self._name, docs).items()):
                if set(stored) - set(given[place]):
                    wrong[doc] = True
                lacking = [_chars(entry) for entry in set(given[place]) - set(stored)]
                if lacking and min(lacking) <= self._longest:
                    short[doc] = min(lacking)
        first = self._first_holder(min(short.values())) if short else None
        for doc in short:
            wrong[doc] |= first is not None and doc > first
        return wrong

    def _first_holder(self, chars: int) -> DocId | None:
        """The first document of which the index holds a keyword of so many characters or more."""
        field = self._reader.field(self._name)
        first: DocId | None = None
        for part in read_parts(self._reader, field) if field is not None else ():
            long = np.array([len(term.decode(errors="replace")) >= chars for term in part.terms], np.bool_)
            docs = part.docs[np.repeat(long, part.doc_freqs)]
            if len(docs):
                first = min(int(docs.min()), first if first is not None else int(docs.min()))
        return first


def _chars(entry: Entry) -> int:
    return len(entry[0].decode(errors="replace")) if isinstance(entry[0], bytes) else 0
