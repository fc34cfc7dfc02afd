"""Scrolls, points in time and tasks, whichever worker holds them.

A snapshot cannot leave its process, so a request that comes back to one is answered where it is: an id tells which
worker that is. What is asked and answered in between are a body and a result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quidditch.interface import Database, SearchResult, View
from quidditch.local.database import LocalDatabase
from quidditch.server.contexts import Pages, missing_context, worker_of
from quidditch.server.runtime.peers import PeerGone, Peers
from quidditch.server.security.grants import Caller
from quidditch.server.security.owned import Listed, OwnedContexts
from quidditch.server.state import State
from quidditch.server.tasks import Task


def answers(state: State, database: Database) -> Mapping[str, Callable[..., Any]]:
    """What a worker answers to the others about its state."""

    def note() -> None:
        """Bring up to date what a worker does not count as it goes."""
        state.numbers.set("quidditch_search_contexts_open", state.contexts.count())
        state.numbers.set("quidditch_tasks_running", state.tasks.count())
        if isinstance(database, LocalDatabase):
            state.numbers.set("quidditch_cache_bytes", database.directory.cached_bytes())

    def owned(caller: Caller) -> OwnedContexts:
        return OwnedContexts(state.contexts, caller)

    def hold(name: str, seconds: float) -> None:
        info = database.describe().get(name)
        if info is not None:
            state.unrefreshed.hold(database.index(name), info.uuid, seconds)

    return {
        "contexts.page": lambda caller, id, keep_alive_s: owned(caller).page(id, keep_alive_s),
        "contexts.search": lambda caller, id, body, keep_alive_s: owned(caller).search(
            id, body, keep_alive_s
        ),
        "contexts.indices": lambda caller, id: owned(caller).indices(id),
        "contexts.close": lambda caller, id: owned(caller).close(id),
        "contexts.listed": lambda caller, scrolls: owned(caller).listed(scrolls=scrolls),
        "activity.of": state.activity.of,
        "activity.forget": state.activity.forget,
        "tasks.get": state.tasks.get,
        "tasks.running": state.tasks.running,
        "tasks.cancel": state.tasks.cancel,
        "note": note,
        "unrefreshed.hold": hold,
        "unrefreshed.release": state.unrefreshed.release,
        "settings.get": lambda: (dict(state.persistent), dict(state.transient)),
        "settings.put": state.put_settings,
    }


@dataclass(frozen=True, slots=True)
class ContextsAnywhere:
    """A caller's scrolls and points in time, of all workers."""

    state: State
    caller: Caller

    @property
    def _peers(self) -> Peers:
        return self.state.peers

    def add(
        self, views: dict[str, tuple[View, Any]], keep_alive_s: float, pages: Pages | None = None
    ) -> tuple[str, int]:
        """The id of a new context of this worker, and when it was made, in milliseconds.

        raises: RestError
        """
        owned = OwnedContexts(self.state.contexts, self.caller)
        id = owned.add(views, keep_alive_s, pages)
        return id, owned.get(id).created_ms

    def page(self, id: str, keep_alive_s: float | None) -> SearchResult:
        """The next page of a scroll.

        raises: RestError   404
        """
        result: SearchResult = self._ask(id, "contexts.page", keep_alive_s)
        return result

    def search(self, id: str, body: dict[str, Any], keep_alive_s: float | None) -> SearchResult:
        """A search over a point in time.

        raises: RestError   404
        """
        result: SearchResult = self._ask(id, "contexts.search", body, keep_alive_s)
        return result

    def indices(self, id: str) -> list[str]:
        """The indices that a context is of, by the names that they had.

        raises: RestError   404
        """
        names: list[str] = self._ask(id, "contexts.indices")
        return names

    def close(self, id: str) -> bool:
        """Whether there was one."""
        worker = worker_of(id)
        try:
            return worker is not None and bool(self._peers.ask(worker, "contexts.close", self.caller, id))
        except PeerGone:
            return False

    def listed(self, *, scrolls: bool) -> list[Listed]:
        return [
            each for some in self._peers.everyone("contexts.listed", self.caller, scrolls) for each in some
        ]

    def _ask(self, id: str, call: str, *arguments: Any) -> Any:
        worker = worker_of(id)
        if worker is None:
            raise missing_context(id)
        try:
            return self._peers.ask(worker, call, self.caller, id, *arguments)
        except PeerGone:
            # With the worker went its snapshots.
            raise missing_context(id) from None


def task_of(state: State, number: int, owner: str) -> Task | None:
    """The task of this number, as it is now."""
    return _of_its_worker(state, "tasks.get", number, owner)


def cancel_task(state: State, number: int, owner: str) -> Task | None:
    """The task of this number, which will end before its time; None where none runs."""
    return _of_its_worker(state, "tasks.cancel", number, owner)


def _of_its_worker(state: State, call: str, number: int, owner: str) -> Task | None:
    try:
        task: Task | None = state.peers.ask((number - 1) % state.peers.count, call, number, owner)
    except PeerGone:
        return None
    return task


def running_tasks(state: State, owner: str) -> list[Task]:
    return [task for some in state.peers.everyone("tasks.running", owner) for task in some]


def activity_of(state: State, indices: Iterable[str]) -> dict[str, Counter[str]]:
    """Every counter of each index, of all workers together."""
    found: dict[str, Counter[str]] = {name: Counter() for name in indices}
    for counted in state.peers.everyone("activity.of", list(found)):
        for name, counters in counted.items():
            found[name].update(counters)
    return found


def forget_activity(state: State, index: str) -> None:
    """An index of the same name begins at 0, with every worker."""
    state.peers.everyone("activity.forget", index)
