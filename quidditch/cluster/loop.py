"""The one thread of a process in which its network runs: NATS and HTTP between processes are asynchronous, and
everything above them is not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from quidditch.errors import Unavailable

Result = TypeVar("Result")

GRACE_S = 1.0
"""How much longer than its own deadline a call is waited for before the loop itself is said to be stuck."""


class Loop:
    """An event loop in a daemon thread of its own, from its making to `close`."""

    def __init__(self) -> None:
        self.asyncio = _new_loop()
        self._thread = threading.Thread(target=self._run, name="quidditch-network", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.asyncio)
        self.asyncio.run_forever()

    def run(self, work: Coroutine[Any, Any, Result], timeout_s: float) -> Result:
        """What the coroutine returns or raises.

        raises: Unavailable   it took longer than `timeout_s`, and was cancelled; or the loop is closed
        """
        if self.asyncio.is_closed():
            work.close()
            raise Unavailable("this process has closed its connections to the cluster")
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, timeout_s), self.asyncio)
        try:
            return future.result(timeout_s + GRACE_S)
        except TimeoutError as error:
            future.cancel()
            raise Unavailable(f"no answer from the cluster within {timeout_s:g} s") from error
        except CancelledError as error:
            raise Unavailable("this process is closing its connections to the cluster") from error

    def begin(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Have the coroutine run, after those that were begun before; whoever wants to know waits for its future.

        raises: Unavailable   the loop is closed
        """
        if self.asyncio.is_closed():
            work.close()
            raise Unavailable("this process has closed its connections to the cluster")
        return asyncio.run_coroutine_threadsafe(work, self.asyncio)

    def soon(self, call: Callable[[], object]) -> None:
        """Have something called in the loop; not at all once that is closed."""
        with contextlib.suppress(RuntimeError):
            self.asyncio.call_soon_threadsafe(call)

    def close(self) -> None:
        """Cancel what runs, and end the thread."""
        if self.asyncio.is_closed():
            return
        with contextlib.suppress(Unavailable):
            self.run(_cancel_others(), 2.0)
        self.asyncio.call_soon_threadsafe(self.asyncio.stop)
        self._thread.join()
        self.asyncio.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed, which takes half the time."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
