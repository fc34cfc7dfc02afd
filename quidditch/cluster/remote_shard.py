"""A shard on other machines, as the phases of a search see it: one live copy, called over HTTP."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from quidditch.cluster import messages
from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.data_node import shard_path
from quidditch.cluster.state import ShardId
from quidditch.cluster.transport import Request, Transport
from quidditch.cluster.write_order import answered_by, asked_of
from quidditch.errors import Unavailable
from quidditch.interface import (
    CollectionStats,
    Fetched,
    FetchRequest,
    QueryRequest,
    QueryResult,
    Shard,
    ShardSnapshot,
)
from quidditch.search.phases import Asked
from quidditch.types import DocAddress

SUSPECT_S = 5.0
"""How long a node that gave no answer is asked only where no other can be."""

THREADS = 32
"""Calls of searches that are under way at once in a process."""


class Copies:
    """Which node is asked about a shard: those that serve take turns, those that failed come last."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._turns = itertools.count()
        self._suspects: dict[str, float] = {}
        self._lock = threading.Lock()

    def of(self, shard: ShardId) -> list[str]:
        """The addresses that can be asked, the one to ask first.

        raises: Unavailable   there is none
        """
        found = [report.address for report in self._catalogue.serving(shard).values()]
        if not found:
            raise Unavailable(
                f"no copy of shard {shard} answers: its nodes are gone, or have not caught up yet"
            )
        turn = next(self._turns) % len(found)
        now = time.monotonic()
        with self._lock:
            return sorted(found[turn:] + found[:turn], key=lambda each: self._suspects.get(each, 0.0) > now)

    def suspect(self, address: str) -> None:
        """It gave no answer."""
        with self._lock:
            self._suspects[address] = time.monotonic() + SUSPECT_S


class RemoteShard(Shard):
    """A shard by whichever of its copies is asked."""

    def __init__(
        self, shard: ShardId, shards: int, copies: Copies, transport: Transport, min_sequence: int = 0
    ) -> None:
        """shards:        how many the index has
        min_sequence:  what the copy must have applied: the last write that whoever searches knows of"""
        self._shard = shard
        self._shards = shards
        self._copies = copies
        self._transport = transport
        self._min_sequence = min_sequence

    @contextmanager
    def snapshot(self, lasting: bool = False, keep_alive_s: float | None = None) -> Iterator[ShardSnapshot]:
        address = self._copies.of(self._shard)[0]
        body: dict[str, Any] = {"min_sequence": self._min_sequence}
        if lasting or keep_alive_s is not None:
            body["keep_s"] = keep_alive_s or 300.0
        view = RemoteSnapshot(self._shard, self._shards, address, self._copies, self._transport, body)
        try:
            if lasting:
                # What is written from now on is not seen, however late the first call comes.
                view.open()
            yield view
        finally:
            view.close()


class RemoteSnapshot(ShardSnapshot):
    """One view of one copy, which its first call opens there."""

    def __init__(
        self,
        shard: ShardId,
        shards: int,
        address: str,
        copies: Copies,
        transport: Transport,
        opening: dict[str, Any],
    ) -> None:
        self._shard = shard
        self._shards = shards
        self._address = address
        self._copies = copies
        self._transport = transport
        self._opening = opening
        self._view = ""

    def open(self) -> None:
        """Have the view opened now, and not by the first call."""
        self._view = self._call("view", {})["view"]

    def _call(self, name: str, body: dict[str, Any], timeout_s: float = 60.0) -> Any:
        """raises: Unavailable   the copy gives no answer, and will be asked last from now on"""
        asked = {**body, "view": self._view} if self._view else {**body, **self._opening}
        try:
            return self._transport.call(
                Request(self._address, shard_path(self._shard, name), asked, timeout_s)
            )
        except Unavailable:
            self._copies.suspect(self._address)
            raise

    def _answer(self, name: str, body: dict[str, Any]) -> Any:
        said = self._call(name, body)
        self._view = said["view"]
        return said["answer"]

    def statistics(self, fields: Iterable[str], terms: Iterable[tuple[str, bytes]]) -> CollectionStats:
        return messages.stats_from_wire(
            self._answer("statistics", {"fields": list(fields), "terms": list(terms)})
        )

    def query(self, request: QueryRequest) -> QueryResult:
        number = self._shard.number
        asked = asked_of(request, number, self._shards)
        said = self._answer("query", {"request": messages.request_to_wire(asked)})
        return answered_by(messages.result_from_wire(said, number), request.sort, number, self._shards)

    def fetch(self, addresses: Sequence[DocAddress], request: FetchRequest) -> list[Fetched]:
        if not addresses:
            return []
        said = self._answer("fetch", {"request": messages.fetch_to_wire(addresses, request)})
        return messages.fetched_from_wire(said)

    def close(self) -> None:
        """Let go of the view there; nobody waits for it."""
        if self._view:
            view, self._view = self._view, ""
            self._transport.tell(
                Request(self._address, shard_path(self._shard, "close"), {"view": view}, 5.0)
            )


class AtOnce:
    """`Scatter` over the network: all shards are asked at the same time."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "quidditch-scatter")

    def __call__(
        self, ask: Callable[[ShardSnapshot], Asked], snapshots: Sequence[ShardSnapshot]
    ) -> list[Asked]:
        if len(snapshots) <= 1:
            return [ask(snapshot) for snapshot in snapshots]
        others = [self._threads.submit(ask, snapshot) for snapshot in snapshots[1:]]
        # The caller's own thread asks one, so that it is not idle.
        first = ask(snapshots[0])
        return [first, *(other.result() for other in others)]

    def close(self) -> None:
        self._threads.shutdown()
