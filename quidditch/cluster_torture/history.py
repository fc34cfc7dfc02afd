"""What clients of a cluster did and were told, as events; the time of all of them is one clock's.

A write is told by its serial, which no other write of the campaign has: whoever reads a document sees whose write it
is. Between its `called_s` and its `returned_s` a call may have taken effect; one whose outcome is unknown may
take effect at any time after it was called, once, or never.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

Verb: TypeAlias = Literal["index", "create", "update", "delete"]

Outcome: TypeAlias = Literal["ok", "refused", "unknown"]


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One write of one document.

    serial:     no other write has it; 0 for a delete
    if_seq_no:  the condition that it was made under
    outcome:    `refused` by a conflict, a missing document or for want of room: it has no effect, now or ever
    version, seq_no:  as acknowledged; 0 otherwise
    """

    session: int
    id: str
    verb: Verb
    serial: int
    called_s: float
    returned_s: float
    outcome: Outcome
    if_seq_no: int | None = None
    version: int = 0
    seq_no: int = -1
    error: str = ""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One document as it was read; `serial` is None where there was none."""

    session: int
    id: str
    called_s: float
    returned_s: float
    serial: int | None
    version: int = 0
    seq_no: int = -1


Event: TypeAlias = Write | Read


class State(msgspec.Struct, frozen=True):
    """A document of one copy: whose write it is, and what it was given."""

    serial: int
    version: int
    seq_no: int


class IdHistory:
    """All that happened to one id. `acknowledged` is in the order of the shard."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.acknowledged: list[Write] = []
        self.unknown: list[Write] = []
        self.refused: list[Write] = []
        self.reads: list[Read] = []

    def writes(self) -> list[Write]:
        """Those that have taken effect, or may have."""
        return [*self.acknowledged, *self.unknown]


def by_id(events: Iterable[Event]) -> dict[str, IdHistory]:
    """The events of each id."""
    found: dict[str, IdHistory] = {}
    for event in events:
        own = found.setdefault(event.id, IdHistory(event.id))
        if isinstance(event, Read):
            own.reads.append(event)
        elif event.outcome == "ok":
            own.acknowledged.append(event)
        elif event.outcome == "unknown":
            own.unknown.append(event)
        else:
            own.refused.append(event)
    for own in found.values():
        own.acknowledged.sort(key=lambda write: write.seq_no)
        own.reads.sort(key=lambda read: read.returned_s)
    return found
