"""What the fields of several indices can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quidditch.patterns import matches


def flat_fields(mappings: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, mapping) of every field with values, multi-fields included."""
    for name, inner in mappings.get("properties", {}).items():
        path = f"{above}{name}"
        if "properties" in inner or inner.get("type") == "object":
            yield from flat_fields(inner, f"{path}.")
            continue
        yield path, inner
        for multi, mapping in inner.get("fields", {}).items():
            yield f"{path}.{multi}", mapping


def capabilities(mappings: dict[str, dict[str, Any]], patterns: list[str], unmapped: bool) -> dict[str, Any]:
    """By field and type: whether it can be searched and aggregated, and in which indices where that differs.

    mappings:  of each index
    unmapped:  also tell in which indices a field is not there
    """
    kinds: dict[str, dict[str, dict[str, tuple[bool, bool]]]] = {}
    for index, mapping in mappings.items():
        for path, field in flat_fields(mapping):
            if any(matches(path, pattern) for pattern in patterns):
                able = (field.get("index", True) is not False, _aggregatable(field))
                kinds.setdefault(path, {}).setdefault(field["type"], {})[index] = able
    if unmapped:
        for types in kinds.values():
            lacking = mappings.keys() - {index for having in types.values() for index in having}
            if lacking:
                types["unmapped"] = dict.fromkeys(sorted(lacking), (False, False))
    return {path: _types(types) for path, types in sorted(kinds.items())}


def _aggregatable(field: dict[str, Any]) -> bool:
    return field["type"] != "text" and field.get("doc_values", True) is not False


def _types(types: dict[str, dict[str, tuple[bool, bool]]]) -> dict[str, Any]:
    return {kind: _type(kind, having, several=len(types) > 1) for kind, having in types.items()}


def _type(kind: str, having: dict[str, tuple[bool, bool]], several: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": kind,
        "searchable": all(able[0] for able in having.values()),
        "aggregatable": all(able[1] for able in having.values()),
    }
    if several:
        body["indices"] = list(having)
    for place, name in enumerate(("non_searchable_indices", "non_aggregatable_indices")):
        lacking = [index for index, able in having.items() if not able[place]]
        if 0 < len(lacking) < len(having):
            body[name] = lacking
    return body
