"""What searches see of an index whose `refresh_interval` was given.

Everywhere else a write is seen as soon as it is acknowledged. Such an index is searched as it was before the first
write since its last refresh, until the interval is over, or somebody refreshes it: each worker holds a view of that
moment. Documents are got by their ids as they are now, unless `realtime=false`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from quidditch.index.background import Background
from quidditch.interface import Explanation, FilterLike, Hit, QueryLike, SearchResult, View
from quidditch.server.parameters import seconds_of
from quidditch.types import Json

SETTING = "refresh_interval"

LONGEST_S = 60.0
"""How long a view is held at most, whatever the interval: disk space of what is replaced meanwhile is not reused."""

_KEPT_S = 86_400.0
"""How long a held view may lie unused: longer than any scroll that began on it."""


def interval_s(settings: Mapping[str, Json]) -> float | None:
    """How long a write may stay unseen, by the settings of its index; None where it is seen at once."""
    given = settings.get(SETTING)
    if given is None:
        return None
    if str(given) == "-1":
        return LONGEST_S
    seconds = 0.0 if str(given) == "0" else seconds_of(str(given), SETTING)
    return min(seconds, LONGEST_S) or None


class Held:
    """A view that several use: it is closed once the last of them has let go of it."""

    def __init__(self, view: View, uuid: str) -> None:
        self.uuid = uuid
        self.view = view
        self._users = 1
        self._lock = threading.Lock()

    def taken(self) -> bool:
        """Whether there is one more user now: none comes after the last has gone."""
        with self._lock:
            self._users += self._users > 0
            return self._users > 0

    def let_go(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self.view.close()


class Lent(View):
    """A held view in the hands of one user. A context manager."""

    def __init__(self, held: Held) -> None:
        self.name = held.view.name
        self._held: Held | None = held
        self._view = held.view

    def search_body(self, body: dict[str, Json] | None, *, filter: FilterLike = None) -> SearchResult:
        return self._view.search_body(body, filter=filter)

    def count(self, query: QueryLike = None) -> int:
        return self._view.count(query)

    def explain(self, id: str, query: QueryLike) -> Explanation:
        return self._view.explain(id, query)

    def scan(self, query: QueryLike = None, *, source: Json = True) -> Iterator[Hit]:
        return self._view.scan(query, source=source)

    def close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Unrefreshed:
    """The views that a worker holds of indices with writes that are not to be seen yet, by the indices' names."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._clock = Background("refresh")

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def hold(self, index: Any, uuid: str, seconds: float) -> None:
        """Have the index searched as it is now, for so long at most; as it was, where that is so already."""
        with self._lock:
            before = self._held.get(index.name)
            if before is not None and before.uuid == uuid:
                return
            self._held[index.name] = held = Held(index.point_in_time(_KEPT_S), uuid)
        if before is not None:
            before.let_go()
        self._clock.ask(held, lambda: self._end(index.name, held), seconds)

    def release(self, name: str) -> None:
        """Have everything seen that was written to the index."""
        with self._lock:
            held = self._held.pop(name, None)
        if held is not None:
            self._clock.forget(held)
            held.let_go()

    def lent(self, name: str, uuid: str) -> Lent | None:
        """The view that the index is to be searched by, which the caller closes; None where it is the index itself.

        uuid:  of the index that is meant: another of its name may have been made since
        """
        held = self._held.get(name)
        return Lent(held) if held is not None and held.uuid == uuid and held.taken() else None

    def _end(self, name: str, held: Held) -> None:
        with self._lock:
            if self._held.get(name) is not held:
                return
            del self._held[name]
        held.let_go()
