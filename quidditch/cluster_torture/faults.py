"""What can befall a cluster, as small functions by name. Each leaves all processes running again."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from quidditch.cluster_torture.processes import Cluster

Act: TypeAlias = Callable[[Cluster, random.Random], None]


class Fault(NamedTuple):
    """Something that befalls a cluster: what it is called, how often chance takes it, and what it does."""

    name: str
    weight: int
    act: Act


def ended(role: str, how: signal.Signals) -> Act:
    """One process of a role is ended and started again, at once or a little later."""

    def act(cluster: Cluster, chance: random.Random) -> None:
        cluster.end(chance.choice(cluster.names(role)), how=how)
        time.sleep(chance.choice((0.0, 0.0, 0.5, 2.0)))
        cluster.up()

    return act


def in_succession(times: int) -> Act:
    """One process is killed as soon as it runs again, so many times."""

    def act(cluster: Cluster, chance: random.Random) -> None:
        name = chance.choice(
            [*cluster.names("data"), *cluster.names("coordinator"), *cluster.names("master")]
        )
        for _ in range(times):
            cluster.end(name)
            cluster.up()
            time.sleep(chance.random())

    return act


def all_at_once(role: str) -> Act:
    """All processes of a role are killed at the same time."""

    def act(cluster: Cluster, chance: random.Random) -> None:
        cluster.end(*cluster.names(role))
        time.sleep(chance.choice((0.0, 1.0)))
        cluster.up()

    return act


def power_off(cluster: Cluster, chance: random.Random) -> None:
    """Everything is killed at the same time."""
    cluster.end(*cluster.pids())
    cluster.up()


def one_by_one(role: str) -> Act:
    """The processes of a role are killed one after the other, the next when the one before is back."""

    def act(cluster: Cluster, chance: random.Random) -> None:
        for name in cluster.names(role):
            cluster.end(name)
            cluster.up()
            cluster.settle()

    return act


def two_at_once(cluster: Cluster, chance: random.Random) -> None:
    """Any two processes are killed at the same time."""
    cluster.end(*chance.sample(sorted(cluster.pids()), 2))
    cluster.up()


def lost_disk(cluster: Cluster, chance: random.Random) -> None:
    """A data node comes back without anything on its disk."""
    cluster.settle()
    name = chance.choice(cluster.names("data"))
    cluster.end(name)
    cluster.lose_folder(name)
    cluster.up()
    cluster.settle()


def hanging(seconds: float) -> Act:
    """A process of ours hangs for so long, as by SIGSTOP, and goes on as if nothing had been."""

    def act(cluster: Cluster, chance: random.Random) -> None:
        name = chance.choice(
            [*cluster.names("data"), *cluster.names("coordinator"), *cluster.names("master")]
        )
        with cluster.stopped(name):
            time.sleep(seconds)

    return act


def hanging_log(seconds: float) -> Act:
    """A NATS server hangs for so long."""

    def act(cluster: Cluster, chance: random.Random) -> None:
        with cluster.stopped(chance.choice(cluster.names("nats"))):
            time.sleep(seconds)

    return act


FAULTS: Sequence[Fault] = (
    Fault("data node restarted", 4, ended("data", signal.SIGTERM)),
    Fault("data node killed", 10, ended("data", signal.SIGKILL)),
    Fault("coordinator restarted", 2, ended("coordinator", signal.SIGTERM)),
    Fault("coordinator killed", 4, ended("coordinator", signal.SIGKILL)),
    Fault("master restarted", 2, ended("master", signal.SIGTERM)),
    Fault("master killed", 4, ended("master", signal.SIGKILL)),
    Fault("NATS server killed", 6, ended("nats", signal.SIGKILL)),
    Fault("killed three times", 2, in_succession(3)),
    Fault("killed five times", 1, in_succession(5)),
    Fault("two killed at once", 4, two_at_once),
    Fault("all data nodes killed", 3, all_at_once("data")),
    Fault("all NATS servers killed", 3, all_at_once("nats")),
    Fault("NATS servers one by one", 1, one_by_one("nats")),
    Fault("all killed", 2, power_off),
    Fault("data node's disk lost", 2, lost_disk),
    Fault("process hangs for 3 s", 3, hanging(3.0)),
    Fault("process hangs for 30 s", 1, hanging(30.0)),
    Fault("NATS server hangs for 3 s", 2, hanging_log(3.0)),
)
"""What a campaign takes from."""


def chosen(chance: random.Random) -> Fault:
    (fault,) = chance.choices(FAULTS, [fault.weight for fault in FAULTS])
    return fault
