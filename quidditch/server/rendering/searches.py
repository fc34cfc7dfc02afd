"""The page of a search as OpenSearch shows it."""

from __future__ import annotations

from typing import Any

from quidditch.interface import SearchResult
from quidditch.server.parameters import Parameters


def search_answer(result: SearchResult, parameters: Parameters) -> dict[str, Any]:
    body: dict[str, Any] = result.to_dict()
    hits = body["hits"]
    if parameters.flag("rest_total_hits_as_int"):
        hits["total"] = -1 if result.total is None else result.total
        body["hits"] = {"total": hits.pop("total"), **hits}
    if result.notes:
        # Only of a plain string, which OpenSearch has no clause for.
        body["quidditch_notes"] = list(result.notes)
    return body
