"""Single writes of many threads, carried out together: one transaction and one sync for all that are waiting.

Whoever comes first leads: it carries out its own call and those that queued up behind the commit before it. The
others sleep until their result is there, or until it is their turn to lead.
source: DeWitt et al., Implementation Techniques for Main Memory Database Systems (1984), where it is called group
commit
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from quidditch.errors import StorageError, StoreFull

Result = TypeVar("Result")
Item = TypeVar("Item")


class _Call(Generic[Item, Result]):
    """One thread's items, and what became of them. `turn` is held until there is something to see."""

    __slots__ = ("error", "items", "leads", "results", "turn")

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.results: list[Result] | None = None
        self.error: BaseException | None = None
        self.leads = False
        self.turn = threading.Lock()
        self.turn.acquire()


class GroupCommit(Generic[Item, Result]):
    """Carries out the calls of several threads by `carry_out`, which takes all their items and is all or nothing."""

    def __init__(self, carry_out: Callable[[Sequence[Item]], list[Result]], limit: int) -> None:
        """`limit`: items in one transaction at most, unless a single call has more."""
        self._carry_out = carry_out
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: list[_Call[Item, Result]] = []
        self._taken: list[_Call[Item, Result]] = []
        self._led = False

    def submit(self, items: Sequence[Item]) -> list[Result]:
        """What became of the items, each after those submitted before it; raises what `carry_out` raises.

        A thread that is interrupted here (KeyboardInterrupt) may or may not have written, and so may those whose
        calls it was carrying out, which raise StorageError.
        """
        call = _Call[Item, Result](items)
        try:
            self._enter(call)
            if not call.leads:
                call.turn.acquire()
            if call.leads:
                self._settle(self._take())
                self._finish(call)
        except BaseException:
            # Interrupted, wherever that was: nobody may wait for this thread.
            self._leave(call)
            raise
        if call.error is not None:
            raise call.error
        return call.results or []

    def _enter(self, call: _Call[Item, Result]) -> None:
        with self._lock:
            if not self._led:
                self._led = call.leads = True
            self._waiting.append(call)

    def _take(self) -> list[_Call[Item, Result]]:
        """The calls at the head of the queue, the leader's own first."""
        with self._lock:
            size = taken = 0
            while taken < len(self._waiting):
                size += len(self._waiting[taken].items)
                if taken and size > self._limit:
                    break
                taken += 1
            self._taken = self._waiting[:taken]
            self._waiting = self._waiting[taken:]
            return self._taken

    def _finish(self, own: _Call[Item, Result]) -> None:
        """Wake those whose calls were carried out, and have the one that waits longest lead."""
        with self._lock:
            for call in self._taken:
                if call is not own and call.turn.locked():
                    call.turn.release()
            self._taken = []
            own.leads = False
            self._led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].turn.release()

    def _leave(self, own: _Call[Item, Result]) -> None:
        with self._lock:
            if own in self._waiting:
                self._waiting.remove(own)
            if not own.leads:
                return
            for call in self._taken:
                if call.results is None and call.error is None:
                    call.error = StorageError(
                        "another thread was interrupted while it committed this write with its own: it may have "
                        "been written, or not"
                    )
        self._finish(own)

    def _settle(self, calls: list[_Call[Item, Result]]) -> None:
        try:
            results = self._carry_out([item for call in calls for item in call.items])
        except StoreFull as error:
            if len(calls) == 1:
                calls[0].error = error
                return
            # One call may be what does not fit on the disk: the others shall not fail with it.
            for call in calls:
                self._settle([call])
            return
        except Exception as error:
            for place, call in enumerate(calls):
                # Each its own: threads would write into each other's traceback.
                call.error = error if place == 0 else copy.copy(error)
            return
        start = 0
        for call in calls:
            call.results = results[start : start + len(call.items)]
            start += len(call.items)
