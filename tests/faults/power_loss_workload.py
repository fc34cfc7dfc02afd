"""A program whose writes are recorded, and what the index must hold after each of its steps.

The steps follow from a seed, so the program and whoever judges what it left know them without telling each other.
A *lane* is one thread with ids of its own; lane 0 also makes, merges and removes indices. After each step a line
goes to a file of acknowledgements: the lane, how many of its steps are done, and how long the shim's log was.
"""

from __future__ import annotations

import functools
import os
import random
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import quidditch
from quidditch.errors import StorageError

Result = TypeVar("Result")

WORDS = ("dune", "sand", "spice", "worm", "water", "desert")
MAPPINGS: dict[str, Any] = {"properties": {"title": {"type": "text"}, "n": {"type": "integer"}}}
MAIN = "books"
SECOND = "films"
BACKUP = "copy"
SUCCESSOR = "after"
"""The id of what a successor writes; it is nobody's lane."""

SLOTS = 30
"""Ids of a lane that single writes go to."""

TRIES = 60
"""How often a patient program tries a call on a disk that fails now and then: a merge syncs about as often as the
disk goes without a fault, beside other lanes more often than not across one, and begins anew each time."""

STREAM_DOCS = 1_000
"""Documents that a chunk must have to become a segment at once instead of going through the buffer."""

Doc = dict[str, Any]
_ACKNOWLEDGED = struct.Struct("<IIQ")


@dataclass(frozen=True, slots=True)
class Step:
    """One call. `parts` are the writes that must be there together: (id, document), None for a delete."""

    call: str
    index: str = MAIN
    parts: tuple[tuple[tuple[str, Doc | None], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """The last write to an id; `doc` is None when it was a delete."""

    number: int
    doc: Doc | None


Contents = dict[str, Version]
State = dict[str, Contents]
"""What each index holds, by name."""


# ------------------------------------------------------------------------------------------------------ the steps


class _Planner:
    """Draws the steps of one lane."""

    def __init__(self, seed: int, lane: int, whole: bool) -> None:
        """`whole`: only calls that are all or nothing, so that one that failed can be repeated."""
        self._chance = random.Random(f"{seed} {lane}")
        self._calls = ["add", "add", "add", "update", "delete", "bulk", *([] if whole else ["add_many"])]
        self._lane = lane
        self._written = 0
        self._live: dict[str, Doc] = {}

    def _doc(self) -> Doc:
        self._written += 1
        title = " ".join(self._chance.choices(WORDS, k=self._chance.randint(1, 5)))
        return {"title": title, "n": self._written}

    def _id(self) -> str:
        return f"{self._lane}-{self._chance.randrange(SLOTS)}"

    def _some(self, count: int) -> tuple[tuple[str, Doc | None], ...]:
        slots = self._chance.sample(range(SLOTS), count)
        return tuple((f"{self._lane}-{slot}", self._doc()) for slot in slots)

    def single(self) -> Step:
        """One write of a document, or a few in one call."""
        call = self._chance.choice(self._calls)
        id = self._id()
        if call == "update":
            return self._update(id)
        if call == "delete":
            self._live.pop(id, None)
            return Step(call, parts=(((id, None),),))
        if call == "bulk":
            some = tuple((id, doc if self._chance.random() < 0.7 else None) for id, doc in self._some(6))
            return self._taken(Step(call, parts=(some,)))
        if call == "add_many":
            return self._taken(Step(call, parts=(self._some(5), self._some(5), self._some(3))))
        doc = self._doc()
        if self._chance.random() < 0.05:
            doc[f"extra_{self._written}"] = "a field that the mapping did not have"
        return self._taken(Step(call, parts=(((id, doc),),)))

    def _update(self, id: str) -> Step:
        merged = {**self._live.get(id, {}), **self._doc()}
        return self._taken(Step("update", parts=(((id, merged),),)))

    def _taken(self, step: Step) -> Step:
        for part in step.parts:
            for id, doc in part:
                self._live[id] = doc or {}
        return step

    def stream(self, chunks: int) -> Step:
        """Chunks that become segments, of ids that are new or replace those of the stream before."""
        ids = [f"{self._lane}-s{place}" for place in range(STREAM_DOCS)]
        parts = tuple(tuple((id, {"n": self._written + chunk}) for id in ids) for chunk in range(chunks))
        self._written += chunks
        return Step("stream", parts=parts)


def steps(seed: int, lane: int, count: int, streams: bool, whole: bool) -> list[Step]:
    """`count` steps of a lane, and in lane 0 some more about whole indices."""
    planner = _Planner(seed, lane, whole)
    singles = [planner.single() for _ in range(count)]
    if lane:
        return singles
    planned = [Step("create"), *singles]
    upkeep = ["flush", "flush", "force_merge", "flush", "compact", "backup", "flush", "force_merge"]
    for place, call in enumerate(upkeep, 1):
        planned.insert(len(planned) * place // (len(upkeep) + 1), Step(call))
    if streams:
        planned.insert(len(planned) * 2 // 3, planner.stream(2))
        planned.insert(len(planned) * 5 // 6, planner.stream(1))
    film = ((("0-film", {"title": "dune", "n": 1}),),)
    second = [Step("create", SECOND), Step("add", SECOND, film), Step("drop", SECOND), Step("create", SECOND)]
    for place, step in enumerate(second, 1):
        planned.insert(len(planned) * place // 5 + place, step)
    # A disk that fails now and then never lets these through, which take very many calls.
    return [step for step in planned if not (whole and step.call in ("compact", "backup"))]


# ----------------------------------------------------------------------------------------------------- the states


def outcomes(before: State, step: Step) -> list[State]:
    """The states that a step goes through, one for each of its parts; the last is when it is done."""
    if step.call == "create":
        return [{**before, step.index: {}}]
    if step.call == "drop":
        return [{name: contents for name, contents in before.items() if name != step.index}]
    states: list[State] = []
    for part in step.parts:
        # A lane above 0 begins when the index is there.
        contents = dict(before.get(step.index, {}))
        for id, doc in part:
            known = contents.get(id)
            contents[id] = Version(known.number + 1 if known is not None else 1, doc)
        before = {**before, step.index: contents}
        states.append(before)
    return states or [before]


def histories(lane: list[Step]) -> list[list[State]]:
    """For each number of steps done, the states from that moment to the end of the next step."""
    state: State = {}
    found: list[list[State]] = []
    for step in lane:
        through = outcomes(state, step)
        found.append([state, *through])
        state = through[-1]
    return [*found, [state]]


# --------------------------------------------------------------------------------------------- acknowledgements


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A lane was told that so many of its steps are done, when the log was this long."""

    lane: int
    done: int
    log_bytes: int


def read_acknowledgements(path: Path) -> list[Acknowledged]:
    return [Acknowledged(*fields) for fields in _ACKNOWLEDGED.iter_unpack(path.read_bytes())]


# ---------------------------------------------------------------------------------------------------- the program


class _Program:
    """Carries out the steps of every lane, each in a thread."""

    def __init__(
        self, folder: Path, log: Path, acknowledgements: Path, settings: dict[str, Any], patient: bool
    ) -> None:
        """`patient`: the disk fails now and then, and what failed is tried again."""
        self._folder = folder
        self._tries = TRIES if patient else 1
        self._log = log
        self._settings = settings
        self._answers = os.open(acknowledgements, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._database = self._try(lambda: quidditch.connect(folder))
        self._created = threading.Event()
        self._failures: list[BaseException] = []

    def run(self, lanes: list[list[Step]]) -> None:
        threads = [threading.Thread(target=self._lane, args=each) for each in enumerate(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._database.close()
        if self._failures:
            raise self._failures[0]

    def _lane(self, lane: int, planned: list[Step]) -> None:
        try:
            if lane:
                self._created.wait()
            for done, step in enumerate(planned, 1):
                self._try(functools.partial(self._carry_out, step))
                os.write(self._answers, _ACKNOWLEDGED.pack(lane, done, self._log.stat().st_size))
                self._created.set()
        except BaseException as error:
            self._failures.append(error)
            self._created.set()

    def _try(self, call: Callable[[], Result]) -> Result:
        for _ in range(self._tries - 1):
            with suppress(StorageError):
                return call()
        return call()

    def _carry_out(self, step: Step) -> None:
        if step.call == "create":
            self._database.create_index(step.index, MAPPINGS, self._settings)
        elif step.call == "drop":
            self._database.delete_index(step.index)
        elif step.call == "backup":
            self._database.backup(self._folder.parent / BACKUP)
        elif step.call in ("flush", "force_merge", "compact"):
            getattr(self._database[step.index], step.call)()
        else:
            self._write(step)

    def _write(self, step: Step) -> None:
        index = self._database[step.index]
        ((id, doc), *_) = step.parts[0]
        if step.call == "add" and doc is not None:
            index.add(doc, id)
        elif step.call == "update" and doc is not None:
            index.update(id, {name: doc[name] for name in ("title", "n")}, doc_as_upsert=True)
        elif step.call == "delete":
            index.delete(id)
        elif step.call == "bulk":
            assert not index.bulk(list(_actions(step.parts[0]))).errors
        else:
            docs = ({"_id": id, **(doc or {})} for part in step.parts for id, doc in part)
            assert not index.add_many(docs, chunk=len(step.parts[0])).errors


def _actions(part: Iterable[tuple[str, Doc | None]]) -> Iterator[Doc]:
    for id, doc in part:
        if doc is None:
            yield {"delete": {"_id": id}}
        else:
            yield {"index": {"_id": id}}
            yield doc


def plan(seed: int, lanes: int, count: int, patient: bool) -> list[list[Step]]:
    """The steps of all lanes; one that is alone also loads streams."""
    streams = lanes == 1 and not patient
    return [steps(seed, lane, count, streams, patient) for lane in range(lanes)]


def succeed(folder: Path, log: Path, acknowledgements: Path) -> None:
    """What comes after a program that was killed: make the index if there is none, and write one document."""
    with quidditch.connect(folder) as database:
        if MAIN not in database:
            database.create_index(MAIN, MAPPINGS)
        database.index(MAIN).add({"title": "dune"}, SUCCESSOR)
        acknowledgements.write_bytes(_ACKNOWLEDGED.pack(0, 1, log.stat().st_size))


def main(folder: str, log: str, answers: str, role: str, *plan_of: str) -> None:
    places = Path(folder), Path(log), Path(answers)
    if role == "successor":
        succeed(*places)
        return
    seed, lanes, count, durability = plan_of
    settings: dict[str, Any] = {"durability": durability}
    if durability == "async":
        settings["sync_interval"] = "20ms"
    patient = role == "patient"
    _Program(*places, settings, patient).run(plan(int(seed), int(lanes), int(count), patient))


if __name__ == "__main__":
    main(*sys.argv[1:])
