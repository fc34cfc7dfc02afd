"""Mappings, mappings of single fields, and settings."""

from __future__ import annotations

from typing import Any

from quidditch.patterns import matches
from quidditch.server.call import ACKNOWLEDGED, Call, Reply
from quidditch.server.failures import RestError, validation_failed
from quidditch.server.refreshing import SETTING
from quidditch.server.rendering.field_caps import flat_fields
from quidditch.server.rendering.settings import DEFAULTS, for_engine, nested, settings_body
from quidditch.server.resolving import OPTIONS, resolve
from quidditch.server.routes.indices import WAITS
from quidditch.server.routing import Routes
from quidditch.server.visibility import forget

routes = Routes()


@routes(
    "GET",
    "/_mapping",
    "/_mappings",
    "/{index}/_mapping",
    "/{index}/_mappings",
    takes=f"{OPTIONS} local {WAITS}",
)
def get_mapping(call: Call) -> Reply:
    found = resolve(call, closed=True, allow_no_indices=True)
    return Reply({name: {"mappings": call.database.index(name).mappings} for name in found.indices})


@routes(
    "PUT POST",
    "/{index}/_mapping",
    "/{index}/_mappings",
    "/_mapping",
    "/_mappings",
    takes=f"{OPTIONS} write_index_only {WAITS}",
)
def put_mapping(call: Call) -> Reply:
    if call.json() is None:
        raise validation_failed("mapping source is empty")
    body = call.object()
    for name in resolve(call, allow_no_indices=False).indices:
        call.database.index(name).put_mappings(body)
    return ACKNOWLEDGED


@routes(
    "GET",
    "/_mapping/field/{fields}",
    "/{index}/_mapping/field/{fields}",
    takes=f"{OPTIONS} local include_defaults",
)
def get_field_mapping(call: Call) -> Reply:
    found = resolve(call, closed=True)
    patterns = call.parts["fields"].split(",")
    defaults = call.parameters.flag("include_defaults")
    body = {}
    for name in found.indices:
        fields = {}
        for path, mapping in flat_fields(call.database.index(name).mappings):
            if any(matches(path, pattern) for pattern in patterns):
                if defaults and mapping.get("type") == "text":
                    mapping = {"analyzer": "default", **mapping}
                fields[path] = {"full_name": path, "mapping": {path.rsplit(".", 1)[-1]: mapping}}
        body[name] = {"mappings": fields}
    return Reply(body)


# ------------------------------------------------------------------------------------------------- settings

_SETTINGS = f"{OPTIONS} flat_settings {WAITS}"


@routes(
    "GET",
    "/_settings",
    "/_settings/{name}",
    "/{index}/_settings",
    "/{index}/_settings/{name}",
    takes=f"{_SETTINGS} include_defaults local",
)
def get_settings(call: Call) -> Reply:
    found = resolve(call, expand="open,closed", closed=True)
    patterns = call.parts.get("name", "_all").split(",")
    as_flat = call.parameters.flag("flat_settings")
    body: dict[str, Any] = {}
    for name in found.indices:
        shown = settings_body(found.infos[name], as_flat=True, human=call.parameters.flag("human"))
        kept = {key: value for key, value in shown.items() if _wanted(key, patterns)}
        if not kept:
            continue
        body[name] = {"settings": kept if as_flat else nested(kept)}
        if call.parameters.flag("include_defaults"):
            rest = {
                key: value for key, value in DEFAULTS.items() if key not in shown and _wanted(key, patterns)
            }
            body[name]["defaults"] = rest if as_flat else nested(rest)
    return Reply(body)


def _wanted(key: str, patterns: list[str]) -> bool:
    return any(pattern in ("_all", "*") or matches(key, pattern) for pattern in patterns)


@routes("PUT", "/_settings", "/{index}/_settings", takes=f"{_SETTINGS} preserve_existing")
def put_settings(call: Call) -> Reply:
    body = call.required()
    settings = for_engine(body["settings"] if set(body) == {"settings"} else body)
    if "number_of_shards" in settings:
        names = ", ".join(resolve(call, closed=True).indices)
        raise RestError(
            f"Can't update non dynamic settings [[index.number_of_shards]] for open indices [[{names}]]"
        )
    preserve = call.parameters.flag("preserve_existing")
    found = resolve(call, expand="open,closed", closed=True, allow_no_indices=False)
    for name in found.indices:
        call.database.index(name).put_settings(settings, preserve=preserve)
    if SETTING in settings:
        forget(call, found.indices)
    return ACKNOWLEDGED
