"""Packed bits: what goes in comes out, whole or picked, and damage is told."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.errors import CorruptIndex
from quidditch.index import packed_bits
from quidditch.index.codecs import (
    decodes,
    pack_bits,
    pack_uints,
    pick_uints,
    unpack_narrow,
    unpack_part,
    unpack_uints,
)
from quidditch.types import Ints, U32s

widths = st.integers(0, 32)
mixed = st.lists(widths.flatmap(lambda bits: st.integers(0, (1 << bits) - 1)), max_size=60)
outlying = st.tuples(
    st.integers(0, 9).flatmap(
        lambda bits: st.lists(st.integers(0, (1 << bits) - 1), min_size=20, max_size=80)
    ),
    st.lists(st.integers(0, (1 << 32) - 1), max_size=2),
).map(lambda lists: lists[0] + lists[1])
values_of_all_kinds = mixed | outlying


@given(values=values_of_all_kinds, before=st.binary(max_size=3), after=st.binary(max_size=3))
def test_all_come_back(values: list[int], before: bytes, after: bytes) -> None:
    packed = pack_bits(np.array(values, np.uint32))
    found, end = unpack_uints(before + packed + after, len(before), len(values))
    assert found.tolist() == values
    assert found.dtype == np.uint32
    assert end == len(before) + len(packed)


@given(values=values_of_all_kinds.filter(bool), data=st.data(), by_bytes=st.booleans())
def test_chosen_ones_are_picked(values: list[int], data: st.DataObject, by_bytes: bool) -> None:
    chosen = sorted(data.draw(st.sets(st.integers(0, len(values) - 1))))
    pack = pack_uints if by_bytes else pack_bits
    packed = b"x" + pack(np.array(values, np.uint32))
    assert pick_uints(packed, 1, len(values), np.array(chosen, np.intp)).tolist() == [
        values[place] for place in chosen
    ]


@given(values=values_of_all_kinds, data=st.data(), by_bytes=st.booleans())
def test_neighbours_are_read_without_the_rest(values: list[int], data: st.DataObject, by_bytes: bool) -> None:
    low = data.draw(st.integers(0, len(values)))
    high = data.draw(st.integers(low, len(values)))
    packed = b"x" + (pack_uints if by_bytes else pack_bits)(np.array(values, np.uint32))
    found, end = unpack_part(packed + b"y", 1, len(values), low, high)
    assert found.tolist() == values[low:high]
    assert found.dtype == np.uint32
    assert end == len(packed)


@given(runs=st.lists(values_of_all_kinds, max_size=6))
def test_runs_are_packed_as_each_would_be(runs: list[list[int]]) -> None:
    edges = np.cumsum([0, *map(len, runs)])
    joined = np.array([value for run in runs for value in run], np.uint32)
    assert packed_bits.pack_runs(joined, edges) == [pack_bits(np.array(run, np.uint32)) for run in runs]


def test_values_of_more_than_65536_places() -> None:
    values = np.arange(70_000, dtype=np.uint32) % 11
    values[[3, 65_535, 65_536, 69_999]] = (1 << 32) - 1
    packed = pack_bits(values)
    assert len(packed) < 70_000 * 4 / 8 + 50
    assert np.array_equal(unpack_narrow(packed, 0, len(values))[0], values)
    assert pick_uints(packed, 0, len(values), np.array([3, 4, 65_536])).tolist() == [
        (1 << 32) - 1,
        4,
        (1 << 32) - 1,
    ]


def test_an_outlier_does_not_widen_the_others() -> None:
    narrow = np.arange(800, dtype=np.uint32) % 16
    alone = len(pack_bits(narrow))
    assert alone == 1 + 400
    narrow[17] = 1 << 30
    assert len(pack_bits(narrow)) < alone + 20
    assert len(pack_bits(np.zeros(800, np.uint32))) == 1


def test_what_is_handed_out_is_owned() -> None:
    for values in ([1, 0, 1], [255, 3, 200], [3, 2, 1], [60_000, 1, 2], [0, 0]):
        packed = bytearray(pack_bits(np.array(values, np.uint32)))
        found, _ = unpack_narrow(memoryview(packed).toreadonly(), 0, len(values))
        packed[1:] = bytes(len(packed) - 1)
        found += found.dtype.type(0)
        assert found.tolist() == values


@decodes("bits")
def _all(data: bytes, count: int) -> Ints:
    return unpack_narrow(data, 0, count)[0]


@decodes("bits")
def _picked(data: bytes, count: int) -> U32s:
    return pick_uints(data, 0, count, np.arange(count))


@decodes("bits")
def _halves(data: bytes, count: int) -> U32s:
    middle = count // 2
    first, _ = unpack_part(data, 0, count, 0, middle)
    return np.concatenate((first, unpack_part(data, 0, count, middle, count)[0]))


@given(data=st.binary(max_size=40), count=st.integers(1, 40), head=st.integers(0, 255))
def test_any_bytes_give_values_or_damage(data: bytes, count: int, head: int) -> None:
    for read in (_all, _picked, _halves):
        with contextlib.suppress(CorruptIndex):
            assert len(read(bytes((head,)) + data, count)) == count


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "width"),
        (b"\x44\0\0\0", "4 bits"),
        (b"\x61" + bytes(400), "33 bits"),
        (b"\xc0\x09\0\0\0\x02\x01", "9 patches"),
        (b"\xc0\0\0\0\0\x02\x01", "0 patches"),
        (b"\xc0\x01\0\0\0\x03\x01" + bytes(9), "1 patches"),
        (b"\xc0\x01\0\0\0\x02\x01\x08\x00\x01", "past the last"),
    ],
)
def test_damage_is_named(data: bytes, says: str) -> None:
    with pytest.raises(CorruptIndex, match=says):
        _all(data, 8)


@given(values=values_of_all_kinds)
def test_one_run_is_packed_as_several_are(values: list[int]) -> None:
    run = np.array(values, np.uint32)
    both = packed_bits.pack_runs(np.concatenate((run, run)), np.array([0, len(run), 2 * len(run)]))
    assert both == [packed_bits.pack_run(run)] * 2
