"""Aliases as OpenSearch shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from quidditch.interface import IndexInfo
from quidditch.patterns import matches


def aliases_body(info: IndexInfo) -> dict[str, Any]:
    return {alias: dict(options) for alias, options in info.aliases.items()}


def matching(aliases: Iterable[str], patterns: list[str]) -> list[str]:
    """The aliases that patterns mean, in order; one with `-` before it takes away, after a pattern."""
    known = list(aliases)
    found: list[str] = []
    seen_pattern = False
    for pattern in patterns:
        if pattern.startswith("-") and seen_pattern:
            found = [name for name in found if not matches(name, pattern[1:])]
            continue
        pattern = "*" if pattern == "_all" else pattern
        seen_pattern = seen_pattern or "*" in pattern
        found += [name for name in known if matches(name, pattern) and name not in found]
    return found
