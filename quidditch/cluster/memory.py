"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Have the C library give back what it keeps of freed memory, where it can be told to: glibc keeps tens of
    megabytes of what indexing took. Some milliseconds, in which other threads run, but may wait for memory."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
