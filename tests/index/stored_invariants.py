"""What FORMAT.md says always holds, checked on the rows of one shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quidditch.index.buffer import unpack_buffered
from quidditch.index.codecs import unpack_id_entry
from quidditch.index.commit import next_seq_no, read_leases
from quidditch.index.environment import Environment
from quidditch.index.reader import SegmentCache, SegmentReader
from quidditch.index.snapshot import read_segments
from quidditch.index.storage import SEGMENT_TABLES, SHARD_TABLES, Table, Transaction


def shard_folder(folder: Path) -> Path:
    """The only shard of a directory with one index."""
    (data,) = folder.glob("*/0/data.mdb")
    return data.parent


def check_shard(folder: Path) -> dict[bytes, int]:
    """The live documents, id to sequence number; every invariant of FORMAT.md was asserted on the way."""
    environment = Environment(shard_folder(folder), SHARD_TABLES, readonly=True)
    try:
        with environment.read() as transaction:
            _check_numbers(transaction)
            live = _live_documents(transaction)
            _check_ids(transaction, live)
            return live
    finally:
        environment.close()


def _check_numbers(transaction: Transaction) -> None:
    """Ranges are disjoint and ordered, the buffer is above, and rows belong to somebody."""
    states = read_segments(transaction, {})
    last = -1
    for state in states:
        assert last < state.record.first_seq_no <= state.record.last_seq_no
        last = state.record.last_seq_no
        assert state.record.doc_count > 0
        assert all(doc < state.record.doc_count for doc in state.deleted)
    first = transaction.first(Table.BUFFER)
    assert first is None or int.from_bytes(first[0], "big") > last
    newest = transaction.last(Table.BUFFER)
    assert next_seq_no(transaction) > max(last, int.from_bytes(newest[0], "big") if newest else -1)
    published = {state.segment_id for state in states}
    leased = set(read_leases(transaction))
    assert not published & leased
    for table in SEGMENT_TABLES:
        owners = {int.from_bytes(key[:4], "big") for key, _ in transaction.rows(table)}
        assert owners <= published | leased, table
    assert {int.from_bytes(key[:4], "big") for key, _ in transaction.rows(Table.TOMBSTONES)} <= published


def _live_documents(transaction: Transaction) -> dict[bytes, int]:
    found: list[tuple[bytes, int]] = []
    for state in read_segments(transaction, {}):
        reader = SegmentReader(
            transaction, state.segment_id, state.record, state.deleted, state.generation, SegmentCache()
        )
        docs = np.arange(reader.doc_count, dtype=np.uint32)
        assert len(reader.sources(docs)) == reader.doc_count
        seq_nos = reader.all_seq_nos().tolist()
        assert seq_nos == sorted(set(seq_nos))
        pairs = zip(docs.tolist(), reader.id_bytes(docs), seq_nos, strict=True)
        found += [(own, seq_no) for doc, own, seq_no in pairs if doc not in state.deleted]
    for key, value in transaction.rows(Table.BUFFER):
        found.append((unpack_buffered(value)[0], int.from_bytes(key, "big")))
    live = dict(found)
    assert len(live) == len(found), "an id has two live documents"
    return live


def _check_ids(transaction: Transaction, live: dict[bytes, int]) -> None:
    entries = [unpack_id_entry(value) for _, value in transaction.rows(Table.IDS)]
    assert sorted(seq_no for seq_no, _, deleted in entries if not deleted) == sorted(live.values())
