"""What is searched for, as the body of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quidditch.errors import QueryError
from quidditch.interface import FilterLike, QueryLike
from quidditch.query import Plain, Query
from quidditch.types import Json

_EVERYTHING: dict[str, Json] = {"match_all": {}}


def clause_of(query: QueryLike) -> Json:
    """The query as a clause. What is none goes as it is: the server says what is wrong with it."""
    if query is None:
        return _EVERYTHING
    if isinstance(query, str):
        return Plain(query).to_dict()
    if isinstance(query, Query):
        try:
            return query.to_dict()
        except RecursionError:
            raise QueryError("query: nested too deeply") from None
    return query


def narrowed(query: Json, filter: FilterLike) -> Json:
    """The clause, and what narrows its hits down and adds nothing to their scores."""
    if filter is None:
        return query
    filters = filter if isinstance(filter, list | tuple) else [filter]
    return {"bool": {"must": [query], "filter": [clause_of(each) for each in filters]}}


def search_body(
    query: QueryLike,
    *,
    size: int,
    from_: int,
    sort: Json,
    filter: FilterLike,
    source: Json,
    highlight: Json,
    aggs: dict[str, Json] | None,
    search_after: Sequence[Json] | None,
    track_total_hits: bool | int,
    explain: bool,
    timeout_s: float | None,
) -> dict[str, Json]:
    """The arguments of `Index.search` as OpenSearch has them.

    raises: QueryError   for a number that the wire has no word for
    """
    for name, value in (("size", size), ("from_", from_)):
        if isinstance(value, int) and value < 0:
            raise QueryError(f"{name}: a whole number of 0 or more expected, not {value}")
    optional = {"sort": sort, "highlight": highlight, "aggs": aggs or None, "timeout": _time(timeout_s)}
    optional["search_after"] = None if search_after is None else list(search_after)
    return {
        "query": narrowed(clause_of(query), filter),
        "size": size,
        "from": from_,
        "_source": source,
        "track_total_hits": track_total_hits,
        "explain": explain,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _time(seconds: Any) -> str | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise QueryError(f"timeout_s: a number of 0 or more expected, not {seconds!r}")
    return f"{round(seconds * 1e6)}micros"


def whole_body(body: dict[str, Json] | None, filter: FilterLike = None) -> Json:
    """A request body as it was given, hits counted in full unless it says otherwise, as in process."""
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise QueryError(f"request body: an object expected, not {type(body).__name__}")
    whole = {"track_total_hits": True, **body}
    if filter is not None:
        query = body.get("query")
        whole["query"] = narrowed(_EVERYTHING if query is None else query, filter)
    return whole
