"""What the journals promise: of each id what is certain, and the steps of which some may not have come to be.

A writer's own ids are written by it alone, one operation after the other. So there is a state that is certain,
and after it a sequence of steps, each of which is all or nothing; what a kill leaves is the certain state and the
first few of these steps. With `durability: request` the doubtful steps are those of the one operation that was
under way, with `async` all that came after the writer's last flush.

Shared ids are written by several, on conditions. Of these the claims are kept, and judged together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quidditch.torture import model
from quidditch.torture.documents import SHARED
from quidditch.torture.journal import Action, Done, Failed, Intent, Record, Result, read_journal
from quidditch.torture.model import EFFECTIVE, NEVER, Known
from quidditch.torture.report import Finding

FLUSH = "flush"
"""The operation after which everything that its writer was told is on disk."""


@dataclass(frozen=True, slots=True)
class Step:
    """Actions that are carried out together, when, and what the writer was told; None when it was not."""

    actions: Sequence[Action]
    begun: float
    ended: float
    results: Sequence[Result] | None = None


@dataclass(slots=True)
class Claim:
    """A conditional write to a shared id. `result` is None when nobody was told; `certain` if it cannot be undone."""

    action: Action
    result: Result | None
    certain: bool = False


@dataclass(slots=True)
class LanePromise:
    """Of one writer's own ids by slot: what is certain, and the steps that may follow."""

    sure: dict[int, Known] = field(default_factory=dict)
    doubtful: list[Step] = field(default_factory=list)


@dataclass(slots=True)
class Promise:
    """All that the journals of a round say.

    created:         whether the index is certainly there
    seq_nos:         of every write that was acknowledged
    operations, acknowledged: how many calls began, how many returned
    """

    lanes: dict[int, LanePromise] = field(default_factory=dict)
    claims: dict[int, list[Claim]] = field(default_factory=dict)
    created: bool = False
    seq_nos: list[int] = field(default_factory=list)
    operations: int = 0
    acknowledged: int = 0
    findings: list[Finding] = field(default_factory=list)


class LaneReplay:
    """Follows one writer's journal, which ends with the kill."""

    def __init__(
        self, lane: int, promise: Promise, known: Mapping[int, Known], *, durable: bool, killed_at: float
    ) -> None:
        self._name = f"writer {lane}"
        self._promise = promise
        self._durable = durable
        self._killed_at = killed_at
        self._lane = promise.lanes.setdefault(lane, LanePromise(dict(known)))
        self._now: dict[int, Known] = {}
        self._claims: list[Claim] = []
        self._open: Intent | None = None
        self._last_seq_no = -1

    def follow(self, records: Iterable[Record]) -> None:
        for record in records:
            match record:
                case Intent():
                    self._begin(record)
                case Done():
                    self._acknowledge(record)
                case Failed():
                    self._find("error", record.words)
        self._end()

    def _find(self, kind: str, words: str) -> None:
        self._promise.findings.append(Finding(kind, f"{self._name}: {words}"))  # type: ignore[arg-type]

    def _begin(self, intent: Intent) -> None:
        if self._open is not None:
            self._find("journal", f"operation {intent.number} began before {self._open.number} was done")
        self._open = intent
        self._promise.operations += 1

    def _acknowledge(self, done: Done) -> None:
        intent, self._open = self._open, None
        wanted = 0 if intent is None else sum(map(len, intent.steps))
        if intent is None or intent.number != done.number or len(done.results) != wanted:
            self._find("journal", f"operation {done.number} was acknowledged and not begun like this")
            return
        self._promise.acknowledged += 1
        self._number(done.results)
        start = 0
        for actions in intent.steps:
            results = done.results[start : start + len(actions)]
            start += len(actions)
            self._take(Step(actions, intent.at, done.at, results))
        if self._durable or intent.op == FLUSH:
            self._settle()

    def _number(self, results: Sequence[Result]) -> None:
        """Sequence numbers of one writer rise; that no two writers got the same is looked at in the end."""
        for result in results:
            if result.outcome in EFFECTIVE and result.seq_no is not None:
                if result.seq_no <= self._last_seq_no:
                    words = f"a write got sequence number {result.seq_no} after one got {self._last_seq_no}"
                    self._find("version", words)
                self._last_seq_no = result.seq_no
                self._promise.seq_nos.append(result.seq_no)

    def _take(self, step: Step) -> None:
        if is_shared(step):
            self._claim(step)
            return
        self._lane.doubtful.append(step)
        for action, result in zip(step.actions, step.results or (), strict=True):
            before = self._now.get(action.slot) or self._lane.sure.get(action.slot, NEVER)
            after, outcome = model.carry_out(before, action, step.begun, step.ended)
            wrong = model.disagreement(after, outcome, result)
            if wrong is not None:
                self._find("version", f"{action.verb} of {action.lane}-{action.slot}: {wrong}")
            self._now[action.slot] = model.told(after, result)

    def _claim(self, step: Step) -> None:
        results: Sequence[Result | None] = step.results or [None] * len(step.actions)
        for action, result in zip(step.actions, results, strict=True):
            if result is None or result.outcome in EFFECTIVE:
                claim = Claim(action, result)
                self._claims.append(claim)
                self._promise.claims.setdefault(action.slot, []).append(claim)

    def _settle(self) -> None:
        """What was acknowledged so far is certain."""
        self._lane.sure.update(self._now)
        self._lane.doubtful.clear()
        self._now.clear()
        for claim in self._claims:
            claim.certain = True
        self._claims.clear()

    def _end(self) -> None:
        """The operation that was under way, if any, may have come to be as far as some step."""
        if self._open is None:
            return
        for actions in self._open.steps:
            step = Step(actions, self._open.at, self._killed_at)
            if is_shared(step):
                self._claim(step)
            else:
                self._lane.doubtful.append(step)


def promise_of(
    folder: Path, known: Mapping[int, Mapping[int, Known]], *, durable: bool, killed_at: float
) -> Promise:
    """What the journals in a folder promise, of an index of which so much is known by lane and slot.

    raises: DamagedJournal
    """
    promise = Promise()
    for path in sorted(folder.glob("process-*.jsonl")):
        _follow_process(read_journal(path), promise)
    written = {int(path.stem.removeprefix("lane-")): path for path in folder.glob("lane-*.jsonl")}
    for lane in sorted({*known, *written} - {SHARED}):
        replay = LaneReplay(lane, promise, known.get(lane, {}), durable=durable, killed_at=killed_at)
        replay.follow(read_journal(written[lane]) if lane in written else ())
    return promise


def _follow_process(records: Iterable[Record], promise: Promise) -> None:
    """A process says when the index was made, which is all it does itself, and what its searcher came upon."""
    for record in records:
        match record:
            case Intent():
                promise.operations += 1
            case Done():
                promise.acknowledged += 1
                promise.created = True
            case Failed():
                promise.findings.append(Finding("error", record.words))


def is_shared(step: Step) -> bool:
    return any(action.lane == SHARED for action in step.actions)


def numbers_used_twice(promise: Promise, highest: int, durable: bool) -> list[Finding]:
    """Sequence numbers that two writes of a round got, or that were taken before it.

    A number whose write was lost, as `async` allows, may be given again by another process.
    """
    wrong: list[Finding] = []
    known: set[int] = set()
    for seq_no in promise.seq_nos:
        if (durable and seq_no in known) or seq_no <= highest:
            wrong.append(Finding("version", f"sequence number {seq_no} was given twice"))
        known.add(seq_no)
    return wrong
