"""What was promised against what is there. Pure: journals in, observation in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from quidditch.torture import shared
from quidditch.torture.documents import SHARED, Content, document_id, lane_of, slot_of
from quidditch.torture.expectation import LanePromise, Promise, Step, numbers_used_twice
from quidditch.torture.journal import Result
from quidditch.torture.model import NEVER, Known, carry_out, either, told
from quidditch.torture.observation import ASYNC, Observation, Ranking, Seen
from quidditch.torture.report import Finding, Kind


@dataclass(slots=True)
class State:
    """What is known of an index between two rounds.

    lanes:           what each lane's ids hold, by slot
    durable:         whether an acknowledgement is a promise, or only one before a flush
    highest_seq_no:  the highest sequence number that is taken
    """

    lanes: dict[int, dict[int, Known]] = field(default_factory=dict)
    created: bool = False
    durable: bool = True
    highest_seq_no: int = -1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, and what the next round begins from when nothing is."""

    findings: list[Finding]
    state: State


def judge(state: State, promise: Promise, observation: Observation) -> Verdict:
    """Compare what is there with the state before the round and the promises of the round."""
    created = state.created or promise.created
    durable = observation.durability != ASYNC
    findings = [*promise.findings, *numbers_used_twice(promise, state.highest_seq_no, durable)]
    if not observation.exists:
        if created:
            findings.append(Finding("lost", "the index, whose creation was acknowledged, is not there"))
        return Verdict(findings, State())
    findings += disagreements(observation)
    found, foreign = by_lane(observation.documents, known={SHARED, *promise.lanes})
    findings += foreign
    after = State({}, True, durable)
    for lane, own in promise.lanes.items():
        after.lanes[lane], wrong = judge_lane(lane, own, found.get(lane, {}))
        findings += wrong
    before = state.lanes.get(SHARED, {})
    after.lanes[SHARED], wrong = shared.judge(before, promise.claims, found.get(SHARED, {}), durable)
    findings += wrong
    present = [seen.seq_no for seen in observation.documents]
    given = promise.seq_nos if durable else []
    after.highest_seq_no = max([state.highest_seq_no, *present, *given])
    return Verdict(findings, after)


def by_lane(documents: Sequence[Seen], known: set[int]) -> tuple[dict[int, dict[int, Seen]], list[Finding]]:
    """(documents by lane and slot, those that are nobody's)"""
    found: dict[int, dict[int, Seen]] = {}
    foreign: list[Finding] = []
    for seen in documents:
        place = slot_of(seen.id)
        if place is None or place[0] not in known:
            foreign.append(Finding("foreign", f"[{seen.id:.40}] is there, and no writer has such an id"))
        else:
            found.setdefault(place[0], {})[place[1]] = seen
    return found, foreign


# ------------------------------------------------------------------------------------------- one writer's ids


class _Prefix:
    """The certain state and the first so many of the doubtful steps, held against what is there."""

    def __init__(self, sure: Mapping[int, Known], found: Mapping[int, Seen]) -> None:
        self.known = dict(sure)
        self._found = found
        self.wrong = {slot for slot in {*sure, *found} if not fits(self.of(slot), found.get(slot))}

    def of(self, slot: int) -> Known:
        return self.known.get(slot, NEVER)

    def take(self, step: Step) -> None:
        results: Sequence[Result | None] = step.results or [None] * len(step.actions)
        for action, result in zip(step.actions, results, strict=True):
            after, _ = carry_out(self.of(action.slot), action, step.begun, step.ended)
            self.known[action.slot] = after if result is None else told(after, result)
        for slot in {action.slot for action in step.actions}:
            self.wrong.discard(slot)
            if not fits(self.of(slot), self._found.get(slot)):
                self.wrong.add(slot)


def judge_lane(
    lane: int, promise: LanePromise, found: Mapping[int, Seen]
) -> tuple[dict[int, Known], list[Finding]]:
    """(what is known of the lane's ids now, what is wrong with them)

    Of all numbers of steps that may have come to be, the one that explains most counts; of several that explain
    as much the last, except that an id without a document may have the versions of them all.
    """
    prefix = _Prefix(promise.sure, found)
    best, wrong = dict(prefix.known), set(prefix.wrong)
    for step in promise.doubtful:
        prefix.take(step)
        if len(prefix.wrong) < len(wrong):
            best, wrong = dict(prefix.known), set(prefix.wrong)
        elif len(prefix.wrong) == len(wrong):
            wrong = set(prefix.wrong)
            best |= {slot: either(best.get(slot, NEVER), known) for slot, known in prefix.known.items()}
    underway = {action.slot for step in promise.doubtful for action in step.actions}
    findings = [
        _explain(lane, slot, best.get(slot, NEVER), found.get(slot), slot in underway)
        for slot in sorted(wrong)
    ]
    return {slot: _as_found(known, found.get(slot)) for slot, known in best.items()}, findings


def fits(known: Known, seen: Seen | None) -> bool:
    """Whether what is there is what is known."""
    if known.content is None or seen is None:
        return known.content is None and seen is None
    return (
        seen.intact
        and (seen.serial, seen.patch) == known.content
        and seen.version in known.versions
        and known.seq_no in (None, seen.seq_no)
    )


def _as_found(known: Known, seen: Seen | None) -> Known:
    if seen is None:
        return known
    return Known((seen.serial, seen.patch), frozenset({seen.version}), seen.seq_no)


def _explain(lane: int, slot: int, known: Known, seen: Seen | None, underway: bool) -> Finding:
    return Finding(
        _kind(lane, known, seen, underway),
        f"[{document_id(lane, slot):.40}]: {_words(seen)} is there, {_promised(known)} was promised",
    )


def _kind(lane: int, known: Known, seen: Seen | None, underway: bool) -> Kind:
    if seen is not None and seen.intact and (seen.serial, seen.patch) == known.content:
        return "version"
    if seen is not None and seen.intact and lane_of(seen.serial) != lane:
        return "foreign"
    return "torn" if underway or not (seen is None or seen.intact) else "lost"


def _words(seen: Seen | None) -> str:
    if seen is None:
        return "nothing"
    mixed = "" if seen.intact else ", mixed with something else,"
    return f"{_name((seen.serial, seen.patch))}{mixed} (version {seen.version}, number {seen.seq_no})"


def _promised(known: Known) -> str:
    if known.content is None:
        return "nothing"
    versions = " or ".join(map(str, sorted(known.versions)))
    number = "" if known.seq_no is None else f", number {known.seq_no}"
    return f"{_name(known.content)} (version {versions}{number})"


def _name(content: Content) -> str:
    return f"document {content[0]}" + ("" if content[1] is None else f" changed by {content[1]}")


# ------------------------------------------------------------------------------- the index against itself


def disagreements(observation: Observation) -> list[Finding]:
    """Where two ways to read the index tell different things, its own check included."""
    findings = [Finding("check", problem) for problem in observation.problems or ()]
    findings += [Finding("disagreement", words) for words in _unequal(observation)]
    for ranking in observation.rankings:
        findings += [Finding("scores", words) for words in _different(ranking)]
    return findings


def _unequal(observation: Observation) -> Iterator[str]:
    there = len(observation.documents)
    for name, number in (
        ("len", observation.length),
        ("count", observation.counted),
        ("stats", observation.in_stats),
        ("scan", len(observation.scanned)),
    ):
        if number != there:
            yield f"{name} says {number:,} documents, and {there:,} can be read"
    numbers = {seen.id: seen.seq_no for seen in observation.documents}
    odd = {id for id in observation.asked if (id in numbers) != (id in observation.contained)}
    if odd:
        yield f"{_some(odd)}: `in` and `get` tell different things"
    read = {(seen.id, seen.serial, seen.patch) for seen in observation.documents}
    scanned = set(observation.scanned)
    if read != scanned:
        yield f"{_some({id for id, _, _ in read ^ scanned})}: `scan` and `get` tell different things"
    order = [numbers.get(id, -1) for id, _, _ in observation.scanned]
    if order != sorted(set(order)):
        yield "`scan` does not stream in the order of the last writes"


def _different(ranking: Ranking) -> Iterator[str]:
    if ranking.own_total != ranking.fresh_total:
        yield f"{ranking.query}: {ranking.own_total} hits, {ranking.fresh_total} in a fresh index"
    if ranking.own != ranking.fresh:
        yield f"{ranking.query}: hits differ from a fresh index's: {ranking.own[:3]}, {ranking.fresh[:3]}"


def _some(ids: set[str]) -> str:
    shown = ", ".join(f"[{id:.40}]" for id in sorted(ids)[:5])
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5:,} more"
