"""Which part of a source a request asks for: `_source`, `_source_includes`, `_source_excludes`."""

from __future__ import annotations

from quidditch.search.fetch import filter_source, parse_source
from quidditch.server.parameters import Parameters
from quidditch.types import Json

NAMES = "_source _source_includes _source_excludes _source_include _source_exclude"


def source_of(parameters: Parameters, default: Json = True) -> Json:
    """What the parameters say, as `_source` of a search body says it; `default` where they say nothing."""
    includes = parameters.names("_source_includes") or parameters.names("_source_include") or []
    excludes = parameters.names("_source_excludes") or parameters.names("_source_exclude") or []
    asked = parameters.text("_source") if "_source" in parameters else None
    if asked in ("true", "false", ""):
        if not includes and not excludes:
            return asked != "false"
    elif asked is not None:
        includes = asked.split(",")
    if not includes and not excludes:
        return default
    return {"includes": includes, "excludes": excludes}


def filtered(source: dict[str, Json], spec: Json) -> dict[str, Json]:
    return filter_source(source, parse_source(spec))
