"""Calls of many threads carried out together: each gets its own result, in order, whatever happens to others."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from quidditch.errors import StorageError, StoreFull
from quidditch.index.group_commit import GroupCommit


class Ledger:
    """Doubles what it is given, and remembers what came together. Holds until it is let go, when told to."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def carry_out(self, items: Sequence[int]) -> list[int]:
        self.entered.set()
        assert self.gate.wait(30)
        if any(item < 0 for item in items):
            raise StoreFull(f"no room for {list(items)}")
        if 999 in items:
            raise KeyboardInterrupt
        self.groups.append(list(items))
        return [2 * item for item in items]


def waiting(group: GroupCommit[int, int], count: int) -> None:
    for _ in range(3000):
        if len(group._waiting) == count:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{len(group._waiting)} calls wait, {count} expected")


def test_calls_that_wait_for_a_commit_share_the_next(ledger: Ledger) -> None:
    group = GroupCommit(ledger.carry_out, 100)
    ledger.gate.clear()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(group.submit, [0])
        assert ledger.entered.wait(30)
        others = []
        for number in range(1, 9):
            others.append(pool.submit(group.submit, [number, number]))
            waiting(group, number)
        ledger.gate.set()
        assert first.result(30) == [0]
        assert [one.result(30) for one in others] == [[2 * n, 2 * n] for n in range(1, 9)]
    assert ledger.groups == [[0], [n for n in range(1, 9) for _ in range(2)]]


def test_a_group_has_a_limit_that_one_call_may_pass(ledger: Ledger) -> None:
    group = GroupCommit(ledger.carry_out, 3)
    assert group.submit(range(10)) == [2 * n for n in range(10)]
    ledger.gate.clear()
    ledger.entered.clear()
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(group.submit, [0])]
        assert ledger.entered.wait(30)
        for number in (1, 2, 3):
            calls.append(pool.submit(group.submit, [number, number]))
            waiting(group, number)
        ledger.gate.set()
        for call in calls:
            call.result(30)
    assert ledger.groups[1:] == [[0], [1, 1], [2, 2], [3, 3]]


def test_one_call_that_fails_fails_alone(ledger: Ledger) -> None:
    group = GroupCommit(ledger.carry_out, 100)
    ledger.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(group.submit, [0])]
        assert ledger.entered.wait(30)
        for place, items in enumerate(([1], [-1], [2]), 1):
            calls.append(pool.submit(group.submit, items))
            waiting(group, place)
        ledger.gate.set()
        assert [calls[place].result(30) for place in (0, 1, 3)] == [[0], [2], [4]]
        with pytest.raises(StoreFull, match=r"no room for \[-1\]"):
            calls[2].result(30)
    assert group.submit([5]) == [10]


def test_an_interrupted_leader_tells_those_it_led(ledger: Ledger) -> None:
    group = GroupCommit(ledger.carry_out, 100)
    ledger.gate.clear()
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(group.submit, [0])]
        assert ledger.entered.wait(30)
        for place, item in enumerate((999, 1), 1):
            calls.append(pool.submit(group.submit, [item]))
            waiting(group, place)
        ledger.gate.set()
        with pytest.raises(KeyboardInterrupt):
            calls[1].result(30)
        with pytest.raises(StorageError, match="interrupted"):
            calls[2].result(30)
    assert group.submit([5]) == [10], "the next call leads"


def test_many_threads_lose_nothing(ledger: Ledger) -> None:
    group = GroupCommit(ledger.carry_out, 8)
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda n: group.submit([n]), range(1, 801)))
    assert results == [[2 * n] for n in range(1, 801)]
    assert sorted(item for items in ledger.groups for item in items) == list(range(1, 801))


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()
