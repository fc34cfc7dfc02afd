"""A load has its threads take short turns, and leaves the process as it found it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quidditch
from quidditch.index.turns import TURN_S, short_turns


@pytest.fixture(autouse=True)
def _interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


def test_a_load_takes_short_turns_and_gives_the_interval_back(tmp_path: Path) -> None:
    seen = []

    def docs() -> Iterator[dict[str, Any]]:
        for number in range(3):
            seen.append(sys.getswitchinterval())
            yield {"_id": str(number), "text": "a word"}
        raise OSError("the source broke off")

    with quidditch.connect(tmp_path / "db") as db:
        index = db.create_index("notes")
        with pytest.raises(OSError, match="broke off"):
            index.add_many(docs())
        assert index.count() == 3
    assert seen == pytest.approx([TURN_S] * 3)
    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_the_last_of_several_gives_it_back() -> None:
    with short_turns():
        with short_turns():
            pass
        assert sys.getswitchinterval() == pytest.approx(TURN_S)
    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_an_interval_of_the_programs_own_is_kept() -> None:
    sys.setswitchinterval(0.0001)
    own = sys.getswitchinterval()
    with short_turns():
        assert sys.getswitchinterval() == own
    assert sys.getswitchinterval() == own
    with short_turns():
        sys.setswitchinterval(0.002)
    assert sys.getswitchinterval() == pytest.approx(0.002)
