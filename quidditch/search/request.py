"""One search as it was asked for, from keyword arguments or from an OpenSearch body, checked and complete."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from quidditch.errors import LimitExceeded, QueryError, RequestError
from quidditch.interface import QueryLike, ShownField, SortKey
from quidditch.query.primitive import IdSlice
from quidditch.schema.fields import spell
from quidditch.schema.mapping import Mapping, nearest
from quidditch.search.fetch import parse_source
from quidditch.search.highlight.options import parse_highlight
from quidditch.search.shown_fields import parse_shown
from quidditch.search.sort_spec import parse_search_after, parse_sort
from quidditch.types import Json

MAX_WINDOW = 1_000_000
"""Hits of one page, offset included. Every hit is an object with its source; `scan` streams more than
that."""

MAX_SLICES = 65_536

SPREAD = ("preference", "routing", "allow_partial_search_results")
"""Keys that say how a search is spread over shards. In OpenSearch's API they are parameters beside the body."""

_BODY_KEYS = (
    "query",
    "size",
    "from",
    "sort",
    "_source",
    "highlight",
    "search_after",
    "track_total_hits",
    "explain",
    "min_score",
    "timeout",
    "aggs",
    "aggregations",
    "version",
    "seq_no_primary_term",
    "fields",
    "docvalue_fields",
    "slice",
    *SPREAD,
)
_TIME = re.compile(r"(\d+(?:\.\d+)?)(nanos|micros|ms|s|m|h|d)")
_SECONDS = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """Everything about a search but what it looks for.

    `highlight` is OpenSearch's object with "fields" (empty: all text fields that the query scores). Of
    totals, True counts them all, an int caps what is reported, False leaves them out.

    Of an index with several shards, `routings` leave those where documents of these routings are, and `preference`
    says which copies to ask; with `partial` the shards that answer are enough.
    """

    size: int = 10
    from_: int = 0
    sort: tuple[SortKey, ...] = ()
    source: Json = True
    highlight: dict[str, Json] | None = None
    search_after: tuple[Json, ...] | None = None
    track_total_hits: bool | int = True
    explain: bool = False
    min_score: float | None = None
    timeout_s: float | None = None
    version: bool = False
    seq_no: bool = False
    fields: tuple[ShownField, ...] = ()
    slice: IdSlice | None = None
    partial: bool = True
    preference: str = ""
    routings: tuple[str, ...] = ()

    def from_the_start(self) -> SearchRequest:
        """What one of several indices is asked: the page and everything before it, full totals, and sort values
        as they compare. `phases.combine` cuts the page, and formats its values.
        """
        sort = tuple(replace(key, format=None) for key in self.sort)
        return replace(self, from_=0, size=self.from_ + self.size, sort=sort, track_total_hits=True)

    @classmethod
    def from_arguments(
        cls,
        mapping: Mapping,
        *,
        size: int = 10,
        from_: int = 0,
        sort: Json = None,
        source: Json = True,
        highlight: Json = None,
        aggs: dict[str, Json] | None = None,
        search_after: Sequence[Json] | None = None,
        track_total_hits: bool | int = True,
        explain: bool = False,
        min_score: float | None = None,
        timeout_s: float | None = None,
    ) -> SearchRequest:
        """The keyword arguments of `Index.search`, checked; RequestError or QueryError names the argument."""
        return _checked(
            mapping,
            "from_",
            size=size,
            from_=from_,
            sort=sort,
            source=source,
            highlight=highlight,
            aggs=aggs,
            search_after=search_after,
            track_total_hits=track_total_hits,
            explain=explain,
            min_score=min_score,
            timeout_s=_number(timeout_s, "timeout_s"),
        )

    @classmethod
    def from_body(cls, body: dict[str, Json] | None, mapping: Mapping) -> tuple[QueryLike, SearchRequest]:
        """The query of an OpenSearch request body as it stands, and everything around it, checked."""
        if body is None:
            body = {}
        if not isinstance(body, dict):
            raise QueryError(f"request body: an object expected, not {spell(body)}")
        for key in body:
            if key not in _BODY_KEYS:
                raise QueryError(f"request body: unknown key [{key}]{nearest(key, _BODY_KEYS)}")
        query = body.get("query")
        if query is not None and not isinstance(query, dict):
            raise QueryError(f"query: an object with one clause expected, not {spell(query)}")
        request = _checked(
            mapping,
            "from",
            size=body.get("size", 10),
            from_=body.get("from", 0),
            sort=body.get("sort"),
            source=body.get("_source", True),
            highlight=body.get("highlight"),
            aggs=body.get("aggs") or body.get("aggregations"),
            search_after=body.get("search_after"),
            track_total_hits=body.get("track_total_hits", True),
            explain=body.get("explain", False),
            min_score=body.get("min_score"),
            timeout_s=_seconds(body.get("timeout")),
        )
        return query, replace(
            request,
            version=_flag(body.get("version"), "version"),
            seq_no=_flag(body.get("seq_no_primary_term"), "seq_no_primary_term"),
            fields=(
                *parse_shown(body.get("fields"), mapping, "fields"),
                *parse_shown(body.get("docvalue_fields"), mapping, "docvalue_fields"),
            ),
            slice=_slice(body.get("slice")),
            partial=_flag(body.get("allow_partial_search_results", True), "allow_partial_search_results"),
            preference=_text(body.get("preference"), "preference"),
            routings=tuple(filter(None, _text(body.get("routing"), "routing").split(","))),
        )


def _checked(
    mapping: Mapping,
    from_name: str,
    *,
    size: Any,
    from_: Any,
    sort: Json,
    source: Json,
    highlight: Json,
    aggs: Json,
    search_after: Any,
    track_total_hits: Any,
    explain: Any,
    min_score: Any,
    timeout_s: float | None,
) -> SearchRequest:
    if aggs:
        raise RequestError("aggs: aggregations are not supported yet")
    if not isinstance(explain, bool):
        raise QueryError(f"explain: true or false expected, not {spell(explain)}")
    keys = parse_sort(sort, mapping)
    after = parse_search_after(search_after, keys, mapping)
    size, from_ = _count(size, "size"), _count(from_, from_name)
    if size + from_ > MAX_WINDOW:
        raise LimitExceeded(
            f"size: {size} hits from {from_} on; a page ends within the first {MAX_WINDOW} (see scan)"
        )
    if after is not None and from_:
        raise QueryError(f"{from_name}: must be 0 with [search_after], not {from_}")
    return SearchRequest(
        size=size,
        from_=from_,
        sort=keys,
        source=parse_source(source),
        highlight=parse_highlight(highlight, mapping),
        search_after=after,
        track_total_hits=_totals(track_total_hits),
        explain=explain,
        min_score=_number(min_score, "min_score"),
        timeout_s=timeout_s,
    )


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or (number := value.__index__()) < 0:
        raise QueryError(f"{name}: a whole number of 0 or more expected, not {spell(value)}")
    return int(number)


def _flag(value: Json, name: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise QueryError(f"{name}: true or false expected, not {spell(value)}")
    return bool(value)


def _text(value: Json, name: str) -> str:
    if value is not None and not isinstance(value, str):
        raise QueryError(f"{name}: a string expected, not {spell(value)}")
    return value or ""


def _slice(value: Json) -> IdSlice | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() - {"field"} != {"id", "max"}:
        raise QueryError(f"slice: an object with [id] and [max] expected, not {spell(value)}")
    if value.get("field", "_id") != "_id":
        raise QueryError(f"slice.field: [_id] expected, not {spell(value['field'])}")
    number, count = _count(value["id"], "slice.id"), _count(value["max"], "slice.max")
    if count < 2:
        raise QueryError(f"slice: max must be greater than 1, not {count}")
    if number >= count:
        raise QueryError(f"slice: max must be greater than id, not {count} for the id {number}")
    if count > MAX_SLICES:
        raise LimitExceeded(
            f"The number of slices [{count}] is too large. It must be less than or equal to [{MAX_SLICES}]."
        )
    return IdSlice(number, count)


def _totals(value: Any) -> bool | int:
    return value if isinstance(value, bool) else _count(value, "track_total_hits")


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 0:
        raise QueryError(f"{name}: a number of 0 or more expected, not {spell(value)}")
    return float(value)


def _seconds(value: Json) -> float | None:
    """Seconds of OpenSearch's time values, such as "500ms" or "2s"; -1 is no limit."""
    if value is None or value in (-1, "-1"):
        return None
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise QueryError(f'timeout: a time such as "500ms" or "2s" expected, not {spell(value)}')
    return float(found[1]) * _SECONDS[found[2]]
