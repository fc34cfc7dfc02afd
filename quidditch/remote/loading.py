"""Many writes: `bulk` and `add_many`, as requests of bounded size, one after another."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from typing import Any

from quidditch.bulk import Action, parse_actions
from quidditch.errors import DocumentError, QuidditchError, RequestError, StorageError, VersionConflict
from quidditch.index.operations import check_id, check_version, without_id
from quidditch.index.routings import check_routing
from quidditch.interface import BulkItem, BulkResult
from quidditch.progress import watched_stream
from quidditch.remote.documents import NO_NEW_INDEX, ids
from quidditch.remote.encoding import encode, encode_document
from quidditch.remote.exchange import NDJSON, Flow, Repeat, Request, step
from quidditch.remote.failures import ABOUT_THE_INDEX, named_error
from quidditch.remote.results import bulk_item
from quidditch.tables import records
from quidditch.types import OpName

PIECE_ACTIONS = 5_000
"""Actions of one request, however small they are."""


@dataclass(slots=True)
class _Piece:
    """Actions that go out together.

    entries:  of each its position, operation, and whether its id was made here
    repeat:   whether all of them may be sent again
    """

    lines: list[bytes] = field(default_factory=list)
    entries: list[tuple[int, OpName, bool]] = field(default_factory=list)
    size_bytes: int = 0
    repeat: Repeat = "always"

    def add(self, position: int, action: Action) -> None:
        """raises: QuidditchError   the action cannot be sent"""
        made, lines = _lines(action)
        self.lines += lines
        self.entries.append((position, action.op, made))
        self.size_bytes += sum(map(len, lines))
        if not (made or action.op == "create" or action.if_seq_no is not None):
            self.repeat = "unsent"


class _Loading:
    """The actions of a stream on their way, and what became of those that were answered."""

    def __init__(
        self,
        index: str | None,
        most_bytes: int,
        most_actions: int,
        refresh: bool = False,
        sparse: bool = False,
    ) -> None:
        self._path = "/_bulk" if index is None else f"/{step(index)}/_bulk"
        self._index = index
        self._most_bytes = most_bytes
        self._most_actions = most_actions
        self._parameters = {**NO_NEW_INDEX, **({"refresh": "true"} if refresh else {})}
        self._sparse = sparse
        self._started = time.monotonic()
        self._piece = _Piece()
        self._items: list[BulkItem] = []
        self._ok = 0
        self._answered = False

    def run(self, actions: Iterator[Action]) -> Flow[None]:
        """All of the actions. If reading them fails, those before are sent, and the error goes on."""
        position = 0
        while True:
            try:
                action = next(actions)
            except StopIteration:
                break
            except BaseException as error:
                yield from self._send()
                error.add_note(f"{self._ok} of the {position} that came before were carried out")
                raise
            yield from self._take(position, action)
            position += 1
        yield from self._send()

    def _take(self, position: int, action: Action) -> Flow[None]:
        try:
            if action.error is not None:
                raise action.error
            if action.index is None and self._index is None:
                raise RequestError(f"bulk: action {position} names no _index")
            self._piece.add(position, action)
        except QuidditchError as error:
            self._keep(_refused(position, action, self._index, error))
            return
        if self._piece.size_bytes >= self._most_bytes or len(self._piece.entries) >= self._most_actions:
            yield from self._send()

    def _send(self) -> Flow[None]:
        piece, self._piece = self._piece, _Piece()
        if not piece.entries:
            return
        answer = yield Request(
            "POST",
            self._path,
            self._parameters,
            b"".join(piece.lines),
            NDJSON,
            repeat=piece.repeat,
            writes=True,
            lasting=True,
            patient=self._answered,
        )
        self._answered = True
        for (position, op, made), body in zip(piece.entries, answer.json()["items"], strict=True):
            item = bulk_item(position, op, body)
            if made and item.status == VersionConflict.status:
                # The id is new, so it was this document that an attempt without an answer has written.
                item = BulkItem(position, op, item.id, 201, "created", version=1, index=item.index)
            self._keep(item)

    def _keep(self, item: BulkItem) -> None:
        """raises: IndexBlocked, IndexClosed, IndexNotFound   of a stream to one index, which cannot go on"""
        if item.error is None:
            self._ok += 1
        elif self._sparse:
            error = named_error(item.error_type, item.error, item.status)
            if isinstance(error, (*ABOUT_THE_INDEX, StorageError)):
                raise error
        if item.error is not None or not self._sparse:
            self._items.append(item)

    def result(self) -> BulkResult:
        items = sorted(self._items, key=lambda item: item.position)
        return BulkResult(items, self._ok, round((time.monotonic() - self._started) * 1000))


def _lines(action: Action) -> tuple[bool, list[bytes]]:
    """Whether an id was made, and the lines of the action.

    raises: QuidditchError   it cannot be sent
    """
    check_version(action.version, action.version_type)
    body: Any = action.body
    id = action.id
    if action.op in ("index", "create"):
        id = body.get("_id") if id is None else id
        body = without_id(body)
    elif id is None:
        raise RequestError(f"bulk: an action [{action.op}] needs an _id")
    free = id is None and action.version is None and action.if_seq_no is None
    id_text = (ids.new() if id is None else check_id(id)).decode()
    meta: dict[str, Any] = (
        {"_id": id_text} if action.index is None else {"_index": action.index, "_id": id_text}
    )
    for name in ("if_seq_no", "if_primary_term"):
        if (value := getattr(action, name)) is not None:
            meta[name] = value
    if action.version is not None:
        meta |= {"version": action.version, "version_type": action.version_type}
    routing = check_routing(action.routing)
    if routing is not None:
        meta["routing"] = routing
    head = encode({"create" if free else action.op: meta}) + b"\n"
    return free, [head] if action.op == "delete" else [head, encode_document(body) + b"\n"]


def _refused(position: int, action: Action, index: str | None, error: QuidditchError) -> BulkItem:
    id = action.id if isinstance(action.id, str) else None
    name = action.index or index
    return BulkItem(position, action.op, id, error.status, None, str(error), error.type, index=name)


def bulk(actions: Iterable[Any], index: str | None, refresh: bool, most_bytes: int) -> Flow[BulkResult]:
    """What became of each action.

    raises: StorageError   a request of several could not be carried out; `partial` says what became of those before
    """
    if isinstance(actions, str | bytes | dict) or not isinstance(actions, Iterable):
        raise RequestError(f"bulk: an iterable of actions expected, not {type(actions).__name__}")
    loading = _Loading(index, most_bytes, PIECE_ACTIONS, refresh)
    yield from _told(loading, parse_actions(actions), "bulk")
    return loading.result()


def add_many(
    docs: Iterable[Dict[str, Any]],
    index: str,
    *,
    id_field: str | None,
    progress: bool,
    chunk: int | None,
    workers: int,
    most_bytes: int,
) -> Flow[BulkResult]:
    """As `Index.add_many`."""
    for name, value in (("chunk", chunk), ("workers", workers)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise RequestError(f"add_many: {name}: a number from 1 on expected, not {value!r}")
    if id_field is not None and not isinstance(id_field, str):
        raise RequestError(f"add_many: a field name expected as id_field, not {id_field!r}")
    stream = records(docs)
    loading = _Loading(index, most_bytes, chunk or PIECE_ACTIONS, sparse=True)
    watched = watched_stream(stream, docs) if progress else stream
    yield from _told(loading, (_adding(doc, id_field) for doc in watched), "add_many")
    return loading.result()


def _told(loading: _Loading, actions: Iterator[Action], what: str) -> Flow[None]:
    """The actions; what stops them says how many are in."""
    try:
        yield from loading.run(actions)
    except QuidditchError as error:
        partial = loading.result()
        if isinstance(error, StorageError):
            error.partial = partial
        error.add_note(f"{what}: {partial.ok:,} writes had been carried out before")
        raise


def _adding(doc: Any, id_field: str | None) -> Action:
    if not isinstance(doc, Dict):
        words = f"an object expected as document, not {repr(doc)[:80]}"
        return Action("index", None, None, error=DocumentError(words))
    id = None if id_field is None else doc.get(id_field)
    return Action("index", None, id, without_id(doc))
