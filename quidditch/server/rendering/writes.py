"""What became of a write, as OpenSearch says it."""

from __future__ import annotations

from typing import Any

from quidditch.interface import BulkItem, WriteResult

ONE_SHARD = {"total": 1, "successful": 1, "failed": 0}
STATUS = {"created": 201, "updated": 200, "deleted": 200, "noop": 200, "not_found": 404}


def write_body(index: str, result: WriteResult, refreshed: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "_index": index,
        "_id": result.id,
        "_version": result.version,
        "result": result.result,
        "_shards": {"total": 0, "successful": 0, "failed": 0} if result.result == "noop" else ONE_SHARD,
        "_seq_no": result.seq_no,
        "_primary_term": result.primary_term,
    }
    return {**body, "forced_refresh": True} if refreshed else body


def bulk_item(item: BulkItem, refreshed: bool) -> dict[str, Any]:
    """`{"index": {...}}` for an action of a bulk that was carried out or refused."""
    body: dict[str, Any] = {"_index": item.index, "_id": item.id}
    if item.error is not None:
        body |= {"status": item.status, "error": {"type": item.error_type, "reason": item.error}}
        return {item.op: body}
    body |= {"_version": item.version, "result": item.result, "_shards": ONE_SHARD}
    if refreshed:
        body["forced_refresh"] = True
    body |= {"_seq_no": item.seq_no, "_primary_term": 1, "status": item.status}
    return {item.op: body}
