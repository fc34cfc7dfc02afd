"""Scrolls and points in time: views of indices that requests come back to."""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from quidditch.errors import QueryError
from quidditch.interface import Hit, SearchResult, Shards, View
from quidditch.server.failures import RestError

MAX_OPEN = 500
"""Contexts of a server; each keeps what its indices held at its beginning."""

LONGEST_S = 86_400.0


@dataclass(slots=True)
class Context:
    """Views of some indices, by name, each with what an alias narrows it to.

    pages:  of a scroll; None for a point in time
    owner:  the name of the caller who opened it; nobody else finds it
    """

    views: dict[str, tuple[View, Any]]
    keep_alive_s: float
    expires_s: float
    created_ms: int
    pages: Pages | None = None
    owner: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        for view, _ in self.views.values():
            view.close()


class Contexts:
    """The open contexts of a worker by id, which tells whose they are. What lay unused for longer than it was to be
    kept is closed."""

    def __init__(self, worker: int = 0) -> None:
        self.longest_s = LONGEST_S
        self._worker = worker
        self._open: dict[str, Context] = {}
        self._lock = threading.Lock()

    def add(
        self,
        views: dict[str, tuple[View, Any]],
        keep_alive_s: float,
        pages: Pages | None = None,
        owner: str = "",
    ) -> str:
        """The id of a new context.

        raises: RestError   too many are open, or it is to be kept for too long; the views are closed then
        """
        context = Context(
            views, keep_alive_s, time.monotonic() + keep_alive_s, int(time.time() * 1000), pages, owner
        )
        try:
            check_keep_alive(keep_alive_s, self.longest_s)
            self._sweep()
            with self._lock:
                if len(self._open) >= MAX_OPEN:
                    raise RestError(
                        f"Trying to create too many scroll contexts. Must be less than or equal to: [{MAX_OPEN}]",
                        429,
                        "rejected_execution_exception",
                    )
                id = base64.urlsafe_b64encode(bytes([self._worker]) + secrets.token_bytes(23)).decode()
                self._open[id] = context
        except BaseException:
            context.close()
            raise
        return id

    def get(self, id: str, keep_alive_s: float | None = None, owner: str = "") -> Context:
        """raises: RestError   404"""
        self._sweep()
        if keep_alive_s is not None:
            check_keep_alive(keep_alive_s, self.longest_s)
        with self._lock:
            context = self._open.get(id)
            if context is not None and context.owner != owner:
                context = None
            if context is not None:
                context.keep_alive_s = keep_alive_s or context.keep_alive_s
                context.expires_s = time.monotonic() + context.keep_alive_s
        if context is None:
            raise missing_context(id)
        return context

    def ids(self, *, scrolls: bool, owner: str = "") -> list[str]:
        self._sweep()
        with self._lock:
            return [
                id
                for id, context in self._open.items()
                if (context.pages is not None) == scrolls and context.owner == owner
            ]

    def close(self, id: str, owner: str | None = "") -> bool:
        """Whether there was one. With None as owner, whoever it belongs to."""
        with self._lock:
            context = self._open.get(id)
            if context is None or owner not in (None, context.owner):
                return False
            del self._open[id]
        context.close()
        return True

    def count(self) -> int:
        """How many are open."""
        self._sweep()
        return len(self._open)

    def _sweep(self) -> None:
        now_s = time.monotonic()
        with self._lock:
            expired = [id for id, context in self._open.items() if context.expires_s < now_s]
        for id in expired:
            self.close(id, owner=None)


def worker_of(id: str) -> int | None:
    """Which worker made an id; None for what no worker made."""
    try:
        given = base64.urlsafe_b64decode(id.encode("ascii", "replace"))
    except ValueError:
        return None
    return given[0] if len(given) == 24 else None


def missing_context(id: str) -> RestError:
    return RestError(f"No search context found for id [{id[:80]}]", 404, "search_context_missing_exception")


def check_keep_alive(seconds: float, longest_s: float) -> None:
    """raises: RestError"""
    if seconds > longest_s:
        raise RestError(
            f"Keep alive for request ({seconds:g}s) is too large. It must be less than ({longest_s:g}s). "
            "This limit can be set by changing the [search.max_keep_alive] cluster level setting."
        )


class Pages:
    """The pages of a scroll, one after another.

    Each index is asked for what comes after the last of its hits that was given out, so a page costs the same
    however deep it lies. `_doc`, the order of the writes, ends every sort, which makes the place of a hit unique.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        sort = body.get("sort")
        given = [] if sort is None else sort if isinstance(sort, list) else [sort]
        self.size = body.get("size", 10)
        self._levels = len(given)
        self._by_doc = given in (["_doc"], [{"_doc": "asc"}], [{"_doc": {"order": "asc"}}])
        order = given if self._by_doc else [*(given or ["_score"]), "_doc"]
        self._body = {**body, "sort": order, "track_total_hits": True}
        self._after: dict[str, Sequence[Any]] = {}
        self._ended: set[str] = set()
        self._total: int | None = None
        self._shards: dict[str, Shards] = {}

    def following(self, views: dict[str, tuple[View, Any]]) -> SearchResult:
        """The next page; empty after the last."""
        started = time.monotonic()
        results = {
            name: view.search_body(self._asking(name), filter=narrowing)
            for name, (view, narrowing) in views.items()
            if name not in self._ended
        }
        self._shards |= {name: result.shards for name, result in results.items()}
        if self._total is None:
            self._total = sum(result.total or 0 for result in results.values())
        compared = self._body["sort"] if self._by_doc else self._body["sort"][:-1]
        page = merged(list(results.values()), self.size, compared)
        for hit in page:
            self._after[hit.index] = hit.sort
        self._ended |= {name for name, result in results.items() if not result.hits}
        scores = [hit.score for hit in page if hit.score is not None]
        return SearchResult(
            hits=[msgspec.structs.replace(hit, sort=hit.sort[: self._levels]) for hit in page],
            total=self._total,
            max_score=max(scores, default=None),
            took_ms=round((time.monotonic() - started) * 1000),
            shards=Shards.sum(self._shards.values()),
            notes=_notes(results.values()),
        )

    def _asking(self, name: str) -> dict[str, Any]:
        after = self._after.get(name)
        return self._body if after is None else {**self._body, "search_after": list(after)}


def merged(results: Sequence[SearchResult], size: int, sort: list[Any]) -> list[Hit]:
    """The best of pages that are each in order, by the values they were sorted by; equal ones by their page."""
    if len(results) == 1:
        return list(results[0].hits[:size])
    descending = [_descends(level) for level in sort]
    hits = [hit for result in results for hit in result.hits]
    return sorted(hits, key=lambda hit: [_Place(v, d) for v, d in zip(hit.sort, descending, strict=False)])[
        :size
    ]


def search_views(views: dict[str, tuple[View, Any]], body: dict[str, Any]) -> SearchResult:
    """One page of a search over several views, as of several indices."""
    if len(views) == 1:
        ((view, narrowing),) = views.values()
        return view.search_body(body, filter=narrowing)
    started = time.monotonic()
    start, size = _number(body, "from", 0), _number(body, "size", 10)
    cap: bool | int = _number(body, "track_total_hits", True)
    sort = body.get("sort")
    levels = [] if sort is None else sort if isinstance(sort, list) else [sort]
    asked = {**body, "from": 0, "size": start + size, "sort": levels or ["_score"], "track_total_hits": True}
    results = [view.search_body(asked, filter=narrowing) for view, narrowing in views.values()]
    page = merged(results, start + size, levels or ["_score"])[start:]
    total = sum(result.total or 0 for result in results)
    capped = cap is not True and cap is not False and total > cap
    scores = [result.max_score for result in results if result.max_score is not None]
    return SearchResult(
        hits=page if levels else [msgspec.structs.replace(hit, sort=()) for hit in page],
        total=None if cap is False else min(total, cap) if capped else total,
        total_relation="gte" if capped else "eq",
        max_score=max(scores, default=None),
        took_ms=round((time.monotonic() - started) * 1000),
        timed_out=any(result.timed_out for result in results),
        shards=Shards.sum(result.shards for result in results),
        notes=_notes(results),
    )


def _number(body: dict[str, Any], name: str, otherwise: int) -> int:
    """raises: QueryError"""
    value = body.get(name, otherwise)
    if (
        (isinstance(value, bool) and not isinstance(otherwise, bool))
        or not isinstance(value, int)
        or value < 0
    ):
        raise QueryError(f"{name}: a whole number of 0 or more expected, not {value!r}")
    return value


def _notes(results: Iterable[SearchResult]) -> tuple[str, ...]:
    """What each says of how a plain string was read, once."""
    return tuple(dict.fromkeys(note for result in results for note in result.notes))


def _descends(level: Any) -> bool:
    if isinstance(level, str):
        return level == "_score" or level.endswith(":desc")
    ((name, options),) = level.items()
    order = options if isinstance(options, str) else options.get("order")
    return bool(order == "desc" if order else name == "_score")


class _Place:
    """A sort value as it compares: the last are those that are missing."""

    __slots__ = ("descends", "value")

    def __init__(self, value: Any, descends: bool) -> None:
        self.value = value
        self.descends = descends

    def __lt__(self, other: _Place) -> bool:
        if self.value is None or other.value is None:
            return self.value is not None and other.value is None
        less: bool = other.value < self.value if self.descends else self.value < other.value
        return less

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Place) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]
