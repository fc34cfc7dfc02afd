"""The table of surface forms: one id per distinct byte string, whatever the hash does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch.analysis.registry import get_analyzer
from quidditch.analysis.surfaces import MAX_LANES, SurfaceTable
from quidditch.analysis.tokenizers import whitespace
from quidditch.analysis.vocabulary import Vocabulary
from quidditch.types import U64s

NO_HASH: U64s = np.zeros(MAX_LANES, np.uint64)
"""Every word hashes to 0."""

FIRST_LANE_ONLY: U64s = np.zeros(MAX_LANES, np.uint64)
FIRST_LANE_ONLY[0] = 0x9E3779B97F4A7C15
"""Words that share their first eight bytes collide."""

word_lists = st.lists(st.text("ab", min_size=1, max_size=30), max_size=40)


@pytest.mark.parametrize("keys", [None, NO_HASH, FIRST_LANE_ONLY], ids=["random", "none", "first lane"])
@given(batches=st.lists(word_lists, max_size=4))
def test_equal_words_share_an_id_and_others_do_not(keys: U64s | None, batches: list[list[str]]) -> None:
    words = Vocabulary(whitespace, lambda token: token, keys=keys)
    for batch in batches:
        got = words.invert(batch)
        assert [words.terms[term].decode() for term in got.term.tolist()] == batch
    assert len(words.terms) == len({word for batch in batches for word in batch})


@pytest.mark.parametrize("keys", [NO_HASH, FIRST_LANE_ONLY], ids=["none", "first lane"])
def test_prefixes_of_one_word_stay_apart(keys: U64s) -> None:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    ladder = [alphabet[:size] for size in range(1, 27)] + ["abcdefgh!", "abcdefghijklmnopX"]
    words = Vocabulary(whitespace, lambda token: token, keys=keys)
    for _ in range(2):
        terms = words.invert([" ".join(ladder)] * 2).term.tolist()
        assert [words.terms[term].decode() for term in terms] == ladder * 2
        assert sorted(terms[: len(ladder)]) == list(range(len(ladder)))


def test_the_table_grows_and_ids_stay() -> None:
    words = get_analyzer("standard").vocabulary()
    first = words.invert(["alpha beta"]).term.tolist()
    many = [f"w{number}" for number in range(30_000)]
    before = words.size_bytes
    got = words.invert([" ".join(many), " ".join(reversed(many))])
    assert [words.terms[term].decode() for term in got.term.tolist()] == many + many[::-1]
    assert words.invert(["alpha beta"]).term.tolist() == first
    assert len(words.terms) == 30_002
    assert words.size_bytes > before


def test_longest_words_are_told_apart() -> None:
    values = ["𝒜" * 255, "𝒜" * 254 + "𝒞", "𝒜" * 254]
    words = Vocabulary(whitespace, lambda token: token)
    terms = words.invert(values + values).term.tolist()
    assert [words.terms[term].decode() for term in terms] == values + values


def test_new_forms_come_in_the_order_of_their_ids() -> None:
    table = SurfaceTable()
    buffer = b"one two one three" + b"\0" * 8
    starts, ends = np.array([0, 4, 8, 12]), np.array([3, 7, 11, 17])
    ids, new = table.look_up(buffer, starts, ends)
    assert [new[number - 1] for number in ids.tolist()] == [b"one", b"two", b"one", b"three"]
    assert len(table) == 3
    assert table.look_up(buffer, starts, ends)[1] == []


def test_forms_with_one_term_share_it() -> None:
    words = get_analyzer("english").vocabulary()
    batch = words.invert(["Running runs RUN the", "É é"])
    assert [words.terms[term].decode() for term in batch.term.tolist()] == ["run", "run", "run", "é", "é"]
    assert len(words.terms) == 2
