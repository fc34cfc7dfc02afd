"""Clients that search and write without a pause, and how each call went: what users see while something fails."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import quidditch
from benchmarks.server.load import percentile
from quidditch.errors import QuidditchError

INDEX = "docs"


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `search` or `write`, when it began (monotonic), how long it took, and why it failed, if it did."""

    kind: str
    began_s: float
    took_s: float
    error: str = ""


class Pulse:
    """All calls so far."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def seen(self, since_s: float, until_s: float) -> dict[str, Any]:
        """Of the calls that were under way between two times: how many, how many failed, and how long they took."""
        found: dict[str, Any] = {}
        for kind in ("search", "write"):
            own = [
                c
                for c in self.calls
                if c.kind == kind and since_s <= c.began_s + c.took_s and c.began_s < until_s
            ]
            times = [call.took_s for call in own if not call.error]
            failed = [call.error for call in own if call.error]
            found[kind] = {
                "calls": len(own),
                "failed": len(failed),
                "p50_ms": round(1000 * percentile(times, 0.5), 1) if times else None,
                "p99_ms": round(1000 * percentile(times, 0.99), 1) if times else None,
                "max_ms": round(1000 * max(times), 1) if times else None,
                "why": failed[0] if failed else "",
            }
        return found

    def first(self, kind: str, since_s: float) -> float | None:
        """When the first call that succeeded, of those that began after this time, had its answer."""
        ends = [
            c.began_s + c.took_s
            for c in self.calls
            if c.kind == kind and c.began_s >= since_s and not c.error
        ]
        return min(ends, default=None)


@contextmanager
def beating(url: str, bodies: Sequence[dict[str, Any]], searchers: int, writers: int) -> Iterator[Pulse]:
    """Clients at work until the block is left; none asks again by itself."""
    pulse, ended = Pulse(), threading.Event()

    def work(kind: str, number: int) -> None:
        chance = random.Random(f"{kind}/{number}")
        with quidditch.connect(url, retries=0, timeout_s=60.0, write_timeout_s=0.0) as database:
            index = database.index(INDEX)
            while not ended.wait(0.005):
                began_s, error = time.monotonic(), ""
                try:
                    if kind == "search":
                        index.search_body(dict(chance.choice(bodies)))
                    else:
                        index.add(
                            {"title": "quaffle", "text": "bludger"}, id=f"w{number}-{chance.randrange(1000)}"
                        )
                except QuidditchError as failed:
                    error = str(failed)[:200]
                pulse.calls.append(Call(kind, began_s, time.monotonic() - began_s, error))

    kinds = [("search", number) for number in range(searchers)] + [
        ("write", number) for number in range(writers)
    ]
    threads = [threading.Thread(target=work, args=kind, daemon=True) for kind in kinds]
    for thread in threads:
        thread.start()
    try:
        yield pulse
    finally:
        ended.set()
        for thread in threads:
            thread.join()
