"""Databases of a server, over HTTP. Loaded by the first connection to one.

options.py        where the server is and how it is reached
exchange.py       `Request`, `Answer`, and `Flow`: what a method asks and how it reads, apart from who carries it
encoding.py, clauses.py, results.py   records and queries to JSON and back
failures.py       errors on the wire to exceptions; retrying.py what is sent again, and when
documents.py, searching.py, managing.py, loading.py   the flows of an index; database_flows.py of a database
carriers.py       over blocking connections and over asynchronous ones
blocking.py       `RemoteDatabase`, `RemoteIndex`: the flows as methods
"""

from __future__ import annotations

from typing import Any

from quidditch.errors import CorruptIndex
from quidditch.remote.blocking import RemoteDatabase, RemoteIndex, RemoteView
from quidditch.remote.options import checked

__all__ = ["RemoteDatabase", "RemoteIndex", "RemoteView", "connect"]


def connect(url: str, *, create: bool = True, verify: bool = False, **options: Any) -> RemoteDatabase:
    """A database of the server at `url`; `options` are those of `Options`. Nothing is sent, unless to verify.

    create:  counts for directories alone: a server makes its own
    verify:  have the server check everything on its disk first; CorruptIndex names what is damaged
    """
    database = RemoteDatabase(checked(url, options))
    if verify:
        problems = database.check(deep=False).problems
        if problems:
            database.close()
            raise CorruptIndex(f"{url}: {len(problems)} problems, the first: {problems[0]}")
    return database
