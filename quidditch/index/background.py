"""A thread for upkeep: started when there is something to do, gone when there is not."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Hashable

logger = logging.getLogger("quidditch")

IDLE_S = 5.0
"""How long a thread waits for more work before it ends."""

LONGEST_WAIT_S = 3600.0
"""A clock cannot wait for as long as a caller may name."""


class Background:
    """Does what is asked of it on a thread of its own, one thing at a time, each thing once however often asked.

    What fails is logged and forgotten: whoever asked has no use for the error, and will ask again.
    After a fork the child begins with nothing to do.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._state = threading.Condition()
        self._due: dict[Hashable, tuple[float, Callable[[], None]]] = {}
        self._at_work: Hashable = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._pid = os.getpid()

    def ask(self, key: Hashable, work: Callable[[], None], delay_s: float = 0.0) -> None:
        """Have `work` done, `delay_s` from now or somewhat later; asked again under the same key before it began,
        it is done once, at the earlier of the two times."""
        if self._pid != os.getpid():
            self.__init__(self._name)  # type: ignore[misc]
        when = time.monotonic() + delay_s
        with self._state:
            if self._closed:
                return
            if key in self._due and self._due[key][0] <= when:
                # Nothing to wake the thread for: that would cost each of many calls a turn of the interpreter lock.
                return
            self._due[key] = (when, work)
            if self._thread is None:
                self._thread = self._started()
            self._state.notify_all()

    def _started(self) -> threading.Thread | None:
        """A thread at work; None where the system gives no more: the next call tries again."""
        thread = threading.Thread(target=self._run, name=f"quidditch-{self._name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            logger.warning("upkeep in the background cannot begin: %s", error)
            return None
        return thread

    def forget(self, key: Hashable) -> None:
        """Do not begin what was asked under this key; if it has begun, wait until it is done."""
        if self._pid != os.getpid():
            return
        with self._state:
            self._due.pop(key, None)
            if threading.current_thread() is not self._thread:
                self._state.wait_for(lambda: self._at_work != key)

    def wait(self) -> None:
        """Until nothing is left to do that is due now."""
        with self._state:
            self._state.wait_for(lambda: self._at_work is None and self._next(time.monotonic()) is None)

    def close(self) -> None:
        """Begin nothing more, and wait for what is at work."""
        if self._pid != os.getpid():
            return
        with self._state:
            self._closed = True
            self._due.clear()
            thread = self._thread
            self._state.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _next(self, now: float) -> Hashable:
        """What is due first, if its time has come."""
        key = min(self._due, key=lambda one: self._due[one][0], default=None)
        return key if key is not None and self._due[key][0] <= now else None

    def _run(self) -> None:
        while (work := self._take()) is not None:
            try:
                work()
            except Exception as error:
                logger.warning("upkeep in the background failed: %s", error)
            finally:
                with self._state:
                    self._at_work = None
                    self._state.notify_all()

    def _take(self) -> Callable[[], None] | None:
        """The next thing to do, when its time has come; None when the thread may end."""
        with self._state:
            while not self._closed:
                now = time.monotonic()
                key = self._next(now)
                if key is not None:
                    self._at_work = key
                    return self._due.pop(key)[1]
                first = min((when for when, _ in self._due.values()), default=None)
                self._state.wait(IDLE_S if first is None else min(LONGEST_WAIT_S, first - now))
                if not self._due and first is None:
                    break
            self._thread = None
            return None
