"""What a data node answers: the calls of one shard, as functions of a copy and a body.

Views that a search opens with its first call stay open between its calls, by a token, and end by themselves when
they lie unused.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import msgspec

from quidditch.cluster import messages
from quidditch.cluster.replica import Replica
from quidditch.errors import RequestError, SnapshotExpired
from quidditch.index.document import encode_source
from quidditch.interface import IndexStats, ShardSnapshot

VIEW_S = 60.0
"""How long a search's view may lie unused."""

SWEEP_S = 10.0


class _Held(NamedTuple):
    view: ShardSnapshot
    stack: ExitStack
    keep_s: float
    used_s: float


class OpenViews:
    """The views of searches under way on one node, by token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._swept_s = time.monotonic()

    def open(self, replica: Replica, keep_s: float) -> tuple[str, ShardSnapshot]:
        """A new view, and its token."""
        self._sweep()
        with ExitStack() as stack:
            view = stack.enter_context(replica.snapshot(lasting=True, keep_alive_s=keep_s))
            token = uuid.uuid4().hex
            with self._lock:
                self._held[token] = _Held(view, stack.pop_all(), keep_s, time.monotonic())
        return token, view

    def get(self, token: str) -> ShardSnapshot:
        """raises: SnapshotExpired   there is none, or none any more"""
        with self._lock:
            held = self._held.get(token)
            if held is None:
                raise SnapshotExpired(
                    "this node has no such view of the shard: it lay unused, or the node was restarted"
                )
            self._held[token] = held._replace(used_s=time.monotonic())
            return held.view

    def close(self, token: str) -> None:
        with self._lock:
            held = self._held.pop(token, None)
        if held is not None:
            held.stack.close()

    def searching(self) -> int:
        """How many are those of single searches, which end in a moment."""
        with self._lock:
            return sum(held.keep_s <= VIEW_S for held in self._held.values())

    def close_all(self) -> None:
        for token in list(self._held):
            self.close(token)

    def _sweep(self) -> None:
        """Forget the views whose search never came back."""
        now = time.monotonic()
        if now - self._swept_s < SWEEP_S:
            return
        self._swept_s = now
        with self._lock:
            stale = [token for token, held in self._held.items() if now - held.used_s > held.keep_s]
        for token in stale:
            self.close(token)


class ShardCalls:
    """The calls of a shard, by name: `calls.answer(replica, "query", body)`."""

    def __init__(self) -> None:
        self.views = OpenViews()
        self._calls: dict[str, Callable[[Replica, dict[str, Any]], Any]] = {
            "results": self._results,
            "wait": self._wait,
            "view": self._view,
            "statistics": self._statistics,
            "query": self._query,
            "fetch": self._fetch,
            "close": self._close,
            "get": self._get,
            "stats": self._stats,
            "count": self._count,
            "flush": lambda replica, body: replica.index.flush(),
            "force_merge": lambda replica, body: replica.index.force_merge(int(body["max_segments"])),
            "check": lambda replica, body: replica.index.check(deep=bool(body["deep"])).to_dict(),
        }

    def answer(self, replica: Replica, name: str, body: dict[str, Any]) -> Any:
        """raises: RequestError   there is no such call; whatever it raises"""
        call = self._calls.get(name)
        if call is None:
            raise RequestError(f"a shard has no call [{name}]; there are {', '.join(sorted(self._calls))}")
        return call(replica, body)

    # ---------------------------------------------------------------------------------------------- writes

    def _results(self, replica: Replica, body: dict[str, Any]) -> Any:
        found = replica.results(body["sequence"], body["timeout_s"])
        return msgspec.to_builtins(found)

    def _wait(self, replica: Replica, body: dict[str, Any]) -> Any:
        replica.wait_applied(body["sequence"], body["timeout_s"])
        return {"applied": replica.applied}

    # --------------------------------------------------------------------------------------------- searches

    def _seen(self, replica: Replica, body: dict[str, Any]) -> tuple[str, ShardSnapshot]:
        """The view that a call is about: the one of its token, or a new one that has seen `min_sequence`."""
        token = body.get("view")
        if token:
            return token, self.views.get(token)
        replica.wait_applied(body.get("min_sequence", 0), body.get("wait_s", 10.0))
        return self.views.open(replica, body.get("keep_s", VIEW_S))

    def _view(self, replica: Replica, body: dict[str, Any]) -> Any:
        return {"view": self._seen(replica, body)[0]}

    def _statistics(self, replica: Replica, body: dict[str, Any]) -> Any:
        token, view = self._seen(replica, body)
        terms = [(field, term) for field, term in body["terms"]]
        return {"view": token, "answer": messages.stats_to_wire(view.statistics(body["fields"], terms))}

    def _query(self, replica: Replica, body: dict[str, Any]) -> Any:
        token, view = self._seen(replica, body)
        result = view.query(messages.request_from_wire(body["request"]))
        return {"view": token, "answer": messages.result_to_wire(result)}

    def _fetch(self, replica: Replica, body: dict[str, Any]) -> Any:
        token, view = self._seen(replica, body)
        # Here a shard is number 0, whatever it is among those of the search.
        addresses, request = messages.fetch_from_wire(body["request"], 0)
        return {"view": token, "answer": messages.fetched_to_wire(view.fetch(addresses, request))}

    def _close(self, replica: Replica, body: dict[str, Any]) -> Any:
        self.views.close(body["view"])

    # ------------------------------------------------------------------------------------------- documents

    def _get(self, replica: Replica, body: dict[str, Any]) -> Any:
        replica.wait_applied(body.get("min_sequence", 0), body.get("wait_s", 10.0))
        return [
            None
            if found is None
            else (encode_source(found.source), found.version, found.seq_no, found.routing)
            for found in replica.index.mget(body["ids"], routings=body["routings"])
        ]

    def _count(self, replica: Replica, body: dict[str, Any]) -> Any:
        replica.wait_applied(body.get("min_sequence", 0), body.get("wait_s", 10.0))
        return len(replica.index)

    def _stats(self, replica: Replica, body: dict[str, Any]) -> Any:
        replica.wait_applied(body.get("min_sequence", 0), body.get("wait_s", 10.0))
        found: IndexStats = replica.index.stats(detail=bool(body.get("detail", False)))
        return found.to_dict()
