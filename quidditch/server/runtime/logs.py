"""Lines of JSON on standard error, each with the request that it is about."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec

from quidditch.errors import RequestError
from quidditch.interface import Database

REQUEST: ContextVar[Mapping[str, Any]] = ContextVar("quidditch_request", default={})  # noqa: B039  # read only
"""What is known of the request that this thread or task works for: `request_id`, `opaque_id`."""

SHOWN_BYTES = 1_000
"""Of a request's body in a slow log."""

slow_log = logging.getLogger("quidditch.slow")


class JsonLines(logging.Formatter):
    """One object a line: `@timestamp`, `level`, `logger`, `message`, `pid`, the request, and the record's `data`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
            **REQUEST.get(),
            **getattr(record, "data", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["stack_trace"] = "".join(traceback.format_exception(record.exc_info[1]))
        return msgspec.json.encode(line).decode()


LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def log_as_json(level: str = "warning") -> None:
    """Write what the server logs to standard error, from a level on; "info" has a line for every request.

    raises: RequestError   a level that is none
    """
    if level not in LEVELS:
        raise RequestError(f"log level [{level}]: one of {', '.join(LEVELS)} expected")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("quidditch", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(LEVELS[level])
    # A line for every connection says nothing that the request's own does not.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, LEVELS[level]))


# ------------------------------------------------------------------------------------------------------ slow logs

_SLOW_LEVELS = {"warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG, "trace": logging.DEBUG}
_SETTINGS = {"search": "search.slowlog.threshold.query", "write": "indexing.slowlog.threshold.index"}
_UNITS_S = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class SlowLog:
    """Lines for searches and writes that took longer than the settings of an index allow.

    `index.search.slowlog.threshold.query.warn` and `index.indexing.slowlog.threshold.index.warn`, also `info`,
    `debug` and `trace`; the level only says how the line is marked. A change of settings holds after a second.
    """

    LOOK_EVERY_S = 1.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._looked_s = float("-inf")
        self._thresholds: dict[tuple[str, str], list[tuple[float, int]]] = {}

    def look(self, op: str, index: str | None, seconds: float, data: Mapping[str, Any]) -> bool:
        """Write a line if it is due; whether it was. `op` is "search" or "write"; without an index, any of them."""
        thresholds = self._now()
        if not thresholds:
            return False
        names = index.split(",") if index else []
        due = [
            level
            for (kind, name), levels in thresholds.items()
            if kind == op and (not names or any(_covers(part, name) for part in names))
            for threshold_s, level in levels
            if seconds >= threshold_s
        ]
        if not due:
            return False
        words = f"slow {op}: {seconds * 1000:.0f} ms on [{index or '_all'}]"
        extra = {"data": {"took_ms": round(seconds * 1000, 3), "indices": index or "_all", **data}}
        slow_log.log(max(due), words, extra=extra)
        return True

    def _now(self) -> dict[tuple[str, str], list[tuple[float, int]]]:
        now_s = time.monotonic()
        with self._lock:
            if now_s - self._looked_s < self.LOOK_EVERY_S:
                return self._thresholds
            self._looked_s = now_s
        found: dict[tuple[str, str], list[tuple[float, int]]] = {}
        for name, info in self._database.describe().items():
            for op, setting in _SETTINGS.items():
                for word, level in _SLOW_LEVELS.items():
                    seconds = threshold_of(info.settings.get(f"{setting}.{word}"))
                    if seconds is not None:
                        found.setdefault((op, name), []).append((seconds, level))
        self._thresholds = found
        return found


def threshold_of(value: Any) -> float | None:
    """Seconds; None for what is no threshold, such as -1.

    >>> threshold_of("500ms"), threshold_of("-1"), threshold_of("0ms")
    (0.5, None, 0.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(nanos|micros|ms|s|m|h|d)", str(value))
    return float(found[1]) * _UNITS_S[found[2]] if found else None


def _covers(part: str, name: str) -> bool:
    return part == "_all" or re.fullmatch(".*".join(map(re.escape, part.split("*"))), name) is not None
