"""One call of a shard, asked of its copies until one answers: another when one fails, and a second when one is slow.

Everything here runs in the network's thread, and so needs no lock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from quidditch.cluster.copies import Copies, Node
from quidditch.cluster.data_node import shard_path
from quidditch.cluster.known_statistics import KnownStatistics
from quidditch.cluster.pace import Budget, Pace
from quidditch.cluster.preference import Preference
from quidditch.cluster.state import ShardId
from quidditch.cluster.transport import NoAnswer, Request, Transport
from quidditch.errors import QuidditchError, SnapshotExpired, Unavailable

CALL_S = 60.0
"""How long a copy may take to answer."""

SLOW_S = 1.0
"""How long a copy that was overtaken by another is asked last."""

LATE_S = 0.2
"""How much longer a call stays open than its answer is waited for: it may bring a view that is to be closed."""

CLOSE_S = 0.2
"""How long views that nobody needs any more wait for a call to their node that can tell it so."""

Answer: TypeAlias = dict[str, Any]
Asked: TypeAlias = Callable[[Node], tuple[str, Answer]]
"""The name of the call and its body, which may differ by node: only one of them has the view of before."""


class TooLate(Unavailable):
    """No copy has answered within the time that was left."""


class View:
    """A view of one copy of a shard: whose, its token there, and the sequence of the log that it shows."""

    __slots__ = ("node", "sequence", "token")

    def __init__(self, node: Node, token: str, sequence: int) -> None:
        self.node = node
        self.token = token
        self.sequence = sequence


class Asking:
    """Asks copies of shards. Of one process; what it has learnt of its nodes serves all its searches."""

    def __init__(self, transport: Transport, copies: Copies) -> None:
        self.copies = copies
        self.known = KnownStatistics()
        self.pace = Pace()
        self.budget = Budget()
        self.hedged = 0
        """How many calls were asked twice."""
        self.asked = 0
        self._transport = transport
        self._unneeded: dict[str, list[tuple[ShardId, str]]] = {}
        self._late: set[asyncio.Task[Any]] = set()

    def nodes(self, shard: ShardId, preference: Preference, view: View | None) -> list[Node]:
        """Those to ask, the one to ask first; a view's own before others. raises: Unavailable"""
        if view is None:
            return self.copies.nodes(shard, preference)
        try:
            found = self.copies.nodes(shard, preference)
        except Unavailable:
            return [view.node]
        return [view.node, *(node for node in found if node.address != view.node.address)]

    async def first(
        self, shard: ShardId, nodes: Sequence[Node], asked: Asked, timeout_s: float = CALL_S
    ) -> tuple[Node, Answer]:
        """The first answer that a copy gives, and which one gave it.

        raises: Unavailable, SnapshotExpired   none does, in time; any other error that one answers
        """
        race = _Race(self, shard, asked, timeout_s)
        try:
            return await race.run(list(nodes))
        finally:
            race.forgo()

    async def ask(self, shard: ShardId, node: Node, asked: Asked, timeout_s: float) -> Answer:
        """raises: what the node answers"""
        name, body = asked(node)
        unneeded = self._unneeded.pop(node.address, None)
        if unneeded is not None:
            body = {**body, "closed": [token for _, token in unneeded]}
        began = time.monotonic()
        self.asked += 1
        answer = await self._transport.ask(Request(node.address, shard_path(shard, name), body, timeout_s))
        if isinstance(answer, QuidditchError):
            if isinstance(answer, NoAnswer):
                self.copies.suspect(node.address)
            raise answer
        self.pace.note(name, time.monotonic() - began)
        found: Answer = answer or {}
        return found

    # ------------------------------------------------------------------------------------------------ views

    def release(self, shard: ShardId, view: View) -> None:
        """Have a view closed; nobody waits for it."""
        waiting = self._unneeded.setdefault(view.node.address, [])
        waiting.append((shard, view.token))
        if len(waiting) == 1:
            asyncio.get_running_loop().call_later(CLOSE_S, self._close, view.node.address)

    def _close(self, address: str) -> None:
        waiting = self._unneeded.pop(address, None)
        if waiting:
            body = {"closed": [token for _, token in waiting]}
            self._transport.tell(Request(address, shard_path(waiting[0][0], "close"), body, 5.0))

    def forgo(self, shard: ShardId, node: Node, late: asyncio.Task[Answer]) -> None:
        """Let a call end that nobody waits for, and close the view that it opens."""
        self._late.add(late)

        def ended(task: asyncio.Task[Answer]) -> None:
            self._late.discard(task)
            if task.cancelled() or task.exception() is not None:
                return
            token = task.result().get("view")
            if token:
                self.release(shard, View(node, token, 0))

        late.add_done_callback(ended)


class _Race:
    """One call, under way at one copy or several."""

    def __init__(self, asking: Asking, shard: ShardId, asked: Asked, timeout_s: float) -> None:
        self._asking = asking
        self._shard = shard
        self._asked = asked
        self._deadline = time.monotonic() + timeout_s
        self._running: dict[asyncio.Task[Answer], Node] = {}

    async def run(self, nodes: list[Node]) -> tuple[Node, Answer]:
        self._asking.budget.earn()
        error: QuidditchError = Unavailable(f"no copy of shard {self._shard} is there to be asked")
        while nodes or self._running:
            if time.monotonic() >= self._deadline:
                named = ", ".join(node.name for node in self._running.values())
                raise TooLate(f"shard {self._shard}: no answer in time from {named or 'any copy'}")
            if not self._running:
                self._start(nodes.pop(0))
            done, _ = await asyncio.wait(
                self._running, timeout=self._patience_s(nodes), return_when=asyncio.FIRST_COMPLETED
            )
            if not done and nodes and self._asking.budget.spend():
                self._asking.hedged += 1
                self._start(nodes.pop(0))
            for task in done:
                node = self._running.pop(task)
                try:
                    answer = task.result()
                except (Unavailable, SnapshotExpired) as failed:
                    error = failed
                else:
                    self._blame()
                    return node, answer
        raise error

    def _start(self, node: Node) -> None:
        left_s = max(0.05, self._deadline - time.monotonic()) + LATE_S
        work = self._asking.ask(self._shard, node, self._asked, left_s)
        self._running[asyncio.get_running_loop().create_task(work)] = node

    def _patience_s(self, nodes: Sequence[Node]) -> float:
        """How long to wait before another copy is asked too, or, where there is none, before it is given up."""
        left_s = max(0.0, self._deadline - time.monotonic())
        if not nodes:
            return left_s
        (node, *_) = self._running.values()
        return min(left_s, self._asking.pace.bound_s(self._asked(node)[0]))

    def _blame(self) -> None:
        """Whoever was overtaken is asked last for a moment."""
        for node in self._running.values():
            self._asking.copies.suspect(node.address, SLOW_S)

    def forgo(self) -> None:
        for task, node in self._running.items():
            self._asking.forgo(self._shard, node, task)
