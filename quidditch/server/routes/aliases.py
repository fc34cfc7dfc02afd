"""Aliases: put, get, exists, delete, and several changes at once."""

from __future__ import annotations

from typing import Any

from quidditch.server.call import ACKNOWLEDGED, Call, Reply
from quidditch.server.failures import RestError, validation_failed
from quidditch.server.rendering.aliases import aliases_body, matching
from quidditch.server.resolving import OPTIONS, resolve
from quidditch.server.routes.indices import WAITS
from quidditch.server.routing import Routes
from quidditch.server.runtime.anywhere import forget_activity

routes = Routes()

_OPTIONS = ("filter", "routing", "index_routing", "search_routing", "is_write_index", "is_hidden")


@routes(
    "PUT POST",
    "/{index}/_alias/{name}",
    "/{index}/_aliases/{name}",
    "/_alias/{name}",
    "/_aliases/{name}",
    "/{index}/_alias",
    "/{index}/_aliases",
    "/_alias",
    takes=WAITS,
)
def put_alias(call: Call) -> Reply:
    body = call.object()
    alias = call.parts.get("name", body.pop("alias", None))
    expression = call.parts.get("index", body.pop("index", None))
    if not isinstance(alias, str) or not alias:
        raise validation_failed("alias is missing")
    if not isinstance(expression, str):
        raise validation_failed("index is missing")
    check_alias_name(call, alias)
    names = resolve(call, expression, allow_no_indices=False, closed=True, expand="open,closed").indices
    options = {key: value for key, value in body.items() if key in _OPTIONS}
    if unknown := sorted(body.keys() - options.keys()):
        raise RestError(f"unknown field [{unknown[0]}]", 400, "parsing_exception")
    call.database.update_aliases([{"add": {"indices": names, "alias": alias, **options}}])
    return ACKNOWLEDGED


def check_alias_name(call: Call, alias: str) -> None:
    """raises: RestError   in OpenSearch's words, for a name that no alias may have"""
    if alias in call.database:
        detail: dict[str, Any] = {"index": alias, "index_uuid": "_na_"}
        raise RestError(
            f"Invalid alias name [{alias}]: an index or data stream exists with the same name as the alias",
            400,
            "invalid_alias_name_exception",
            detail,
        )
    if alias[:1] in ("_", "-", "+") or any(character in '\\/*?"<>| ,#' for character in alias):
        raise RestError(
            f"Invalid alias name [{alias}]: must not contain the following characters "
            '[ , ", *, \\, <, |, ,, >, /, ?]',
            400,
            "invalid_alias_name_exception",
        )


@routes("POST", "/_aliases", takes=WAITS)
def update_aliases(call: Call) -> Reply:
    actions = call.required().get("actions")
    if not isinstance(actions, list) or not actions:
        raise RestError("No action specified")
    changes: list[Any] = []
    doomed: list[str] = []
    removes = any(isinstance(action, dict) and "remove_index" in action for action in actions)
    for action in actions:
        if not isinstance(action, dict) or len(action) != 1:
            raise RestError("aliases: an object with one action expected", 400, "parse_exception")
        ((op, body),) = action.items()
        if op not in ("add", "remove", "remove_index") or not isinstance(body, dict):
            raise RestError(
                f"unknown action [{op}]; there are add, remove, remove_index", 400, "parse_exception"
            )
        names = _expression(body)
        if op == "remove_index":
            doomed += resolve(call, names, closed=True, aliases=False).indices
            continue
        found = resolve(
            call, names, allow_no_indices=False, closed=True, expand="open,closed", aliases=op == "remove"
        )
        rest = {key: value for key, value in body.items() if key not in ("index", "indices")}
        changes.append({op: {"indices": found.indices, **rest}})
        for alias in _aliases(body) if op == "add" and not removes else ():
            check_alias_name(call, alias)
    if doomed:
        changes.append({"remove_index": {"indices": list(dict.fromkeys(doomed))}})
    if changes:
        call.database.update_aliases(changes)
    for name in doomed:
        forget_activity(call.state, name)
    return ACKNOWLEDGED


def _expression(body: dict[str, Any]) -> str:
    value = body.get("index", body.get("indices"))
    values = [value] if isinstance(value, str) else value
    if (
        not isinstance(values, list)
        or not values
        or not all(isinstance(each, str) and each for each in values)
    ):
        raise RestError("One of [index] or [indices] is required")
    return ",".join(values)


def _aliases(body: dict[str, Any]) -> list[str]:
    value = body.get("alias", body.get("aliases"))
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise RestError("One of [alias] or [aliases] is required")
    return values


@routes(
    "GET",
    "/_alias",
    "/_aliases",
    "/_alias/{name}",
    "/{index}/_alias",
    "/{index}/_alias/{name}",
    takes=f"{OPTIONS} local",
)
def get_alias(call: Call) -> Reply:
    """With names, the indices that have one of them; 404 where one of them is nowhere, with what was found."""
    found = resolve(call, closed=True, expand="all")
    wanted = call.parts.get("name")
    if wanted is None:
        return Reply({name: {"aliases": aliases_body(found.infos[name])} for name in found.indices})
    patterns = [part for part in wanted.split(",") if part]
    body: dict[str, Any] = {}
    seen: set[str] = set()
    for name in found.indices:
        aliases = aliases_body(found.infos[name])
        kept = matching(aliases, patterns)
        seen.update(aliases)
        if kept:
            body[name] = {"aliases": {alias: aliases[alias] for alias in kept}}
    missing = sorted(
        part
        for part in patterns
        if "*" not in part and part != "_all" and not part.startswith("-") and part not in seen
    )
    if call.method == "HEAD":
        return Reply(body, 200 if body else 404)
    if missing:
        noun = "alias" if len(missing) == 1 else "aliases"
        return Reply({"error": f"{noun} [{','.join(missing)}] missing", "status": 404, **body}, 404)
    return Reply(body)


@routes("DELETE", "/{index}/_alias/{name}", "/{index}/_aliases/{name}", takes=WAITS)
def delete_alias(call: Call) -> Reply:
    found = resolve(call, allow_no_indices=False, closed=True, expand="open,closed", aliases=False)
    names = call.parts["name"].split(",")
    call.database.update_aliases([{"remove": {"indices": found.indices, "aliases": names}}])
    return ACKNOWLEDGED
