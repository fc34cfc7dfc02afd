"""Values of a body, read by type: whatever a client sends in their place is refused by name."""

from __future__ import annotations

import sys
from typing import Any

from quidditch.server.failures import RestError


def expression_of(value: Any, name: str) -> str:
    """An index expression, which may be a list of them.

    >>> expression_of(["logs-*", "-logs-old"], "index")
    'logs-*,-logs-old'

    raises: RestError
    """
    return ",".join(names_of(value, name))


def names_of(value: Any, name: str) -> list[str]:
    """raises: RestError   for what is neither a name nor a list of names"""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise _expected(name, "a name or a list of names", value)
    return names


def list_of(value: Any, name: str) -> list[Any]:
    """raises: RestError"""
    if not isinstance(value, list):
        raise _expected(name, "a list", value)
    return value


def object_of(value: Any, name: str) -> dict[str, Any]:
    """raises: RestError"""
    if not isinstance(value, dict):
        raise _expected(name, "an object", value)
    return value


def count_of(value: Any, name: str) -> int | None:
    """A number of documents; None where none is given.

    raises: RestError   for less than none, and for more than can be counted
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= sys.maxsize:
        raise _expected(name, "a number of documents", value)
    return value


def _expected(name: str, what: str, value: Any) -> RestError:
    return RestError(f"[{name}]: {what} expected, not {str(value)[:100]}", 400, "parsing_exception")
