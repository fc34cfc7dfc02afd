"""What processes of a cluster say to each other, as values and as bytes; PROTOCOL.md lists it.

Two kinds: the entries of a shard's log, and the calls of a search on one shard. Bytes are msgpack; what a query is
made of comes back equal and hashable, so that a shard knows a filter again that it was asked before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import msgspec
import zstandard

from quidditch.cluster.state import OLDEST_PROTOCOL, SPEAKS, Speaks
from quidditch.errors import DocumentError, StorageError
from quidditch.index.document import decode_source, encode_source
from quidditch.index.operations import Operation, VersionType
from quidditch.interface import (
    CollectionStats,
    Explanation,
    Fetched,
    FetchRequest,
    FieldStats,
    QueryRequest,
    QueryResult,
    ShardHit,
    ShownField,
    SortKey,
)
from quidditch.query import primitive
from quidditch.types import DocAddress, OpName

# ------------------------------------------------------------------------------------------------ the log


class LoggedOperation(msgspec.Struct, frozen=True, array_like=True, omit_defaults=False):
    """An `Operation`, its documents as JSON."""

    op: OpName
    id: bytes
    doc: bytes | None = None
    if_seq_no: int | None = None
    if_primary_term: int | None = None
    upsert: bytes | None = None
    doc_as_upsert: bool = False
    detect_noop: bool = True
    version: int | None = None
    version_type: VersionType = "external"
    routing: str | None = None

    @classmethod
    def of(cls, operation: Operation) -> LoggedOperation:
        """raises: DocumentError   a document that JSON has no words for"""
        return cls(
            operation.op,
            operation.id,
            _document(operation),
            operation.if_seq_no,
            operation.if_primary_term,
            None if operation.upsert is None else encode_source(operation.upsert),
            operation.doc_as_upsert,
            operation.detect_noop,
            operation.version,
            operation.version_type,
            operation.routing,
        )

    def operation(self) -> Operation:
        return Operation(
            self.op,
            self.id,
            None if self.doc is None else decode_source(self.doc),
            self.if_seq_no,
            self.if_primary_term,
            None if self.upsert is None else decode_source(self.upsert),
            self.doc_as_upsert,
            self.detect_noop,
            self.version,
            self.version_type,
            self.doc if self.op in ("index", "create") else None,
            self.routing,
        )

    @property
    def size_bytes(self) -> int:
        return len(self.id) + len(self.doc or b"") + len(self.upsert or b"") + 16


def _document(operation: Operation) -> bytes | None:
    if operation.doc is None:
        return None
    return encode_source(operation.doc) if operation.source is None else operation.source


class LogEntry(msgspec.Struct, frozen=True):
    """One batch for one shard, as its log has it.

    batch:    its id, the same however often it is sent
    now_ms:   its time, which the coordinator decides
    mapping:  the version of the mapping that its documents were read by; a replica takes it on before them
    version:  the protocol that it is written in, which all of the cluster spoke at the time
    """

    batch: str
    now_ms: int
    mapping: int
    operations: list[LoggedOperation] = []
    version: int = OLDEST_PROTOCOL

    @property
    def size_bytes(self) -> int:
        return sum(operation.size_bytes for operation in self.operations)


def pack_entry(entry: LogEntry) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(msgspec.msgpack.encode(entry))


def unpack_entry(data: bytes, speaks: Speaks = SPEAKS) -> LogEntry:
    """raises: StorageError   these are no entry's bytes, or those of a newer protocol"""
    try:
        entry = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(data), type=LogEntry)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise StorageError(f"an entry of the log is unreadable: {error}") from error
    if entry.version > speaks.newest:
        speaks.check(entry.version, "an entry of the log is")
    return entry


# ------------------------------------------------------------------------------------------------- queries

_PRIMITIVES: dict[str, type[Any]] = {
    name: value
    for name, value in vars(primitive).items()
    if isinstance(value, type) and is_dataclass(value) and value.__module__ == primitive.__name__
}


def query_to_wire(node: Any) -> Any:
    """A primitive query as plain values: its class's name, then its fields in order."""
    if is_dataclass(node):
        return {
            type(node).__name__: [query_to_wire(getattr(node, each)) for each in node.__dataclass_fields__]
        }
    if isinstance(node, tuple):
        return [query_to_wire(each) for each in node]
    return node


def query_from_wire(value: Any) -> Any:
    """raises: StorageError   it names no primitive query"""
    if isinstance(value, dict):
        (name, values), *others = value.items()
        kind = _PRIMITIVES.get(name)
        if kind is None or others:
            raise StorageError(f"a query of another release: [{name}] is not known; upgrade this process")
        return kind(*map(query_from_wire, values))
    if isinstance(value, list):
        return tuple(map(query_from_wire, value))
    return value


def stats_to_wire(stats: CollectionStats) -> dict[str, Any]:
    return {
        "fields": {name: (found.doc_count, found.sum_length_tokens) for name, found in stats.fields.items()},
        "doc_freqs": [(field, term, count) for (field, term), count in stats.doc_freqs.items()],
    }


def stats_from_wire(value: Mapping[str, Any]) -> CollectionStats:
    return CollectionStats(
        {name: FieldStats(*counts) for name, counts in value["fields"].items()},
        {(field, term): count for field, term, count in value["doc_freqs"]},
    )


def request_to_wire(request: QueryRequest) -> dict[str, Any]:
    return {
        "query": query_to_wire(request.query),
        "stats": stats_to_wire(request.stats),
        "similarities": dict(request.similarities),
        "size": request.size,
        "sort": [dataclasses.asdict(key) for key in request.sort],
        "search_after": None if request.search_after is None else list(request.search_after),
        "min_score": request.min_score,
        "timeout_s": request.timeout_s,
        "total": request.total,
    }


def request_from_wire(value: Mapping[str, Any]) -> QueryRequest:
    after = value["search_after"]
    return QueryRequest(
        query_from_wire(value["query"]),
        stats_from_wire(value["stats"]),
        value["similarities"],
        value["size"],
        tuple(SortKey(**key) for key in value["sort"]),
        None if after is None else tuple(after),
        value["min_score"],
        value["timeout_s"],
        value["total"],
    )


def result_to_wire(result: QueryResult) -> dict[str, Any]:
    """A shard's own number is not said: the coordinator gives it the one it has in the search."""
    return {
        "hits": [(hit.address.segment, hit.address.doc, hit.score, hit.sort) for hit in result.hits],
        "total": result.total,
        "max_score": result.max_score,
        "timed_out": result.timed_out,
    }


def result_from_wire(value: Mapping[str, Any], shard: int) -> QueryResult:
    hits = [
        ShardHit(DocAddress(shard, segment, doc), score, tuple(sort))
        for segment, doc, score, sort in value["hits"]
    ]
    return QueryResult(hits, value["total"], value["max_score"], value["timed_out"])


# --------------------------------------------------------------------------------------------------- fetch


def fetch_to_wire(addresses: Sequence[DocAddress], request: FetchRequest) -> dict[str, Any]:
    return {
        "addresses": [(address.segment, address.doc) for address in addresses],
        "source": request.source,
        "highlight": None if request.highlight is None else dict(request.highlight),
        "explain": request.explain,
        "query": None if request.query is None else request_to_wire(request.query),
        "versions": request.versions,
        "fields": [dataclasses.asdict(shown) for shown in request.fields],
    }


def fetch_from_wire(value: Mapping[str, Any], shard: int) -> tuple[list[DocAddress], FetchRequest]:
    addresses = [DocAddress(shard, segment, doc) for segment, doc in value["addresses"]]
    request = FetchRequest(
        value["source"],
        value["highlight"],
        value["explain"],
        None if value["query"] is None else request_from_wire(value["query"]),
        value["versions"],
        tuple(ShownField(**shown) for shown in value["fields"]),
    )
    return addresses, request


def fetched_to_wire(found: Sequence[Fetched]) -> list[Any]:
    return [
        (
            one.id,
            encode_source(one.source),
            one.highlight,
            None if one.explanation is None else _explained(one.explanation),
            one.fields,
            one.version,
            one.seq_no,
            one.routing,
        )
        for one in found
    ]


def fetched_from_wire(value: Sequence[Any]) -> list[Fetched]:
    return [
        Fetched(
            id,
            decode_source(source),
            highlight,
            None if explanation is None else _explanation(explanation),
            shown,
            version,
            seq_no,
            routing,
        )
        for id, source, highlight, explanation, shown, version, seq_no, routing in value
    ]


def _explained(explanation: Explanation) -> list[Any]:
    return [explanation.value, explanation.description, [_explained(each) for each in explanation.details]]


def _explanation(value: Sequence[Any]) -> Explanation:
    score, description, details = value
    return Explanation(score, description, tuple(_explanation(each) for each in details))


def encode(value: Any) -> bytes:
    """raises: DocumentError   a value that msgpack has no words for"""
    try:
        return msgspec.msgpack.encode(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DocumentError(f"a value cannot be sent: {error}") from error


def decode(data: bytes) -> Any:
    """raises: StorageError   this is no message"""
    try:
        return msgspec.msgpack.decode(data)
    except msgspec.MsgspecError as error:
        raise StorageError(f"a message between processes is unreadable: {error}") from error
