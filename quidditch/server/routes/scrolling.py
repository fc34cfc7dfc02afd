"""Scrolls: everything that a search finds, a page for each request."""

from __future__ import annotations

from typing import Any

from quidditch.server.call import Call, Reply
from quidditch.server.contexts import Pages
from quidditch.server.failures import RestError, validation_failed
from quidditch.server.parameters import seconds_of
from quidditch.server.rendering.searches import search_answer
from quidditch.server.resolving import resolve
from quidditch.server.routing import Routes
from quidditch.server.search_bodies import search_body
from quidditch.server.search_limits import check_limits
from quidditch.server.shard_failures import asking_shards
from quidditch.server.views import open_views

routes = Routes()


def first_page(call: Call, body: dict[str, Any]) -> Reply:
    """The first page of a search with `scroll`, and the id under which the others are asked for."""
    keep_alive_s = seconds_of(call.parameters.text("scroll"), "scroll")
    asked = search_body(call.parameters, body)
    if asked.get("search_after") is not None:
        raise validation_failed("`search_after` cannot be used in a scroll context.")
    if asked.get("from"):
        raise validation_failed("using [from] is not allowed in a scroll context")
    if asked.get("size") == 0:
        raise validation_failed("[size] cannot be [0] in a scroll context")
    if call.parameters.flag("request_cache"):
        raise validation_failed("[request_cache] cannot be used in a scroll context")
    if body.get("track_total_hits") is False or call.parameters.text("track_total_hits") == "false":
        raise validation_failed("disabling [track_total_hits] is not allowed in a scroll context")
    found = resolve(call)
    check_limits(asked, [found.infos[name] for name in found.indices], call.state.node_id, scrolls=True)
    views = open_views(call, found, keep_alive_s)
    pages = Pages({key: value for key, value in asked.items() if key != "from"})
    id, _ = call.contexts.add(views, keep_alive_s, pages)
    try:
        with asking_shards(found.indices, found.infos, call.state.node_id):
            page = pages.following(views)
    except BaseException:
        call.contexts.close(id)
        raise
    call.state.activity.add(views, query=1, query_ms=page.took_ms, scroll=1)
    return Reply({"_scroll_id": id, **search_answer(page, call.parameters)})


@routes(
    "GET POST",
    "/_search/scroll",
    "/_search/scroll/{scroll_id}",
    takes="scroll scroll_id rest_total_hits_as_int",
)
def scroll(call: Call) -> Reply:
    body = call.object()
    for key in body:
        if key not in ("scroll", "scroll_id"):
            raise RestError(
                f"Unknown parameter [{key}] in request body or parameter is of the wrong type[{body[key]}]"
            )
    id = body.get("scroll_id", call.parameters.text("scroll_id") or call.parts.get("scroll_id"))
    if not isinstance(id, str) or not id:
        raise validation_failed("scrollId is missing")
    keep_alive = body.get("scroll", call.parameters.text("scroll") or None)
    page = call.contexts.page(id, None if keep_alive is None else seconds_of(keep_alive, "scroll"))
    return Reply({"_scroll_id": id, **search_answer(page, call.parameters)})


@routes("DELETE", "/_search/scroll", "/_search/scroll/{scroll_id}", takes="scroll_id", needs="read")
def clear_scroll(call: Call) -> Reply:
    body = call.object()
    ids = body.get("scroll_id", call.parameters.text("scroll_id") or call.parts.get("scroll_id"))
    ids = ids.split(",") if isinstance(ids, str) else ids
    if not isinstance(ids, list) or not ids:
        raise validation_failed("no scroll ids specified")
    if ids == ["_all"]:
        freed = sum(call.contexts.close(each.id) for each in call.contexts.listed(scrolls=True))
        return Reply({"succeeded": True, "num_freed": freed})
    freed = sum(call.contexts.close(str(id)) for id in ids)
    return Reply({"succeeded": True, "num_freed": freed}, 200 if freed else 404)
