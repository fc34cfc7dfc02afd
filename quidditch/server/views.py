"""Views of the indices that a call names, for scrolls and points in time."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from quidditch.interface import View
from quidditch.server.call import Call
from quidditch.server.resolving import Resolved


def open_views(call: Call, found: Resolved, keep_alive_s: float) -> dict[str, tuple[View, Any]]:
    """A view of each index, and what the aliases that named it narrow it to."""
    with ExitStack() as stack:
        views = {}
        for name in found.indices:
            view = call.database.index(name).point_in_time(keep_alive_s + 60)
            stack.callback(view.close)
            filters = _narrowing(found, name)
            views[name] = (view, filters)
        stack.pop_all()
    return views


def _narrowing(found: Resolved, index: str) -> Any:
    """None where the index was named itself, or an alias of it without a filter."""
    having = [
        found.infos[index].aliases[name].get("filter")
        for name in found.names
        if name in found.infos[index].aliases
    ]
    if index in found.names or not having or None in having:
        return None
    return having[0] if len(having) == 1 else {"bool": {"should": having}}
