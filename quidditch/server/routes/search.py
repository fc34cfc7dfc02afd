"""Searches: search, count, msearch, validate, explain, field capabilities, analyze."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from quidditch.analysis.analyzer import Analyzer
from quidditch.analysis.registry import analyzed, shown
from quidditch.errors import DocumentNotFound, QuidditchError
from quidditch.interface import Explanation, Index, SearchResult, Shards
from quidditch.search.request import SPREAD
from quidditch.server import visibility, wire
from quidditch.server.analyzing import PARTS, chain_of
from quidditch.server.body_values import expression_of, names_of
from quidditch.server.call import Call, Reply
from quidditch.server.document_routing import routing_of
from quidditch.server.failures import RestError, error_body, status_of, validation_failed
from quidditch.server.parameters import Parameters
from quidditch.server.rendering.field_caps import capabilities
from quidditch.server.rendering.searches import search_answer
from quidditch.server.resolving import OPTIONS, one_index, resolve
from quidditch.server.routes.points_in_time import search_pit
from quidditch.server.routes.scrolling import first_page
from quidditch.server.routing import Routes
from quidditch.server.search_bodies import (
    PARAMETERS,
    QUERY_STRING,
    SEARCH_TYPES,
    check_dispatch,
    query_alone,
    query_of,
    search_body,
    spread,
    terminate_after,
)
from quidditch.server.search_limits import check_limits
from quidditch.server.shard_failures import asking_shards, search_indices, with_failures
from quidditch.server.source_filters import NAMES, filtered, source_of

routes = Routes()

MAX_TOKENS = 10_000
"""Of one `_analyze`, where the index says nothing."""

_NOTHING = SearchResult((), 0, shards=Shards(0, 0))
"""Of no index."""

MAX_MSEARCH = 1_000
"""Searches of one request."""


@routes("GET POST", "/_search", "/{index}/_search", takes=f"{PARAMETERS} {OPTIONS}")
def search(call: Call) -> Reply:
    body = call.object()
    check_dispatch(call.parameters)
    if "scroll" in call.parameters:
        return first_page(call, body)
    if "pit" in body:
        return search_pit(call, body)
    if body.get("slice"):
        raise validation_failed("[slice] can only be used with [scroll] or [point-in-time] requests")
    return Reply(_searched(call, body))


def _searched(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a search of the indices that the call names."""
    found = resolve(call)
    asked = search_body(call.parameters, body)
    if not found.names:
        return search_answer(_NOTHING, call.parameters, body)
    check_limits(asked, [found.infos[name] for name in found.indices], call.state.node_id)
    result, failures = search_indices(call, found, asked)
    call.state.activity.add(found.indices, query=1, query_ms=result.took_ms)
    answer = search_answer(result, call.parameters, body)
    return with_failures(answer, failures, call.state.node_id) if failures else answer


# ------------------------------------------------------------------------------------------- count, msearch


@routes(
    "GET POST",
    "/_count",
    "/{index}/_count",
    takes=f"{QUERY_STRING} {OPTIONS} min_score preference routing terminate_after ignore_throttled",
)
def count(call: Call) -> Reply:
    body = query_alone(call.object())
    query = query_of(call.parameters) or body.get("query")
    found = resolve(call)
    asked: dict[str, Any] = {"query": query, "size": 0, "track_total_hits": True}
    asked |= spread(call.parameters, {})
    if "min_score" in call.parameters:
        asked["min_score"] = call.parameters.number("min_score")
    with asking_shards(found.indices, found.infos, call.state.node_id):
        result = visibility.search(call, found, asked) if found.names else _NOTHING
    number, shards = result.total or 0, result.shards.to_dict()
    most = terminate_after(call.parameters, body)
    if most is not None and number > most * result.shards.total:
        return Reply({"count": most * result.shards.total, "terminated_early": True, "_shards": shards})
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
    check_dispatch(call.parameters)
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
        _check_search_type(header.get("search_type"))
        return {**_searched(_own_call(call, header), body), "status": 200}
    except QuidditchError as error:
        return {**error_body(error), "status": status_of(error)}


def _check_search_type(name: object) -> None:
    if name is not None and name not in SEARCH_TYPES:
        raise RestError(f"No search type for [{name}]")


def _own_call(call: Call, header: dict[str, Any]) -> Call:
    """The call as one search of it goes: its own indices, and its own options before those of all."""
    given = header.get("index", header.get("indices", call.parts.get("index", "_all")))
    expression = expression_of(given, "index")
    shared = (*OPTIONS.split(), "rest_total_hits_as_int", "typed_keys")
    options = {name: call.parameters.text(name) for name in shared if name in call.parameters}
    for name in (*OPTIONS.split(), *SPREAD):
        if name in header:
            value = header[name]
            options[name] = expression_of(value, name) if isinstance(value, list) else _text(value)
    return replace(call, parts={"index": expression}, parameters=Parameters(options))


def _text(value: object) -> str:
    """As the query string would have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


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
        body = query_alone(call.object())
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
    body = query_alone(call.object())
    query = query_of(call.parameters) or body.get("query")
    if query is None:
        raise validation_failed("query is missing")
    index, id = one_index(call), call.parts["id"]
    answer: dict[str, Any] = {"_index": index.name, "_id": id}
    try:
        found = resolve(call)
        explanation = _explained(call, index, id, found.narrowed(index.name, query))
    except DocumentNotFound:
        return Reply({**answer, "matched": False}, 404)
    matched = explanation.value > 0
    answer |= {"matched": matched, "explanation": explanation.to_dict()}
    spec = source_of(call.parameters, False)
    if spec is not False:
        document = index.get(id, routing=routing_of(call, call.parts["index"]))
        answer["get"] = {
            "_seq_no": document.seq_no,
            "_primary_term": 1,
            "found": True,
            "_source": filtered(document.source, spec),
        }
    return Reply(answer)


def _explained(call: Call, index: Index, id: str, query: Any) -> Explanation:
    view = visibility.seen(call, index)
    if view is None:
        return index.explain(id, query)
    with view:
        return view.explain(id, query)


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
