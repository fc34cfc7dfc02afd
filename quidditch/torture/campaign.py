"""A campaign: rounds, one after the other, each of writers, a kill and a verdict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec

from quidditch.errors import RequestError
from quidditch.torture.documents import LANES
from quidditch.torture.expectation import Promise, promise_of
from quidditch.torture.folder import Folder
from quidditch.torture.journal import DamagedJournal, JournalWatch
from quidditch.torture.observation import ASYNC, Observation, Request
from quidditch.torture.plan import Orders, Plan, plan_round
from quidditch.torture.processes import OBSERVER, WORKLOAD, Child, Spares, await_moment, observe
from quidditch.torture.report import Finding, TortureReport
from quidditch.torture.verdict import State, judge

DEFAULT_MINUTES = 5.0

OPEN_LIMIT_S = 30.0
"""How long opening may take after a kill."""

MOST_FAILURES = 5
"""Rounds with findings after which a campaign ends: more of them say little more."""

MOST_SHOWN = 20
"""Findings of one round that are reported; damage tends to come in hundreds."""

SECOND_LANES = 2
"""Writers in the second process, where a round has one; most of what they write goes to shared ids."""

SECOND_SHARED_WEIGHT = 60

Watch = Callable[[TortureReport], None]


def run(
    folder: str | Path,
    *,
    minutes: float | None = None,
    kills: int | None = None,
    seed: int | None = None,
    threads: int = 4,
    watch: Watch | None = None,
) -> TortureReport:
    """Kill writers on an index in a directory of its own until the time or the number of kills is reached.

    minutes, kills:  whichever is reached first; 5 minutes when neither is given
    seed:            what decides everything but the clock; a new one when none is given
    threads:         writers in the process that is killed
    watch:           is given the report so far after every round

    The directory is removed when nothing was found. Otherwise every round with findings is kept there, and after
    five of them the campaign ends.
    raises: RequestError   a directory that is not empty and not from here, a number out of range
    """
    _check(minutes, kills, threads)
    limit_s = 60 * (DEFAULT_MINUTES if minutes is None and kills is None else minutes or float("inf"))
    with Campaign(
        folder, seed=random.randrange(1 << 32) if seed is None else seed, threads=threads
    ) as campaign:
        failures = 0
        while campaign.seconds < limit_s and (kills is None or campaign.report.kills < kills):
            campaign.kill_writers()
            failures += bool(campaign.judge())
            if watch is not None:
                watch(campaign.report)
            if failures == MOST_FAILURES:
                break
        campaign.folder.leave()
        return replace(campaign.report, seconds=campaign.seconds)


def _check(minutes: float | None, kills: int | None, threads: int) -> None:
    if minutes is not None and not minutes > 0:
        raise RequestError(f"torture: minutes: more than 0 expected, not {minutes!r}")
    if kills is not None and kills < 1:
        raise RequestError(f"torture: kills: 1 or more expected, not {kills!r}")
    most = LANES - 1 - SECOND_LANES
    if not 1 <= threads <= most:
        raise RequestError(f"torture: threads: 1 to {most} expected, not {threads!r}")


class Campaign:
    """One index under torture, a round at a time: `kill_writers`, then `judge`. A context manager.

    state:   what is known of the index since the last verdict
    report:  what was found so far
    """

    def __init__(self, folder: str | Path, *, seed: int, threads: int = 4) -> None:
        self.folder = Folder(Path(folder).resolve())
        self.folder.claim(seed)
        self.report = TortureReport(seed)
        self._started = time.monotonic()
        self._lanes = list(range(1, threads + 1))
        self._second_lanes = list(range(threads + 1, threads + 1 + SECOND_LANES))
        self.state = State()
        self._broken = False
        self._killed_at = 0.0
        self._died: list[Finding] = []
        self._spares = Spares()

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        self._spares.close()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def plan(self) -> Plan:
        """What the round at hand does."""
        return plan_round(self.report.seed, self.report.rounds)

    # --------------------------------------------------------------------------------------------- the kill

    def kill_writers(self) -> None:
        """Let the round's writers loose, and kill them when their moment has come."""
        plan = self.plan
        if plan.fresh or self._broken:
            self.folder.clear()
            self.state, self._broken = State(), False
        journals = self.folder.journals(plan.round)
        with ExitStack() as living:
            first = living.enter_context(self._spares.take(WORKLOAD))
            second = None if plan.second_s is None else living.enter_context(self._spares.take(WORKLOAD))
            first.begin(self._orders(plan, self._lanes))
            if second is not None:
                second.begin(self._orders(plan, self._second_lanes))
            hung = await_moment(plan.kill, JournalWatch(journals), lambda: first.died)
            self._died = [] if hung is None else [hung]
            self._kill(first)
            if second is not None:
                time.sleep(plan.second_s or 0.0)
                self._kill(second)
        self._killed_at = time.time()

    def _orders(self, plan: Plan, lanes: list[int]) -> bytes:
        profile = plan.profile
        if lanes == self._second_lanes:
            profile = {**profile, "shared": SECOND_SHARED_WEIGHT}
        journals = str(self.folder.journals(plan.round))
        seed = self.report.seed
        orders = Orders(str(self.folder.index), journals, plan.round, seed, lanes, profile, plan.wants_async)
        return msgspec.json.encode(orders)

    def _kill(self, process: Child) -> None:
        if process.died:
            self._died.append(Finding("crash", f"writers ended by themselves: {process.obituary()}"))
        else:
            process.kill()
            self.report = replace(self.report, kills=self.report.kills + 1)

    # ------------------------------------------------------------------------------------------ the verdict

    def judge(self) -> list[Finding]:
        """What is wrong after the kill. A round with findings is kept, and the next one begins with nothing."""
        plan = self.plan
        with self._spares.take(OBSERVER) as observer:
            # The next round's processes load the engine while this one's observer is at work.
            self._spares.prepare(OBSERVER, WORKLOAD)
            seen = observe(observer, self._request(plan))
        try:
            findings = [*self._died, *self._compare(plan, seen)]
        except DamagedJournal as error:
            findings = [Finding("journal", str(error))]
        self.report = replace(self.report, rounds=plan.round + 1, seconds=self.seconds)
        return self._keep(plan, findings) if findings else []

    def _request(self, plan: Plan) -> Request:
        lanes = [0, *self._lanes, *self._second_lanes]
        readonly = plan.readonly and self.state.created
        return Request(str(self.folder.index), lanes, readonly, plan.round)

    def _compare(self, plan: Plan, seen: Observation | Finding) -> list[Finding]:
        durable = seen.durability != ASYNC if isinstance(seen, Observation) else self.state.durable
        promise = promise_of(
            self.folder.journals(plan.round), self.state.lanes, durable=durable, killed_at=self._killed_at
        )
        self._count(promise, seen)
        if isinstance(seen, Finding):
            return [seen, *promise.findings]
        verdict = judge(self.state, promise, seen)
        self.state = verdict.state
        if seen.opened_s > OPEN_LIMIT_S:
            words = f"opening took {seen.opened_s:.1f} s, more than {OPEN_LIMIT_S:.0f} s"
            verdict.findings.append(Finding("unopenable", words))
        return verdict.findings

    def _count(self, promise: Promise, seen: Observation | Finding) -> None:
        found = seen if isinstance(seen, Observation) else Observation(False)
        self.report = replace(
            self.report,
            operations=self.report.operations + promise.operations,
            acknowledged=self.report.acknowledged + promise.acknowledged,
            checks=self.report.checks + (found.problems is not None),
            documents=self.report.documents + len(found.documents),
        )

    def _keep(self, plan: Plan, findings: list[Finding]) -> list[Finding]:
        kept = self.folder.kept(self.report.seed, plan.round)
        named = [replace(one, seed=self.report.seed, round=plan.round, kept=kept) for one in findings]
        self.folder.keep(kept, named)
        shown = named[:MOST_SHOWN]
        if len(named) > len(shown):
            words = f"and {len(named) - len(shown):,} more, in {kept / 'findings.json'}"
            shown.append(replace(named[-1], words=words))
        self.report = replace(self.report, findings=(*self.report.findings, *shown))
        self._broken = True
        return named
