"""The searcher: reads while others write, and holds what it sees against what must be so at any moment."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from itertools import islice

from quidditch.interface import Hit, Index
from quidditch.torture.documents import TWINS, content_of, document_id, queries
from quidditch.torture.journal import Journal
from quidditch.torture.writer import LaneWriter


class Wrong(Exception):
    """A search returned what no moment of the index can look like."""


class Searcher:
    """Searches until something is wrong."""

    def __init__(
        self, index: Index, writers: Sequence[LaneWriter], journal: Journal, seed: int, pause_s: float
    ) -> None:
        self._index = index
        self._writers = writers
        self._journal = journal
        self._chance = random.Random(seed)
        self._pause_s = pause_s

    def run(self) -> None:
        try:
            while True:
                time.sleep(self._chance.uniform(0.0, self._pause_s))
                self._chance.choice((self._twins, self._twins, self._rank, self._scan))()
        except BaseException as error:
            self._journal.failed("searching", error)

    def _twins(self) -> None:
        """Both twins are of the same write, in any search, and not older than the last one acknowledged."""
        writer = self._chance.choice(self._writers)
        acknowledged = writer.twin
        ids = [document_id(writer.lane, slot) for slot in TWINS]
        found = self._index.search({"ids": {"values": ids}})
        check_whole(found)
        serials = [hit["serial"] for hit in found]
        if len(set(serials)) > 1 or len(serials) not in (0, 2):
            raise Wrong(f"{ids} are written together, and a search found {serials}")
        if acknowledged is not None and (not serials or serials[0] < acknowledged):
            raise Wrong(f"{ids} were acknowledged with {acknowledged}, and a later search found {serials}")

    def _rank(self) -> None:
        query = self._chance.choice(queries(self._chance.randrange(1_000)))
        found = self._index.search(query, size=20)
        check_whole(found)
        scores = [hit.score or 0.0 for hit in found]
        if scores != sorted(scores, reverse=True) or len(found) > (found.total or 0):
            raise Wrong(f"{query}: {found.total} hits, scores {scores}")

    def _scan(self) -> None:
        ids = [hit.id for hit in checked(islice(self._index.scan(), 500))]
        if len(ids) != len(set(ids)):
            raise Wrong(
                f"a scan found documents twice: {sorted({id for id in ids if ids.count(id) > 1})[:5]}"
            )


def check_whole(hits: Iterable[Hit]) -> None:
    """raises: Wrong   a document holds what was never written together"""
    for _ in checked(hits):
        pass


def checked(hits: Iterable[Hit]) -> Iterable[Hit]:
    """The hits as they come. raises: Wrong"""
    for hit in hits:
        if not content_of(hit.source)[1]:
            raise Wrong(f"[{hit.id}] is no document that was ever written: {hit.source!r:.200}")
        yield hit
