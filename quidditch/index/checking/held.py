"""What single documents hold of a field, spelt out: for saying how two readings of it differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quidditch.index.checking.dictionary import Part, read_parts
from quidditch.index.codecs import ascending_offsets
from quidditch.index.reader import SegmentReader
from quidditch.types import Bools, DocId, U32s

Entry = tuple[bytes, int, tuple[int, ...]] | tuple[int | float]
"""A term with its frequency and positions (1 and none where the field keeps none), or a number."""

_NAMED = 3
"""Entries that are spelt out."""


def held(reader: SegmentReader, name: str, docs: U32s) -> dict[DocId, list[Entry]]:
    """What these documents hold of a field, in order.

    cost: reads the whole dictionary
    """
    found: dict[DocId, list[Entry]] = {doc: [] for doc in docs.tolist()}
    field = reader.field(name)
    if field is None:
        return found
    wanted = np.zeros(reader.doc_count, np.bool_)
    wanted[docs] = True
    for part in read_parts(reader, field):
        for doc, entry in _entries(part, wanted):
            found[doc].append(entry)
    column = reader.column(name)
    if column is not None and column.kind != "ordinal":
        chosen = wanted[column.docs]
        for doc, value in zip(column.docs[chosen].tolist(), column.values[chosen].tolist(), strict=True):
            found[doc].append((value,))
    return found


def _entries(part: Part, wanted: Bools) -> Iterator[tuple[DocId, Entry]]:
    """(document, entry) of those of a part's postings that are in wanted documents."""
    places = np.flatnonzero(wanted[part.docs])
    if not len(places):
        return
    terms = np.searchsorted(ascending_offsets(part.doc_freqs), places, side="right") - 1
    tokens = ascending_offsets(part.freqs) if part.freqs is not None else None
    for place, term in zip(places.tolist(), terms.tolist(), strict=True):
        freq = int(part.freqs[place]) if part.freqs is not None else 1
        positions: tuple[int, ...] = ()
        if part.positions is not None and tokens is not None:
            positions = tuple(part.positions[int(tokens[place]) : int(tokens[place + 1])].tolist())
        yield int(part.docs[place]), (part.terms[term], freq, positions)


def difference(index: list[Entry], sources: list[Entry]) -> str:
    """How what the index holds of a document differs from what its source gives, in words."""
    only_index = [entry for entry in index if entry not in sources]
    only_sources = [entry for entry in sources if entry not in index]
    if not only_index and not only_sources:
        return f"the index holds {len(index)} values, the source gives {len(sources)}; or lengths differ"
    return f"the index holds {_spelt(only_index)}; the source gives {_spelt(only_sources)}"


def _spelt(entries: list[Entry]) -> str:
    if not entries:
        return "nothing else"
    more = f" and {len(entries) - _NAMED} more" if len(entries) > _NAMED else ""
    return ", ".join(map(_spelt_one, entries[:_NAMED])) + more


def _spelt_one(entry: Entry) -> str:
    if len(entry) == 1:
        return repr(entry[0])
    term, freq, positions = entry
    at = f" at {list(positions[:10])}" if positions else ""
    return f"term {term[:40]!r} {freq} times{at}"
