"""What chance decides: what the writers of a round do, when they are killed, and how the rest is looked at.

A plan follows from the seed and the number of the round alone. The moment of a kill does so only as far as a
clock allows, so a round that is run again has the same writers and nearly the same end.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

Profile: TypeAlias = dict[str, int]
"""How often a writer does what, by weight."""

SINGLES: Profile = {
    "index": 30,
    "create": 6,
    "update": 16,
    "upsert": 6,
    "delete": 10,
    "add_many": 4,
    "stream": 1,
    "bulk": 5,
    "large_bulk": 1,
    "twins": 6,
    "shared": 10,
    "flush": 4,
    "refresh": 1,
    "force_merge": 1,
    "compact": 1,
}
STREAMS: Profile = {
    **SINGLES,
    "index": 8,
    "update": 6,
    "add_many": 12,
    "stream": 8,
    "bulk": 12,
    "large_bulk": 5,
}
UPKEEP: Profile = {**SINGLES, "flush": 14, "force_merge": 8, "compact": 5}
UNSYNCED: Profile = {"flush": 1, "refresh": 0, "force_merge": 0, "compact": 1, "shared": 2}
"""With `async`, what has everything synced that waits is rare, or nothing would ever be lost."""

PROFILES = (SINGLES, STREAMS, UPKEEP)

HEAVY = ("flush", "force_merge", "compact", "add_many", "stream", "bulk", "large_bulk", "index", "shared")
"""Operations in the middle of which a kill is aimed."""

AIM = 4
"""How much more often writers do what the kill is aimed at."""

LONGEST_RUN_S = 1.2
FRESH_ONE_IN = 6
SECOND_ONE_IN = 2
SECOND_LIVES_S = 0.4
"""How long a second process goes on at most, with what the first has left of its last commit."""


@dataclass(frozen=True, slots=True)
class Kill:
    """When the writers are killed.

    "opening": some time after they were let go; "timed": some time after their first operation; "during": some
    time after an operation of the kind `during` began, the first after `not_before_s`.
    """

    how: Literal["opening", "timed", "during"]
    wait_s: float
    during: str = ""
    not_before_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One round. `second`: the moment at which a second process is killed, after the first; None without one."""

    round: int
    fresh: bool
    wants_async: bool
    profile: Profile
    kill: Kill
    second_s: float | None
    readonly: bool


class Orders(msgspec.Struct, frozen=True):
    """What a process of writers is told: where to write, as which lanes, how often what, whether to try `async`."""

    folder: str
    journals: str
    round: int
    seed: int
    lanes: list[int]
    profile: Profile
    wants_async: bool


def plan_round(seed: int, number: int) -> Plan:
    """The plan of a round, counted from 0."""
    chance = random.Random(f"{seed}/{number}")
    fresh = number == 0 or chance.randrange(FRESH_ONE_IN) == 0
    second = chance.uniform(0.0, SECOND_LIVES_S) if chance.randrange(SECOND_ONE_IN) == 0 else None
    kill, profile = _kill(chance), chance.choice(PROFILES)
    if kill.during:
        profile = {**profile, kill.during: AIM * profile[kill.during]}
    return Plan(
        number,
        fresh,
        wants_async=chance.random() < 0.5,
        profile=profile,
        kill=kill,
        second_s=second,
        readonly=chance.random() < 0.3,
    )


def _kill(chance: random.Random) -> Kill:
    kind = chance.random()
    if kind < 0.1:
        return Kill("opening", chance.uniform(0.0, 0.12))
    if kind < 0.25:
        return Kill("timed", _spread(chance, 1e-5, 0.1))
    if kind < 0.5:
        return Kill("timed", chance.uniform(0.0, LONGEST_RUN_S))
    return Kill("during", _spread(chance, 1e-6, 0.05), chance.choice(HEAVY), chance.uniform(0.0, 0.5))


def _spread(chance: random.Random, least: float, most: float) -> float:
    """A time between the two, of which each order of magnitude is as likely as any other."""
    return float(least * (most / least) ** chance.random())
