"""Batches for a replica's log, and a replica that follows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quidditch.cluster.messages import LogEntry, LoggedOperation, pack_entry
from quidditch.cluster.replica import Replica
from quidditch.index.operations import Operation
from quidditch.local.database import LocalDatabase, connect

NOW_MS = 1_700_000_000_000

MAPPINGS: dict[int, dict[str, Any]] = {
    1: {"properties": {"title": {"type": "text"}}},
    2: {"properties": {"title": {"type": "text"}, "year": {"type": "integer"}}},
}


class FixedMappings:
    """The versions of a mapping, as they are in the tests."""

    def get(self, version: int) -> dict[str, Any]:
        return MAPPINGS[version]


def entry(batch: str, *operations: Operation, now_ms: int = NOW_MS, mapping: int = 1) -> bytes:
    return pack_entry(LogEntry(batch, now_ms, mapping, [LoggedOperation.of(each) for each in operations]))


def put(id: str, doc: dict[str, Any], **conditions: Any) -> Operation:
    return Operation("index", id.encode(), doc, **conditions)


def replica_in(folder: Any, log: Any) -> tuple[LocalDatabase, Replica]:
    database = connect(folder)
    if "copy" not in database:
        database.create_index("copy")
    return database, Replica(database, "copy", log, FixedMappings())


def everything(database: LocalDatabase) -> list[tuple[str, Any, int, int]]:
    """(id, source, version, sequence number) of every document, by id."""
    index = database.index("copy")
    ids: Sequence[str] = sorted(hit.id for hit in index.scan())
    return [(doc.id, doc.source, doc.version, doc.seq_no) for doc in map(index.get, ids)]
