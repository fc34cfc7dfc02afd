"""A field's terms and postings, written in slices and read back, against a dict of dicts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from quidditch.errors import CorruptIndex
from quidditch.index import postings, reader, term_blocks
from quidditch.index.buffer import MemoryRows
from quidditch.index.codecs import WINDOW_DOCS
from quidditch.index.inversion import Inverted
from quidditch.index.postings import PostingsWriter, Row
from quidditch.index.reader import SegmentCache, SegmentReader
from quidditch.index.segment import FieldRecord, SegmentRecord
from quidditch.index.storage import Table

DOCS = 24

Model = dict[bytes, dict[int, list[int]]]

positions = st.lists(st.integers(0, 400), min_size=1, max_size=4, unique=True).map(sorted)
models: st.SearchStrategy[Model] = st.dictionaries(
    st.text("abcé語", max_size=5).map(str.encode),
    st.dictionaries(st.integers(0, DOCS - 1), positions, min_size=1, max_size=DOCS),
    max_size=14,
)


@contextmanager
def tiny_limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "RARE", 2)
        patch.setattr(term_blocks, "RARE", 2)
        patch.setattr(postings, "BLOCK_TERMS", 3)
        patch.setattr(postings, "BLOCK_TERM_BYTES", 9)
        patch.setattr(postings, "WINDOW_DOCS", 8)
        patch.setattr(reader, "WINDOW_DOCS", 8)
        yield


def inverted(model: Model, freqs: bool, with_positions: bool) -> Inverted:
    terms = sorted(model)
    pairs = [(term, doc) for term in terms for doc in sorted(model[term])]
    own = [model[term][doc] for term, doc in pairs]
    distances = [np.diff(places, prepend=0) for places in own]
    return Inverted(
        terms,
        np.array([len(model[term]) for term in terms], np.uint32),
        np.array([doc for _, doc in pairs], np.uint32),
        np.array([len(places) for places in own], np.uint32) if freqs else None,
        np.concatenate([np.zeros(0, np.uint32), *distances]).astype(np.uint32) if with_positions else None,
    )


def written(model: Model, cuts: list[int], freqs: bool, with_positions: bool) -> list[Row]:
    """The rows of the model's terms, given in slices between `cuts`."""
    terms = sorted(model)
    edges = sorted({0, len(terms), *(cut for cut in cuts if cut < len(terms))})
    writer = PostingsWriter(1, 0, with_freqs=freqs, with_positions=with_positions)
    rows: list[Row] = []
    for low, high in pairwise(edges):
        part = {term: model[term] for term in terms[low:high]}
        rows += writer.add(inverted(part, freqs, with_positions))
    return rows + list(writer.finish())


def opened(rows: list[Row], terms: int, freqs: bool, with_positions: bool, deleted: BitMap) -> SegmentReader:
    field = FieldRecord("f", 0, "text", terms, DOCS, DOCS, 0, freqs, with_positions)
    record = SegmentRecord(DOCS, 0, DOCS - 1, True, 0, [field])
    return SegmentReader(MemoryRows(rows), 1, record, deleted, 1, SegmentCache())


@given(
    model=models,
    cuts=st.lists(st.integers(1, 12), max_size=3),
    kept=st.sampled_from([(False, False), (True, False), (True, True)]),
    gone=st.sets(st.integers(0, DOCS - 1)),
)
def test_what_is_written_is_read(
    model: Model, cuts: list[int], kept: tuple[bool, bool], gone: set[int]
) -> None:
    with tiny_limits():
        rows = written(model, cuts, *kept)
        segment = opened(rows, len(model), *kept, BitMap(gone))
        assert segment.terms("f") == sorted(model)
        assert segment.postings("f", b"not there") is None
        for term, docs in model.items():
            found = segment.postings("f", term)
            assert found is not None
            assert found.docs().tolist() == sorted(docs)
            assert list(found.bitmap()) == sorted(docs)
            assert found.doc_freq == len(docs)
            assert segment.doc_freq("f", term) == len(docs.keys() - gone)
            own = found.freqs()
            assert (own is not None) == kept[0]
            if own is not None:
                assert own.tolist() == [len(docs[doc]) for doc in sorted(docs)]
            places = found.positions()
            assert (places is not None) == kept[1]
            if places is not None:
                offsets, flat = places
                assert [flat[low:high].tolist() for low, high in pairwise(offsets.tolist())] == [
                    docs[doc] for doc in sorted(docs)
                ]


@given(model=models.filter(bool), kept=st.booleans(), data=st.data())
def test_positions_of_chosen_postings(model: Model, kept: bool, data: st.DataObject) -> None:
    with tiny_limits():
        segment = opened(written(model, [], True, kept), len(model), True, kept, BitMap())
        term = data.draw(st.sampled_from(sorted(model)))
        docs = sorted(model[term])
        chosen = sorted(data.draw(st.sets(st.integers(0, len(docs) - 1), min_size=0 if kept else 1)))
        found = segment.postings("f", term)
        assert found is not None
        places = found.positions_at(np.array(chosen, np.intp))
        assert (places is not None) == kept
        if places is not None:
            offsets, flat = places
            assert offsets.dtype == flat.dtype == np.uint32
            assert [flat[low:high].tolist() for low, high in pairwise(offsets.tolist())] == [
                model[term][docs[place]] for place in chosen
            ]


def test_chosen_positions_are_read_from_their_windows_alone() -> None:
    docs = np.array([*range(3000), *range(WINDOW_DOCS, WINDOW_DOCS + 500)], np.uint32)
    freqs = (docs % 3 + 1).astype(np.uint32)
    distances = np.arange(freqs.sum(), dtype=np.uint32) % 90
    part = Inverted([b"t"], np.array([len(docs)], np.uint32), docs, freqs, distances)
    writer = PostingsWriter(1, 0, with_freqs=True, with_positions=True)
    rows = [*writer.add(part), *writer.finish()]
    count = 2 * WINDOW_DOCS
    field = FieldRecord("f", 0, "text", 1, count, count, count, True, True)
    record = SegmentRecord(count, 0, count - 1, True, 0, [field])
    of_second_window = (Table.POSITIONS, b"\0\1")
    without = [row for row in rows if (row[0], row[1][-2:]) != of_second_window]
    assert len(without) < len(rows)
    segment = SegmentReader(MemoryRows(rows), 1, record, BitMap(), 0, SegmentCache())
    halved = SegmentReader(MemoryRows(without), 1, record, BitMap(), 0, SegmentCache())
    whole, half = segment.postings("f", b"t"), halved.postings("f", b"t")
    assert whole is not None
    assert half is not None
    everything = whole.positions()
    assert everything is not None
    offsets, flat = everything
    for chosen in ([5, 2999], [0, 1, 2, 2998], []):
        places = half.positions_at(np.array(chosen, np.intp))
        assert places is not None
        expected = [flat[offsets[one] : offsets[one + 1]] for one in chosen]
        assert places[1].tolist() == np.concatenate([flat[:0], *expected]).tolist()
    assert half.positions_at(np.array([5, 3100])) is None


@given(model=models, lower=st.none() | st.binary(max_size=3), upper=st.none() | st.binary(max_size=3))
def test_ranges_of_terms(model: Model, lower: bytes | None, upper: bytes | None) -> None:
    terms = sorted(model)
    with tiny_limits():
        segment = opened(written(model, [], True, True), len(model), True, True, BitMap())
        for include_lower in (True, False):
            for include_upper in (True, False):
                expected = [
                    term
                    for term in terms
                    if (lower is None or (term >= lower if include_lower else term > lower))
                    and (upper is None or (term <= upper if include_upper else term < upper))
                ]
                assert segment.terms("f", lower, upper, include_lower, include_upper) == expected
                documents = segment.documents_between("f", lower, upper, include_lower, include_upper)
                assert set(documents) == {doc for term in expected for doc in model[term]}


@given(model=models, data=st.data())
def test_ordinals_spell_their_terms(model: Model, data: st.DataObject) -> None:
    terms = sorted(model)
    asked = data.draw(st.lists(st.integers(0, len(terms) - 1), max_size=6)) if terms else []
    with tiny_limits():
        segment = opened(written(model, [], False, False), len(model), False, False, BitMap())
        assert segment.ordinal_terms("f", np.array(asked, np.uint32)) == [terms[one] for one in asked]


@given(model=models, cuts=st.lists(st.integers(1, 12), max_size=3))
def test_rows_rise_inside_each_table(model: Model, cuts: list[int]) -> None:
    with tiny_limits():
        rows = written(model, cuts, True, True)
    for table in Table:
        keys = [key for own, key, _ in rows if own == table]
        assert keys == sorted(set(keys))


@given(model=models.filter(lambda model: any(len(docs) > 2 for docs in model.values())))
def test_a_lost_row_is_corruption(model: Model) -> None:
    with tiny_limits():
        rows = written(model, [], True, True)
        lost = next(row for row in rows if row[0] == Table.POSTINGS)
        segment = opened([row for row in rows if row is not lost], len(model), True, True, BitMap())
        frequent = next(term for term in sorted(model) if len(model[term]) > 2)
        with pytest.raises(CorruptIndex):
            segment.postings("f", frequent)


def test_limits_as_shipped() -> None:
    """One term of every document and one of each, past a window's end."""
    count = WINDOW_DOCS + 300
    everywhere = np.arange(count, dtype=np.uint32)
    part = Inverted(
        [b"all", b"last"],
        np.array([count, 1], np.uint32),
        np.append(everywhere, np.uint32(count - 1)),
        np.ones(count + 1, np.uint32),
        np.append(everywhere % 7, 3).astype(np.uint32),
    )
    writer = PostingsWriter(1, 0, with_freqs=True, with_positions=True)
    rows = [*writer.add(part), *writer.finish()]
    field = FieldRecord("f", 0, "text", 2, count, count, count, True, True)
    record = SegmentRecord(count, 0, count - 1, True, 0, [field])
    segment = SegmentReader(MemoryRows(rows), 1, record, BitMap(), 0, SegmentCache())
    found = segment.postings("f", b"all")
    assert found is not None
    assert np.array_equal(found.docs(), everywhere)
    places = found.positions()
    assert places is not None
    assert np.array_equal(places[1], everywhere % 7)
    assert segment.doc_freq("f", b"last") == 1
