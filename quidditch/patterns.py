"""Patterns of names, in which `*` stands for anything, also for nothing. Every other character stands for itself."""

from __future__ import annotations

import re
from functools import lru_cache


def matches(name: str, pattern: str) -> bool:
    """Whether a name is one of those that a pattern stands for.

    >>> matches("logs-2026", "logs-*"), matches("logs", "logs-*"), matches("a", "[ab]"), matches("a[b]", "a[*")
    (True, False, False, True)
    """
    if "*" not in pattern:
        return name == pattern
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(1_024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Stars in a row mean no more than one, and would be tried in every division of the name between them.
    return re.compile(".*".join(map(re.escape, re.split(r"\*+", pattern))), re.DOTALL)
