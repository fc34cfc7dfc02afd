"""What of a document's source a hit brings home."""

from __future__ import annotations

import functools
import re
from typing import Any, TypeAlias

from quidditch.errors import LimitExceeded, QueryError
from quidditch.interface import Source
from quidditch.schema.fields import spell
from quidditch.types import Json

Pattern: TypeAlias = "re.Pattern[str]"

PATTERNS_LIMIT = 1024
PATTERN_CHARACTERS_LIMIT = 4096
"""Of one pattern; the paths that it is compared with are many, and may be long."""

_NOTHING: Any = object()


def parse_source(spec: Json) -> Json:
    """True, False, or {"includes": [...], "excludes": [...]} for anything `_source` may be."""
    if spec is None or isinstance(spec, bool):
        return spec is not False
    if isinstance(spec, str | list | tuple):
        return {"includes": _patterns(spec, "_source"), "excludes": []}
    if not isinstance(spec, dict):
        raise QueryError(
            f"_source: true, false, a pattern, or an array of patterns expected, not {spell(spec)}"
        )
    found: dict[str, list[str]] = {"includes": [], "excludes": []}
    for key, value in spec.items():
        name = {"include": "includes", "exclude": "excludes"}.get(key, key)
        if name not in found:
            raise QueryError(f"_source: unknown key [{key}]; [includes] and [excludes] are known")
        found[name] = _patterns(value, f"_source.{key}")
    return found


def _patterns(value: Json, where: str) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(each, str) for each in values):
        raise QueryError(f"{where}: a pattern or an array of patterns expected, not {spell(value)}")
    if len(values) > PATTERNS_LIMIT or any(len(each) > PATTERN_CHARACTERS_LIMIT for each in values):
        raise LimitExceeded(
            f"{where}: at most {PATTERNS_LIMIT} patterns of {PATTERN_CHARACTERS_LIMIT} characters expected"
        )
    return list(values)


def filter_source(source: Source, spec: Json) -> Source:
    """The parts of a source that `parse_source` chose; the source itself when that is all of it."""
    if spec is True:
        return source
    if spec is False:
        return {}
    includes, excludes = _compiled(tuple(spec["includes"])), _compiled(tuple(spec["excludes"]))
    kept = _filtered(source, "", includes, excludes, not spec["includes"])
    return {} if kept is _NOTHING else kept


@functools.lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> Pattern | None:
    """Matches the paths that any pattern means: itself, and everything inside it. `*` crosses dots."""
    if not patterns:
        return None
    return re.compile("|".join(map(_expression, patterns)), re.DOTALL)


def _expression(pattern: str) -> str:
    """For `match`: the path, or the start of it that ends before a dot.

    Each part between stars is taken where it first occurs, in an atomic group that is never entered again,
    so a path that does not match costs one pass and not one for each way to spread the stars.
    """
    first, *rest = map(re.escape, pattern.split("*"))
    if not rest:
        return rf"{first}(?:\.|\Z)"
    *middle, last = rest
    found = "".join(f"(?>.*?{part})" for part in middle if part)
    return rf"{first}{found}.*?{last}(?:\.|\Z)"


def _filtered(value: Any, path: str, includes: Pattern | None, excludes: Pattern | None, chosen: bool) -> Any:
    """The value without what is left out, `_NOTHING` when that is all; `chosen`: a parent is included
    already."""
    if path:
        if excludes is not None and excludes.match(path):
            return _NOTHING
        chosen = chosen or (includes is not None and includes.match(path) is not None)
    if isinstance(value, dict):
        inner = {
            key: kept
            for key, each in value.items()
            if (kept := _filtered(each, f"{path}.{key}" if path else key, includes, excludes, chosen))
            is not _NOTHING
        }
        # An object that was empty to begin with stays; one that everything was taken from goes.
        return inner if inner or not path or (chosen and not value) else _NOTHING
    if isinstance(value, list):
        if not any(isinstance(each, dict | list) for each in value):
            return value if chosen else _NOTHING
        kept_items = [_filtered(each, path, includes, excludes, chosen) for each in value]
        kept_items = [each for each in kept_items if each is not _NOTHING]
        return kept_items if kept_items or chosen else _NOTHING
    return value if chosen else _NOTHING


def values_at(source: Source, path: str) -> list[Any]:
    """What lies at a dotted path, through objects and arrays and names that hold dots, nulls left out."""
    found: list[Any] = []
    _gather(source, path.split("."), found)
    return found


def _gather(value: Any, parts: list[str], found: list[Any]) -> None:
    if isinstance(value, list):
        for each in value:
            _gather(each, parts, found)
    elif not parts:
        if value is not None:
            found.append(value)
    elif isinstance(value, dict):
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name in value:
                _gather(value[name], parts[end:], found)
