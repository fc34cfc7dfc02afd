"""What each structure of a shard takes on disk, and each field of it: read row by row, for `stats(detail=True)`."""

from __future__ import annotations

from collections.abc import Sequence

from quidditch.index.seals import SEAL_BYTES
from quidditch.index.snapshot import SegmentState
from quidditch.index.storage import SEGMENT_TABLES, SHARD_TABLES, Table, Transaction
from quidditch.interface import StructureSize

_WITHOUT_FIELD = (Table.DOC_IDS, Table.SEQ_NOS, Table.STORED)
_FIELD_KEY_BYTES = 6


def structure_sizes(transaction: Transaction, states: Sequence[SegmentState]) -> dict[str, StructureSize]:
    """By table, those without a row left out.

    cost: reads every row, once
    """
    names = {
        state.segment_id.to_bytes(4, "big") + field.number.to_bytes(2, "big"): field.name
        for state in states
        for field in state.record.fields
    }
    sizes = {str(table): _size(transaction, table, names) for table in SHARD_TABLES}
    return {name: size for name, size in sizes.items() if size.rows}


def _size(transaction: Transaction, table: Table, names: dict[bytes, str]) -> StructureSize:
    by_field = table in SEGMENT_TABLES and table not in _WITHOUT_FIELD
    rows = payload = 0
    fields: dict[str, int] = {}
    for key, value in transaction.rows(table):
        size = len(key) + len(value) + SEAL_BYTES
        rows += 1
        payload += size
        # Rows of segments that are gone, or not there yet, belong to no field.
        name = names.get(key[:_FIELD_KEY_BYTES]) if by_field else None
        if name is not None:
            fields[name] = fields.get(name, 0) + size
    pages, overflow = transaction.page_bytes(table)
    return StructureSize(rows, payload, pages, overflow, fields)
