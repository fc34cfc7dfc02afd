"""How many copies of a shard must serve before it is written to: `wait_for_active_shards`, which a cluster heeds.

A directory has one copy, which serves. What a request says goes before what the index's settings say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from quidditch.errors import RequestError
from quidditch.types import Json

SETTING = "write.wait_for_active_shards"

WAIT_S = 60.0
"""How long it is waited for them, where a request says nothing about it."""


@dataclass(slots=True)
class Demand:
    """How many copies (None: all), for how long at most they are waited for, and whether they came, where it is no
    error that they did not."""

    copies: int | None = 1
    timeout_s: float = WAIT_S
    met: bool = True

    def of(self, replicas: int) -> int:
        """How many of a shard with so many replicas."""
        return 1 + replicas if self.copies is None else self.copies


_asked: ContextVar[Demand | None] = ContextVar("active_copies", default=None)


def parse_copies(value: Json, name: str) -> int | None:
    """The number, or None for "all".

    raises: RequestError   naming whose value it is
    >>> parse_copies("all", "wait_for_active_shards"), parse_copies("2", "wait_for_active_shards")
    (None, 2)
    """
    if value in ("all", "-1", -1):
        return None
    if isinstance(value, bool) or re.fullmatch(r"[0-9]{1,4}", str(value)) is None:
        raise RequestError(f'{name}: "all", or a number of copies from 0 on, expected, not {value!r:.40}')
    return int(str(value))


@contextmanager
def demanding(demand: Demand) -> Iterator[None]:
    """Have the writes of this thread in the block wait for these copies, whatever the settings say."""
    token = _asked.set(demand)
    try:
        yield
    finally:
        _asked.reset(token)


def demanded(settings: Mapping[str, Json]) -> Demand:
    """What counts for a write now: to an index of these settings."""
    asked = _asked.get()
    if asked is not None:
        return asked
    value = settings.get(SETTING)
    return Demand() if value is None else Demand(parse_copies(value, f"settings: {SETTING}"))
