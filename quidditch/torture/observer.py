"""The process that opens a directory after a kill and prints what it finds: `python -m quidditch.torture.observer`.

It waits for a line that says where to look, so that it can be started beforehand.
"""

from __future__ import annotations

import random
import struct
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from quidditch.interface import Database, Document, Hit, Index
from quidditch.local import connect
from quidditch.torture.documents import INDEX, content_of, document_id, queries, slots_of
from quidditch.torture.journal import told_with_place
from quidditch.torture.observation import Line, Observation, Ranking, Request, Seen, Stage, Stopped

PAGE = 50
"""Hits compared of each search."""

ASKED = 200
"""Ids of which `in` is asked, a call each."""


class Observer:
    """Looks at one directory, telling what it is at."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.stage = ""

    def _enter(self, stage: str) -> None:
        self.stage = stage
        say(Stage(stage))

    def observe(self) -> Observation:
        self._enter("open")
        started = time.monotonic()
        with connect(self._request.folder, readonly=self._request.readonly) as database:
            if INDEX not in database:
                return Observation(False, time.monotonic() - started)
            index = database[INDEX]
            length = len(index)
            opened_s = time.monotonic() - started
            self._enter("check")
            problems = check(database, index)
            self._enter("read")
            hits = list(index.scan())
            ids = self._ids(hits)
            documents = [found for found in index.mget(ids) if found is not None]
            asked = random.Random(self._request.seed).sample(ids, min(len(ids), ASKED))
            self._enter("search")
            return Observation(
                True,
                opened_s,
                str(index.settings.get("durability", "request")),
                problems,
                [seen(found) for found in documents],
                [(hit.id, *content_of(hit.source)[0]) for hit in hits],
                asked,
                [id for id in asked if id in index],
                length,
                index.count(),
                index.stats().documents,
                rankings(index, hits, queries(self._request.seed)),
            )

    def _ids(self, hits: Sequence[Hit]) -> list[str]:
        possible = {
            document_id(lane, slot): None for lane in self._request.lanes for slot in range(slots_of(lane))
        }
        return list(possible | {hit.id: None for hit in hits})


def check(database: Database, index: Index) -> list[str] | None:
    """The problems that the index's own check names; None without a check."""
    ask = getattr(database, "check", None) or getattr(index, "check", None)
    if ask is None:
        return None
    return [f"{problem.where}: {problem.what}: {problem.words}" for problem in ask().problems]


def seen(found: Document) -> Seen:
    (serial, patch), intact = content_of(found.source)
    return Seen(found.id, serial, patch, found.version, found.seq_no, intact)


def rankings(index: Index, hits: Sequence[Hit], asked: Sequence[dict[str, Any]]) -> list[Ranking]:
    """Each search in this index and in a fresh one, which got the same documents in the order of their last write."""
    with connect(":memory:") as memory:
        fresh = memory.create_index(INDEX, mappings=index.mappings)
        fresh.add_many({"_id": hit.id, **hit.source} for hit in hits)
        return [_ranking(index, fresh, query) for query in asked]


def _ranking(index: Index, fresh: Index, query: dict[str, Any]) -> Ranking:
    own, other = index.search(query, size=PAGE), fresh.search(query, size=PAGE)
    return Ranking(
        msgspec.json.encode(query).decode(),
        own.total,
        other.total,
        [(hit.id, _bits(hit.score)) for hit in own],
        [(hit.id, _bits(hit.score)) for hit in other],
    )


def _bits(score: float | None) -> int:
    """The float32 of a score as the integer of the same bits; -1 without a score."""
    return -1 if score is None else int(struct.unpack("<I", struct.pack("<f", score))[0])


def say(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    line = sys.stdin.buffer.readline()
    if not line:
        return
    observer = Observer(msgspec.json.decode(line, type=Request))
    try:
        say(observer.observe())
    except Exception as error:
        say(Stopped(observer.stage, told_with_place(error)))


if __name__ == "__main__":
    main()
