"""A shard on other machines, as searches see it; and one lasting view of it, of a scan or a point in time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from quidditch.cluster import messages
from quidditch.cluster.asking import CALL_S, Answer, Asking, View
from quidditch.cluster.loop import Loop
from quidditch.cluster.part import Part, ShardPlace
from quidditch.cluster.preference import Preference
from quidditch.errors import SnapshotExpired, Unavailable
from quidditch.interface import (
    CollectionStats,
    Fetched,
    FetchRequest,
    QueryRequest,
    QueryResult,
    Shard,
    ShardSnapshot,
)
from quidditch.types import DocAddress

KEEP_S = 300.0
"""How long the view of a scan may lie unused."""


class RemoteShard(Shard):
    """A shard by whichever of its copies is asked."""

    def __init__(
        self,
        where: ShardPlace,
        asking: Asking,
        loop: Loop,
        min_sequence: int = 0,
        preference: Preference = Preference(),  # noqa: B008
    ) -> None:
        """min_sequence:  what the copy must have applied: the last write that whoever searches knows of"""
        self.where = where
        self._asking = asking
        self._loop = loop
        self._opening = {"min_sequence": min_sequence}
        self._preference = preference

    def part(self, place: int) -> Part:
        """Of a search under way."""
        return Part(self.where, place, self._preference, self._opening)

    @contextmanager
    def snapshot(self, lasting: bool = False, keep_alive_s: float | None = None) -> Iterator[RemoteSnapshot]:
        """A view that is opened now, by whichever copy answers: what is written from now on is not seen."""
        part = Part(self.where, 0, self._preference, {**self._opening, "keep_s": keep_alive_s or KEEP_S})
        self._loop.run(part.ask(self._asking, lambda node: ("view", part.body(node, {}))), CALL_S + 5.0)
        assert part.view is not None
        view = RemoteSnapshot(self.where, part.view, self._asking, self._loop)
        try:
            yield view
        finally:
            view.close()


class RemoteSnapshot(Shard, ShardSnapshot):
    """One view of one copy. As a shard it is always this view.

    raises: Unavailable, SnapshotExpired   from each call, naming the node, once that no longer has the view
    """

    def __init__(self, where: ShardPlace, view: View, asking: Asking, loop: Loop) -> None:
        self.where = where
        self._view = view
        self._asking = asking
        self._loop = loop

    def part(self, place: int) -> Part:
        """Of a search under way."""
        return Part(self.where, place, Preference(), {}).pin(self._view)

    @contextmanager
    def snapshot(self, lasting: bool = False) -> Iterator[RemoteSnapshot]:
        yield self

    def _ask(self, name: str, body: dict[str, Any]) -> Any:
        part = self.part(0)

        async def asking() -> Answer:
            return await part.ask(self._asking, lambda node: (name, part.body(node, body)))

        try:
            return self._loop.run(asking(), CALL_S + 5.0)["answer"]
        except (Unavailable, SnapshotExpired) as error:
            raise SnapshotExpired(
                f"the view of {self.where} was held by node {self._view.node.name}, which no longer has it: {error}"
            ) from error

    def statistics(self, fields: Iterable[str], terms: Iterable[tuple[str, bytes]]) -> CollectionStats:
        return messages.stats_from_wire(
            self._ask("statistics", {"fields": list(fields), "terms": list(terms)})
        )

    def query(self, request: QueryRequest) -> QueryResult:
        wire = messages.request_to_wire(request)
        body = {"request": wire, "stats": wire["stats"], "expected": self._view.sequence}
        return messages.result_from_wire(self._ask("query", body), 0)

    def fetch(self, addresses: Sequence[DocAddress], request: FetchRequest) -> list[Fetched]:
        if not addresses:
            return []
        return messages.fetched_from_wire(
            self._ask("fetch", {"request": messages.fetch_to_wire(addresses, request)})
        )

    def close(self) -> None:
        """Let go of the view there; nobody waits for it."""
        self._loop.soon(lambda: self._asking.release(self.where.shard, self._view))
