"""Single documents: index, create, get, source, exists, update, delete, and many by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quidditch.errors import (
    DocumentNotFound,
    IndexNotFound,
    QuidditchError,
    RoutingMissing,
    VersionConflict,
)
from quidditch.interface import Document, Index, View
from quidditch.server.body_values import list_of
from quidditch.server.call import Call, Reply
from quidditch.server.document_routing import routing_of
from quidditch.server.failures import RestError, cause_of, no_such_index, validation_failed
from quidditch.server.rendering.writes import STATUS, write_body
from quidditch.server.resolving import one_index, written_index
from quidditch.server.routing import Routes
from quidditch.server.source_filters import NAMES, filtered, source_of
from quidditch.server.visibility import before_writing, refreshed, seen

routes = Routes(changes="write")

_CONDITION = "if_seq_no if_primary_term version version_type"
_WRITE = f"create_index refresh routing timeout wait_for_active_shards require_alias pipeline {_CONDITION}"
_READ = f"realtime preference refresh routing version version_type stored_fields {NAMES}"
_UPDATE = f"create_index refresh routing timeout wait_for_active_shards require_alias retry_on_conflict lang {NAMES}"
_UPDATE_KEYS = ("doc", "upsert", "doc_as_upsert", "detect_noop", "script", "scripted_upsert", "_source")


# ---------------------------------------------------------------------------------------------------- writes


@routes("POST", "/{index}/_doc", takes=f"op_type {_WRITE}")
@routes("PUT POST", "/{index}/_doc/{id}", takes=f"op_type {_WRITE}")
def index_document(call: Call) -> Reply:
    op = call.parameters.choice("op_type", ("index", "create"), "index")
    return _write(call, call.parts.get("id"), "create" if op == "create" else "index")


@routes("PUT POST", "/{index}/_create/{id}", takes=_WRITE)
def create_document(call: Call) -> Reply:
    return _write(call, call.parts["id"], "create")


def _write(call: Call, id: str | None, op: Any) -> Reply:
    document = call.json()
    if document is None:
        raise validation_failed("source is missing")
    if not isinstance(document, dict):
        raise RestError("failed to parse: an object expected as document", 400, "mapper_parsing_exception")
    check_no_metadata(document)
    condition = _condition(call, creates=op == "create")
    index = written_index(call, call.parts["index"])
    routing = routing_of(call, call.parts["index"])
    before_writing(call, index)
    result = index.add(document, id, op=op, routing=routing, **condition)
    call.state.activity.add([index.name], index=1)
    return Reply(
        write_body(index.name, result, refreshed(call, index)),
        STATUS[result.result],
        _location(index, result.id),
    )


def _location(index: Index, id: str) -> dict[str, str]:
    from urllib.parse import quote

    return {"Location": f"/{quote(index.name)}/_doc/{quote(id, safe='')}"}


def check_no_metadata(document: dict[str, Any]) -> None:
    """raises: RestError   the id belongs to the path, not into the document"""
    if "_id" in document:
        raise RestError(
            "Field [_id] is a metadata field and cannot be added inside a document. Use the index API request "
            "parameters.",
            400,
            "mapper_parsing_exception",
        )


def _condition(call: Call, creates: bool = False) -> dict[str, Any]:
    """The state that a write demands of the document."""
    seq_no = call.parameters.integer("if_seq_no")
    term = call.parameters.integer("if_primary_term")
    if (seq_no is None) != (term is None):
        lacking = "if_primary_term" if term is None else "if_seq_no"
        given = (
            "ifSeqNo is set, but primary term is [0]"
            if term is None
            else "ifSeqNo is unassigned, but primary term is [1]"
        )
        raise validation_failed(f"{given}: [{lacking}] is missing")
    kind = call.parameters.choice(
        "version_type", ("internal", "external", "external_gt", "external_gte"), "internal"
    )
    if kind != "internal":
        return _external(call, "external" if kind == "external_gt" else kind, creates)
    if "version" in call.parameters:
        raise validation_failed(
            "internal versioning can not be used for optimistic concurrency control. Please use `if_seq_no` and "
            "`if_primary_term` instead"
        )
    return {"if_seq_no": seq_no, "if_primary_term": term}


def _external(call: Call, kind: str, creates: bool) -> dict[str, Any]:
    """A version that is counted elsewhere."""
    version = call.parameters.integer("version")
    if creates:
        raise validation_failed("create operations only support internal versioning. use index instead")
    if version is None or version < 0:
        raise validation_failed(f"illegal version value [{version}] for version type [{kind.upper()}]")
    return {"version": version, "version_type": kind}


@routes("DELETE", "/{index}/_doc/{id}", takes=_WRITE)
def delete_document(call: Call) -> Reply:
    condition = _condition(call)
    index = written_index(call, call.parts["index"], create=False)
    routing = routing_of(call, call.parts["index"])
    before_writing(call, index)
    result = index.delete(call.parts["id"], routing=routing, **condition)
    call.state.activity.add([index.name], delete=1)
    return Reply(write_body(index.name, result, refreshed(call, index)), STATUS[result.result])


@routes("POST", "/{index}/_update/{id}", takes=f"if_seq_no if_primary_term {_UPDATE}")
def update_document(call: Call) -> Reply:
    id, body = call.parts["id"], call.required()
    for key in body:
        if key not in _UPDATE_KEYS:
            raise RestError(f"[UpdateRequest] unknown field [{key}]", 400, "x_content_parse_exception")
    if "doc" not in body and "script" not in body and "upsert" not in body:
        raise validation_failed("script or doc is missing")
    if body.get("doc_as_upsert") and "doc" not in body:
        raise validation_failed("doc must be specified if doc_as_upsert is enabled")
    arguments: dict[str, Any] = {
        key: body[key] for key in ("upsert", "doc_as_upsert", "detect_noop", "script") if key in body
    }
    condition = _condition(call)
    upserts = "upsert" in body or bool(body.get("doc_as_upsert"))
    index = written_index(call, call.parts["index"], create=upserts or "doc" in body)
    routing = routing_of(call, call.parts["index"])
    before_writing(call, index)
    result = _updated(call, index, body.get("doc"), {**arguments, **condition, "routing": routing})
    call.state.activity.add([index.name], index=1)
    answer = write_body(index.name, result, refreshed(call, index))
    spec = source_of(call.parameters, body.get("_source", False))
    if spec is not False:
        answer["get"] = found_body(index.get(id, routing=routing), spec)
    return Reply(answer, STATUS[result.result])


def _updated(call: Call, index: Index, doc: Any, arguments: dict[str, Any]) -> Any:
    """The update, tried again as often as `retry_on_conflict` says."""
    id = call.parts["id"]
    left = call.parameters.integer("retry_on_conflict") or 0
    while True:
        try:
            return index.update(id, doc, **arguments)
        except DocumentNotFound:
            detail: dict[str, Any] = {"index": index.name, "shard": "0"}
            raise RestError(f"[{id}]: document missing", 404, "document_missing_exception", detail) from None
        except VersionConflict:
            if left <= 0 or arguments.get("if_seq_no") is not None:
                raise
            left -= 1


# ----------------------------------------------------------------------------------------------------- reads


@routes("GET", "/{index}/_doc/{id}", takes=_READ)
def get_document(call: Call) -> Reply:
    index = one_index(call)
    refreshed(call, index)
    try:
        document = _read(call, index)
    except DocumentNotFound:
        call.state.activity.add([index.name], get_missing=1)
        return Reply({"_index": index.name, "_id": call.parts["id"], "found": False}, 404)
    call.state.activity.add([index.name], get=1)
    _check_version(call, document)
    fields = call.parameters.names("stored_fields")
    body = {"_index": index.name, "_id": document.id, "_version": document.version}
    spec = source_of(call.parameters, fields is None or "_source" in fields)
    return Reply({**body, **found_body(document, spec)})


def _read(call: Call, index: Index) -> Document:
    """The document of the path, as it is now, or with `realtime=false` as searches see it.

    raises: DocumentNotFound, RoutingMissing
    """
    routing = routing_of(call, call.parts["index"])
    view = None if call.parameters.flag("realtime", True) else seen(call, index)
    if view is None:
        return index.get(call.parts["id"], routing=routing)
    with view:
        (document,) = _documents_seen(view, [call.parts["id"]])
    if document is None:
        raise DocumentNotFound(f"no document [{call.parts['id']}] in index [{index.name}]")
    return document


def _documents_seen(view: View, ids: Sequence[str]) -> list[Document | None]:
    body: dict[str, Any] = {"query": {"ids": {"values": list(ids)}}, "size": len(ids)}
    hits = view.search_body({**body, "version": True, "seq_no_primary_term": True}).hits
    found = {
        hit.id: Document(hit.id, hit.source, hit.version or 1, hit.seq_no or 0, routing=hit.routing)
        for hit in hits
    }
    return [found.get(id) for id in ids]


def found_body(document: Document, spec: Any) -> dict[str, Any]:
    """What is told of a document that is there, with the part of its source that `spec` chooses."""
    body: dict[str, Any] = {
        "_seq_no": document.seq_no,
        "_primary_term": document.primary_term,
    }
    if document.routing is not None:
        body["_routing"] = document.routing
    body["found"] = True
    if spec is not False:
        body["_source"] = filtered(document.source, spec)
    return body


def _check_version(call: Call, document: Document) -> None:
    wanted = call.parameters.integer("version")
    if wanted is not None and wanted != document.version:
        raise RestError(
            f"[{document.id}]: version conflict, current version [{document.version}] is different than the one "
            f"provided [{wanted}]",
            409,
            "version_conflict_engine_exception",
        )


@routes("GET", "/{index}/_source/{id}", takes=_READ)
def get_source(call: Call) -> Reply:
    index = one_index(call)
    refreshed(call, index)
    try:
        document = _read(call, index)
    except DocumentNotFound:
        reason = f"Document not found [{index.name}]/[{call.parts['id']}]"
        raise RestError(reason, 404, "resource_not_found_exception") from None
    _check_version(call, document)
    spec = source_of(call.parameters)
    if spec is False:
        raise validation_failed("fetching source can not be disabled")
    return Reply(filtered(document.source, spec))


# ------------------------------------------------------------------------------------------------------ mget


@routes(
    "GET POST", "/_mget", "/{index}/_mget", takes=f"realtime preference refresh routing stored_fields {NAMES}"
)
def mget(call: Call) -> Reply:
    """The items of each index are read from one snapshot of it."""
    body = call.required()
    for key in body:
        if key not in ("docs", "ids"):
            raise RestError(
                f"unknown key [{key}] for a START_ARRAY, expected [docs] or [ids]", 400, "parsing_exception"
            )
    items = [_item(call, item, place) for place, item in enumerate(list_of(body.get("docs", []), "docs"))]
    items += [
        {"_id": str(id), "_index": call.parts.get("index")} for id in list_of(body.get("ids", []), "ids")
    ]
    if not items:
        raise validation_failed("no documents to get")
    lacking = [f"index is missing for doc {place}" for place, item in enumerate(items) if not item["_index"]]
    if lacking:
        raise validation_failed(*lacking)
    answers: list[dict[str, Any]] = [{}] * len(items)
    for name in dict.fromkeys(item["_index"] for item in items):
        places = [place for place, item in enumerate(items) if item["_index"] == name]
        for place, answer in zip(places, _mget(call, name, [items[place] for place in places]), strict=True):
            answers[place] = answer
    return Reply({"docs": answers})


def _item(call: Call, item: Any, place: int) -> dict[str, Any]:
    known = ("_id", "_index", "routing", "_source", "stored_fields", "version", "version_type")
    if not isinstance(item, dict):
        raise RestError("docs array element should include an object")
    for key in item:
        if key not in known:
            raise RestError(
                f"Action/metadata line [{place}] contains an unknown parameter [{key}]",
                400,
                "parse_exception",
            )
    if "_id" not in item:
        raise validation_failed(f"id is missing for doc {place}")
    index = item.get("_index") or call.parts.get("index")
    if not isinstance(index, str | None):
        raise RestError(f"[_index]: a name expected for doc {place}, not {str(index)[:100]}")
    return {**item, "_id": str(item["_id"]), "_index": index}


def _mget(call: Call, name: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answer to each item of an index; one that lacks its routing fails alone."""
    try:
        index = one_index(call, name)
        refreshed(call, index)
        documents = _documents(call, index, name, items)
    except RoutingMissing as error:
        if len(items) == 1:
            return _failed(name, items, error)
        return [answer for item in items for answer in _mget(call, name, [item])]
    except (RestError, IndexNotFound) as error:
        return _failed(name, items, no_such_index(name) if isinstance(error, IndexNotFound) else error)
    return [
        {"_index": index.name, "_id": item["_id"], "found": False}
        if document is None
        else {
            "_index": index.name,
            "_id": document.id,
            "_version": document.version,
            **found_body(document, _item_source(call, item)),
        }
        for item, document in zip(items, documents, strict=True)
    ]


def _failed(name: str, items: list[dict[str, Any]], error: QuidditchError) -> list[dict[str, Any]]:
    cause = cause_of(error)
    return [{"_index": name, "_id": item["_id"], "error": {"root_cause": [cause], **cause}} for item in items]


def _documents(call: Call, index: Index, name: str, items: list[dict[str, Any]]) -> list[Document | None]:
    ids = [item["_id"] for item in items]
    view = None if call.parameters.flag("realtime", True) else seen(call, index)
    if view is None:
        return index.mget(ids, routings=[routing_of(call, name, item.get("routing")) for item in items])
    with view:
        return _documents_seen(view, ids)


def _item_source(call: Call, item: dict[str, Any]) -> Any:
    if "_source" in item:
        return item["_source"]
    fields = item.get("stored_fields", call.parameters.names("stored_fields"))
    fields = [fields] if isinstance(fields, str) else fields
    return source_of(call.parameters, fields is None or "_source" in fields)
