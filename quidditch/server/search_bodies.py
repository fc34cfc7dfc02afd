"""A search as it came, from the query string and the body, to the body that the engine takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quidditch.search.request import SPREAD
from quidditch.server.body_values import names_of
from quidditch.server.failures import RestError
from quidditch.server.parameters import Parameters
from quidditch.server.source_filters import NAMES, source_of

TOTALS_CAP = 10_000
"""How far hits are counted where nothing is said, as in OpenSearch."""

QUERY_STRING = "q df default_operator analyzer analyze_wildcard lenient"
PARAMETERS = f"""
    {QUERY_STRING} {NAMES} from size sort track_total_hits track_scores explain version seq_no_primary_term
    stored_fields docvalue_fields terminate_after timeout request_cache search_type preference routing typed_keys
    rest_total_hits_as_int batched_reduce_size max_concurrent_shard_requests pre_filter_shard_size
    ccs_minimize_roundtrips allow_partial_search_results suggest_field suggest_mode suggest_size suggest_text stats
    ignore_throttled cancel_after_time_interval scroll
"""

SEARCH_TYPES = ("query_then_fetch", "dfs_query_then_fetch")
"""Both mean the same here: scores are always those of the whole index."""

_WITHOUT_EFFECT = (
    "track_scores",
    "stats",
    "terminate_after",
    "ext",
    "profile_shards",
    "include_named_queries_score",
)

_REFUSED = ("collapse", "rescore", "suggest", "script_fields", "indices_boost", "profile", "runtime_mappings")
"""Keys of a body that change the answer, and that are not built."""

_FLAGS = ("explain", "version", "seq_no_primary_term")
_LOWEST = {
    "batched_reduce_size": ("batchedReduceSize", 2),
    "pre_filter_shard_size": ("preFilterShardSize", 1),
    "max_concurrent_shard_requests": ("maxConcurrentShardRequests", 1),
    "max_concurrent_searches": ("maxConcurrentSearchRequests", 1),
}


def search_body(parameters: Parameters, body: dict[str, Any]) -> dict[str, Any]:
    """The body with what the query string says, which goes before it, and without what changes no answer here.

    raises: RestError   for what cannot be asked at once
    """
    for key in _REFUSED:
        if body.get(key):
            raise RestError(f"[{key}] is not in this release")
    merged = {key: value for key, value in body.items() if key not in (*_WITHOUT_EFFECT, *_REFUSED)}
    merged |= spread(parameters, body)
    terminate_after(parameters, body)
    if (query := query_of(parameters)) is not None:
        merged["query"] = query
    for name in ("from", "size"):
        if (value := parameters.integer(name)) is not None:
            merged[name] = value
        if merged.get(name, 0) == -1 and name == "size":
            del merged[name]
        if isinstance(number := merged.get(name), int) and number < 0:
            raise RestError(f"[{name}] parameter cannot be negative, found [{number}]")
    if (sort := parameters.names("sort")) is not None:
        merged["sort"] = [_sort_level(level) for level in sort]
    for name in _FLAGS:
        if name in parameters:
            merged[name] = parameters.flag(name)
    if (fields := parameters.names("docvalue_fields")) is not None:
        merged["docvalue_fields"] = fields
    if (stored := parameters.names("stored_fields")) is not None:
        merged["stored_fields"] = stored
    if "timeout" in parameters:
        merged["timeout"] = parameters.text("timeout")
    merged["_source"] = source_of(parameters, _body_source(merged))
    _narrow(merged)
    merged["track_total_hits"] = _totals(parameters, merged)
    return merged


def spread(parameters: Parameters, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the query string says of the shards to search and of the copies to ask, as the engine's body has it.

    raises: RestError   the body says it, which OpenSearch does not know
    """
    for name in SPREAD:
        if name in body:
            raise RestError(f"unknown key [{name}] in the search body", 400, "parsing_exception")
    found: dict[str, Any] = {
        name: parameters.text(name) for name in ("preference", "routing") if name in parameters
    }
    if "allow_partial_search_results" in parameters:
        found["allow_partial_search_results"] = parameters.flag("allow_partial_search_results", True)
    return found


def check_dispatch(parameters: Parameters) -> None:
    """How a search is spread over shards: checked, and without effect on one.

    raises: RestError
    """
    wanted = parameters.text("search_type", SEARCH_TYPES[0])
    if wanted not in SEARCH_TYPES:
        raise RestError(f"No search type for [{wanted}]")
    for name, (spelled, lowest) in _LOWEST.items():
        value = parameters.integer(name)
        if value is not None and value < lowest:
            raise RestError(f"{spelled} must be >= {lowest}")


def terminate_after(parameters: Parameters, body: dict[str, Any]) -> int | None:
    """Of how many documents each shard tells at most; None for all."""
    asked = parameters.integer("terminate_after")
    asked = body.get("terminate_after") if asked is None else asked
    if asked is None:
        return None
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 0:
        raise RestError(f"terminateAfter must be > 0, not [{asked}]")
    return asked or None


def _body_source(body: dict[str, Any]) -> Any:
    stored = body.pop("stored_fields", None)
    if "_source" in body:
        return body["_source"]
    return stored is None or "_source" in names_of(stored, "stored_fields")


def _narrow(body: dict[str, Any]) -> None:
    """`post_filter` narrows hits after aggregations; without any it is a filter."""
    post = body.pop("post_filter", None)
    if post is not None:
        inner = {"must": [body["query"]]} if body.get("query") else {}
        body["query"] = (
            {"bool": {**inner, "filter": [post]}} if inner else {"constant_score": {"filter": post}}
        )


def _totals(parameters: Parameters, body: dict[str, Any]) -> Any:
    asked = body.get("track_total_hits", TOTALS_CAP)
    if "track_total_hits" in parameters:
        text = parameters.text("track_total_hits")
        number = re.fullmatch(r"-?[0-9]+", text) is not None
        asked = parameters.integer("track_total_hits") if number else parameters.flag("track_total_hits")
    if asked is None:
        asked = TOTALS_CAP
    if isinstance(asked, int) and not isinstance(asked, bool) and asked < 0:
        if asked != -1:
            raise RestError(f"[track_total_hits] parameter must be positive or equals to -1, got {asked}")
        asked = False
    if parameters.flag("rest_total_hits_as_int"):
        if "track_total_hits" in body or "track_total_hits" in parameters:
            if not isinstance(asked, bool):
                raise RestError(
                    "[rest_total_hits_as_int] cannot be used if the tracking of total hits is not accurate, got "
                    f"{asked}"
                )
            return asked
        return True
    return asked


def _sort_level(level: str) -> Any:
    name, _, order = level.rpartition(":")
    return {name: {"order": order}} if name and order in ("asc", "desc") else level


def query_alone(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a call that takes a query and nothing else.

    raises: RestError   naming what else there is
    """
    for key in body:
        if key != "query":
            raise RestError(f"request does not support [{key}]", 400, "parsing_exception")
    return body


def query_of(parameters: Parameters) -> dict[str, Any] | None:
    """The query that `q` and what goes with it stand for; None without `q`."""
    text = parameters.text("q")
    if not text:
        return None
    options: dict[str, Any] = {"query": text}
    if "df" in parameters:
        options["default_field"] = parameters.text("df")
    for name in ("default_operator", "analyzer"):
        if name in parameters:
            options[name] = parameters.text(name)
    for name in ("analyze_wildcard", "lenient"):
        if name in parameters:
            options[name] = parameters.flag(name)
    return {"query_string": options}
