"""`filter_path`: the parts of a body that were asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from quidditch.server.failures import RestError

Pattern = tuple[str, ...]

LONGEST = 4096
"""Characters of an expression: what it costs grows with them, for each key of a body."""


def filter_body(body: Any, expression: str) -> Any:
    """The body with only the paths that an expression names, or without those it excludes by `-`.

    >>> filter_body({"took": 1, "hits": {"total": 2, "hits": [{"_id": "a", "_score": 1.0}]}}, "hits.hits._id")
    {'hits': {'hits': [{'_id': 'a'}]}}
    >>> filter_body({"took": 1, "hits": {"total": 2}}, "-hits.total,-took")
    {}

    raises: RestError   for more than LONGEST characters
    """
    if len(expression) > LONGEST:
        raise RestError(f"[filter_path]: {len(expression)} characters; {LONGEST} at most")
    parts = [part.strip() for part in expression.split(",") if part.strip()]
    included = [_pattern(part) for part in parts if not part.startswith("-")]
    excluded = [_pattern(part[1:]) for part in parts if part.startswith("-")]
    if excluded:
        body = _without(body, excluded)
    if included:
        body = _only(body, included)
    return {} if body is None else body


def _pattern(path: str) -> Pattern:
    parts = [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", path)]
    # `**.**` says no more than `**`.
    return tuple(
        part for place, part in enumerate(parts) if part != "**" or parts[place - 1 : place] != ["**"]
    )


def _step(patterns: Sequence[Pattern], key: str) -> tuple[bool, list[Pattern]]:
    """Whether a pattern ends at the key, and what is left of those that go on."""
    ended, left = False, []
    for pattern in patterns:
        if not pattern:
            continue
        if pattern[0] == "**":
            left.append(pattern)
            inner_ended, inner = _step([pattern[1:]], key) if len(pattern) > 1 else (True, [])
            ended |= inner_ended
            left += inner
        elif _matches(pattern[0], key):
            ended |= len(pattern) == 1
            left += [pattern[1:]] if len(pattern) > 1 else []
    # Each once: two ways to the same rest are one, or they would double at every key.
    return ended, list(dict.fromkeys(left))


def _matches(pattern: str, key: str) -> bool:
    if "*" not in pattern:
        return pattern == key
    first, *between = pattern.split("*")
    last = between.pop()
    if not (key.startswith(first) and key.endswith(last)):
        return False
    # The earliest place of each piece leaves most for the next: no way has to be tried twice.
    place, end = len(first), len(key) - len(last)
    for piece in between:
        place = key.find(piece, place, end)
        if place < 0:
            return False
        place += len(piece)
    return place <= end


def _only(value: Any, patterns: Sequence[Pattern]) -> Any:
    """None where nothing of the value is left."""
    if isinstance(value, list):
        kept = [part for item in value if (part := _only(item, patterns)) is not None]
        return kept or None
    if not isinstance(value, dict):
        return None
    found = {}
    for key, inner in value.items():
        ended, left = _step(patterns, str(key))
        part = inner if ended else _only(inner, left) if left else None
        if ended or part is not None:
            found[key] = part
    return found or None


def _without(value: Any, patterns: Sequence[Pattern]) -> Any:
    """None where an object or list had something, and nothing of it is left."""
    if isinstance(value, list):
        kept = [part for item in value if (part := _without(item, patterns)) is not None]
        return kept if kept or not value else None
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        ended, left = _step(patterns, str(key))
        if ended:
            continue
        part = _without(inner, left) if left else inner
        if part is not None or inner is None:
            found[key] = part
    return found if found or not value else None
