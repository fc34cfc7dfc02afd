"""Counts of what indices are asked, which outlive the process that counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from quidditch.server import activity
from quidditch.server.activity import Activity


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_asked_adds_up_until_the_index_is_gone(tmp_path: Path, kept: bool) -> None:
    counted = Activity(tmp_path / "activity-0" if kept else None)
    counted.add(["books", "films"], query=1, query_ms=20)
    counted.add(["books"], index=2)
    counted.add(["books"], query=1)
    told = counted.of(["books", "films", "nothing"])
    assert (told["books"]["query"], told["books"]["query_ms"], told["books"]["index"]) == (2, 20, 2)
    assert (told["films"]["query"], told["films"]["index"]) == (1, 0)
    assert set(told["nothing"].values()) == {0}
    counted.forget("books")
    counted.forget("nothing")
    assert set(counted.of(["books"])["books"].values()) == {0}
    counted.add(["books"], get=1)
    assert counted.of(["books"])["books"]["get"] == 1


def test_whoever_takes_a_dead_ones_place_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "activity-0"
    first = Activity(path)
    first.add(["b\u00fccher", "films"], query=3)
    # Killed in the middle of the name of one more index.
    with path.with_suffix(".names").open("ab") as names:
        names.write("b\u00fc".encode()[:2])
    second = Activity(path)
    second.add(["films"], query=1)
    second.add(["songs"], query=1)
    third = Activity(path)
    assert [each["query"] for each in third.of(["b\u00fccher", "films", "songs"]).values()] == [3, 4, 1]


def test_names_beyond_the_most_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "MOST_INDICES", 2)
    counted = Activity()
    counted.add(["a", "b", "c", "a"], get=1)
    assert [each["get"] for each in counted.of(["a", "b", "c"]).values()] == [2, 1, 0]
