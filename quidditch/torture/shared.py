"""The verdict on shared ids: conditional writes of several writers, of which each builds on one before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quidditch.torture.documents import SHARED, Content, document_id
from quidditch.torture.expectation import Claim
from quidditch.torture.journal import Action
from quidditch.torture.model import NEVER, Known
from quidditch.torture.observation import Seen
from quidditch.torture.report import Finding, Kind


@dataclass(frozen=True, slots=True)
class _Write:
    """A write that was acknowledged: what it left, and its numbers."""

    content: Content | None
    version: int
    seq_no: int
    certain: bool


def judge(
    before: Mapping[int, Known],
    claims: Mapping[int, Sequence[Claim]],
    found: Mapping[int, Seen],
    durable: bool,
) -> tuple[dict[int, Known], list[Finding]]:
    """(what is known of the shared ids now, what is wrong with them)"""
    after: dict[int, Known] = {}
    findings: list[Finding] = []
    for slot in sorted({*before, *claims, *found}):
        known = before.get(slot, NEVER)
        own = claims.get(slot, ())
        # Of writes that were lost with a process, another process may repeat the condition.
        findings += _won_twice(slot, own) if durable else []
        after[slot], wrong = _judge_one(slot, known, own, found.get(slot), durable)
        findings += wrong
    return after, findings


def _won_twice(slot: int, claims: Sequence[Claim]) -> list[Finding]:
    """A condition names one write, and one successor at most can follow it."""
    winners: dict[int, Action] = {}
    wrong: list[Finding] = []
    for claim in claims:
        number = claim.action.if_seq_no
        if claim.result is None or number is None:
            continue
        if number in winners:
            serials = f"{winners[number].serial} and {claim.action.serial}"
            wrong.append(_finding("conflict", slot, f"writes {serials} both replaced write number {number}"))
        winners[number] = claim.action
    return wrong


def _judge_one(
    slot: int, before: Known, claims: Sequence[Claim], seen: Seen | None, durable: bool
) -> tuple[Known, list[Finding]]:
    writes = _acknowledged(before, claims)
    last = writes[-1]
    pending = [claim.action for claim in claims if claim.result is None]
    newest_certain = max(place for place, write in enumerate(writes) if write.certain or durable)
    candidates = writes[newest_certain:]
    if seen is None:
        gone = any(write.content is None for write in candidates)
        deleting = any(_deletes(action) and _may_follow(action, candidates, pending) for action in pending)
        known = Known(None, frozenset({last.version}), candidates[0].seq_no)
        if gone or deleting:
            return known, []
        return known, [_finding("lost", slot, f"nothing is there, {last.content} was acknowledged")]
    known = Known((seen.serial, seen.patch), frozenset({seen.version}), seen.seq_no)
    if not seen.intact:
        return known, [_finding("torn", slot, "its fields are of different documents")]
    return known, _judge_document(slot, candidates, pending, seen)


def _judge_document(
    slot: int, candidates: Sequence[_Write], pending: Sequence[Action], seen: Seen
) -> list[Finding]:
    content = (seen.serial, seen.patch)
    for write in candidates:
        if write.content == content:
            if (write.version, write.seq_no) == (seen.version, seen.seq_no):
                return []
            words = (
                f"version {seen.version} and number {seen.seq_no} are there, "
                f"version {write.version} and number {write.seq_no} were acknowledged"
            )
            return [_finding("version", slot, words)]
    for action in pending:
        if _content(action) == content and _may_follow(action, candidates, pending):
            if seen.seq_no > candidates[0].seq_no:
                return []
            return [_finding("version", slot, f"number {seen.seq_no} was given twice")]
    newest = candidates[-1]
    return [_finding("lost", slot, f"{content} is there, {newest.content} was acknowledged")]


def _acknowledged(before: Known, claims: Sequence[Claim]) -> list[_Write]:
    """The writes that were acknowledged, in the order of their numbers; what was before them comes first."""
    first = _Write(before.content, max(before.versions), -1 if before.seq_no is None else before.seq_no, True)
    told = [
        _Write(_content(claim.action), claim.result.version or 0, claim.result.seq_no or 0, claim.certain)
        for claim in claims
        if claim.result is not None
    ]
    return [first, *sorted(told, key=lambda write: write.seq_no)]


def _content(action: Action) -> Content | None:
    if action.verb == "delete":
        return None
    return (action.serial, None) if action.base is None else (action.base, action.serial)


def _deletes(action: Action) -> bool:
    return action.verb == "delete"


def _may_follow(action: Action, candidates: Sequence[_Write], pending: Sequence[Action]) -> bool:
    """Whether a write that nobody was told of may have come after the first candidate, which is certain.

    Its condition may name a write of another process that nobody was told of either, so any later number will do.
    """
    if action.if_seq_no is not None:
        return action.if_seq_no >= candidates[0].seq_no
    return any(write.content is None for write in candidates) or any(map(_deletes, pending))


def _finding(kind: Kind, slot: int, words: str) -> Finding:
    return Finding(kind, f"[{document_id(SHARED, slot)}]: {words}")
