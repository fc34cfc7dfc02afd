"""A path for each template of the routes, an operation for each method."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

from quidditch.server.openapi.bodies import RESPONSES, SCHEMAS, request_body, responses
from quidditch.server.openapi.value_types import value_type
from quidditch.server.parameters import COMMON
from quidditch.server.routing import Route
from quidditch.version import __version__

_PART = re.compile(r"\{(\w+)\}")

DESCRIPTION = (
    "OpenSearch's REST API, as far as Quidditch serves it. Parameters that an operation does not list are refused "
    "with the nearest that it does."
)


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routes: JSON's types alone, the same for the same routes."""
    paths: dict[str, dict[str, Any]] = {}
    listed = list(routes)
    for route in listed:
        operations = paths.setdefault(route.template, {})
        operations[route.method.lower()] = _operation(route, route.method)
    for route in listed:
        if route.method == "GET":
            # The handler of GET answers HEAD, unless that has one of its own.
            paths[route.template].setdefault("head", _operation(route, "HEAD"))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Quidditch", "version": __version__, "description": DESCRIPTION},
        "tags": [{"name": tag} for tag in dict.fromkeys(_tag(route) for route in listed)],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": SCHEMAS, "responses": RESPONSES, "parameters": _common()},
    }


def _operation(route: Route, method: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route, method),
        "tags": [_tag(route)],
        "summary": _name(route).replace("_", " ").capitalize(),
        "parameters": _parameters(route),
        "responses": responses(method, route.template),
    }
    if told := inspect.getdoc(route.handler):
        operation["description"] = told
    if method != "HEAD" and (method in ("POST", "PUT") or _takes_body_with_get(route)):
        operation["requestBody"] = request_body(_name(route))
    return operation


def _takes_body_with_get(route: Route) -> bool:
    return _name(route) in ("search", "msearch", "count", "mget", "explain", "validate_query", "analyze")


def _operation_id(route: Route, method: str) -> str:
    """One handler stands for several methods and paths: these tell its operations apart."""
    steps = re.findall(r"\w+", route.template) or ["root"]
    return "-".join([method.lower(), _name(route), *(step.strip("_") for step in steps)])


def _parameters(route: Route) -> list[dict[str, Any]]:
    parts = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for name in _PART.findall(route.template)
    ]
    asked = [
        {"name": name, "in": "query", "allowEmptyValue": True, "schema": value_type(name)}
        for name in sorted(route.takes - COMMON)
    ]
    return [*parts, *asked, *({"$ref": f"#/components/parameters/{name}"} for name in sorted(COMMON))]


def _common() -> dict[str, Any]:
    return {name: {"name": name, "in": "query", "schema": value_type(name)} for name in sorted(COMMON)}


def _name(route: Route) -> str:
    return getattr(route.handler, "__name__", "handler")


def _tag(route: Route) -> str:
    return route.handler.__module__.rpartition(".")[2].replace("_", " ")
