"""Bytes to arrays and back: what each list, column and bitmap costs to read."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from quidditch.index.codecs import (
    bitmap_of,
    ids_of,
    pack_bitmap,
    pack_bits,
    pack_integers,
    pack_uints,
    unpack_bitmap,
    unpack_integers,
    unpack_part,
    unpack_uints,
)

SEED = 7
COUNT = 60_000
DICE = np.random.default_rng(SEED)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.9])
def test_decode_a_roaring_list(benchmark: BenchmarkFixture, share: float) -> None:
    ids = np.flatnonzero(np.random.default_rng(SEED).random(1_000_000) < share).astype(np.uint32)
    data = pack_bitmap(bitmap_of(ids))
    assert np.array_equal(benchmark(lambda: ids_of(unpack_bitmap(data))), ids)


def test_build_a_roaring_list(benchmark: BenchmarkFixture) -> None:
    ids = np.arange(0, 600_000, 2, dtype=np.uint32)
    assert len(benchmark(bitmap_of, ids)) == len(ids)


@pytest.mark.parametrize("largest", [200, 60_000, 2**31])
def test_decode_unsigned(benchmark: BenchmarkFixture, largest: int) -> None:
    values = np.random.default_rng(SEED).integers(0, largest, COUNT, dtype=np.uint32)
    data = pack_uints(values)
    assert np.array_equal(benchmark(unpack_uints, data, 0, COUNT)[0], values)


@pytest.mark.parametrize("mean", [1.5, 20, 3000])
@pytest.mark.parametrize("count", [1000, COUNT])
def test_decode_packed_bits(benchmark: BenchmarkFixture, mean: float, count: int) -> None:
    values = np.random.default_rng(SEED).geometric(1 / mean, count).astype(np.uint32)
    data = pack_bits(values)
    assert np.array_equal(benchmark(unpack_uints, data, 0, count)[0], values)


def test_decode_some_packed_bits(benchmark: BenchmarkFixture) -> None:
    """One rare term's of a block."""
    values = np.random.default_rng(SEED).geometric(1 / 20, 3000).astype(np.uint32)
    data = pack_bits(values)
    assert np.array_equal(benchmark(unpack_part, data, 0, len(values), 1500, 1520)[0], values[1500:1520])


def test_decode_signed(benchmark: BenchmarkFixture) -> None:
    values = np.random.default_rng(SEED).integers(-(2**40), 2**40, COUNT)
    data = pack_integers(values)
    assert np.array_equal(benchmark(unpack_integers, data, 0, COUNT)[0], values)


def test_encode_unsigned(benchmark: BenchmarkFixture) -> None:
    values = np.random.default_rng(SEED).integers(0, 200, COUNT, dtype=np.uint32)
    assert len(benchmark(pack_uints, values)) == COUNT + 1
