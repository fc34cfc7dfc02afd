"""Indices as a whole: create, delete, get, exists, open and close, refresh, flush, merge, resolve."""

from __future__ import annotations

from typing import Any

from quidditch.errors import IndexBlocked, IndexExists
from quidditch.local.active_copies import demanded
from quidditch.server import visibility
from quidditch.server.body_values import object_of
from quidditch.server.call import ACKNOWLEDGED, Call, Reply
from quidditch.server.failures import RestError, validation_failed
from quidditch.server.making import make_index
from quidditch.server.rendering.aliases import aliases_body
from quidditch.server.rendering.settings import settings_body, uuid_of
from quidditch.server.resolving import OPTIONS, Resolved, check_index_name, resolve
from quidditch.server.routing import Routes
from quidditch.server.runtime.anywhere import forget_activity

routes = Routes()

WAITS = "timeout master_timeout cluster_manager_timeout"
_BODY = ("settings", "mappings", "aliases")


@routes("PUT", "/{index}", takes=f"wait_for_active_shards {WAITS}")
def create_index(call: Call) -> Reply:
    """All of it, or nothing: an alias that cannot be given takes the index back."""
    name, body = call.parts["index"], call.object()
    check_index_name(name)
    for key in body:
        if key not in _BODY:
            raise RestError(f"unknown key [{key}] for create index", 400, "parse_exception")
    mappings = object_of(body.get("mappings") or {}, "mappings")
    if "_doc" in mappings:
        raise RestError(
            "The mapping definition cannot be nested under a type [_doc] unless include_type_name "
            "is set to true."
        )
    try:
        make_index(call.database, name, {**body, "mappings": mappings})
    except IndexExists:
        raise _already_there(call, name) from None
    return Reply({"acknowledged": True, "shards_acknowledged": demanded({}).met, "index": name})


def _already_there(call: Call, name: str) -> RestError:
    info = call.database.describe().get(name)
    if info is None:
        return RestError(
            f"Invalid index name [{name}], already exists as alias",
            400,
            "invalid_index_name_exception",
            {"index": name, "index_uuid": "_na_"},
        )
    uuid = uuid_of(info)
    detail: dict[str, Any] = {"index": name, "index_uuid": uuid}
    return RestError(
        f"index [{name}/{uuid}] already exists", 400, "resource_already_exists_exception", detail
    )


@routes("DELETE", "/{index}", takes=f"{OPTIONS} {WAITS}")
def delete_index(call: Call) -> Reply:
    """An alias names no index to delete: that would delete more than was meant."""
    expression = call.parts["index"]
    aliases = {alias for info in call.database.describe().values() for alias in info.aliases}
    for part in expression.split(","):
        if part in aliases and not call.parameters.flag("ignore_unavailable"):
            raise RestError(
                f"The provided expression [{part}] matches an alias, specify the corresponding concrete indices "
                "instead."
            )
    found = resolve(call, expand="open,closed", closed=True, aliases=False)
    for name in found.indices:
        if found.infos[name].settings.get("blocks.read_only") in (True, "true"):
            raise IndexBlocked(f"index [{name}] blocked by: [FORBIDDEN/5/index read-only (api)];")
    for name in found.indices:
        visibility.forget(call, [name])
        call.database.delete_index(name)
        forget_activity(call.state, name)
    return ACKNOWLEDGED


@routes("GET", "/{index}", takes=f"{OPTIONS} flat_settings include_defaults local human {WAITS}")
def get_index(call: Call) -> Reply:
    found = resolve(call, allow_no_indices=_lenient_for_get(call), closed=True)
    as_flat = call.parameters.flag("flat_settings")
    human = call.parameters.flag("human")
    return Reply(
        {
            name: {
                "aliases": aliases_body(found.infos[name]),
                "mappings": call.database.index(name).mappings,
                "settings": settings_body(found.infos[name], as_flat=as_flat, human=human),
            }
            for name in found.indices
        }
    )


def _lenient_for_get(call: Call) -> bool:
    """HEAD asks whether there is one."""
    return call.method != "HEAD"


# ------------------------------------------------------------------------------------------- open and close


@routes(
    "POST", "/_open", "/{index}/_open", takes=f"{OPTIONS} wait_for_active_shards wait_for_completion {WAITS}"
)
def open_index(call: Call) -> Reply:
    for name in resolve(call, expand="closed", closed=True).indices:
        call.database.open_index(name)
    return Reply({"acknowledged": True, "shards_acknowledged": True})


@routes("POST", "/_close", "/{index}/_close", takes=f"{OPTIONS} wait_for_active_shards {WAITS}")
def close_index(call: Call) -> Reply:
    names = resolve(call, expand="open", closed=True).indices
    for name in names:
        visibility.forget(call, [name])
        call.database.close_index(name)
    return Reply(
        {
            "acknowledged": True,
            "shards_acknowledged": True,
            "indices": {name: {"closed": True} for name in names},
        }
    )


# ------------------------------------------------------------------------------------------------ upkeep


def broadcast(found: Resolved) -> dict[str, Any]:
    """`_shards` of a call that went to every index."""
    return {"total": len(found.indices), "successful": len(found.indices), "failed": 0}


@routes("GET POST", "/_refresh", "/{index}/_refresh", takes=OPTIONS)
def refresh(call: Call) -> Reply:
    found = resolve(call)
    for name in found.indices:
        visibility.refresh(call, call.database.index(name))
        call.state.activity.add([name], refresh=1)
    return Reply({"_shards": broadcast(found)})


@routes("GET POST", "/_flush", "/{index}/_flush", takes=f"{OPTIONS} force wait_if_ongoing", needs="write")
def flush(call: Call) -> Reply:
    if call.parameters.flag("force") and not call.parameters.flag("wait_if_ongoing", True):
        raise validation_failed("wait_if_ongoing must be true for a force flush")
    found = resolve(call)
    for name in found.indices:
        call.database.index(name).flush()
        call.state.activity.add([name], flush=1)
    return Reply({"_shards": broadcast(found)})


@routes(
    "POST",
    "/_forcemerge",
    "/{index}/_forcemerge",
    takes=f"{OPTIONS} flush max_num_segments only_expunge_deletes wait_for_completion primary_only",
)
def force_merge(call: Call) -> Reply:
    segments = call.parameters.integer("max_num_segments")
    if segments is not None and call.parameters.flag("only_expunge_deletes"):
        raise validation_failed(
            "cannot set only_expunge_deletes and max_num_segments at the same time, those two parameters are "
            "mutually exclusive"
        )
    found = resolve(call)
    for name in found.indices:
        index = call.database.index(name)
        index.force_merge(max(1, segments) if segments is not None else max(1, index.stats().segments))
    return Reply({"_shards": broadcast(found)})


@routes(
    "POST GET", "/_cache/clear", "/{index}/_cache/clear", takes=f"{OPTIONS} fielddata fields query request"
)
def clear_cache(call: Call) -> Reply:
    """What is decoded is kept by the bytes that it takes; nothing has to be dropped by hand."""
    return Reply({"_shards": broadcast(resolve(call))})


# ------------------------------------------------------------------------------------------------ resolve


@routes("GET", "/_resolve/index/{name}", takes="expand_wildcards")
def resolve_index(call: Call) -> Reply:
    found = resolve(call, call.parts["name"], closed=True)
    indices, aliases = [], {}
    for name in found.names:
        if name in found.infos:
            info = found.infos[name]
            entry: dict[str, Any] = {"name": name, "attributes": ["closed" if info.closed else "open"]}
            indices.append({**entry, "aliases": sorted(info.aliases)} if info.aliases else entry)
        else:
            aliases[name] = sorted(index for index, info in found.infos.items() if name in info.aliases)
    return Reply(
        {
            "indices": sorted(indices, key=lambda entry: entry["name"]),
            "aliases": [{"name": name, "indices": having} for name, having in sorted(aliases.items())],
            "data_streams": [],
        }
    )
