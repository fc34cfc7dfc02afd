"""The scrolls and points in time of one caller: what others opened is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from quidditch.interface import SearchResult, View
from quidditch.server.contexts import Context, Contexts, Pages, missing_context, search_views
from quidditch.server.security.grants import Caller, Level


class Listed(NamedTuple):
    """What a list of contexts says of one."""

    id: str
    created_ms: int
    keep_alive_s: float


@dataclass(frozen=True, slots=True)
class OwnedContexts:
    """`Contexts`, of which a caller sees those that are his, over indices that he may read."""

    contexts: Contexts
    caller: Caller

    def add(self, views: dict[str, tuple[View, Any]], keep_alive_s: float, pages: Pages | None = None) -> str:
        return self.contexts.add(views, keep_alive_s, pages, owner=self.caller.name)

    def get(self, id: str, keep_alive_s: float | None = None) -> Context:
        """raises: RestError   404, also for one of somebody else"""
        context = self.contexts.get(id, keep_alive_s, owner=self.caller.name)
        for name in context.views:
            if not self.caller.may(name, Level.READ):
                raise self.caller.denied(Level.READ.word, name)
        return context

    def page(self, id: str, keep_alive_s: float | None = None) -> SearchResult:
        """The next page of a scroll.

        raises: RestError   404
        """
        context = self.get(id, keep_alive_s)
        if context.pages is None:
            raise missing_context(id)
        with context.lock:
            return context.pages.following(context.views)

    def search(self, id: str, body: dict[str, Any], keep_alive_s: float | None = None) -> SearchResult:
        """A search over a point in time.

        raises: RestError   404
        """
        context = self.get(id, keep_alive_s)
        with context.lock:
            return search_views(context.views, body)

    def indices(self, id: str) -> list[str]:
        """raises: RestError   404"""
        return list(self.get(id).views)

    def listed(self, *, scrolls: bool) -> list[Listed]:
        found = []
        for id in self.contexts.ids(scrolls=scrolls, owner=self.caller.name):
            context = self.get(id)
            found.append(Listed(id, context.created_ms, context.keep_alive_s))
        return found

    def close(self, id: str) -> bool:
        return self.contexts.close(id, owner=self.caller.name)
