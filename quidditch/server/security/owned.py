"""The scrolls and points in time of one caller: what others opened is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quidditch.interface import View
from quidditch.server.contexts import Context, Contexts, Pages
from quidditch.server.security.grants import Caller, Level


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

    def ids(self, *, scrolls: bool) -> list[str]:
        return self.contexts.ids(scrolls=scrolls, owner=self.caller.name)

    def close(self, id: str) -> bool:
        return self.contexts.close(id, owner=self.caller.name)
