"""What the client of `quidditch.connect("http://…")` asks beside OpenSearch's API: calls of `Database` and `Index`
whose arguments, answers or errors that API has no words for, as they are in process."""

from __future__ import annotations

from typing import Any

import msgspec

from quidditch.errors import IndexNotFound
from quidditch.interface import Index, IndexInfo
from quidditch.server import visibility
from quidditch.server.call import ACKNOWLEDGED, Call, Reply
from quidditch.server.routing import Routes
from quidditch.server.runtime.anywhere import forget_activity

routes = Routes()

_ONE = "/_quidditch/indices/{index}"


def _index(call: Call) -> Index:
    return call.database.index(call.parts["index"])


def _info(info: IndexInfo) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(info)
    del told["name"]
    return told


@routes("GET", "/_quidditch/indices")
def describe(call: Call) -> Reply:
    return Reply({name: _info(info) for name, info in call.database.describe().items()})


@routes("GET", _ONE)
def describe_one(call: Call) -> Reply:
    name = call.parts["index"]
    found = call.database.describe().get(name)
    if found is None:
        # The words of the database itself, with the names that are near.
        call.database.index(name)
        raise IndexNotFound(f"no index [{name}]")
    return Reply({name: _info(found)})


@routes("PUT", _ONE)
def create(call: Call) -> Reply:
    body = call.object()
    call.database.create_index(call.parts["index"], body.get("mappings"), body.get("settings"))
    return ACKNOWLEDGED


@routes("DELETE", _ONE)
def delete(call: Call) -> Reply:
    visibility.forget(call, [call.parts["index"]])
    call.database.delete_index(call.parts["index"])
    forget_activity(call.state, call.parts["index"])
    return ACKNOWLEDGED


@routes("POST", f"{_ONE}/open")
def open_index(call: Call) -> Reply:
    call.database.open_index(call.parts["index"])
    return ACKNOWLEDGED


@routes("POST", f"{_ONE}/close")
def close_index(call: Call) -> Reply:
    visibility.forget(call, [call.parts["index"]])
    call.database.close_index(call.parts["index"])
    return ACKNOWLEDGED


@routes("POST", "/_quidditch/aliases")
def update_aliases(call: Call) -> Reply:
    call.database.update_aliases(call.required().get("actions"))  # type: ignore[arg-type]
    return ACKNOWLEDGED


@routes("GET", f"{_ONE}/mappings")
def mappings(call: Call) -> Reply:
    return Reply(_index(call).mappings)


@routes("PUT", f"{_ONE}/mappings")
def put_mappings(call: Call) -> Reply:
    _index(call).put_mappings(call.json())
    return ACKNOWLEDGED


@routes("PUT", f"{_ONE}/settings", takes="preserve")
def put_settings(call: Call) -> Reply:
    _index(call).put_settings(call.json(), preserve=call.parameters.flag("preserve"))
    visibility.forget(call, [call.parts["index"]])
    return ACKNOWLEDGED


@routes("GET", f"{_ONE}/stats", takes="detail")
def stats(call: Call) -> Reply:
    return Reply(_index(call).stats(detail=call.parameters.flag("detail")).to_dict())


@routes("POST", f"{_ONE}/check", takes="deep")
def check(call: Call) -> Reply:
    return Reply(_index(call).check(deep=call.parameters.flag("deep", True)).to_dict())


@routes("POST", "/_quidditch/check", takes="deep")
def check_all(call: Call) -> Reply:
    return Reply(call.database.check(deep=call.parameters.flag("deep", True)).to_dict())
