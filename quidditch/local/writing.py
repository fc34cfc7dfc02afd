"""Writes of people to operations of a shard, and what became of them back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Dict
from typing import Any

from quidditch.bulk import Action
from quidditch.errors import DocumentError, QuidditchError, RequestError
from quidditch.index.document import encode_source
from quidditch.index.operations import Applied, Operation, check_id, without_id
from quidditch.interface import BulkItem, WriteResult
from quidditch.local.directory import LocalShard

BULK_CHUNK = 1_000
"""Actions carried out in one transaction: each chunk of a bulk is atomic against crashes."""

BULK_CHUNK_BYTES = 8 << 20
"""Bytes of documents carried out in one transaction."""

_UPDATE_KEYS = ("doc", "upsert", "doc_as_upsert", "detect_noop")
_STATUS = {"created": 201, "updated": 200, "deleted": 200, "noop": 200, "not_found": 404}


def apply_one(shard: LocalShard, operation: Operation) -> WriteResult:
    """Carry out one write, raising what went wrong."""
    (result,) = shard.writer.apply([operation])
    if isinstance(result, QuidditchError):
        raise result
    return WriteResult(result.id.decode(), result.version, result.seq_no, result.result)


def failed_item(position: int, action: Action, index: str | None, error: QuidditchError) -> BulkItem:
    id = action.id if isinstance(action.id, str) else None
    return BulkItem(position, action.op, id, error.status, None, str(error), error.type, index=index)


class BulkWriter:
    """The actions of a bulk that go to one shard, in order, a transaction for each chunk."""

    def __init__(self, shard: LocalShard, name: str) -> None:
        self._shard = shard
        self._name = name
        self._actions: list[tuple[int, Action]] = []
        self._operations: list[Operation] = []
        self._size_bytes = 0

    def add(self, position: int, action: Action) -> list[BulkItem]:
        """Take the next action; the items that are settled by now."""
        try:
            operation = operation_of(action, self._shard)
        except QuidditchError as error:
            return [failed_item(position, action, self._name, error)]
        self._actions.append((position, action))
        self._operations.append(operation)
        self._size_bytes += _size_bytes(operation)
        full = len(self._operations) >= BULK_CHUNK or self._size_bytes >= BULK_CHUNK_BYTES
        return self.finish() if full else []

    def finish(self) -> list[BulkItem]:
        """Carry out what is waiting."""
        if not self._operations:
            return []
        results = self._shard.writer.apply(self._operations)
        items = [
            self._item(position, action, result)
            for (position, action), result in zip(self._actions, results, strict=True)
        ]
        self._actions, self._operations, self._size_bytes = [], [], 0
        return items

    def _item(self, position: int, action: Action, result: Applied | QuidditchError) -> BulkItem:
        if isinstance(result, QuidditchError):
            return failed_item(position, action, self._name, result)
        return BulkItem(
            position,
            action.op,
            result.id.decode(),
            _STATUS[result.result],
            result.result,
            version=result.version,
            seq_no=result.seq_no,
            index=self._name,
        )


def _size_bytes(operation: Operation) -> int:
    """Bytes of the document as JSON; 0 for one that will be refused."""
    try:
        return len(encode_source(operation.doc or {})) + len(encode_source(operation.upsert or {}))
    except DocumentError:
        return 0


def operation_of(action: Action, shard: LocalShard) -> Operation:
    """raises: RequestError   for a bad id, or an update's unknown key"""
    id = action.id
    body: Any = action.body
    if action.op in ("index", "create"):
        if id is None:
            id = body.get("_id")
        body = without_id(body)
    if id is None and action.op in ("update", "delete"):
        raise RequestError(f"bulk: an action [{action.op}] needs an _id")
    id_bytes = shard.writer.make_id() if id is None else check_id(id)
    if action.op == "update":
        return update_operation(id_bytes, body, action.if_seq_no, action.if_primary_term)
    return Operation(action.op, id_bytes, body, action.if_seq_no, action.if_primary_term)


def update_operation(
    id_bytes: bytes, body: Dict[str, Any], if_seq_no: int | None = None, if_primary_term: int | None = None
) -> Operation:
    """An update from its body as OpenSearch has it."""
    for key in body:
        if key == "script":
            raise RequestError("update: scripts are not in this release")
        if key not in _UPDATE_KEYS:
            raise RequestError(f"update: unknown key [{key}]; there are {', '.join(_UPDATE_KEYS)}")
    for key in ("doc", "upsert"):
        if body.get(key) is not None and not isinstance(body[key], Dict):
            raise DocumentError(f"update: an object expected as {key}, not {body[key]!r:.80}")
    return Operation(
        "update",
        id_bytes,
        body.get("doc"),
        if_seq_no,
        if_primary_term,
        body.get("upsert"),
        bool(body.get("doc_as_upsert", False)),
        bool(body.get("detect_noop", True)),
    )


def records(docs: Any) -> Iterator[Any]:
    """One dict a document from any iterable of dicts, a pyarrow table or reader, a Polars or pandas frame."""
    if hasattr(docs, "to_batches"):
        docs = docs.to_batches()
    if hasattr(docs, "iter_rows"):
        return (_present(row) for row in docs.iter_rows(named=True))
    if hasattr(docs, "itertuples") and hasattr(docs, "to_dict"):
        return _pandas_rows(docs)
    if isinstance(docs, str | bytes | Dict) or not isinstance(docs, Iterable):
        raise RequestError(f"add_many: an iterable of documents expected, not {type(docs).__name__}")
    return _flattened(docs)


def _flattened(docs: Iterable[Any]) -> Iterator[Any]:
    for item in docs:
        if hasattr(item, "to_pylist"):
            yield from (_present(row) for row in item.to_pylist())
        else:
            yield item


def _pandas_rows(frame: Any) -> Iterator[dict[str, Any]]:
    for start in range(0, len(frame), BULK_CHUNK):
        for row in frame.iloc[start : start + BULK_CHUNK].to_dict("records"):
            # A frame has no other word for an absent number than NaN, and that is not equal to itself.
            yield {str(key): value for key, value in row.items() if value is not None and value == value}


def _present(row: Dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}
