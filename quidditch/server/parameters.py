"""The query string of a request, read by type."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from rapidfuzz import process

from quidditch.server.failures import RestError

COMMON = frozenset(
    ("pretty", "human", "error_trace", "filter_path", "format", "source", "source_content_type")
)
"""Parameters that every route takes."""

_TIME = re.compile(r"(\d+)(nanos|micros|ms|s|m|h|d)")
_SECONDS = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Parameters:
    """The parameters of one request. A reading that does not fit its type is a RestError naming the parameter."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def check(self, path: str, known: Collection[str]) -> None:
        """raises: RestError   naming each parameter that is not known, and the nearest that is"""
        unknown = sorted(self._values.keys() - known - COMMON)
        if not unknown:
            return
        told = [f"[{name}]{_nearest(name, known)}" for name in unknown]
        noun = "parameter" if len(told) == 1 else "parameters"
        raise RestError(f"request [{path}] contains unrecognized {noun}: {', '.join(told)}")

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        """A parameter without a value says true."""
        value = self._values.get(name)
        if value is None:
            return default
        if value in ("", "true"):
            return True
        if value == "false":
            return False
        raise RestError(f"[{name}]: Failed to parse value [{value}] as only [true] or [false] are allowed.")

    def integer(self, name: str) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        if re.fullmatch(r"[+-]?\d{1,19}", value) is None:
            raise RestError(f"Failed to parse int parameter [{name}] with value [{value}]")
        return int(value)

    def number(self, name: str) -> float | None:
        value = self._values.get(name)
        if value is None:
            return None
        if re.fullmatch(r"[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})([eE][+-]?\d{1,2})?", value, re.ASCII) is None:
            raise RestError(f"Failed to parse float parameter [{name}] with value [{value}]")
        return float(value)

    def names(self, name: str) -> list[str] | None:
        """A list with commas."""
        value = self._values.get(name)
        return None if value is None else [part for part in value.split(",") if part]

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        value = self._values.get(name, default)
        if value not in allowed:
            raise RestError(f"[{name}]: one of [{', '.join(allowed)}] expected, not [{value}]")
        return value

    def seconds(self, name: str) -> float | None:
        value = self._values.get(name)
        return None if value is None else seconds_of(value, name)


def seconds_of(value: object, name: str) -> float:
    """Seconds of a time as OpenSearch spells it: a number and a unit.

    >>> seconds_of("500ms", "timeout"), seconds_of("2m", "timeout")
    (0.5, 120.0)
    """
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise RestError(
            f"failed to parse setting [{name}] with value [{value}] as a time value: unit is missing or unrecognized"
        )
    return float(found[1]) * _SECONDS[found[2]]


def _nearest(name: str, known: Collection[str]) -> str:
    found = process.extractOne(
        name[:100], sorted(known | COMMON if isinstance(known, frozenset) else known), score_cutoff=60
    )
    return f" -> did you mean [{found[0]}]?" if found else ""
