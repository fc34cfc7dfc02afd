"""Views of the indices that a call names, for scrolls and points in time."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from quidditch.interface import View
from quidditch.server.call import Call
from quidditch.server.resolving import Resolved
from quidditch.server.visibility import seen


def open_views(call: Call, found: Resolved, keep_alive_s: float) -> dict[str, tuple[View, Any]]:
    """A view of each index, and what the aliases that named it narrow it to."""
    with ExitStack() as stack:
        views = {}
        for name in found.indices:
            index = call.database.index(name)
            view = seen(call, index, found) or index.point_in_time(keep_alive_s + 60)
            stack.callback(view.close)
            views[name] = (view, found.narrowing(name))
        stack.pop_all()
    return views
