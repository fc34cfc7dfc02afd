"""Around a handler: how long it took, what it wrote, and whether that was slow."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from quidditch.interface import Database
from quidditch.local.active_copies import WAIT_S, Demand, demanding, parse_copies
from quidditch.server.call import Call, Reply
from quidditch.server.routing import Route
from quidditch.server.runtime.board import RESULTS, Numbers
from quidditch.server.runtime.logs import SHOWN_BYTES, SlowLog
from quidditch.server.security.grants import Level

_SEARCHES = frozenset(
    ("_search", "_msearch", "_count", "scroll", "{scroll_id}", "_explain", "_validate", "_field_caps")
)
_COUNTED = {"_refresh": "quidditch_refresh", "_forcemerge": "quidditch_merge"}


def kind_of(route: Route) -> str:
    """One of KINDS.

    >>> from quidditch.server.routes import GROUPS
    >>> routes = {(route.method, route.template): kind_of(route) for group in GROUPS for route in group.declared}
    >>> routes["POST", "/_bulk"], routes["POST", "/{index}/_search"], routes["PUT", "/{index}/_doc/{id}"]
    ('bulk', 'search', 'write')
    >>> routes["GET", "/{index}/_doc/{id}"], routes["GET", "/_cluster/health"]
    ('read', 'other')
    """
    if route.streamed:
        return "bulk"
    if route.needs.cluster or route.template == "/":
        return "other"
    if route.needs.level >= Level.WRITE:
        return "write"
    return "search" if not _SEARCHES.isdisjoint(route.template.split("/")) else "read"


def _active_copies(call: Call) -> AbstractContextManager[None]:
    """Under which a request is carried out that says how many copies must serve before it writes."""
    name = "wait_for_active_shards"
    if name not in call.parameters or call.path.startswith("/_cluster/"):
        return nullcontext()
    copies = parse_copies(call.parameters.text(name), name)
    seconds = call.parameters.seconds("timeout")
    return demanding(Demand(copies, WAIT_S if seconds is None else seconds))


class Handling:
    """Runs the handlers of one worker."""

    def __init__(self, database: Database, numbers: Numbers) -> None:
        self._numbers = numbers
        self._slow = SlowLog(database)

    def handle(self, kind: str, route: Route, call: Call) -> Reply:
        """What the handler replies; raises what it raises."""
        began_s = time.perf_counter()
        with _active_copies(call):
            reply = route.handler(call)
        seconds = time.perf_counter() - began_s
        counted = _COUNTED.get(route.template.rpartition("/")[2])
        if counted is not None:
            self._numbers.add(f"{counted}_total")
            self._numbers.add(f"{counted}_seconds_total", seconds)
        if kind == "search":
            self._look("search", call, seconds)
        elif kind in ("write", "bulk"):
            self._wrote(call, reply, seconds)
        return reply

    def _wrote(self, call: Call, reply: Reply, seconds: float) -> None:
        self._numbers.add("quidditch_indexing_seconds_total", seconds)
        result: Any = reply.body.get("result") if isinstance(reply.body, dict) else None
        if result in RESULTS:
            self._numbers.wrote([result])
        self._look("write", call, seconds)

    def _look(self, op: str, call: Call, seconds: float) -> None:
        data = {"path": call.path, "source": call.data[:SHOWN_BYTES].decode(errors="replace")}
        if self._slow.look(op, call.parts.get("index"), seconds, data):
            self._numbers.add(
                "quidditch_search_slow_total" if op == "search" else "quidditch_indexing_slow_total"
            )
