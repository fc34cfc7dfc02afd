"""What an expression of index names and aliases stands for, and a search over all of it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Dict
from typing import Any

from quidditch.errors import IndexNotFound, RequestError, ShardsFailed
from quidditch.index.catalog import IndexEntry
from quidditch.interface import QueryLike, SearchResult, Shards
from quidditch.local.searches import Searches
from quidditch.patterns import matches
from quidditch.schema.mapping import Mapping, nearest
from quidditch.search.phases import combine
from quidditch.search.request import SearchRequest
from quidditch.types import Json


def matching(expression: str, entries: Dict[str, IndexEntry], where: str) -> dict[str, dict[str, Any] | None]:
    """The indices that an expression names, in its order, and what its aliases narrow each down to.

    where:  the place that has the entries, for messages
    raises: IndexNotFound, RequestError
    """
    if not isinstance(expression, str) or not expression:
        raise RequestError(f"search: an index name, or several with commas, expected, not {expression!r}")
    known = sorted({*entries, *(alias for entry in entries.values() for alias in entry.aliases)})
    found: dict[str, list[Any]] = {}
    for part in expression.split(","):
        part = "*" if part == "_all" else part
        names = [name for name in known if matches(name, part)] if "*" in part else [part]
        for name in names:
            if name not in known:
                raise IndexNotFound(f"no index [{part}] in {where}{nearest(part, known)}")
            for index, narrowing in _behind(name, entries):
                found.setdefault(index, []).append(narrowing)
    return {name: _any_of(filters) for name, filters in found.items()}


def search_each(
    filters: Dict[str, dict[str, Any] | None],
    body: dict[str, Json] | None,
    mapping: Callable[[str], Mapping],
    index: Callable[[str], Searches],
) -> SearchResult:
    """One page of the indices that `matching` found, each narrowed down.

    raises: QueryError, RequestError; ShardsFailed   no shard answers, or not all where that is demanded
    """
    if len(filters) == 1:
        ((name, narrowing),) = filters.items()
        query, request = SearchRequest.from_body(body, mapping(name))
        return index(name).run(query, request, narrowing)
    results = []
    whole = SearchRequest()
    for name, narrowing in filters.items():
        query, whole = SearchRequest.from_body(body, mapping(name))
        results.append(_of_one(index(name), query, whole, narrowing))
    found = combine(results, whole)
    if found.shards.failed and found.shards.failed == found.shards.total:
        raise ShardsFailed.of(found.shards.failures, found.shards.total)
    return found


def _of_one(
    index: Searches, query: QueryLike, request: SearchRequest, narrowing: dict[str, Any] | None
) -> SearchResult:
    """What one of several indices gives. That none of its shards answers is part of the whole answer."""
    try:
        return index.run(query, request.from_the_start(), narrowing)
    except ShardsFailed as error:
        if not request.partial:
            raise
        return SearchResult((), 0, shards=Shards.of(len(error.failures), error.failures))


def _behind(name: str, entries: Dict[str, IndexEntry]) -> list[tuple[str, dict[str, Any] | None]]:
    """The index of this name, or those that have the alias, each with the alias's filter."""
    if name in entries:
        return [(name, None)]
    having = ((index, entry.aliases) for index, entry in sorted(entries.items()))
    return [(index, aliases[name].get("filter")) for index, aliases in having if name in aliases]


def _any_of(filters: list[Any]) -> dict[str, Any] | None:
    """What lets through what any filter does; None, as one of them, lets everything through."""
    if None in filters:
        return None
    return filters[0] if len(filters) == 1 else {"bool": {"should": filters}}
