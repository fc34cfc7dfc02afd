"""Points in time: searches over indices as they were at one moment."""

from __future__ import annotations

from typing import Any

from quidditch.interface import Shards
from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError, validation_failed
from quidditch.server.parameters import seconds_of
from quidditch.server.rendering.searches import search_answer
from quidditch.server.resolving import OPTIONS, resolve
from quidditch.server.routing import Routes
from quidditch.server.search_bodies import search_body
from quidditch.server.search_limits import check_limits
from quidditch.server.shard_failures import asking_shards
from quidditch.server.views import open_views

routes = Routes()


@routes(
    "POST",
    "/{index}/_search/point_in_time",
    takes=f"keep_alive preference routing allow_partial_pit_creation {OPTIONS}",
    needs="read",
)
def create_pit(call: Call) -> Reply:
    if "keep_alive" not in call.parameters:
        raise validation_failed("keep alive not specified")
    keep_alive_s = call.parameters.seconds("keep_alive") or 0.0
    found = resolve(call)
    views = open_views(call, found, keep_alive_s)
    id, created_ms = call.contexts.add(views, keep_alive_s)
    total = sum(int(found.infos[name].settings.get("number_of_shards") or 1) for name in found.indices)
    return Reply({"pit_id": id, "_shards": Shards(total, total).to_dict(), "creation_time": created_ms})


@routes("DELETE", "/_search/point_in_time", needs="read")
def delete_pit(call: Call) -> Reply:
    ids = call.required().get("pit_id")
    ids = [ids] if isinstance(ids, str) else ids
    if not isinstance(ids, list) or not ids:
        raise validation_failed("no pit ids specified")
    return Reply({"pits": [{"pit_id": id, "successful": call.contexts.close(str(id))} for id in ids]})


@routes("DELETE", "/_search/point_in_time/_all", needs="read")
def delete_all_pits(call: Call) -> Reply:
    ids = [each.id for each in call.contexts.listed(scrolls=False)]
    return Reply({"pits": [{"pit_id": id, "successful": call.contexts.close(id)} for id in ids]})


@routes("GET", "/_search/point_in_time/_all")
def list_pits(call: Call) -> Reply:
    pits = [
        {"pit_id": id, "creation_time": created_ms, "keep_alive": round(keep_alive_s * 1000)}
        for id, created_ms, keep_alive_s in call.contexts.listed(scrolls=False)
    ]
    return Reply({"pits": pits})


def search_pit(call: Call, body: dict[str, Any]) -> Reply:
    """A search over the views of a point in time, joined as those of several indices are."""
    if "index" in call.parts:
        raise validation_failed("[indices] cannot be used with point in time")
    id, kept_s = pit_of(body)
    asked = search_body(call.parameters, body)
    infos = call.database.describe()
    # An index that has been deleted since has no settings that could limit anything.
    names = [name for name in call.contexts.indices(id) if name in infos]
    check_limits(asked, [infos[name] for name in names], call.state.node_id)
    with asking_shards(names, infos, call.state.node_id):
        result = call.contexts.search(id, asked, kept_s)
    return Reply({"pit_id": id, **search_answer(result, call.parameters, body)})


def pit_of(body: dict[str, Any]) -> tuple[str, float | None]:
    """The id of the point in time that a body is about, and for how long it is kept from now on; taken out of it.

    raises: RestError
    """
    pit = body.pop("pit", None)
    if not isinstance(pit, dict) or not isinstance(pit.get("id"), str):
        raise RestError("pit: an object with an [id] expected", 400, "parsing_exception")
    keep_alive = pit.get("keep_alive")
    return pit["id"], None if keep_alive is None else seconds_of(keep_alive, "keep_alive")
