"""What can be asked of an index, and of an index as it was at a point in time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from quidditch.index.operations import check_id
from quidditch.interface import Explanation, FilterLike, Hit, QueryLike, SearchResult, Shard
from quidditch.query import Query, parse
from quidditch.query.plain import rewrite_plain
from quidditch.query.primitive import Boolean, Everything, Primitive
from quidditch.query.rewrite import rewrite
from quidditch.query.rewriting import RewriteContext
from quidditch.schema.mapping import Mapping
from quidditch.search import phases
from quidditch.search.fetch import parse_source
from quidditch.search.gathering import Gather, in_turn
from quidditch.search.request import SearchRequest
from quidditch.types import Json


class Searches:
    """Searches over some shards and a mapping, which a subclass supplies."""

    name: str
    _gather: Gather = staticmethod(in_turn)

    def _mapping(self) -> Mapping:
        raise NotImplementedError

    def _shards(self, request: SearchRequest | None = None) -> AbstractContextManager[Sequence[Shard]]:
        """All shards, or those that a search is about."""
        raise NotImplementedError

    def search(
        self,
        query: QueryLike = None,
        *,
        size: int = 10,
        from_: int = 0,
        sort: Json = None,
        filter: FilterLike = None,
        source: Json = True,
        highlight: Json = None,
        aggs: dict[str, Json] | None = None,
        search_after: Sequence[Json] | None = None,
        track_total_hits: bool | int = True,
        explain: bool = False,
        timeout_s: float | None = None,
    ) -> SearchResult:
        """The best documents for a query, best first, and exactly how many there are.

        query:   a query object, a clause of the Query DSL, a plain string, or None for everything
        filter:  likewise; narrows the hits down and adds nothing to their scores
        sort:    "year", "year:desc", {"year": {"order": "desc", ...}}, or a list of these with "_score"
        raises: QueryError, LimitExceeded, RequestError. A plain string raises nothing; see `notes`.
        """
        mapping = self._mapping()
        request = SearchRequest.from_arguments(
            mapping,
            size=size,
            from_=from_,
            sort=sort,
            source=source,
            highlight=highlight,
            aggs=aggs,
            search_after=search_after,
            track_total_hits=track_total_hits,
            explain=explain,
            timeout_s=timeout_s,
        )
        return self._run(query, request, filter, mapping)

    def search_body(self, body: dict[str, Json] | None, *, filter: FilterLike = None) -> SearchResult:
        """Search with an OpenSearch request body.

        raises: QueryError, LimitExceeded, RequestError
        """
        mapping = self._mapping()
        query, request = SearchRequest.from_body(body, mapping)
        return self._run(query, request, filter, mapping)

    def run(
        self,
        query: QueryLike,
        request: SearchRequest,
        filter: FilterLike = None,
    ) -> SearchResult:
        """Carry out a search that has been checked already. `filter`: one query, or several that must all match."""
        return self._run(query, request, filter, self._mapping())

    def _run(
        self, query: QueryLike, request: SearchRequest, filter: FilterLike, mapping: Mapping
    ) -> SearchResult:
        resolved, notes = _resolve(query, mapping)
        if filter is not None:
            narrowing, more = _resolve_filter(filter, mapping)
            resolved = Boolean(must=(resolved,), filter=narrowing)
            notes += more
        if request.slice is not None:
            resolved = Boolean(must=(resolved,), filter=(request.slice,))
        with self._shards(request) as shards:
            return phases.search(
                shards, request, resolved, mapping, index=self.name, notes=notes, gather=self._gather
            )

    def count(self, query: QueryLike = None) -> int:
        """How many documents match."""
        resolved = _resolve(query, self._mapping())[0]
        with self._shards() as shards:
            return phases.count(shards, resolved, self._gather)

    def explain(self, id: str, query: QueryLike) -> Explanation:
        """The document's score as a tree of the numbers it was made of; value 0 when it does not match.

        raises: DocumentNotFound
        """
        wanted = check_id(id).decode()
        mapping = self._mapping()
        resolved = _resolve(query, mapping)[0]
        with self._shards() as shards:
            return phases.explain(shards, wanted, resolved, mapping, self._gather)

    def scan(self, query: QueryLike = None, *, source: Json = True) -> Iterator[Hit]:
        """Every match, unscored, in the order of the last writes, streamed from one snapshot.

        The snapshot is held until the iterator is exhausted or closed, or has lain unused for some minutes
        (`keep_alive_s` of `connect`); the disk space of what is replaced meanwhile is reused only then.
        raises: SnapshotExpired   from the iterator, when it lay unused for too long
                LimitExceeded     from its first step, when too many are open
        """
        resolved = _resolve(query, self._mapping())[0]
        wanted = parse_source(source)
        return self._scan(resolved, wanted)

    def _scan(self, query: Primitive, source: Json) -> Iterator[Hit]:
        with self._shards() as shards:
            yield from phases.scan(shards, query, index=self.name, source=source)


def _resolve_filter(filter: FilterLike, mapping: Mapping) -> tuple[tuple[Primitive, ...], list[str]]:
    """Each filter by itself, as `_resolve` has it."""
    if isinstance(filter, list | tuple):
        found = [_resolve(each, mapping, f"filter[{place}]") for place, each in enumerate(filter)]
    else:
        found = [_resolve(filter, mapping, "filter")]
    return tuple(primitive for primitive, _ in found), [note for _, notes in found for note in notes]


def _resolve(query: QueryLike, mapping: Mapping, path: str = "query") -> tuple[Primitive, list[str]]:
    """The query over this mapping's fields, and notes on what was cut from a plain string.

    `path` is the place of the query in the request, for messages.
    """
    if query is None:
        return Everything(), []
    context = RewriteContext(mapping, int(time.time() * 1000))
    if isinstance(query, str):
        return rewrite_plain(query, context)
    parsed = query if isinstance(query, Query) else parse(query, path)
    return rewrite(parsed, context), context.notes
