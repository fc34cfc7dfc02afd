"""What a program did to its files, recorded by the shim, and the moments at which the power may go out."""

from __future__ import annotations

import functools
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import power_loss_workload as workload
from power_loss import Disk, Kept, Lost, Mixed, Survival
from power_loss_workload import Acknowledged, Step
from shim import Action, Fault, Record, read_log, recording

SEED = 20
DATABASE = "db"


@dataclass(frozen=True, slots=True)
class Recording:
    """What a program did to the files below `watched`, and what it was told."""

    watched: Path
    records: list[Record]
    acknowledged: list[Acknowledged]
    plan: list[list[Step]]
    asynchronous: bool


@functools.cache
def scratch() -> Path:
    """A folder for this session, in memory where the system offers it: what is tried is the order of calls."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="quidditch-", dir=memory if os.access(memory, os.W_OK) else None))


@functools.cache
def record(lanes: int, count: int, durability: str = "request", fault: Fault | None = None) -> Recording:
    folder = Path(tempfile.mkdtemp(dir=scratch()))
    watched, log, answers = folder / "watched", folder / "log", folder / "acknowledged"
    watched.mkdir()
    role = "impatient" if fault is None else "patient"
    _run(watched, log, answers, role, SEED, lanes, count, durability, fault=fault)
    plan = workload.plan(SEED, lanes, count, patient=fault is not None)
    acknowledged = workload.read_acknowledgements(answers)
    return Recording(watched, list(read_log(log, watched)), acknowledged, plan, durability == "async")


def _run(watched: Path, log: Path, answers: Path, *arguments: object, fault: Fault | None = None) -> None:
    command = [sys.executable, workload.__file__, watched / DATABASE, log, answers, *arguments]
    done = subprocess.run(
        list(map(str, command)),
        env=recording(watched, log, fault),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"the program failed, seed {SEED}:\n{done.stdout}{done.stderr}"


@dataclass(frozen=True, slots=True)
class Succession:
    """A program was killed while it made a call; what another did then, and the log's length when it was told."""

    disk: Disk
    killed_at: int
    records: list[Record]
    acknowledged_at: int


def kill_and_succeed(recorded: Recording, place: int) -> Succession:
    """Kill the recorded program while it makes the call `place`, and start its successor on what it left."""
    disk = Disk()
    for one in recorded.records[:place]:
        disk.begin(one)
        disk.complete(one)
    disk.begin(recorded.records[place])
    folder = Path(tempfile.mkdtemp(dir=scratch()))
    watched, log, answers = folder / "watched", folder / "log", folder / "acknowledged"
    disk.write_image(watched, Kept())
    _run(watched, log, answers, "successor")
    (told,) = workload.read_acknowledgements(answers)
    killed_at = recorded.records[place - 1].end if place else 0
    return Succession(disk, killed_at, list(read_log(log, watched)), told.log_bytes)


# ---------------------------------------------------------------------------------------------------------- cuts


@dataclass(frozen=True, slots=True)
class Cut:
    """The power goes out after the record `place`, or while that call was under way; `seed` says what survives."""

    place: int
    under_way: bool
    seed: int

    def survival(self) -> Survival:
        chance = random.Random(self.seed)
        kind = chance.choice(["lost", "kept", "mixed", "mixed", "mixed"])
        return Lost() if kind == "lost" else Kept() if kind == "kept" else Mixed(chance)


def choose_cuts(records: list[Record], count: int) -> list[Cut]:
    """So many cuts, spread evenly over the moments at which something that matters has just been done."""
    moments = [place for place, one in enumerate(records) if matters(one)]
    chance = random.Random(SEED)
    chosen: list[Cut] = []
    for number in range(count):
        place = moments[number * len(moments) // count]
        under_way = records[place].action is Action.WRITE and chance.random() < 0.4
        chosen.append(Cut(place, under_way, chance.getrandbits(32)))
    return sorted(chosen, key=lambda cut: (cut.place, not cut.under_way))


def matters(one: Record) -> bool:
    """Whether a cut after this call can be told from one before it: locks hold nothing."""
    return not one.path.endswith((".lock", ".queue", "lock.mdb")) or one.action is Action.MAPPED


def images(disk: Disk, records: list[Record], cuts: list[Cut], folder: Path) -> Iterator[tuple[Cut, int]]:
    """Each cut's image in `folder`, which the caller removes; with it how long the log was at that moment."""
    waiting = cuts[::-1]
    for place, one in enumerate(records):
        disk.begin(one)
        while waiting and waiting[-1].place == place and waiting[-1].under_way:
            disk.write_image(folder, waiting[-1].survival())
            yield waiting.pop(), records[place - 1].end if place else 0
        disk.complete(one)
        while waiting and waiting[-1].place == place:
            disk.write_image(folder, waiting[-1].survival())
            yield waiting.pop(), one.end
    assert not waiting
