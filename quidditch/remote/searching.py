"""Searches of an index, and of an index as it was at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from quidditch.errors import DocumentNotFound, MappingError, RequestError
from quidditch.index.operations import check_id
from quidditch.interface import Explanation, FilterLike, Hit, QueryLike, SearchResult
from quidditch.remote.carriers import Stopped, Stream
from quidditch.remote.clauses import clause_of, search_body, whole_body
from quidditch.remote.documents import about_a_document
from quidditch.remote.encoding import encode
from quidditch.remote.exchange import Flow, Request, step
from quidditch.remote.managing import NATIVE, about
from quidditch.remote.results import explanation, hit, search_result
from quidditch.types import Json

SCAN_PAGE = 1_000
"""Documents of one request of a scan."""

KEEP_ALIVE_S = 300.0
"""How long a view may lie unused, unless told otherwise."""


class SearchFlows:
    """Flows of an index that search it."""

    name: str

    def _path(self, *steps: str) -> str:
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
    ) -> Flow[SearchResult]:
        """The best documents for a query, best first, and exactly how many there are.

        query:   a query object, a clause of the Query DSL, a plain string, or None for everything
        filter:  likewise; narrows the hits down and adds nothing to their scores
        sort:    "year", "year:desc", {"year": {"order": "desc", ...}}, or a list of these with "_score"
        raises: QueryError, LimitExceeded, RequestError. A plain string raises nothing; see `notes`.
        """
        body = search_body(
            query,
            size=size,
            from_=from_,
            sort=sort,
            filter=filter,
            source=source,
            highlight=highlight,
            aggs=aggs,
            search_after=search_after,
            track_total_hits=track_total_hits,
            explain=explain,
            timeout_s=timeout_s,
        )
        return (yield from self.search_body(body))

    def search_body(self, body: dict[str, Json] | None, *, filter: FilterLike = None) -> Flow[SearchResult]:
        """Search with an OpenSearch request body.

        raises: QueryError, LimitExceeded, RequestError
        """
        path = about(self.name, "_search")
        answer = yield Request("POST", path, content=encode(whole_body(body, filter)))
        return search_result(answer.json())

    def count(self, query: QueryLike = None) -> Flow[int]:
        """How many documents match."""
        answer = yield Request("POST", self._path("_count"), content=encode({"query": clause_of(query)}))
        return int(answer.json()["count"])

    def explain(self, id: str, query: QueryLike) -> Flow[Explanation]:
        """The document's score as a tree of the numbers it was made of; value 0 when it does not match.

        raises: DocumentNotFound
        """
        path = self._path("_explain", step(check_id(id).decode()))
        answer = yield Request("POST", path, content=encode({"query": clause_of(query)}), accepts=(404,))
        body = about_a_document(answer)
        if "explanation" not in body:
            raise DocumentNotFound(f"no document [{id}] in index [{self.name}]")
        return explanation(body["explanation"])

    def scan(self, query: QueryLike = None, *, source: Json = True) -> Stream[Hit]:
        """Every match, unscored, in the order of the last writes, streamed from one moment of the index.

        The view is held by the server until the iterator is exhausted or closed, or has lain unused for some minutes.
        raises: SnapshotExpired   from the iterator, when it lay unused for too long
        """
        answer = yield open_view(self._path("_search", "point_in_time"), KEEP_ALIVE_S)
        if answer is None:
            return
        id = answer.json()["pit_id"]
        with suppress(Stopped):
            yield from scan_view(id, KEEP_ALIVE_S, query, source)
        yield close_view(id)

    def analyze(
        self, text: str, *, field: str | None = None, analyzer: str | None = None
    ) -> Flow[list[dict[str, Json]]]:
        """The terms that a text becomes, as OpenSearch's `_analyze` shows them.

        By a named analyzer, or else a field's; "standard" without either.
        raises: QueryError   an unknown or not analysed field; MappingError an unknown analyzer
        """
        for name, value in (("text", text), ("field", field), ("analyzer", analyzer)):
            if not isinstance(value, str) and (value is not None or name == "text"):
                raise RequestError(f"analyze: a string expected as {name}, not {type(value).__name__}")
        asked = {"text": text, "field": field, "analyzer": analyzer}
        content = encode({name: value for name, value in asked.items() if value is not None})
        answer = yield Request("POST", self._path("_analyze"), content=content, misfit=MappingError)
        tokens: list[dict[str, Json]] = answer.json()["tokens"]
        return tokens


class ViewFlows:
    """Flows of an index as it was at one moment, which the server holds."""

    def __init__(self, name: str, id: str, keep_alive_s: float) -> None:
        self.name = name
        self._id = id
        self._keep_alive_s = keep_alive_s

    def search_body(self, body: dict[str, Json] | None, *, filter: FilterLike = None) -> Flow[SearchResult]:
        """Search with an OpenSearch request body.

        raises: QueryError, LimitExceeded, RequestError, SnapshotExpired
        """
        answer = yield _search_view(self._id, self._keep_alive_s, whole_body(body, filter))
        return search_result(answer.json())

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
    ) -> Flow[SearchResult]:
        """As `Index.search`."""
        body = search_body(
            query,
            size=size,
            from_=from_,
            sort=sort,
            filter=filter,
            source=source,
            highlight=highlight,
            aggs=aggs,
            search_after=search_after,
            track_total_hits=track_total_hits,
            explain=explain,
            timeout_s=timeout_s,
        )
        return (yield from self.search_body(body))

    def count(self, query: QueryLike = None) -> Flow[int]:
        """How many documents match."""
        result = yield from self.search_body({"query": clause_of(query), "size": 0})
        return result.total or 0

    def explain(self, id: str, query: QueryLike) -> Flow[Explanation]:
        """As `Index.explain`.

        raises: DocumentNotFound
        """
        one = {"ids": {"values": [check_id(id).decode()]}}
        body = {"query": clause_of(query), "explain": True, "_source": False, "size": 1}
        found = yield from self.search_body(body, filter=one)
        if found.hits and found[0].explanation is not None:
            return _without_filter(found[0].explanation)
        there = yield from self.count(one)
        if not there:
            raise DocumentNotFound(f"no document [{id}] in index [{self.name}]")
        return Explanation(0.0, "no match")

    def scan(self, query: QueryLike = None, *, source: Json = True) -> Stream[Hit]:
        """As `Index.scan`."""
        with suppress(Stopped):
            yield from scan_view(self._id, self._keep_alive_s, query, source)

    def close(self) -> Flow[None]:
        """Let the server end the view."""
        yield close_view(self._id)


def _without_filter(whole: Explanation) -> Explanation:
    """What a bool that joins a query and a filter explains of the query."""
    if len(whole.details) == 2 and whole.details[1].description.startswith("filter"):
        return whole.details[0]
    return whole


def open_view(path: str, keep_alive_s: float) -> Request:
    if isinstance(keep_alive_s, bool) or not isinstance(keep_alive_s, int | float) or not keep_alive_s > 0:
        raise RequestError(f"point_in_time: keep_alive_s: seconds above 0 expected, not {keep_alive_s!r}")
    return Request("POST", path, {"keep_alive": _time(keep_alive_s)})


def close_view(id: str) -> Request:
    return Request("DELETE", "/_search/point_in_time", content=encode({"pit_id": [id]}), accepts=(404,))


def scan_view(id: str, keep_alive_s: float, query: QueryLike, source: Json) -> Stream[Hit]:
    """Every match of a view, page by page, by its place in the order of the writes."""
    body = {"query": clause_of(query), "_source": source, "size": SCAN_PAGE, "sort": ["_doc"]}
    body |= {"track_total_hits": False}
    while True:
        answer = yield _search_view(id, keep_alive_s, body)
        if answer is None:
            return
        page = [hit(each) for each in answer.json()["hits"]["hits"]]
        if page:
            yield page
        if len(page) < SCAN_PAGE:
            return
        body["search_after"] = list(page[-1].sort)


def _search_view(id: str, keep_alive_s: float, body: dict[str, Json]) -> Request:
    whole = {**body, "pit": {"id": id, "keep_alive": _time(keep_alive_s)}}
    return Request("POST", f"{NATIVE}/_search", content=encode(whole))


def _time(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
