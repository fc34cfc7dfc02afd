"""decode(encode(x)) is x, for every shape of FORMAT.md; and bytes that are damaged are an error of the tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.errors import QuidditchError
from quidditch.index import codecs, doc_values, postings, snapshot, stored_fields, term_blocks
from quidditch.index.buffer import MemoryRows, pack_buffered, unpack_buffered
from quidditch.index.doc_values import ColumnKind
from quidditch.index.inversion import Inverted
from quidditch.index.storage import Table

uints = st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 300), max_size=40)
int64s = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5)
u32s = st.integers(0, 2**32 - 1)
u16s = st.integers(0, 2**16 - 1)
doc_ids = st.lists(st.integers(0, 60), unique=True, max_size=40).map(sorted)


@contextmanager
def tiny_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (codecs, doc_values, stored_fields):
            for name, limit in (("COLUMN_CHUNK_DOCS", 7), ("ID_CHUNK_DOCS", 3)):
                if hasattr(module, name):
                    patch.setattr(module, name, limit)
        yield


@given(uints, st.binary(max_size=3), st.binary(max_size=3))
def test_packed_integers(values: list[int], before: bytes, after: bytes) -> None:
    packed = codecs.pack_uints(np.array(values, np.uint64))
    found, end = codecs.unpack_uints(before + packed + after, len(before), len(values))
    assert found.tolist() == values
    assert end == len(before) + len(packed)
    assert found.dtype == np.uint32


@given(st.lists(int64s, max_size=40))
def test_packed_signed_integers(values: list[int]) -> None:
    packed = codecs.pack_integers(np.array(values, np.int64))
    found, end = codecs.unpack_integers(packed, 0, len(values))
    assert found.tolist() == values
    assert end == len(packed)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_packed_strings(strings: list[bytes]) -> None:
    packed = codecs.pack_strings(strings)
    assert term_blocks.unpack_terms(packed, 0, len(strings)) == (strings, len(packed))


@given(doc_ids)
def test_bitmaps(ids: list[int]) -> None:
    bitmap = codecs.bitmap_of(np.array(ids, np.uint32))
    assert codecs.ids_of(codecs.unpack_bitmap(codecs.pack_bitmap(bitmap))).tolist() == ids


@given(doc_ids, st.integers(1, 70))
def test_splitting_keeps_everything_in_its_chunk(ids: list[int], span: int) -> None:
    array = np.array(ids, np.uint32)
    parts = codecs.split_by(array, span)
    assert [doc for _, part in parts for doc in array[part].tolist()] == ids
    for chunk, part in parts:
        assert {doc // span for doc in array[part].tolist()} == {chunk}


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.booleans(), st.binary(max_size=520))
def test_id_entries(seq_no: int, version: int, deleted: bool, long_id: bytes) -> None:
    entry = codecs.pack_id_entry(seq_no, version, deleted, long_id)
    assert codecs.unpack_id_entry(entry) == (seq_no, version, deleted)


@given(st.text(min_size=1), st.text(min_size=1))
def test_keys_of_different_ids_differ_and_fit(one: str, other: str) -> None:
    for repeat in (1, 200):
        first, second = (one * repeat).encode()[:512], (other * repeat).encode()[:512]
        assert (codecs.id_key(first) == codecs.id_key(second)) == (first == second)
        assert len(codecs.id_key(first)) <= 511


@given(st.lists(st.tuples(u32s, u16s, u32s, u16s), max_size=5))
def test_keys_sort_as_their_numbers(numbers: list[tuple[int, int, int, int]]) -> None:
    keys = [codecs.postings_key(*own) for own in numbers]
    assert sorted(keys) == [codecs.postings_key(*own) for own in sorted(numbers)]


@given(st.binary(max_size=512), st.binary(max_size=50))
def test_buffered_documents(id_bytes: bytes, source: bytes) -> None:
    assert unpack_buffered(pack_buffered(id_bytes, source)) == (id_bytes, source)


@given(st.lists(st.binary(max_size=100), max_size=12))
def test_stored_blocks(sources: list[bytes]) -> None:
    block = stored_fields.pack_block(sources)
    assert stored_fields.unpack_block(block) == sources
    assert stored_fields.block_count(block) == len(sources)


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=12), st.data())
def test_ids_of_documents(ids: list[bytes], data: st.DataObject) -> None:
    with tiny_chunks():
        rows = MemoryRows(stored_fields.id_rows(1, ids))
        size = 3
        for doc in data.draw(st.lists(st.integers(0, len(ids) - 1), max_size=8)):
            chunk = stored_fields.read_id_chunk(rows, 1, doc // size, len(ids))
            assert chunk[doc % size] == ids[doc]


KINDS: dict[ColumnKind, st.SearchStrategy[Any]] = {
    "int64": int64s,
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "ordinal": st.integers(0, 2**32 - 1),
}
DTYPES = {"int64": np.int64, "float64": np.float64, "ordinal": np.uint32}


@pytest.mark.parametrize("kind", list(KINDS))
@given(data=st.data())
def test_columns(kind: ColumnKind, data: st.DataObject) -> None:
    model = data.draw(
        st.dictionaries(st.integers(0, 40), st.lists(KINDS[kind], min_size=1, max_size=3).map(sorted))
    )
    pairs = [(doc, value) for doc in sorted(model) for value in model[doc]]
    docs = np.array([doc for doc, _ in pairs], np.uint32)
    values = np.array([value for _, value in pairs], DTYPES[kind])
    with tiny_chunks():
        rows = MemoryRows(doc_values.column_rows(1, 0, kind, docs, values))
        present = codecs.bitmap_of(np.array(sorted(model), np.uint32))
        column = doc_values.read_column(rows, 1, 0, kind, present)
    assert list(zip(column.docs.tolist(), column.values.tolist(), strict=True)) == pairs
    assert column.values.dtype == DTYPES[kind]
    assert column.single == all(len(own) == 1 for own in model.values())
    assert (column.minimum, column.maximum) == (
        (min(values.tolist()), max(values.tolist())) if pairs else (None, None)
    )


@given(st.lists(st.integers(0, 70_000), min_size=1, max_size=30))
def test_lengths(lengths: list[int]) -> None:
    with tiny_chunks():
        rows = MemoryRows(doc_values.length_rows(1, 0, np.array(lengths, np.uint32)))
        assert doc_values.read_lengths(rows, 1, 0, len(lengths)).tolist() == lengths


@given(doc_ids, st.integers(61, 70))
def test_presence(docs: list[int], doc_count: int) -> None:
    with tiny_chunks():
        rows = MemoryRows(doc_values.presence_rows(1, 0, np.array(docs, np.uint32), doc_count))
        found = doc_values.read_presence(rows, 1, 0, len(docs), doc_count)
    assert list(found) == docs


def test_a_field_of_every_document_has_no_presence_rows() -> None:
    assert list(doc_values.presence_rows(1, 0, np.arange(5, dtype=np.uint32), 5)) == []


@given(st.integers(0, 2**64 - 1), doc_ids)
def test_tombstones(generation: int, docs: list[int]) -> None:
    packed = snapshot.pack_tombstones(generation, codecs.bitmap_of(np.array(docs, np.uint32)))
    found, deleted = snapshot.unpack_tombstones(packed)
    assert (found, list(deleted)) == (generation, docs)


# ---------------------------------------------------------------------------------------------------- damage


def _blocks(value: bytes) -> object:
    return term_blocks.TermBlock(value, with_freqs=True, with_positions=True)


def _sample_rows() -> list[bytes]:
    writer = postings.PostingsWriter(1, 0, with_freqs=True, with_positions=True)
    part = Inverted(
        [b"a", b"b"],
        np.array([1, 2], np.uint32),
        np.array([0, 0, 1], np.uint32),
        np.array([1, 2, 1], np.uint32),
        np.array([1, 0, 2, 0], np.uint32),
    )
    return [value for _, _, value in [*writer.add(part), *writer.finish()]]


def _frequent_row(docs: int, step: int = 2) -> bytes:
    """A row of `postings`: some frequencies are far above the others."""
    freqs = np.ones(docs, np.uint32)
    freqs[::50] = 900
    part = Inverted(
        [b"a"], np.array([docs], np.uint32), np.arange(docs, dtype=np.uint32) * np.uint32(step), freqs
    )
    writer = postings.PostingsWriter(1, 0, with_freqs=True, with_positions=False)
    return next(value for table, _, value in writer.add(part) if table == Table.POSTINGS)


def _window(value: bytes) -> postings.Window:
    return postings.unpack_window(value, with_freqs=True)


DECODERS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "packed integers": (
        codecs.pack_uints(np.array([1, 300])),
        lambda value: codecs.unpack_uints(value, 0, 2),
    ),
    "packed strings": (
        codecs.pack_strings([b"ab", b"c"]),
        lambda value: term_blocks.unpack_terms(value, 0, 2),
    ),
    "signed integers": (
        codecs.pack_integers(np.array([1, -300])),
        lambda value: codecs.unpack_integers(value, 0, 2),
    ),
    "bitmap": (codecs.pack_bitmap(codecs.bitmap_of(np.arange(9))), codecs.unpack_bitmap),
    "id entry": (codecs.pack_id_entry(1, 1, False), codecs.unpack_id_entry),
    "tombstones": (
        snapshot.pack_tombstones(1, codecs.bitmap_of(np.arange(3))),
        snapshot.unpack_tombstones,
    ),
    "buffered document": (pack_buffered(b"a", b"{}"), unpack_buffered),
    "stored block": (stored_fields.pack_block([b"{}", b'{"a":1}']), stored_fields.unpack_block),
    "stored block's count": (stored_fields.pack_block([b"{}"]), stored_fields.block_count),
    "term block": (_sample_rows()[0], _blocks),
    "window of distances": (_frequent_row(200), _window),
    "window as a bitmap": (_frequent_row(4200, 7), _window),
    "term index": (_sample_rows()[1], term_blocks.TermIndex),
}


def damaged(sound: bytes) -> Iterator[bytes]:
    """Every cut, and every byte changed to a few others."""
    for length in range(len(sound)):
        yield sound[:length]
        for byte in (0, 3, 255):
            yield sound[:length] + bytes((byte,)) + sound[length + 1 :]


@pytest.mark.parametrize("name", DECODERS)
def test_damaged_bytes_are_an_error_of_the_tree_or_other_values(name: str) -> None:
    sound, decode = DECODERS[name]
    decode(sound)
    leaks = set()
    for value in damaged(sound):
        try:
            decode(value)
        except QuidditchError:
            continue
        except Exception as error:
            leaks.add(f"{type(error).__name__}: {error}")
    assert not leaks
