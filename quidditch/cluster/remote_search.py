"""`Gathering` over the network: the shards of one search, all asked at once.

A search takes one round of calls where few documents are wanted: each shard brings the documents of all its best hits
along. Else it takes two, the best hits of each shard and then the documents of the page.

Scores need the statistics of all shards before. What is known of them goes along with the query, with the sequence of
the log that it is true for; a copy whose view shows another sequence answers with its statistics, and all are asked
again, on the views that they hold from then on. So every score is made of the statistics of the very views it is made
in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec

from quidditch.cluster import messages
from quidditch.cluster.asking import CALL_S, Answer, Asking, TooLate
from quidditch.cluster.copies import Node
from quidditch.cluster.loop import Loop
from quidditch.cluster.part import Part
from quidditch.cluster.remote_shard import RemoteShard, RemoteSnapshot
from quidditch.errors import FailedShard, SnapshotExpired, Unavailable
from quidditch.interface import (
    CollectionStats,
    Fetched,
    FetchRequest,
    QueryRequest,
    QueryResult,
    Shard,
    ShardHit,
)
from quidditch.search.gathering import Answers, Gathering, Page, by_shard, within
from quidditch.search.weight import scored_terms
from quidditch.types import DocAddress

GRACE_S = 0.5
"""How much longer than a search's own time its shards are waited for: they end in time by themselves."""

FEW = 60
"""Documents that all shards may bring home together for a page that needs fewer: it saves a round of calls."""

ROUNDS = 6
"""How often all shards are asked before one moment of all is given up."""


class RemoteGathering(Gathering):
    """The views of one search, opened by its first calls."""

    def __init__(self, parts: Sequence[Part], asking: Asking, loop: Loop) -> None:
        self._parts = parts
        self._asking = asking
        self._loop = loop
        self._brought: dict[DocAddress, Any] = {}
        """Documents as they came: those that are not on the page are not looked into."""
        self._until = float("inf")
        self._late = False
        self._asked: QueryRequest | None = None
        """The query that the hits are of, as all shards were asked it."""

    @property
    def total(self) -> int:
        return len(self._parts)

    @property
    def failed(self) -> Sequence[FailedShard]:
        return tuple(part.failed for part in self._parts if part.failed is not None)

    def _live(self) -> list[Part]:
        return [part for part in self._parts if part.failed is None]

    async def _of_all(self, parts: Sequence[Part], ask: Callable[[Part], Any]) -> list[Any]:
        """What each part is told; None from those that fail, which are noted."""

        async def one(part: Part) -> Any:
            try:
                return await ask(part)
            except (Unavailable, SnapshotExpired) as error:
                self._late = self._late or isinstance(error, TooLate)
                part.fail(error)
                return None

        if len(parts) == 1:
            return [await one(parts[0])]
        return list(await asyncio.gather(*map(one, parts)))

    # ------------------------------------------------------------------------------------------ statistics

    def scored(self, request: QueryRequest) -> QueryRequest:
        return self._loop.run(self._scored(request), CALL_S + 5.0) if request.similarities else request

    async def _scored(self, request: QueryRequest) -> QueryRequest:
        if not request.similarities:
            return request
        fields, terms = list(request.similarities), list(scored_terms(request.query, request.similarities))
        unknown = [part for part in self._live() if not part.recall(self._asking.known, fields, terms)]
        body = {"fields": fields, "terms": terms}
        # Of a search that has little time half is left for the query.
        limit_s = max(0.0, min(CALL_S, (self._until - time.monotonic()) / 2))

        async def learn(part: Part) -> None:
            said = await part.ask(
                self._asking, lambda node: ("statistics", part.body(node, body)), timeout_s=limit_s
            )
            part.learn(self._asking.known, messages.stats_from_wire(said["answer"]), said["sequence"])

        await self._of_all(unknown, learn)
        return replace(request, stats=CollectionStats.total(part.stats for part in self._live()))

    # ---------------------------------------------------------------------------------------------- query

    def query(self, request: QueryRequest, page: Page | None = None) -> Answers:
        if request.timeout_s is not None:
            self._until = time.monotonic() + request.timeout_s
        limit_s = CALL_S + 5.0 if request.timeout_s is None else request.timeout_s + GRACE_S + 5.0
        return self._loop.run(self._query(request, page), limit_s)

    def _left_s(self) -> float:
        """How long a call may take."""
        return max(0.0, min(CALL_S, self._until + GRACE_S - time.monotonic()))

    async def _query(self, request: QueryRequest, page: Page | None) -> Answers:
        if len(self._parts) == 1 and (page is not None or not request.size):
            return await self._alone(self._parts[0], request, page)
        whole = page if page is not None and self._is_small(request, page) else None
        for _ in range(ROUNDS):
            asked = await self._scored(request)
            said = await self._of_all(self._live(), self._asker(asked, whole))
            if all(answer is None or "answer" in answer for answer in said):
                self._asked = asked
                return Answers(self._taken(request), asked)
            # The shards have moved on. From now on each keeps the view that it has answered from; the documents of
            # views before have the addresses of others now.
            whole = None
            self._brought.clear()
        raise Unavailable("the shards did not come to one moment; search again")

    def _is_small(self, request: QueryRequest, page: Page) -> bool:
        """Whether every shard may bring all of its hits: nothing is to be done with them that costs much."""
        plain = page.details.highlight is None and not page.details.explain
        return plain and request.size * len(self._parts) <= FEW

    def _asker(self, asked: QueryRequest, whole: Page | None) -> Callable[[Part], Any]:
        """Asks a part the query; what it answers is the part's result, or its statistics.

        whole:  the documents of all hits are wanted too, and the view no longer
        """
        deadline = None if asked.timeout_s is None else self._until
        request = messages.request_to_wire(within(asked, deadline))
        common: Answer = {"stats": msgspec.Raw(messages.encode(request.pop("stats")))}
        if whole is not None:
            common |= {"from": 0, "details": messages.fetch_to_wire([], without_query(whole.details))}
        shared = msgspec.Raw(messages.encode(request))
        last = whole is not None or (not asked.size and not asked.similarities)

        async def ask(part: Part) -> Answer:
            body = {**common, "request": part.placed(asked, request) or shared, "expected": part.expected}
            said = await self._ask_query(part, body, last)
            if "answer" in said:
                self._take(part, asked, said)
            else:
                part.learn(self._asking.known, messages.stats_from_wire(said["stats"]), said["sequence"])
            return said

        return ask

    async def _ask_query(self, part: Part, body: Answer, last: bool) -> Answer:
        if last and not part.pinned:
            body = {**body, "last": True}
        return await part.ask(
            self._asking, lambda node: ("query", part.body(node, body)), timeout_s=self._left_s()
        )

    def _take(self, part: Part, asked: QueryRequest, said: Answer) -> None:
        """A part has answered the query, and may have brought documents, of its last hits."""
        part.take(messages.result_from_wire(said["answer"], part.place), asked)
        documents = said.get("fetched", ())
        hits = part.result.hits[len(part.result.hits) - len(documents) :]
        self._brought |= zip((hit.address for hit in hits), documents, strict=True)

    def _taken(self, request: QueryRequest) -> list[QueryResult]:
        """The results of the parts that gave one; of those that took too long that they did."""
        late = request.timeout_s is not None and self._late
        results = []
        for part in self._parts:
            if part.failed is None:
                results.append(part.result)
                if not part.result.hits:
                    part.release(self._asking)
            elif late:
                results.append(QueryResult((), 0, timed_out=True))
        return results

    async def _alone(self, part: Part, request: QueryRequest, page: Page | None) -> Answers:
        """Statistics, query and documents in one call: there is nobody else to hear."""
        wire = messages.request_to_wire(request)
        body: Answer = {"request": part.placed(request, wire) or wire, "own": True}
        if page is not None:
            body["from"], body["details"] = (
                page.from_,
                messages.fetch_to_wire([], without_query(page.details)),
            )

        async def ask(part: Part) -> None:
            self._take(part, request, await self._ask_query(part, body, last=True))

        await self._of_all([part], ask)
        return Answers(self._taken(request), request)

    # ---------------------------------------------------------------------------------------------- fetch

    def fetch(self, hits: Sequence[ShardHit], details: FetchRequest) -> list[Fetched | None]:
        missing = [hit for hit in hits if hit.address not in self._brought]
        if missing:
            self._loop.run(self._fetch(missing, details), CALL_S + 5.0)
        found = [self._brought.get(hit.address) for hit in hits]
        return [None if one is None else messages.fetched_from_wire([one])[0] for one in found]

    async def _fetch(self, hits: Sequence[ShardHit], details: FetchRequest) -> None:
        wanted = by_shard(hits)
        parts = [part for part in self._parts if part.place in wanted and part.failed is None]
        asked = details.query
        plain = details if details.explain or details.highlight is not None else without_query(details)
        # By another query than theirs the hits are not found again.
        again = asked if asked is self._asked else None

        async def ask(part: Part) -> Any:
            return await self._documents(part, wanted[part.place], plain, again)

        said = await self._of_all(parts, ask)
        for part, documents in zip(parts, said, strict=True):
            if documents is not None:
                self._brought |= zip(wanted[part.place], documents, strict=True)

    async def _documents(
        self, part: Part, addresses: Sequence[DocAddress], details: FetchRequest, asked: QueryRequest | None
    ) -> Any:
        """Of the view that the hits came from; or of another copy as of the same sequence, which finds the same hits
        in the same order, at addresses of its own."""
        body: Answer = {"request": messages.fetch_to_wire(addresses, details)}
        if not part.pinned:
            body["last"] = True

        def call(node: Node) -> tuple[str, Answer]:
            if part.view is not None and node.address == part.view.node.address:
                return "fetch", part.body(node, body)
            return "query", part.body(node, self._found_again(part, addresses, details, asked))

        said = await part.ask(self._asking, call)
        part.view = None if not part.pinned else part.view
        if "stats" in said:
            raise Unavailable(f"shard {part.shard}: its copy is gone, and the others have gone on since")
        return said["fetched"] if "fetched" in said else said["answer"]

    def _found_again(
        self,
        part: Part,
        addresses: Sequence[DocAddress],
        details: FetchRequest,
        asked: QueryRequest | None,
    ) -> Answer:
        if asked is None or part.view is None or part.result.timed_out:
            raise Unavailable(f"shard {part.shard}: its copy is gone")
        # All of it, however long it takes: with less of it the places would be those of other hits.
        request = messages.request_to_wire(replace(asked, timeout_s=None))
        places = {hit.address: place for place, hit in enumerate(part.result.hits)}
        return {
            "request": part.placed(asked, request) or request,
            "stats": request["stats"],
            "expected": part.view.sequence,
            "exactly": True,
            "details": messages.fetch_to_wire([], without_query(details)),
            "places": [places[address] for address in addresses],
            "last": True,
        }

    def _close(self) -> None:
        for part in self._parts:
            part.release(self._asking)

    def close(self) -> None:
        """Let go of the views; nobody waits for it."""
        if any(part.view is not None and not part.pinned for part in self._parts):
            self._loop.soon(self._close)


def without_query(details: FetchRequest) -> FetchRequest:
    """What is to be fetched, without the query: a shard that has just been asked it knows it."""
    return replace(details, query=None)


class RemoteGather:
    """`Gather` for shards on other machines."""

    def __init__(self, asking: Asking, loop: Loop) -> None:
        self._asking = asking
        self._loop = loop

    @contextmanager
    def __call__(self, shards: Sequence[Shard]) -> Iterator[RemoteGathering]:
        parts = [
            shard.part(place)
            for place, shard in enumerate(shards)
            if isinstance(shard, RemoteShard | RemoteSnapshot)
        ]
        gathering = RemoteGathering(parts, self._asking, self._loop)
        try:
            yield gathering
        finally:
            gathering.close()
