"""Loads nats-py without aiohttp, which it would load for WebSockets: that takes a third of the start of a process.

For processes of a cluster alone, as the first that they import: whoever speaks NATS over WebSockets in a program of
his own shall find it there. What needs aiohttp itself loads it later.
"""

from __future__ import annotations

import sys
import threading

_NEEDLESS = "aiohttp"

# Another thread could be importing it at this moment.
if _NEEDLESS not in sys.modules and threading.active_count() == 1:
    # Python's mark of a module that cannot be had.
    sys.modules[_NEEDLESS] = None  # type: ignore[assignment]
    try:
        import nats  # noqa: F401
    finally:
        del sys.modules[_NEEDLESS]
