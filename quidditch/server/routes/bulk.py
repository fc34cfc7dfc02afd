"""`_bulk`: many writes in one request, read line by line and carried out piece by piece."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from quidditch.errors import IndexNotFound, QuidditchError
from quidditch.interface import BulkItem, Index
from quidditch.server import wire
from quidditch.server.call import Call, Reply
from quidditch.server.document_routing import routing_of
from quidditch.server.failures import RestError, cause_of, status_of, validation_failed
from quidditch.server.filtering import filter_body
from quidditch.server.rendering.writes import bulk_item
from quidditch.server.resolving import written_index
from quidditch.server.routes.documents import check_no_metadata, found_body
from quidditch.server.routing import Routes
from quidditch.server.source_filters import NAMES, source_of
from quidditch.server.visibility import before_writing, refresh

routes = Routes(changes="write")

PIECE_ACTIONS = 5_000
PIECE_BYTES = 8 << 20
"""Actions and bytes of lines that are held at a time; the engine commits as much at once."""

MAX_LINE_BYTES = 100 << 20

_OPS = ("index", "create", "update", "delete")
_META = frozenset(
    (
        *("_index", "_id", "routing", "if_seq_no", "if_primary_term", "version", "version_type", "op_type"),
        *("require_alias", "retry_on_conflict", "pipeline", "_source"),
    )
)
_PASSED = ("_index", "_id", "if_seq_no", "if_primary_term")


@routes(
    "POST PUT",
    "/_bulk",
    "/{index}/_bulk",
    takes=f"create_index refresh routing timeout wait_for_active_shards pipeline require_alias {NAMES}",
    streamed=True,
)
def bulk(call: Call) -> Reply:
    """A line that is no action ends the request; what came before it has been carried out, as in a crash."""
    started = time.monotonic()
    asked = call.parameters.choice("refresh", ("", "true", "false", "wait_for"), "false")
    run = _Bulk(call, forced=asked in ("", "true"))
    for piece in _pieces(_actions(_lines(call.chunks))):
        run.carry_out(piece)
    if not run.any:
        raise validation_failed("no requests added")
    if asked != "false":
        run.refresh()
    took_ms = round((time.monotonic() - started) * 1000)
    return Reply({"took": took_ms, "errors": run.errors, "items": run.items()})


class _Bulk:
    """What has become of the actions so far, as bytes of the answer: a body has a million of them."""

    def __init__(self, call: Call, forced: bool) -> None:
        self._call = call
        self._targets: dict[tuple[str, bool], str | QuidditchError] = {}
        self._forced = forced
        self._shown = call.parameters.text("filter_path")
        self._items: list[bytes] = []
        self.any = False
        self.errors = False
        self._written: set[str] = set()
        # Names that are no aliases, whose options would have to be looked at.
        self._plain: set[str] = set()

    def carry_out(self, piece: list[tuple[str, dict[str, Any], Any]]) -> None:
        """The actions that can be are handed on as one bulk; the others become items with their error."""
        given: list[Any] = []
        answers: list[dict[str, Any] | None] = []
        for op, meta, document in piece:
            try:
                line = self._line(op, meta, document)
            except QuidditchError as error:
                answers.append(self._refused(op, meta, error))
                continue
            answers.append(None)
            if op == "update" and isinstance(document, dict):
                document = {key: value for key, value in document.items() if key != "_source"}
            given += [{op: line}] if op == "delete" else [{op: line}, document]
        items: list[dict[str, Any]] = []
        for index in self._indices():
            before_writing(self._call, index)
        carried_out = self._call.database.bulk(given).items if given else []
        self._count(carried_out)
        results = iter(carried_out)
        for (op, meta, document), answer in zip(piece, answers, strict=True):
            item = bulk_item(next(results), self._forced) if answer is None else answer
            if op == "update" and answer is None:
                self._add_source(item[op], meta, document)
            items.append(item)
        self._call.state.numbers.wrote(
            each.get("result", "failed") for item in items for each in item.values()
        )
        self._keep(items)

    def refresh(self) -> None:
        for index in self._indices():
            refresh(self._call, index)

    def _indices(self) -> Iterator[Index]:
        """Those written to. Of one that somebody deleted meanwhile its items tell, not the whole request."""
        for name in self._written:
            try:
                index = self._call.database.index(name)
            except QuidditchError as error:
                if status_of(error) != IndexNotFound.status:
                    raise
            else:
                yield index

    def _keep(self, items: list[dict[str, Any]]) -> None:
        """What the answer is to show of them."""
        self.any = True
        if self._shown:
            items = (filter_body({"items": items}, self._shown) or {}).get("items", [])
        if items:
            self._items.append(wire.encode(items)[1:-1])

    def items(self) -> Any:
        """All items as a value that is JSON already, or is filtered like any."""
        encoded = b"[" + b",".join(self._items) + b"]"
        return msgspec.json.decode(encoded) if self._shown else msgspec.Raw(encoded)

    def _add_source(self, item: dict[str, Any], meta: dict[str, Any], document: Any) -> None:
        """What an update left of the document, if it was asked for."""
        asked = meta.get("_source", document.get("_source", False) if isinstance(document, dict) else False)
        spec = source_of(self._call.parameters, asked)
        if spec is not False and "error" not in item:
            routing = self._routing(item["_index"], meta)
            found = self._call.database.index(item["_index"]).get(item["_id"], routing=routing)
            item["get"] = found_body(found, spec)

    def _line(self, op: str, meta: dict[str, Any], document: Any) -> dict[str, Any]:
        """The action as the engine takes it, its index made if need be.

        raises: QuidditchError   why it cannot be carried out
        """
        name = meta.get("_index") or self._call.parts.get("index")
        if not isinstance(name, str):
            raise validation_failed("index is missing")
        if op in ("index", "create") and isinstance(document, dict):
            check_no_metadata(document)
        key = (name, op == "delete")
        if key not in self._targets:
            self._targets[key] = self._target(name, create=op != "delete")
        target = self._targets[key]
        if isinstance(target, QuidditchError):
            raise target
        self._written.add(target)
        line = {name: meta[name] for name in _PASSED if name in meta}
        kind = meta.get("version_type", "internal")
        if kind != "internal":
            line |= {"version": meta.get("version"), "version_type": kind}
        routing = self._routing(name, meta)
        if routing is not None:
            line["routing"] = routing
        if isinstance(id := line.get("_id"), int | float):
            line["_id"] = str(id).lower() if isinstance(id, bool) else str(id)
        return {**line, "_index": target}

    def _routing(self, name: str, meta: dict[str, Any]) -> str | None:
        if name in self._plain and not ("routing" in meta or "routing" in self._call.parameters):
            return None
        return routing_of(self._call, name, meta.get("routing"))

    def _target(self, name: str, create: bool) -> str | QuidditchError:
        try:
            target = written_index(self._call, name, create).name
            if target == name:
                self._plain.add(name)
            return target
        except QuidditchError as error:
            return error

    def _refused(self, op: str, meta: dict[str, Any], error: QuidditchError) -> dict[str, Any]:
        self.errors = True
        name = meta.get("_index") or self._call.parts.get("index")
        body = {"_index": name, "_id": meta.get("_id"), "status": status_of(error), "error": cause_of(error)}
        return {op: body}

    def _count(self, items: Sequence[BulkItem]) -> None:
        """For `_stats`, and whether the answer has errors."""
        done = Counter(
            (item.index, "delete" if item.op == "delete" else "index") for item in items if item.error is None
        )
        failed = Counter(
            (item.index, "index_failed") for item in items if item.error is not None and item.op != "delete"
        )
        for (index, counter), number in (done + failed).items():
            if index is not None:
                self._call.state.activity.add([index], **{counter: number})
        self.errors = self.errors or any(item.error is not None for item in items)


# ---------------------------------------------------------------------------------------------------- reading


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a body that comes in pieces.

    raises: RestError   413 for a line past MAX_LINE_BYTES
    """
    rest: list[bytes] = []
    size_bytes = 0
    for chunk in chunks:
        *ended, last = chunk.split(b"\n")
        if ended:
            yield b"".join([*rest, ended[0]])
            yield from ended[1:]
            rest, size_bytes = [], 0
        rest.append(last)
        size_bytes += len(last)
        if size_bytes > MAX_LINE_BYTES:
            raise RestError(f"a line of more than {MAX_LINE_BYTES} bytes", 413, "content_too_long_exception")
    if last := b"".join(rest).strip():
        yield last


def _actions(lines: Iterator[bytes]) -> Iterator[tuple[int, str, dict[str, Any], Any]]:
    """(bytes, op, metadata, document) of every action.

    raises: RestError   naming the line that is no action
    """
    number = 0
    for line in lines:
        number += 1
        if not line.strip():
            continue
        op, meta = _action(line, number)
        document = None
        size_bytes = len(line)
        if op != "delete":
            following = next(lines, None)
            number += 1
            if following is None:
                raise validation_failed(f"The document after the action in line [{number - 1}] is missing")
            document = wire.decode(following)
            size_bytes += len(following)
        yield size_bytes, op, meta, document


def _action(line: bytes, number: int) -> tuple[str, dict[str, Any]]:
    action = wire.decode(line)
    if not isinstance(action, dict) or len(action) != 1:
        raise RestError(f"Malformed action/metadata line [{number}], expected START_OBJECT with one action")
    op, meta = next(iter(action.items()))
    if op not in _OPS:
        raise RestError(
            f"Malformed action/metadata line [{number}], expected field [create], [delete], [index] or [update] but "
            f"found [{op}]"
        )
    if not isinstance(meta, dict | None):
        raise RestError(f"Malformed action/metadata line [{number}], expected START_OBJECT in [{op}]")
    meta = meta or {}
    for key in meta:
        if key not in _META:
            raise RestError(f"Action/metadata line [{number}] contains an unknown parameter [{key}]")
    creates = op == "index" and meta.get("op_type") == "create"
    return "create" if creates else op, meta


def _pieces(
    actions: Iterable[tuple[int, str, dict[str, Any], Any]],
) -> Iterator[list[tuple[str, dict[str, Any], Any]]]:
    piece: list[tuple[str, dict[str, Any], Any]] = []
    held_bytes = 0
    for size_bytes, op, meta, document in actions:
        piece.append((op, meta, document))
        held_bytes += size_bytes
        if len(piece) >= PIECE_ACTIONS or held_bytes >= PIECE_BYTES:
            yield piece
            piece, held_bytes = [], 0
    if piece:
        yield piece
