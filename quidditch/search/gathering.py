"""The shards of one search, asked together: a view of each, and what they answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import NamedTuple, Protocol, TypeAlias

from quidditch.errors import FailedShard
from quidditch.interface import (
    CollectionStats,
    Fetched,
    FetchRequest,
    QueryRequest,
    QueryResult,
    Shard,
    ShardHit,
    ShardSnapshot,
)
from quidditch.search.weight import scored_terms
from quidditch.types import DocAddress


class Page(NamedTuple):
    """What will be fetched of a query's hits: those from `from_` on, and what of each."""

    from_: int
    details: FetchRequest


class Answers(NamedTuple):
    """What the shards answered to a query, in their order; and the request with the statistics of all of them."""

    parts: Sequence[QueryResult]
    asked: QueryRequest


class Gathering(Protocol):
    """One view of each shard of a search. Shards that do not answer are in `failed`, and missing from answers."""

    @property
    def total(self) -> int:
        """How many shards the search is about."""

    @property
    def failed(self) -> Sequence[FailedShard]: ...

    def scored(self, request: QueryRequest) -> QueryRequest:
        """The request with the statistics of all shards, which is what makes scores the same on every layout."""

    def query(self, request: QueryRequest, page: Page | None = None) -> Answers:
        """The best hits of each shard; scored by the statistics of all where the request has similarities.

        page:  what `fetch` is going to be asked, so that it may come along
        """

    def fetch(self, hits: Sequence[ShardHit], details: FetchRequest) -> list[Fetched | None]:
        """The documents of hits that `query` gave; None for one whose shard no longer answers. The last call."""


Gather: TypeAlias = Callable[[Sequence[Shard]], AbstractContextManager[Gathering]]
"""Opens a view of each shard for the length of a search."""


class InTurn:
    """A `Gathering` of snapshots in this process, which have its processors to share: one after the other."""

    failed: Sequence[FailedShard] = ()

    def __init__(self, snapshots: Sequence[ShardSnapshot]) -> None:
        self._snapshots = snapshots

    @property
    def total(self) -> int:
        return len(self._snapshots)

    def scored(self, request: QueryRequest) -> QueryRequest:
        if not request.similarities:
            return request
        terms = list(scored_terms(request.query, request.similarities))
        parts = [snapshot.statistics(request.similarities, terms) for snapshot in self._snapshots]
        return replace(request, stats=CollectionStats.total(parts))

    def query(self, request: QueryRequest, page: Page | None = None) -> Answers:
        deadline = None if request.timeout_s is None else time.monotonic() + request.timeout_s
        asked = self.scored(request)
        return Answers([snapshot.query(within(asked, deadline)) for snapshot in self._snapshots], asked)

    def fetch(self, hits: Sequence[ShardHit], details: FetchRequest) -> list[Fetched | None]:
        found: dict[DocAddress, Fetched] = {}
        for shard, addresses in by_shard(hits).items():
            fetched = self._snapshots[shard].fetch(addresses, details)
            found |= dict(zip(addresses, fetched, strict=True))
        return [found[hit.address] for hit in hits]


@contextmanager
def in_turn(shards: Sequence[Shard]) -> Iterator[InTurn]:
    """`Gather` for shards of this process."""
    with ExitStack() as stack:
        yield InTurn([stack.enter_context(shard.snapshot()) for shard in shards])


def within(asked: QueryRequest, deadline: float | None) -> QueryRequest:
    """The request with the time that is left for it."""
    if deadline is None:
        return asked
    return replace(asked, timeout_s=max(0.0, deadline - time.monotonic()))


def by_shard(hits: Sequence[ShardHit]) -> dict[int, list[DocAddress]]:
    """The addresses of hits by the place of their shard in the search."""
    found: dict[int, list[DocAddress]] = {}
    for hit in hits:
        found.setdefault(hit.address.shard, []).append(hit.address)
    return found
