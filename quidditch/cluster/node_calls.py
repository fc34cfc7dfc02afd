"""What a data node answers: the calls of one shard, as functions of a copy and a body.

Views that a search opens with its first call stay open between its calls, by a token, and end by themselves when
they lie unused.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from quidditch.cluster import messages
from quidditch.cluster.replica import Replica
from quidditch.errors import RequestError, SnapshotExpired
from quidditch.index.document import encode_source
from quidditch.interface import (
    CollectionStats,
    Fetched,
    IndexStats,
    QueryRequest,
    QueryResult,
    ShardSnapshot,
)
from quidditch.search.weight import scored_terms

VIEW_S = 60.0
"""How long a search's view may lie unused."""

SWEEP_S = 10.0


class SeenView(NamedTuple):
    """A view of a copy, the sequence of the log that it shows, and the token under which it stays open; "" if it
    does not."""

    view: ShardSnapshot
    sequence: int
    token: str = ""

    def said(self, **answer: Any) -> dict[str, Any]:
        """The answer of a call on it."""
        return {"view": self.token, "sequence": self.sequence, **answer}


class _Held(NamedTuple):
    seen: SeenView
    stack: ExitStack
    keep_s: float
    used_s: float


class OpenViews:
    """The views of searches under way on one node, by token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._swept_s = time.monotonic()

    def open(self, replica: Replica, keep_s: float) -> SeenView:
        """A new view."""
        self._sweep()
        with ExitStack() as stack:
            view, sequence = stack.enter_context(replica.snapshot(lasting=True, keep_alive_s=keep_s))
            seen = SeenView(view, sequence, uuid.uuid4().hex)
            with self._lock:
                self._held[seen.token] = _Held(seen, stack.pop_all(), keep_s, time.monotonic())
        return seen

    def get(self, token: str) -> SeenView:
        """raises: SnapshotExpired   there is none, or none any more"""
        with self._lock:
            held = self._held.get(token)
            if held is None:
                raise SnapshotExpired(
                    "this node has no such view of the shard: it lay unused, or the node was restarted"
                )
            self._held[token] = held._replace(used_s=time.monotonic())
            return held.seen

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
            "followed": self._followed,
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
        for token in body.get("closed", ()):
            self.views.close(token)
        return call(replica, body)

    # ---------------------------------------------------------------------------------------------- writes

    def _results(self, replica: Replica, body: dict[str, Any]) -> Any:
        found = replica.results(body["sequence"], body["timeout_s"])
        return msgspec.to_builtins(found)

    def _followed(self, replica: Replica, body: dict[str, Any]) -> Any:
        replica.wait_applied(body["sequence"], body["timeout_s"])
        followed = replica.followed
        return {"log": followed.log, "applied": followed.applied, "documents": len(replica.index)}

    def _wait(self, replica: Replica, body: dict[str, Any]) -> Any:
        replica.wait_applied(body["sequence"], body["timeout_s"])
        return {"applied": replica.applied}

    # --------------------------------------------------------------------------------------------- searches

    @contextmanager
    def _seen(self, replica: Replica, body: dict[str, Any]) -> Iterator[SeenView]:
        """The view that a call is about: the one of its token, or a new one that has seen `min_sequence`. It stays
        open behind the call, unless that is the `last` of its search, or fails before anybody knows the token."""
        token, last = body.get("view"), body.get("last", False)
        if not token:
            replica.wait_applied(body.get("min_sequence", 0), body.get("wait_s", 10.0))
            if last:
                with replica.snapshot() as (view, sequence):
                    yield SeenView(view, sequence)
                return
        seen = self.views.get(token) if token else self.views.open(replica, body.get("keep_s", VIEW_S))
        try:
            yield seen._replace(token="") if last else seen
        except BaseException:
            last = last or not token
            raise
        finally:
            if last:
                self.views.close(seen.token)

    def _view(self, replica: Replica, body: dict[str, Any]) -> Any:
        with self._seen(replica, body) as seen:
            return seen.said()

    def _statistics(self, replica: Replica, body: dict[str, Any]) -> Any:
        with self._seen(replica, body) as seen:
            terms = [(field, term) for field, term in body["terms"]]
            stats = seen.view.statistics(body["fields"], terms)
            return seen.said(answer=messages.stats_to_wire(stats))

    def _query(self, replica: Replica, body: dict[str, Any]) -> Any:
        """The best hits, and their documents where these are asked too; in their place this copy's statistics, where
        those of the request are not of what the view shows."""
        request = messages.request_from_wire({**body["request"], "stats": body.get("stats", NO_STATISTICS)})
        with self._seen(replica, body) as seen:
            if body.get("own"):
                request = replace(request, stats=_statistics(seen.view, request))
            elif body["expected"] != seen.sequence and (request.similarities or body.get("exactly")):
                return seen.said(stats=messages.stats_to_wire(_statistics(seen.view, request)))
            result = seen.view.query(request)
            answer = seen.said(answer=messages.result_to_wire(result))
            if "details" in body:
                answer["fetched"] = messages.fetched_to_wire(_documents(seen.view, request, result, body))
            return answer

    def _fetch(self, replica: Replica, body: dict[str, Any]) -> Any:
        # Here a shard is number 0, whatever it is among those of the search.
        addresses, request = messages.fetch_from_wire(body["request"], 0)
        with self._seen(replica, body) as seen:
            return seen.said(answer=messages.fetched_to_wire(seen.view.fetch(addresses, request)))

    def _close(self, replica: Replica, body: dict[str, Any]) -> Any:
        """The views are those of `closed`, which every call may bring."""

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


NO_STATISTICS: dict[str, Any] = {"fields": {}, "doc_freqs": []}


def _statistics(view: ShardSnapshot, request: QueryRequest) -> CollectionStats:
    """Those that a query is scored by, of this shard alone."""
    if not request.similarities:
        return CollectionStats()
    return view.statistics(request.similarities, scored_terms(request.query, request.similarities))


def _documents(
    view: ShardSnapshot, request: QueryRequest, result: QueryResult, body: dict[str, Any]
) -> list[Fetched]:
    """Of the hits at `places`, or of all from `from` on."""
    _, details = messages.fetch_from_wire(body["details"], 0)
    places = body.get("places")
    hits = result.hits[body["from"] :] if places is None else [result.hits[place] for place in places]
    return view.fetch([hit.address for hit in hits], replace(details, query=request))
