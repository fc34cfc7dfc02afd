"""Bodies of answers to the records that people get."""

from __future__ import annotations

from typing import Any

from quidditch.errors import FailedShard
from quidditch.interface import (
    BulkItem,
    ByQueryResult,
    CheckReport,
    Document,
    Explanation,
    Hit,
    IndexInfo,
    IndexStats,
    Problem,
    SearchResult,
    Shards,
    StructureSize,
    WriteResult,
)
from quidditch.remote.failures import named_error, told_cause
from quidditch.types import OpName


def write_result(body: dict[str, Any]) -> WriteResult:
    return WriteResult(body["_id"], body["_version"], body["_seq_no"], body["result"], body["_primary_term"])


def document(body: dict[str, Any]) -> Document:
    return Document(
        body["_id"],
        body["_source"],
        body["_version"],
        body["_seq_no"],
        body["_primary_term"],
        body.get("_routing"),
    )


def documents(body: dict[str, Any]) -> list[Document | None]:
    """Of `_mget`; None for one that is not there.

    raises: QuidditchError   what all of them failed by
    """
    for each in body["docs"]:
        if "error" in each:
            raise named_error(*told_cause(each["error"]))
    return [document(each) if each["found"] else None for each in body["docs"]]


def bulk_item(position: int, op: OpName, answer: dict[str, Any]) -> BulkItem:
    """What became of one action: `{"index": {...}}`."""
    ((_, body),) = answer.items()
    error = body.get("error")
    if error is not None:
        kind, reason = error.get("type"), error.get("reason")
        return BulkItem(
            position, op, body.get("_id"), body["status"], None, reason, kind, index=body.get("_index")
        )
    return BulkItem(
        position,
        op,
        body["_id"],
        body["status"],
        body["result"],
        version=body["_version"],
        seq_no=body["_seq_no"],
        index=body["_index"],
    )


def by_query_result(body: dict[str, Any]) -> ByQueryResult:
    failures = [
        BulkItem(
            place, "index", each["id"], each["status"], None, each["cause"]["reason"], each["cause"]["type"],
            index=each["index"],
        )
        for place, each in enumerate(body["failures"])
    ]  # fmt: skip
    return ByQueryResult(
        body["total"],
        body["deleted"],
        body["updated"],
        body["version_conflicts"],
        body["batches"],
        failures,
        body["took"],
    )


def explanation(body: dict[str, Any]) -> Explanation:
    return Explanation(body["value"], body["description"], tuple(map(explanation, body["details"])))


def hit(body: dict[str, Any]) -> Hit:
    explained = body.get("_explanation")
    return Hit(
        body["_id"],
        body.get("_score"),
        body.get("_source", {}),
        body["_index"],
        body.get("highlight", {}),
        tuple(body.get("sort", ())),
        body.get("fields", {}),
        None if explained is None else explanation(explained),
        "_source" in body,
        body.get("_version"),
        body.get("_seq_no"),
        body.get("_primary_term"),
        body.get("_routing"),
    )


def _shards(body: dict[str, Any]) -> Shards:
    failures = tuple(
        FailedShard(
            each["index"],
            each["shard"],
            each.get("node"),
            each["reason"]["type"],
            each["reason"]["reason"],
        )
        for each in body.get("failures", ())
    )
    return Shards(body["total"], body["successful"], body.get("skipped", 0), body["failed"], failures)


def search_result(body: dict[str, Any]) -> SearchResult:
    hits = body["hits"]
    total = hits.get("total") or {}
    return SearchResult(
        [hit(each) for each in hits["hits"]],
        total.get("value"),
        total.get("relation", "eq"),
        hits["max_score"],
        body["took"],
        body["timed_out"],
        _shards(body["_shards"]),
        body.get("aggregations", {}),
        body.get("quidditch_notes", ()),
    )


def index_infos(body: dict[str, Any]) -> dict[str, IndexInfo]:
    return {name: IndexInfo(name=name, **each) for name, each in body.items()}


def index_stats(body: dict[str, Any]) -> IndexStats:
    detail = {name: _structure_size(each) for name, each in body.pop("detail", {}).items()}
    return IndexStats(**body, detail=detail)


def _structure_size(body: dict[str, Any]) -> StructureSize:
    return StructureSize(
        body["rows"], body["payload_bytes"], body["page_bytes"], body["overflow_bytes"], body["fields"]
    )


def check_report(body: dict[str, Any]) -> CheckReport:
    return CheckReport([Problem(**each) for each in body["problems"]])
