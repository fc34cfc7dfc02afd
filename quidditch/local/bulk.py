"""Bulk: the actions of a stream, in order, a transaction for each chunk of an index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from quidditch.bulk import Action, parse_actions
from quidditch.errors import (
    DocumentError,
    IndexBlocked,
    IndexClosed,
    IndexNotFound,
    Overloaded,
    QuidditchError,
    RequestError,
    StorageError,
)
from quidditch.index.document import encode_source
from quidditch.index.operations import Applied, Operation, check_id, check_version, without_id
from quidditch.index.routings import check_routing
from quidditch.interface import BulkItem, BulkResult
from quidditch.local.writing import update_operation

BULK_CHUNK = 5_000
"""Actions carried out in one transaction: each chunk of a bulk is atomic against crashes."""

BULK_CHUNK_BYTES = 8 << 20
"""Bytes of documents carried out in one transaction."""

_STATUS = {"created": 201, "updated": 200, "deleted": 200, "noop": 200, "not_found": 404}


class OperationWriter(Protocol):
    """Where the operations of one index go."""

    def make_id(self) -> bytes: ...

    def apply(self, operations: Sequence[Operation]) -> list[Applied | QuidditchError]: ...


OpenWriter: TypeAlias = Callable[[str], OperationWriter]
"""The writer of the index of a name. raises: IndexNotFound"""


def carry_out(open_writer: OpenWriter, actions: Iterable[Any], default_index: str | None) -> BulkResult:
    """What became of each action, written by whatever writers there are.

    raises: StorageError      a chunk could not be written; `partial` says what became of the actions before
            whatever reading `actions` raises, after what came before has been written
    """
    if isinstance(actions, str | bytes | dict) or not isinstance(actions, Iterable):
        raise RequestError(f"bulk: an iterable of actions expected, not {type(actions).__name__}")
    return _Bulk(open_writer, default_index).run(parse_actions(actions))


class _Bulk:
    def __init__(self, open_writer: OpenWriter, default_index: str | None) -> None:
        self._open_writer = open_writer
        self._default_index = default_index
        self._started = time.monotonic()
        self._writers: dict[str, BulkWriter] = {}
        self._items: list[BulkItem] = []

    def run(self, actions: Iterator[Action]) -> BulkResult:
        try:
            for position, action in enumerate(self._readable(actions)):
                self._add(position, action)
            self._finish()
        except StorageError as error:
            error.partial = self._result()
            error.add_note(f"bulk: {error.partial.ok} actions were carried out before; `partial` lists them")
            raise
        return self._result()

    def _readable(self, actions: Iterator[Action]) -> Iterator[Action]:
        """The actions; if reading them fails, those that came before are carried out."""
        while True:
            try:
                action = next(actions)
            except StopIteration:
                return
            except BaseException as error:
                self._finish()
                error.add_note(f"bulk: {self._result().ok} actions that came before were carried out")
                raise
            yield action

    def _add(self, position: int, action: Action) -> None:
        name = action.index or self._default_index
        try:
            if action.error is not None:
                raise action.error
            if not isinstance(name, str):
                raise RequestError(f"bulk: action {position} names no _index")
            if name not in self._writers:
                self._writers[name] = BulkWriter(self._open_writer(name), name)
        except RequestError as error:
            self._items.append(failed_item(position, action, name, error))
            return
        self._items += self._writers[name].add(position, action)

    def _finish(self) -> None:
        for writer in self._writers.values():
            self._items += writer.finish()

    def _result(self) -> BulkResult:
        items = sorted(self._items, key=lambda item: item.position)
        ok = sum(item.error is None for item in items)
        return BulkResult(items, ok, round((time.monotonic() - self._started) * 1000))


def failed_item(position: int, action: Action, index: str | None, error: QuidditchError) -> BulkItem:
    id = action.id if isinstance(action.id, str) else None
    return BulkItem(position, action.op, id, error.status, None, str(error), error.type, index=index)


class BulkWriter:
    """The actions of a bulk that go to one shard, in order, a transaction for each chunk."""

    def __init__(self, writer: OperationWriter, name: str) -> None:
        self._writer = writer
        self._name = name
        self._actions: list[tuple[int, Action]] = []
        self._operations: list[Operation] = []
        self._size_bytes = 0

    def add(self, position: int, action: Action) -> list[BulkItem]:
        """Take the next action; the items that are settled by now."""
        try:
            operation = operation_of(action, self._writer)
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
        try:
            results = self._writer.apply(self._operations)
        except (IndexNotFound, IndexClosed, IndexBlocked, Overloaded) as error:
            # Deleted or blocked meanwhile, or no room for more: an error of these items. One of the whole bulk would
            # have its items sent again that are carried out already.
            results = [error] * len(self._operations)
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
    if operation.op in ("index", "create"):
        return len(operation.source or b"")
    return sum(len(_encoded(part or {}) or b"") for part in (operation.doc, operation.upsert))


def _encoded(doc: Any) -> bytes | None:
    """The document as JSON; None for one that will be refused when it is parsed, which says where it is wrong."""
    try:
        return encode_source(doc)
    except DocumentError:
        return None


def operation_of(action: Action, writer: OperationWriter) -> Operation:
    """raises: RequestError   for a bad id, or an update's unknown key"""
    id = action.id
    body: Any = action.body
    if action.op in ("index", "create"):
        if id is None:
            id = body.get("_id")
        body = without_id(body)
    if id is None and action.op in ("update", "delete"):
        raise RequestError(f"bulk: an action [{action.op}] needs an _id")
    id_bytes = writer.make_id() if id is None else check_id(id)
    routing = check_routing(action.routing)
    if action.op == "update":
        return update_operation(id_bytes, body, action.if_seq_no, action.if_primary_term, routing)
    check_version(action.version, action.version_type)
    return Operation(
        action.op,
        id_bytes,
        body,
        action.if_seq_no,
        action.if_primary_term,
        version=action.version,
        version_type=action.version_type,
        source=None if action.op == "delete" else _encoded(body),
        routing=routing,
    )
