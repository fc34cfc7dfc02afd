"""Bulk actions, in both spellings people use, as one kind of record.

Flat, as on the wire: an action line, then its document, `delete` alone:
    {"index": {"_index": "books", "_id": "1"}}, {"title": "Dune"}, {"delete": {"_id": "2"}}
One dict an action, as client libraries take it:
    {"_op_type": "index", "_index": "books", "_id": "1", "_source": {"title": "Dune"}}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from typing import Any, cast

from quidditch.errors import RequestError
from quidditch.types import OpName

OPS: tuple[OpName, ...] = ("index", "create", "update", "delete")
_META = (
    "_index",
    "_id",
    "_op_type",
    "if_seq_no",
    "if_primary_term",
    "version",
    "version_type",
    "routing",
    "_routing",
    "require_alias",
)
_UPDATE_BODY = ("doc", "upsert", "doc_as_upsert", "detect_noop", "script", "_source")


@dataclass(frozen=True, slots=True)
class Action:
    """One action of a bulk. `body` is the document, or an update's {"doc": ..., "upsert": ...}; None for delete.

    `error` says why the action cannot be carried out at all; then nothing else of it counts.
    """

    op: OpName
    index: str | None
    id: Any
    body: Any = None
    if_seq_no: int | None = None
    if_primary_term: int | None = None
    version: int | None = None
    version_type: Any = "external"
    routing: Any = None
    error: RequestError | None = None


def parse_actions(actions: Iterable[Any]) -> Iterator[Action]:
    """The actions of a stream, one after another; what cannot be read is an action with an error."""
    stream = iter(actions)
    waiting: list[Any] = []
    for item in _with_waiting(stream, waiting):
        if not isinstance(item, Dict):
            yield _bad(f"bulk: an object expected as action, not {_short(item)}")
        elif _is_line(item):
            yield _flat(item, stream)
        elif _looks_like_line(item):
            yield _unknown_line(item, stream, waiting)
        else:
            yield _whole(dict(item))


def _with_waiting(stream: Iterator[Any], waiting: list[Any]) -> Iterator[Any]:
    """The stream, items that were looked at too early first."""
    while True:
        if waiting:
            yield waiting.pop()
            continue
        try:
            item = next(stream)
        except StopIteration:
            return
        yield item


def _is_line(item: Dict[str, Any]) -> bool:
    return len(item) == 1 and next(iter(item)) in OPS and isinstance(next(iter(item.values())), Dict | None)


def _looks_like_line(item: Dict[str, Any]) -> bool:
    """An object that holds nothing but an object of metadata: a misspelt action, not a document."""
    inner = next(iter(item.values())) if len(item) == 1 else None
    return (
        isinstance(inner, Dict)
        and not inner.keys().isdisjoint(("_index", "_id"))
        and inner.keys() <= set(_META)
    )


def _flat(item: Dict[str, Any], stream: Iterator[Any]) -> Action:
    op = cast(OpName, next(iter(item)))
    meta = item[op] or {}
    unknown = [key for key in meta if key not in _META]
    body = None
    if op != "delete":
        try:
            body = next(stream)
        except StopIteration:
            return _bad(f"bulk: the document after the last action [{op}] is missing", op, meta)
    if unknown:
        return _bad(
            f"bulk: unknown key [{unknown[0]}] in an action [{op}]; there are {', '.join(_META)}", op, meta
        )
    return _action(op, meta, body)


def _unknown_line(item: Dict[str, Any], stream: Iterator[Any], waiting: list[Any]) -> Action:
    """A misspelt action takes the document after it with it, so that the rest stays in step."""
    name = next(iter(item))
    following = next(stream, None)
    if following is not None and isinstance(following, Dict) and _is_line(following):
        waiting.append(following)
    return _bad(f"bulk: unknown action [{name}]; there are {', '.join(OPS)}", "index", item[name])


def _whole(item: dict[str, Any]) -> Action:
    op = item.pop("_op_type", "index")
    if op not in OPS:
        return _bad(f"bulk: unknown _op_type {_short(op)}; there are {', '.join(OPS)}", "index", item)
    meta = {key: item.pop(key) for key in _META if key in item}
    if op == "update":
        body: Any = {key: item.pop(key) for key in _UPDATE_BODY if key in item}
        if "doc" not in body and "_source" in body:
            body = body["_source"]
        return _action(op, meta, body)
    return _action(op, meta, None if op == "delete" else item.get("_source", item))


def _action(op: OpName, meta: Dict[str, Any], body: Any) -> Action:
    if op != "delete" and not isinstance(body, Dict):
        return _bad(f"bulk: an object expected as document of [{op}], not {_short(body)}", op, meta)
    for key in ("if_seq_no", "if_primary_term"):
        value = meta.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            return _bad(f"bulk: a whole number expected as {key}, not {_short(value)}", op, meta)
    return Action(
        op,
        meta.get("_index"),
        meta.get("_id"),
        body,
        meta.get("if_seq_no"),
        meta.get("if_primary_term"),
        meta.get("version"),
        meta.get("version_type", "external"),
        meta.get("routing", meta.get("_routing")),
    )


def _bad(message: str, op: OpName = "index", meta: Dict[str, Any] | None = None) -> Action:
    meta = meta or {}
    return Action(op, meta.get("_index"), meta.get("_id"), error=RequestError(message))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
