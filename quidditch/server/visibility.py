"""When the writes of a call are seen by searches, and what its own searches see."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from quidditch.interface import Index, SearchResult, View
from quidditch.server.call import Call
from quidditch.server.contexts import search_views
from quidditch.server.refreshing import interval_s
from quidditch.server.resolving import Resolved


def before_writing(call: Call, index: Index) -> None:
    """Where the index's `refresh_interval` keeps searches from seeing writes, have every worker hold what is seen
    now. To be called before the write."""
    seconds = interval_s(index.settings)
    if seconds is not None and index.name not in call.state.unrefreshed:
        call.state.peers.everyone("unrefreshed.hold", index.name, seconds)


def refresh(call: Call, index: Index) -> None:
    """Have searches see every write to the index."""
    index.refresh()
    if interval_s(index.settings) is not None:
        forget(call, [index.name])


def forget(call: Call, names: Iterable[str]) -> None:
    """Hold nothing of these indices any more, with any worker."""
    for name in names:
        call.state.peers.everyone("unrefreshed.release", name)


def refreshed(call: Call, index: Index) -> bool:
    """Carry out what the parameter `refresh` says; whether it was forced."""
    asked = call.parameters.choice("refresh", ("", "true", "false", "wait_for"), "false")
    if asked != "false":
        refresh(call, index)
    return asked in ("", "true")


def seen(call: Call, index: Index, found: Resolved | None = None) -> View | None:
    """The view that searches of an index are to go to, which the caller closes; None for the index itself."""
    if index.name not in call.state.unrefreshed:
        return None
    infos = call.database.describe() if found is None else found.infos
    return call.state.unrefreshed.lent(index.name, infos[index.name].uuid)


def search(call: Call, found: Resolved, body: dict[str, Any]) -> SearchResult:
    """One page of what a body asks for, of the indices that were resolved."""
    if not any(name in call.state.unrefreshed for name in found.indices):
        return call.database.search(found.expression, body)
    with ExitStack() as stack:
        views: dict[str, tuple[Any, Any]] = {}
        for name in found.indices:
            index = call.database.index(name)
            view = seen(call, index, found)
            views[name] = (index if view is None else stack.enter_context(view), found.narrowing(name))
        return search_views(views, body)
