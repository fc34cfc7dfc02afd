"""Writes to whatever matches: delete and update by query, reindex. Each is a task while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any, Literal

from quidditch.interface import ByQueryResult, Hit
from quidditch.local.by_query import batches_of, by_query
from quidditch.server.body_values import count_of, expression_of
from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError, validation_failed
from quidditch.server.resolving import OPTIONS, Resolved, resolve, written_index
from quidditch.server.routing import Routes
from quidditch.server.search_bodies import QUERY_STRING, query_of
from quidditch.server.shard_failures import asking_shards
from quidditch.server.source_filters import filtered
from quidditch.server.tasks import Work
from quidditch.server.visibility import before_writing, refresh, seen

routes = Routes(changes="write")

_TAKES = f"""
    {QUERY_STRING} {OPTIONS} conflicts max_docs from sort preference routing refresh request_cache requests_per_second
    scroll scroll_size search_timeout search_type size slices stats terminate_after timeout version
    wait_for_active_shards wait_for_completion pipeline _source _source_includes _source_excludes
"""


@routes("POST", "/{index}/_delete_by_query", takes=_TAKES)
def delete_by_query(call: Call) -> Reply:
    query = query_of(call.parameters) or call.object().get("query")
    if query is None:
        raise validation_failed("query is missing")
    return _by_query(call, "delete", query)


@routes("POST", "/{index}/_update_by_query", takes=_TAKES)
def update_by_query(call: Call) -> Reply:
    body = call.object()
    if "script" in body:
        raise RestError("update_by_query: scripts are not in this release")
    return _by_query(call, "update", query_of(call.parameters) or body.get("query"))


_OPS: dict[str, Literal["delete", "index"]] = {"delete": "delete", "update": "index"}


def _by_query(call: Call, op: str, query: Any) -> Reply:
    body = call.object()
    for key in body:
        if key not in ("query", "max_docs", "conflicts", "size"):
            raise RestError(f"request does not support [{key}]", 400, "parsing_exception")
    conflicts: Any = call.parameters.text("conflicts") or body.get("conflicts", "abort")
    max_docs = count_of(call.parameters.integer("max_docs") or body.get("max_docs"), "max_docs")
    found = resolve(call)
    names = found.indices

    def work(goes_on: Callable[[], bool]) -> dict[str, Any]:
        done: list[ByQueryResult] = []
        for name in names:
            left = None if max_docs is None else max_docs - sum(each.total for each in done)
            if left == 0 or not goes_on():
                break
            index = call.database.index(name)
            before_writing(call, index)
            with asking_shards([name], found.infos, call.state.node_id), ExitStack() as stack:
                view = seen(call, index, found)
                if view is not None:
                    stack.enter_context(view)
                narrowed = found.narrowed(name, query)
                done.append(by_query(index, _OPS[op], narrowed, conflicts, left, goes_on, view))
            if call.parameters.flag("refresh"):
                refresh(call, index)
        return _summary(done, goes_on)

    return _now_or_later(call, f"indices:data/write/{op}/byquery", f"{op}-by-query [{','.join(names)}]", work)


def _summary(results: list[ByQueryResult], goes_on: Callable[[], bool], created: int = 0) -> dict[str, Any]:
    return {
        **({} if goes_on() else {"canceled": "by user request"}),
        "took": sum(each.took_ms for each in results),
        "timed_out": False,
        "total": sum(each.total for each in results),
        "created": created,
        "updated": sum(each.updated for each in results),
        "deleted": sum(each.deleted for each in results),
        "batches": sum(each.batches for each in results),
        "version_conflicts": sum(each.version_conflicts for each in results),
        "noops": 0,
        "retries": {"bulk": 0, "search": 0},
        "throttled_millis": 0,
        "requests_per_second": -1.0,
        "throttled_until_millis": 0,
        "failures": [
            {
                "index": item.index,
                "id": item.id,
                "status": item.status,
                "cause": {"type": item.error_type, "reason": item.error},
            }
            for each in results
            for item in each.failures
        ],
    }


# ---------------------------------------------------------------------------------------------------- reindex


@routes(
    "POST",
    "/_reindex",
    takes="max_docs refresh requests_per_second scroll slices timeout wait_for_active_shards wait_for_completion "
    "require_alias",
    # Of the source; the destination is written to, and checked for that, as the indices of a bulk are.
    needs="read",
)
def reindex(call: Call) -> Reply:
    """Copy what matches into another index, a thousand documents at a time."""
    body = call.required()
    for key in body:
        if key not in ("source", "dest", "max_docs", "size", "conflicts"):
            raise RestError(
                f"[reindex] unknown or unsupported field [{key}]", 400, "x_content_parse_exception"
            )
    source, dest = body.get("source"), body.get("dest")
    if not isinstance(source, dict) or not source.get("index"):
        raise validation_failed("use _all if you really want to copy from all existing indexes")
    if not isinstance(dest, dict) or not isinstance(dest.get("index"), str):
        raise validation_failed("index is missing")
    if dest.get("op_type", "index") not in ("index", "create"):
        raise RestError("reindex: op_type: [index] or [create] expected")
    expression = expression_of(source["index"], "source.index")
    found = resolve(call, expression, allow_no_indices=False)
    if dest["index"] in found.indices:
        reason = f"reindex cannot write into an index its reading from [{dest['index']}]"
        raise validation_failed(reason)
    most = count_of(call.parameters.integer("max_docs") or body.get("max_docs"), "max_docs")

    def work(goes_on: Callable[[], bool]) -> dict[str, Any]:
        abort = body.get("conflicts") != "proceed"
        return _copied(call, found, source, dest, most, abort=abort, goes_on=goes_on)

    return _now_or_later(
        call, "indices:data/write/reindex", f"reindex from [{expression}] to [{dest['index']}]", work
    )


def _copied(
    call: Call,
    read: Resolved,
    source: dict[str, Any],
    dest: dict[str, Any],
    most: int | None,
    *,
    abort: bool,
    goes_on: Callable[[], bool],
) -> dict[str, Any]:
    started = time.monotonic()
    op = dest.get("op_type", "index")
    target = written_index(call, dest["index"])
    query = source.get("query")
    found = (hit for name in read.indices for hit in _scanned(call, name, read.narrowed(name, query)))
    total = created = updated = conflicts = batches = 0
    failures: list[Any] = []
    for batch in batches_of(islice(found, most), goes_on):
        spec = source.get("_source", True)
        before_writing(call, target)
        items = target.bulk([part for hit in batch for part in _copy_of(hit, op, spec)]).items
        total, batches = total + len(batch), batches + 1
        created += sum(item.result == "created" for item in items)
        updated += sum(item.result == "updated" for item in items)
        conflicts += sum(item.status == 409 for item in items)
        failures += [item for item in items if item.error is not None and (abort or item.status != 409)]
        if failures:
            break
    if call.parameters.flag("refresh"):
        refresh(call, target)
    took_ms = round((time.monotonic() - started) * 1000)
    result = ByQueryResult(total, 0, updated, conflicts, batches, failures, took_ms)
    return _summary([result], goes_on, created)


def _scanned(call: Call, name: str, query: Any) -> Iterator[Hit]:
    """What searches see of an index."""
    index = call.database.index(name)
    with ExitStack() as stack:
        view = seen(call, index)
        source = index if view is None else stack.enter_context(view)
        yield from source.scan(query)


def _copy_of(hit: Hit, op: str, spec: Any) -> tuple[Any, Any]:
    """The action, and the document, that a hit is copied by."""
    routing = {} if hit.routing is None else {"routing": hit.routing}
    return {op: {"_id": hit.id, **routing}}, filtered(hit.source, spec)


# -------------------------------------------------------------------------------------------------- carrying out


def _now_or_later(call: Call, action: str, description: str, work: Work) -> Reply:
    """The answer, or with `wait_for_completion=false` the task that will have it."""
    if call.parameters.flag("wait_for_completion", True):
        body = call.state.tasks.wait_for(action, description, work, call.caller.name)
        return Reply(body, 409 if any(each["status"] == 409 for each in body["failures"]) else 200)
    task = call.state.tasks.start(action, description, work, call.caller.name)
    return Reply({"task": f"{call.state.node_id}:{task.number}"})
