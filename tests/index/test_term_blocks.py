"""A block of terms: what is read of one term is what a reading of the whole gives; and damage is told."""

from __future__ import annotations

import contextlib
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.errors import CorruptIndex
from quidditch.index.codecs import ascending_offsets, pack_strings, pack_uints
from quidditch.index.inversion import Inverted
from quidditch.index.postings import RARE, PostingsWriter
from quidditch.index.storage import Table
from quidditch.index.term_blocks import PackedBlock, TermBlock, TermIndex
from quidditch.types import Ints, U32s

KEPT = ((False, False), (True, False), (True, True))
"""Frequencies and positions that a field may keep."""

kept_by_fields = st.sampled_from(KEPT)
names = st.lists(st.binary(max_size=5), min_size=1, max_size=12, unique=True).map(sorted)
doc_freqs = st.integers(1, 9) | st.sampled_from([RARE - 1, RARE, RARE + 1])


def inverted(terms: list[bytes], counts: list[int], seed: int, kept: tuple[bool, bool]) -> Inverted:
    """Terms in so many documents each; gaps, frequencies and positions have outliers."""
    dice = np.random.default_rng(seed)

    def numbers(count: int, scale: int) -> U32s:
        values = dice.integers(1, 1 + scale, count, dtype=np.uint32)
        return np.where(dice.random(count) < 0.02, values * np.uint32(300), values).astype(np.uint32)

    docs = np.concatenate([np.cumsum(numbers(count, dice.choice([1, 40, 3000]))) for count in counts])
    freqs = numbers(len(docs), int(dice.choice([1, 3])))
    return Inverted(
        terms,
        np.array(counts, np.uint32),
        docs.astype(np.uint32),
        freqs if kept[0] else None,
        numbers(int(freqs.sum()), 150) if kept[1] else None,
    )


def stored(part: Inverted, kept: tuple[bool, bool]) -> bytes:
    """The row of a block with these terms."""
    writer = PostingsWriter(1, 0, with_freqs=kept[0], with_positions=kept[1])
    return next(value for table, _, value in writer.add(part) if table == Table.TERM_BLOCKS)


def stored_in_format_2(part: Inverted) -> bytes:
    """The same as format 2 has it: documents as they are, integers in whole bytes."""
    rare = np.repeat(part.doc_freqs <= RARE, part.doc_freqs)
    body = [struct.pack("<H", len(part.terms)), pack_strings(part.terms), pack_uints(part.doc_freqs)]
    body.append(pack_uints(part.docs[rare]))
    if part.freqs is not None:
        body.append(pack_uints(part.freqs[rare] - np.uint32(1)))
        if part.positions is not None:
            body.append(pack_uints(part.positions[np.repeat(rare, part.freqs)]))
    return b"".join(body)


def listed(values: Ints | None) -> list[int] | None:
    return None if values is None else values.tolist()


@given(terms=names, data=st.data(), seed=st.integers(0, 1 << 30), kept=kept_by_fields, old=st.booleans())
def test_a_term_is_read_as_the_whole_is(
    terms: list[bytes], data: st.DataObject, seed: int, kept: tuple[bool, bool], old: bool
) -> None:
    counts = data.draw(st.lists(doc_freqs, min_size=len(terms), max_size=len(terms)))
    part = inverted(terms, counts, seed, kept)
    value = stored_in_format_2(part) if old else stored(part, kept)
    packed = PackedBlock(value, with_freqs=kept[0], with_positions=kept[1])
    whole = TermBlock(value, with_freqs=kept[0], with_positions=kept[1])
    assert packed.terms(0, packed.count) == whole.terms == terms
    assert packed.doc_freqs.tolist() == whole.doc_freqs.tolist() == counts
    assert packed.frequent_places(0, len(terms)) == whole.frequent_places(0, len(terms))
    offsets = ascending_offsets(part.doc_freqs)
    for place, term in enumerate(terms):
        assert packed.find(term) == place
        assert packed.term(place) == term
        if not packed.is_rare(place):
            continue
        found, expected = packed.rare_postings(place), whole.rare_slice(place, place + 1)
        assert found.docs().tolist() == expected.docs.tolist()
        assert expected.docs.tolist() == part.docs[offsets[place] : offsets[place + 1]].tolist()
        assert found.doc_freq == counts[place]
        assert listed(found.freqs()) == listed(expected.freqs)
        assert listed(found.distances()) == listed(expected.positions)


@given(terms=names, data=st.data(), seed=st.integers(0, 1 << 30))
def test_ranges_of_a_block(terms: list[bytes], data: st.DataObject, seed: int) -> None:
    counts = data.draw(st.lists(doc_freqs, min_size=len(terms), max_size=len(terms)))
    low = data.draw(st.integers(0, len(terms)))
    high = data.draw(st.integers(low, len(terms)))
    value = stored(inverted(terms, counts, seed, (True, True)), (True, True))
    packed = PackedBlock(value, with_freqs=True, with_positions=True)
    whole = TermBlock(value, with_freqs=True, with_positions=True).rare_slice(low, high)
    assert packed.rare_docs(low, high).tolist() == whole.docs.tolist()
    assert (
        whole.terms
        == [term for term, count in zip(terms, counts, strict=True) if count <= RARE][
            sum(count <= RARE for count in counts[:low]) : sum(count <= RARE for count in counts[:high])
        ]
    )
    assert packed.terms(low, high) == terms[low:high]


@given(terms=names, asked=st.binary(max_size=5))
def test_terms_are_found_by_their_bytes(terms: list[bytes], asked: bytes) -> None:
    value = stored(inverted(terms, [1] * len(terms), 0, (False, False)), (False, False))
    block = PackedBlock(value, with_freqs=False, with_positions=False)
    assert block.before(asked) == bisect_left(terms, asked)
    assert block.after(asked) == bisect_right(terms, asked)
    assert block.find(asked) == (terms.index(asked) if asked in terms else None)


def test_positions_are_not_read_unless_asked_for() -> None:
    terms, counts = [b"a", b"b"], [40, 30]
    value = stored(inverted(terms, counts, 5, (True, True)), (True, True))
    without = stored(inverted(terms, counts, 5, (True, False)), (True, False))
    found = PackedBlock(without, with_freqs=True, with_positions=True).rare_postings(1)
    expected = PackedBlock(value, with_freqs=True, with_positions=True).rare_postings(1)
    assert found.docs().tolist() == expected.docs().tolist()
    assert listed(found.freqs()) == listed(expected.freqs())
    with pytest.raises(CorruptIndex):
        found.positions()


def test_a_packed_block_costs_what_it_holds() -> None:
    part = inverted([b"%05d" % number for number in range(250)], [20] * 250, 3, (True, True))
    value = stored(part, (True, True))
    size_bytes = PackedBlock(value, with_freqs=True, with_positions=True).size_bytes
    assert len(value) < size_bytes < len(value) + 8_000


def _everything(value: bytes) -> list[Any]:
    """Every term of a block and all that is known of it, each read by itself."""
    block = PackedBlock(value, with_freqs=True, with_positions=True)
    read: list[Any] = []
    for place in range(block.count):
        read.append(block.term(place))
        if block.is_rare(place):
            postings = block.rare_postings(place)
            docs, freqs, positions = postings.docs(), postings.freqs(), postings.positions()
            assert freqs is not None
            assert positions is not None
            assert len(docs) == len(freqs) == len(positions[0]) - 1 == block.doc_freqs[place]
            assert len(positions[1]) == positions[0][-1]
            read += [docs, freqs, positions]
    read.append(block.rare_docs(0, block.count))
    return read


def _whole(value: bytes) -> TermBlock:
    return TermBlock(value, with_freqs=True, with_positions=True)


@pytest.mark.parametrize("read", [_everything, _whole])
@given(
    seed=st.integers(0, 1 << 30),
    changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=3),
    cut=st.none() | st.integers(0, 1 << 16),
    old=st.booleans(),
)
def test_damaged_blocks_are_corrupt_or_whole(
    read: Callable[[bytes], Any], seed: int, changes: list[tuple[int, int]], cut: int | None, old: bool
) -> None:
    part = inverted([b"a", b"bc", b"d"], [3, RARE, 90], seed, (True, True))
    damaged = bytearray(stored_in_format_2(part) if old else stored(part, (True, True)))
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    with contextlib.suppress(CorruptIndex):
        read(bytes(damaged[: None if cut is None else cut % len(damaged)]))


def test_a_document_beyond_32_bits_is_corruption() -> None:
    two = np.array([1, 0xFFFFFFFF], np.uint32)
    value = stored(Inverted([b"a"], np.array([2], np.uint32), two), (False, False))
    assert PackedBlock(value, with_freqs=False, with_positions=False).rare_docs(0, 1).tolist() == two.tolist()
    damaged = value.replace(b"\x41\x01", b"\x44\x0f")  # the first document is the fifteenth
    with pytest.raises(CorruptIndex, match="beyond 32 bits"):
        PackedBlock(damaged, with_freqs=False, with_positions=False).rare_postings(0)
    with pytest.raises(CorruptIndex, match="beyond 32 bits"):
        TermBlock(damaged, with_freqs=False, with_positions=False)


def test_a_damaged_number_of_blocks_takes_no_memory() -> None:
    one = struct.pack("<I", 1) + pack_uints(np.array([0, 7])) + pack_strings([b"a"])
    assert TermIndex(one).term_count == 7
    with pytest.raises(CorruptIndex, match="4,026,531,841 blocks in a value of"):
        TermIndex(one[:3] + b"\xf0" + one[4:])
