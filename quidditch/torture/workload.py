"""The process that is killed: writers and a searcher on one index. `python -m quidditch.torture.workload`.

It waits for a line that says what to do, so that it can be started beforehand, and does it until it is killed or
its standard input ends.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import msgspec

from quidditch.errors import IndexExists, QuidditchError, RequestError
from quidditch.interface import Database, Index
from quidditch.local import connect
from quidditch.torture.documents import INDEX, MAPPINGS
from quidditch.torture.journal import Journal
from quidditch.torture.observation import ASYNC
from quidditch.torture.plan import UNSYNCED, Orders
from quidditch.torture.searcher import Searcher
from quidditch.torture.writer import LaneWriter

ASYNC_SETTINGS = {"durability": "async", "sync_interval": "300ms"}

PAUSE_S = 0.02
ASYNC_PAUSE_S = 0.5
"""How long the searcher rests at most. A search has everything synced that waits to be, so with `async` it must not
come too often, or nothing would ever wait."""


def open_index(database: Database, journal: Journal, wants_async: bool) -> Index:
    """The index, made if it is not there; with `async` durability where this release takes it."""
    if INDEX in database:
        return database[INDEX]
    journal.begin("create_index")
    try:
        index = create_index(database, wants_async)
    except IndexExists:
        # The other process was faster, and it writes down what it was told.
        return database[INDEX]
    journal.done()
    return index


def create_index(database: Database, wants_async: bool) -> Index:
    try:
        return database.create_index(INDEX, MAPPINGS, dict(ASYNC_SETTINGS) if wants_async else None)
    except IndexExists:
        raise
    except RequestError:
        return database.create_index(INDEX, MAPPINGS)


def start(orders: Orders) -> None:
    """Let the writers loose, each in a thread of its own, and a searcher after them."""
    folder = Path(orders.journals)
    process = Journal(folder / f"process-{orders.lanes[0]}.jsonl")
    database = connect(orders.folder)
    index = open_index(database, process, orders.wants_async)
    waits = index.settings.get("durability") == ASYNC
    profile = {**orders.profile, **UNSYNCED} if waits else orders.profile
    writers = [
        LaneWriter(
            index,
            lane,
            orders.round,
            Journal(folder / f"lane-{lane}.jsonl"),
            orders.seed,
            profile,
        )
        for lane in orders.lanes
    ]
    pause_s = ASYNC_PAUSE_S if waits else PAUSE_S
    searcher = Searcher(index, writers, process, orders.seed + orders.round, pause_s)
    for work in (*(writer.run for writer in writers), searcher.run):
        threading.Thread(target=work, daemon=True).start()


def main() -> None:
    line = sys.stdin.buffer.readline()
    if line:
        orders = msgspec.json.decode(line, type=Orders)
        try:
            start(orders)
        except QuidditchError as error:
            Journal(Path(orders.journals) / f"process-{orders.lanes[0]}.jsonl").failed("opening", error)
        sys.stdin.buffer.read()
    # Nobody is there to kill this process any more. It goes as if it had been.
    os._exit(0)


if __name__ == "__main__":
    main()
