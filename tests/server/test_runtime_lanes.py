"""Which requests run beside each other in one worker."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from quidditch.server.failures import RestError, status_of
from quidditch.server.runtime.board import Board
from quidditch.server.runtime.lanes import SLOW_S
from quidditch.server.runtime.limits import Limits
from quidditch.server.runtime.pressure import Pressure


def pressure(threads: int, **limits: float) -> Pressure:
    return Pressure(Limits(threads=threads, **limits), Board().row(0))  # type: ignore[arg-type]


def test_fast_reads_run_one_after_the_other_and_in_order() -> None:
    running: list[int] = []
    most: list[int] = []
    order: list[int] = []

    def read(number: int) -> None:
        running.append(number)
        most.append(len(running))
        order.append(number)
        running.remove(number)

    async def main() -> None:
        worker = pressure(threads=16)
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(worker.run("search", partial(read, number)))

    asyncio.run(main())
    assert max(most) == 1
    assert order == list(range(50))


def test_a_slow_read_holds_nobody_up_until_as_many_run_as_may() -> None:
    end = threading.Event()

    async def main() -> None:
        worker = pressure(threads=2, wait_s=0.3)
        slow = asyncio.create_task(worker.run("search", lambda: end.wait(30)))
        assert await asyncio.wait_for(worker.run("read", lambda: "fast"), 10) == "fast"
        slow_too = asyncio.create_task(worker.run("search", lambda: end.wait(30)))
        with pytest.raises(RestError, match="waited for") as refused:
            await asyncio.wait_for(worker.run("search", lambda: "late"), 10)
        assert status_of(refused.value) == 429
        # Writes have turns of their own.
        assert await asyncio.wait_for(worker.run("write", lambda: "written"), 10) == "written"
        end.set()
        assert await slow
        assert await slow_too
        assert await asyncio.wait_for(worker.run("search", lambda: "again"), 10) == "again"

    asyncio.run(main())


def test_when_one_of_several_slow_reads_ends_another_begins() -> None:
    ends = [threading.Event(), threading.Event()]

    async def main() -> None:
        worker = pressure(threads=2)
        first, second = [asyncio.create_task(worker.run("search", partial(end.wait, 30))) for end in ends]
        waiting = asyncio.create_task(worker.run("search", lambda: "third"))
        await asyncio.sleep(10 * SLOW_S)
        assert not waiting.done()
        ends[0].set()
        assert await first
        assert await asyncio.wait_for(waiting, 10) == "third"
        assert not second.done()
        ends[1].set()
        assert await second

    asyncio.run(main())


def test_writes_run_beside_each_other_so_that_one_commit_takes_several() -> None:
    async def main() -> None:
        worker = pressure(threads=4)
        together = threading.Barrier(4)
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(worker.run("write", lambda: together.wait(30)))

    asyncio.run(main())
