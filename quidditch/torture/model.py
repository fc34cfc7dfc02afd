"""What an id holds after an action, told without an index."""

from __future__ import annotations

from dataclasses import dataclass, replace

from quidditch.torture.documents import Content
from quidditch.torture.journal import Action, Result

DELETE_MEMORY_S = 60.0
"""How long the version of a deleted id is remembered."""

CLOCK_SLACK_S = 2.0

CREATED, UPDATED, DELETED, NOT_FOUND = "created", "updated", "deleted", "not_found"
WRITTEN = "written"
"""The outcome where the call does not tell which of "created" and "updated" it was."""

CONFLICT, MISSING, REFUSED = "conflict", "missing", "refused"
EFFECTIVE = frozenset({CREATED, UPDATED, DELETED, NOT_FOUND, WRITTEN})
"""Outcomes that came with a sequence number and a version."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an id: its content, None without a document, and the numbers of its last write.

    versions:    those that are possible; more than one when it depends on whether a delete was forgotten
    seq_no:      None when the writer was not told
    deleted_at:  the earliest moment from which the delete's memory may run
    """

    content: Content | None = None
    versions: frozenset[int] = frozenset({0})
    seq_no: int | None = None
    deleted_at: float | None = None


NEVER = Known()
"""An id that was never written."""


def carry_out(known: Known, action: Action, begun: float, ended: float) -> tuple[Known, str]:
    """(what is known after an action that ran between these moments, its outcome)"""
    content = known.content
    if action.verb == "refused":
        return known, REFUSED
    if action.verb == "create" and content is not None:
        return known, CONFLICT
    if action.verb == "update" and content is None:
        return known, MISSING
    versions = _next_versions(known, ended)
    if action.verb == "delete":
        return Known(None, versions, None, begun), NOT_FOUND if content is None else DELETED
    if content is None:
        return Known((action.serial, None), versions), CREATED
    if action.verb in ("update", "upsert"):
        return Known((content[0], action.serial), versions), UPDATED
    return Known((action.serial, None), versions), UPDATED


def _next_versions(known: Known, ended: float) -> frozenset[int]:
    after = frozenset(version + 1 for version in known.versions)
    forgotten = known.deleted_at is not None and ended - known.deleted_at > DELETE_MEMORY_S - CLOCK_SLACK_S
    return after | {1} if forgotten else after


def disagreement(known: Known, outcome: str, result: Result) -> str | None:
    """How what a writer was told differs from what must have become of its action; None when it does not."""
    if result.outcome != outcome and not (result.outcome == WRITTEN and outcome in (CREATED, UPDATED)):
        return f"it was told {result.outcome!r} and {outcome!r} is right"
    if outcome in EFFECTIVE and result.version is not None and result.version not in known.versions:
        return f"it was told version {result.version} and {_listed(known.versions)} is right"
    return None


def told(known: Known, result: Result) -> Known:
    """What is known with the numbers that the writer was told."""
    if result.outcome not in EFFECTIVE or result.version is None:
        return known
    return replace(known, versions=frozenset({result.version}), seq_no=result.seq_no)


def either(one: Known, other: Known) -> Known:
    """What is known when it is one of the two: the other, with the versions of both where no document tells."""
    if one.content is not None or other.content is not None or one == other:
        return other
    moments = [at for at in (one.deleted_at, other.deleted_at) if at is not None]
    return Known(None, one.versions | other.versions, None, min(moments, default=None))


def _listed(versions: frozenset[int]) -> str:
    return " or ".join(map(str, sorted(versions)))
