"""Searches of the client of `quidditch.connect("http://…")`: bodies go to the engine as they came, within its own
limits alone, so that they are answered, and refused, as in process. `index.max_result_window` is `_search`'s."""

from __future__ import annotations

from quidditch.interface import SearchResult, Shards
from quidditch.server import visibility
from quidditch.server.call import Call, Reply
from quidditch.server.rendering.searches import result_body
from quidditch.server.resolving import resolve
from quidditch.server.routes.points_in_time import pit_of
from quidditch.server.routing import Routes

routes = Routes()


@routes("POST", "/_quidditch/indices/{index}/_search", needs="read")
def search(call: Call) -> Reply:
    found = resolve(call)
    if not found.names:
        return Reply(result_body(SearchResult((), 0, shards=Shards(0, 0))))
    result = visibility.search(call, found, call.object())
    call.state.activity.add(found.indices, query=1, query_ms=result.took_ms)
    return Reply(result_body(result))


@routes("POST", "/_quidditch/_search", needs="read")
def search_view(call: Call) -> Reply:
    """Of a point in time."""
    body = call.required()
    id, kept_s = pit_of(body)
    return Reply(result_body(call.contexts.search(id, body, kept_s)))
