"""How often the threads of a load hand the interpreter on to each other.

A thread that comes back from array code waits until the one that holds the interpreter is asked to let go, which
Python does after 5 ms. Looking up a batch of words is some hundred calls of a few microseconds: beside a thread that
makes rows, each of them could wait that long.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

TURN_S = 0.0003
"""Asked for after this long: short documents load in half of the time, for no more processor time (measured)."""

_HALF_A_MICROSECOND = 5e-7
"""Added to what is set, for Python cuts off what is no whole microsecond."""

_lock = threading.Lock()
_users = 0
_before = _ours = TURN_S


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Inside the block the process's switch interval is `TURN_S` at most; the last of several blocks to end gives
    back what the first found, unless the program has set another meanwhile."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _users, _before, _ours
    with _lock:
        _users += 1
        if _users == 1:
            _before = sys.getswitchinterval()
            if _before > TURN_S:
                sys.setswitchinterval(TURN_S + _HALF_A_MICROSECOND)
            _ours = sys.getswitchinterval()


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users and sys.getswitchinterval() == _ours != _before:
            sys.setswitchinterval(_before + _HALF_A_MICROSECOND)
