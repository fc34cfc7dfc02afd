"""Searches: search, count, msearch, scrolls, points in time, validate, explain, field capabilities, analyze."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from quidditch.analysis.analyzer import Analyzer
from quidditch.analysis.registry import analyzed, shown
from quidditch.errors import DocumentNotFound, QuidditchError
from quidditch.interface import SearchResult, Shards, View
from quidditch.server import wire
from quidditch.server.analyzing import PARTS, chain_of
from quidditch.server.body_values import expression_of, names_of
from quidditch.server.call import Call, Reply
from quidditch.server.contexts import Pages
from quidditch.server.failures import RestError, error_body, status_of, validation_failed
from quidditch.server.parameters import Parameters, seconds_of
from quidditch.server.rendering.field_caps import capabilities
from quidditch.server.rendering.searches import search_answer
from quidditch.server.resolving import OPTIONS, Resolved, one_index, resolve
from quidditch.server.routing import Routes
from quidditch.server.search_bodies import PARAMETERS, QUERY_STRING, query_of, search_body
from quidditch.server.source_filters import NAMES, filtered, source_of

routes = Routes()

MAX_TOKENS = 10_000
"""Of one `_analyze`, where the index says nothing."""

MAX_MSEARCH = 1_000
"""Searches of one request."""


@routes("GET POST", "/_search", "/{index}/_search", takes=f"{PARAMETERS} {OPTIONS}")
def search(call: Call) -> Reply:
    body = call.object()
    if "scroll" in call.parameters:
        return _first_page(call, body)
    if "pit" in body:
        return _search_pit(call, body)
    result = _searched(call, search_body(call.parameters, body))
    return Reply(search_answer(result, call.parameters))


def _searched(call: Call, body: dict[str, Any]) -> SearchResult:
    found = resolve(call)
    if not found.names:
        return SearchResult((), 0, shards=Shards(0, 0))
    return call.database.search(found.expression, body)


# -------------------------------------------------------------------------------------------------- scrolls


def _first_page(call: Call, body: dict[str, Any]) -> Reply:
    keep_alive_s = seconds_of(call.parameters.text("scroll"), "scroll")
    asked = search_body(call.parameters, body)
    if asked.get("from"):
        raise validation_failed("using [from] is not allowed in a scroll context")
    if asked.get("size") == 0:
        raise validation_failed("[size] cannot be [0] in a scroll context")
    if call.parameters.flag("request_cache"):
        raise validation_failed("[request_cache] cannot be used in a scroll context")
    if body.get("track_total_hits") is False or call.parameters.text("track_total_hits") == "false":
        raise validation_failed("disabling [track_total_hits] is not allowed in a scroll context")
    views = _views(call, resolve(call), keep_alive_s)
    pages = Pages({key: value for key, value in asked.items() if key != "from"})
    id, _ = call.contexts.add(views, keep_alive_s, pages)
    try:
        page = pages.following(views)
    except BaseException:
        call.contexts.close(id)
        raise
    return Reply({"_scroll_id": id, **search_answer(page, call.parameters)})


def _views(call: Call, found: Resolved, keep_alive_s: float) -> dict[str, tuple[View, Any]]:
    """A view of each index, and what the aliases that named it narrow it to."""
    with ExitStack() as stack:
        views = {}
        for name in found.indices:
            view = call.database.index(name).point_in_time(keep_alive_s + 60)
            stack.callback(view.close)
            filters = _narrowing(found, name)
            views[name] = (view, filters)
        stack.pop_all()
    return views


def _narrowing(found: Resolved, index: str) -> Any:
    """None where the index was named itself, or an alias of it without a filter."""
    having = [
        found.infos[index].aliases[name].get("filter")
        for name in found.names
        if name in found.infos[index].aliases
    ]
    if index in found.names or not having or None in having:
        return None
    return having[0] if len(having) == 1 else {"bool": {"should": having}}


@routes(
    "GET POST",
    "/_search/scroll",
    "/_search/scroll/{scroll_id}",
    takes="scroll scroll_id rest_total_hits_as_int",
)
def scroll(call: Call) -> Reply:
    body = call.object()
    for key in body:
        if key not in ("scroll", "scroll_id"):
            raise RestError(
                f"Unknown parameter [{key}] in request body or parameter is of the wrong type[{body[key]}]"
            )
    id = body.get("scroll_id", call.parameters.text("scroll_id") or call.parts.get("scroll_id"))
    if not isinstance(id, str) or not id:
        raise validation_failed("scrollId is missing")
    keep_alive = body.get("scroll", call.parameters.text("scroll") or None)
    page = call.contexts.page(id, None if keep_alive is None else seconds_of(keep_alive, "scroll"))
    return Reply({"_scroll_id": id, **search_answer(page, call.parameters)})


@routes("DELETE", "/_search/scroll", "/_search/scroll/{scroll_id}", takes="scroll_id", needs="read")
def clear_scroll(call: Call) -> Reply:
    body = call.object()
    ids = body.get("scroll_id", call.parameters.text("scroll_id") or call.parts.get("scroll_id"))
    ids = ids.split(",") if isinstance(ids, str) else ids
    if not isinstance(ids, list) or not ids:
        raise validation_failed("no scroll ids specified")
    if ids == ["_all"]:
        freed = sum(call.contexts.close(each.id) for each in call.contexts.listed(scrolls=True))
        return Reply({"succeeded": True, "num_freed": freed})
    freed = sum(call.contexts.close(str(id)) for id in ids)
    return Reply({"succeeded": True, "num_freed": freed}, 200 if freed else 404)


# ------------------------------------------------------------------------------------------- points in time


@routes(
    "POST",
    "/{index}/_search/point_in_time",
    takes=f"keep_alive preference routing allow_partial_pit_creation {OPTIONS}",
    needs="read",
)
def create_pit(call: Call) -> Reply:
    if "keep_alive" not in call.parameters:
        raise validation_failed("keep alive not specified")
    keep_alive_s = call.parameters.seconds("keep_alive") or 0.0
    views = _views(call, resolve(call), keep_alive_s)
    id, created_ms = call.contexts.add(views, keep_alive_s)
    shards = {"total": len(views), "successful": len(views), "skipped": 0, "failed": 0}
    return Reply({"pit_id": id, "_shards": shards, "creation_time": created_ms})


@routes("DELETE", "/_search/point_in_time", needs="read")
def delete_pit(call: Call) -> Reply:
    ids = call.required().get("pit_id")
    ids = [ids] if isinstance(ids, str) else ids
    if not isinstance(ids, list) or not ids:
        raise validation_failed("no pit ids specified")
    return Reply({"pits": [{"pit_id": id, "successful": call.contexts.close(str(id))} for id in ids]})


@routes("DELETE", "/_search/point_in_time/_all", needs="read")
def delete_all_pits(call: Call) -> Reply:
    ids = [each.id for each in call.contexts.listed(scrolls=False)]
    return Reply({"pits": [{"pit_id": id, "successful": call.contexts.close(id)} for id in ids]})


@routes("GET", "/_search/point_in_time/_all")
def list_pits(call: Call) -> Reply:
    pits = [
        {"pit_id": id, "creation_time": created_ms, "keep_alive": round(keep_alive_s * 1000)}
        for id, created_ms, keep_alive_s in call.contexts.listed(scrolls=False)
    ]
    return Reply({"pits": pits})


def _search_pit(call: Call, body: dict[str, Any]) -> Reply:
    """A search over the views of a point in time, joined as those of several indices are."""
    if "index" in call.parts:
        raise validation_failed("[indices] cannot be used with point in time")
    pit = body.pop("pit")
    if not isinstance(pit, dict) or not isinstance(pit.get("id"), str):
        raise RestError("pit: an object with an [id] expected", 400, "parsing_exception")
    keep_alive = pit.get("keep_alive")
    asked = search_body(call.parameters, body)
    kept_s = None if keep_alive is None else seconds_of(keep_alive, "keep_alive")
    result = call.contexts.search(pit["id"], asked, kept_s)
    return Reply({"pit_id": pit["id"], **search_answer(result, call.parameters)})


# ------------------------------------------------------------------------------------------- count, msearch


@routes(
    "GET POST",
    "/_count",
    "/{index}/_count",
    takes=f"{QUERY_STRING} {OPTIONS} min_score preference routing terminate_after ignore_throttled",
)
def count(call: Call) -> Reply:
    body = call.object()
    for key in body:
        if key != "query":
            raise RestError(f"request does not support [{key}]", 400, "parsing_exception")
    query = query_of(call.parameters) or body.get("query")
    found = resolve(call)
    asked = {"query": query, "size": 0, "track_total_hits": True}
    number = call.database.search(found.expression, asked).total if found.names else 0
    shards = {"total": len(found.indices), "successful": len(found.indices), "skipped": 0, "failed": 0}
    return Reply({"count": number, "_shards": shards})


@routes(
    "GET POST",
    "/_msearch",
    "/{index}/_msearch",
    takes="search_type max_concurrent_searches typed_keys pre_filter_shard_size max_concurrent_shard_requests "
    f"rest_total_hits_as_int ccs_minimize_roundtrips {OPTIONS}",
)
def msearch(call: Call) -> Reply:
    """Several searches; one that fails is an answer with its error, and stops no other."""
    started = time.monotonic()
    lines = call.data.split(b"\n")
    pairs = _pairs(lines)
    if not pairs:
        raise validation_failed("no requests added")
    if len(pairs) > MAX_MSEARCH:
        raise RestError(f"msearch: {len(pairs)} searches; at most {MAX_MSEARCH} expected")
    answers = [_one_of_many(call, header, body) for header, body in pairs]
    return Reply({"took": round((time.monotonic() - started) * 1000), "responses": answers})


def _pairs(lines: list[bytes]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The header and the body of each search. A header may be an empty line."""
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) % 2:
        raise RestError("msearch: a line for the header and one for the body of each search expected")
    found = []
    for place in range(0, len(lines), 2):
        header = wire.decode(lines[place]) if lines[place].strip() else {}
        body = wire.decode(lines[place + 1]) if lines[place + 1].strip() else {}
        if not isinstance(header, dict) or not isinstance(body, dict):
            raise RestError("msearch: objects expected as header and body", 400, "parsing_exception")
        for key in header:
            if key not in _HEADER:
                raise RestError(f"key [{key}] is not supported in the metadata section")
        found.append((header, body))
    return found


_HEADER = [
    "index",
    "indices",
    "search_type",
    "request_cache",
    "preference",
    "routing",
    "allow_no_indices",
    "ignore_unavailable",
    "expand_wildcards",
    "ignore_throttled",
    "allow_partial_search_results",
    "ccs_minimize_roundtrips",
    "cancel_after_time_interval",
]


def _one_of_many(call: Call, header: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    try:
        result = _searched(_own_call(call, header), search_body(call.parameters, body))
    except QuidditchError as error:
        return {**error_body(error), "status": status_of(error)}
    return {**search_answer(result, call.parameters), "status": 200}


def _own_call(call: Call, header: dict[str, Any]) -> Call:
    """The call as one search of it goes: its own indices, and its own options before those of all."""
    given = header.get("index", header.get("indices", call.parts.get("index", "_all")))
    expression = expression_of(given, "index")
    options = {name: call.parameters.text(name) for name in OPTIONS.split() if name in call.parameters}
    for name in OPTIONS.split():
        if name in header:
            value = header[name]
            options[name] = expression_of(value, name) if isinstance(value, list) else str(value).lower()
    return replace(call, parts={"index": expression}, parameters=Parameters(options))


# -------------------------------------------------------------------------------------- validate and explain


@routes(
    "GET POST",
    "/_validate/query",
    "/{index}/_validate/query",
    takes=f"{QUERY_STRING} {OPTIONS} explain rewrite all_shards",
)
def validate_query(call: Call) -> Reply:
    """What is wrong with a query is an answer here, not an error."""
    found = resolve(call)
    explain = call.parameters.flag("explain") or call.parameters.flag("rewrite")
    shards = {"total": 1, "successful": 1, "failed": 0}
    try:
        body = call.object()
        if unknown := [key for key in body if key != "query"]:
            raise RestError(f"request does not support [{unknown[0]}]", 400, "parsing_exception")
    except RestError as error:
        why = {"error": f"{error.answer_type}: {error}"} if explain else {}
        return Reply({"valid": False, **why})
    query = query_of(call.parameters) or body.get("query")
    told = [_validated(call, name, query) for name in found.indices]
    valid = all(each["valid"] for each in told)
    answer: dict[str, Any] = {"_shards": shards, "valid": valid}
    return Reply({**answer, "explanations": told} if explain else answer)


def _validated(call: Call, name: str, query: Any) -> dict[str, Any]:
    try:
        call.database.index(name).search_body({"query": query, "size": 0, "track_total_hits": False})
    except QuidditchError as error:
        return {"index": name, "valid": False, "error": f"{error.type}: {error}"}
    shown = "*:*" if query in (None, {"match_all": {}}) else wire.encode(query).decode()
    return {"index": name, "valid": True, "explanation": shown}


@routes(
    "GET POST",
    "/{index}/_explain/{id}",
    takes=f"{QUERY_STRING} {NAMES} preference routing stored_fields",
)
def explain(call: Call) -> Reply:
    body = call.object()
    for key in body:
        if key != "query":
            raise RestError(f"request does not support [{key}]", 400, "parsing_exception")
    query = query_of(call.parameters) or body.get("query")
    if query is None:
        raise validation_failed("query is missing")
    index, id = one_index(call), call.parts["id"]
    answer: dict[str, Any] = {"_index": index.name, "_id": id}
    try:
        explanation = index.explain(id, query)
    except DocumentNotFound:
        return Reply({**answer, "matched": False}, 404)
    matched = explanation.value > 0
    answer |= {"matched": matched, "explanation": explanation.to_dict()}
    spec = source_of(call.parameters, False)
    if spec is not False:
        document = index.get(id)
        answer["get"] = {
            "_seq_no": document.seq_no,
            "_primary_term": 1,
            "found": True,
            "_source": filtered(document.source, spec),
        }
    return Reply(answer)


# ------------------------------------------------------------------------------------------------- analyze


@routes("GET POST", "/_analyze", "/{index}/_analyze", takes="index")
def analyze(call: Call) -> Reply:
    body = call.object()
    for key in body:
        if key not in _ANALYZE:
            raise RestError(
                f"Unknown parameter [{key}] in request body or parameter is of the wrong type[{body[key]}]"
            )
    texts = body.get("text")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts:
        raise validation_failed("text is missing")
    if not all(isinstance(each, str) for each in (*texts, body.get("analyzer", ""), body.get("field", ""))):
        raise RestError("analyze: [text], [analyzer] and [field] are text", 400, "parsing_exception")
    limit = _most_tokens(call)
    chain = chain_of(body) if any(key in body for key in PARTS) else []
    if chain and body.get("explain"):
        return Reply({"detail": _steps(chain, texts, limit)})
    analysed = partial(_put_together, chain[-1][1]) if chain else _analyzer(call, body)
    tokens = _positioned(_analysed(texts, analysed, limit))
    if body.get("explain"):
        name = body.get("analyzer") or "standard"
        return Reply({"detail": {"custom_analyzer": False, "analyzer": {"name": name, "tokens": tokens}}})
    return Reply({"tokens": tokens})


MAX_TEXT = 1_000_000
"""Characters of one request to analyze: tokens of one take some microseconds each."""


def _analysed(
    texts: list[str], analysed: Callable[[str], list[dict[str, Any]]], limit: int
) -> list[list[dict[str, Any]]]:
    """The tokens of each text, looked at in part first.

    raises: RestError   more than the limit
    """
    if sum(map(len, texts)) > MAX_TEXT:
        raise RestError(f"analyze: more than {MAX_TEXT} characters of [text]")
    found: list[list[dict[str, Any]]] = []
    for text in texts:
        start = analysed(text[: 4 * limit])
        whole = len(text) <= 4 * limit or len(start) > limit
        found.append(start if whole else analysed(text))
        if sum(map(len, found)) > limit:
            raise RestError(
                "The number of tokens produced by calling _analyze has exceeded the allowed maximum of "
                f"[{limit}]. This limit can be set by changing the [index.analyze.max_token_count] index level "
                "setting.",
                400,
                "illegal_state_exception",
            )
    return found


def _put_together(analyzer: Analyzer, text: str) -> list[dict[str, Any]]:
    return shown(analyzer.analyze(text))


def _steps(chain: list[tuple[str, Analyzer]], texts: list[str], limit: int) -> dict[str, Any]:
    """What the tokenizer makes of the texts, and what each filter leaves of that."""
    steps = [
        {"name": name, "tokens": _positioned(_analysed(texts, partial(_put_together, analyzer), limit))}
        for name, analyzer in chain
    ]
    return {"custom_analyzer": True, "charfilters": [], "tokenizer": steps[0], "tokenfilters": steps[1:]}


def _most_tokens(call: Call) -> int:
    """How many tokens one request may ask for."""
    name = call.parts.get("index") or call.parameters.text("index")
    settings = one_index(call, name).settings if name else {}
    return int(settings.get("analyze.max_token_count", MAX_TOKENS))


_ANALYZE = [
    "text",
    "analyzer",
    "field",
    "tokenizer",
    "filter",
    "char_filter",
    "normalizer",
    "explain",
    "attributes",
]


def _analyzer(call: Call, body: dict[str, Any]) -> Callable[[str], list[dict[str, Any]]]:
    name = call.parts.get("index") or call.parameters.text("index")
    field, analyzer = body.get("field"), body.get("analyzer")
    if name:
        return partial(one_index(call, name).analyze, field=field, analyzer=analyzer)
    if field is not None:
        raise RestError("analysis based on a specific field requires an index")
    return partial(analyzed, analyzer=analyzer)


def _positioned(texts: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The tokens of several texts, each a hundred places behind the one before it, as in a field."""
    tokens: list[dict[str, Any]] = []
    place, offset = 0, 0
    for text in texts:
        tokens += [_moved(token, place, offset) for token in text]
        if text:
            place, offset = tokens[-1]["position"] + 101, tokens[-1]["end_offset"] + 1
    return tokens


def _moved(token: dict[str, Any], places: int, characters: int) -> dict[str, Any]:
    start, end = token["start_offset"] + characters, token["end_offset"] + characters
    return {**token, "start_offset": start, "end_offset": end, "position": token["position"] + places}


# -------------------------------------------------------------------------------------- field capabilities


@routes("GET POST", "/_field_caps", "/{index}/_field_caps", takes=f"fields include_unmapped {OPTIONS}")
def field_caps(call: Call) -> Reply:
    body = call.object()
    patterns = call.parameters.names("fields") or names_of(body.get("fields") or [], "fields")
    if not patterns:
        raise validation_failed("no fields specified")
    found = resolve(call)
    mappings = {name: call.database.index(name).mappings for name in found.indices}
    unmapped = call.parameters.flag("include_unmapped")
    return Reply({"indices": found.indices, "fields": capabilities(mappings, patterns, unmapped)})
