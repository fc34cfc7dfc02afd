"""The page of a search as OpenSearch shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quidditch.interface import SearchResult
from quidditch.server.parameters import Parameters
from quidditch.server.search_bodies import terminate_after


def search_answer(
    result: SearchResult, parameters: Parameters, asked: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The answer's body. `asked`: the body of the request, which says something of the answer's shape."""
    body = result_body(result)
    _cut(body, terminate_after(parameters, dict(asked or {})), result.shards.total)
    stored = parameters.names("stored_fields") or (asked or {}).get("stored_fields")
    if stored in ("_none_", ["_none_"]):
        for hit in body["hits"]["hits"]:
            del hit["_id"]
    if parameters.flag("rest_total_hits_as_int"):
        hits = body["hits"]
        total = hits.pop("total", None)
        body["hits"] = {"total": -1 if total is None else total["value"], **hits}
    return body


def result_body(result: SearchResult) -> dict[str, Any]:
    """The whole result."""
    body: dict[str, Any] = result.to_dict()
    if result.notes:
        # Only of a plain string, which OpenSearch has no clause for.
        body["quidditch_notes"] = list(result.notes)
    return body


def _cut(body: dict[str, Any], most: int | None, shards: int) -> None:
    """Tell of so many documents of each shard alone."""
    if most is None:
        return
    hits, most = body["hits"], most * shards
    body["terminated_early"] = False
    if "total" in hits and hits["total"]["value"] > most:
        hits["total"] = {"value": most, "relation": "eq"}
        hits["hits"] = hits["hits"][:most]
        body["terminated_early"] = True
