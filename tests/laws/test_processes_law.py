"""Several handles and processes on one index are one dict, whatever they do in turn and whoever is killed."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from law_actors import Actor, perform
from law_documents import IDS, MAPPINGS, documents
from oracle import merge_objects

import quidditch
from quidditch import DocumentNotFound
from quidditch.interface import Index

ids = st.sampled_from(IDS)
State: TypeAlias = dict[str, tuple[dict[str, Any], int]]
"""Source and version by id."""


class Here:
    """A handle in this process, told what to do like an actor."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._open()

    def _open(self) -> None:
        self._database = quidditch.connect(self._folder, write_timeout_s=20)
        self._index: Index = self._database[self._name]

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        return perform(self._index, method, arguments, options)

    def reopen(self) -> None:
        self.end()
        self._open()

    def end(self) -> None:
        self._database.close()


class ProcessesAgainstDict(RuleBasedStateMachine):
    """Two handles here, two processes beside; each rule has one of them do something."""

    settings: dict[str, Any] = {}  # noqa: RUF012 - read only

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="quidditch-processes-"))
        with quidditch.connect(self.folder) as database:
            database.create_index("shared", mappings=MAPPINGS, settings=self.settings)
        self.others = [Actor(self.folder, "shared") for _ in range(2)]
        self.actors: list[Here | Actor] = [*(Here(self.folder, "shared") for _ in range(2)), *self.others]
        self.state: State = {}
        # Versions go on counting after a delete for as long as it is remembered, here always.
        self.versions: dict[str, int] = {}
        self.possible: list[tuple[State, dict[str, int]]] = []

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            for actor in self.actors:
                actor.end()
            shutil.rmtree(self.folder)

    # ------------------------------------------------------------------------------------------- the model

    def wrote(self, id: str, source: dict[str, Any] | None) -> int:
        """The model after a write, None being a delete; the version that it must have given."""
        self.remember()
        version = self.versions.get(id, 0) + 1
        self.versions = {**self.versions, id: version}
        self.state = {key: value for key, value in self.state.items() if key != id}
        if source is not None:
            self.state[id] = (source, version)
        return version

    def remember(self) -> None:
        """With durability "async" a kill may bring back any state since the last sync."""
        self.possible.append((self.state, self.versions))

    def settled(self) -> None:
        """Everything is on disk."""
        self.possible.clear()

    def observed(self, actor: Here | Actor) -> State:
        found = actor.call("mget", list(IDS))
        return {id: (one[0], one[1]) for id, one in zip(IDS, found, strict=True) if one is not None}

    # ------------------------------------------------------------------------------------------- the rules

    @rule(who=st.integers(0, 3), id=ids, source=documents)
    def add(self, who: int, id: str, source: dict[str, Any]) -> None:
        _, version, _ = self.actors[who].call("add", source, id=id)
        assert version == self.wrote(id, source)

    @rule(who=st.integers(0, 3), id=ids, partial=documents)
    def update(self, who: int, id: str, partial: dict[str, Any]) -> None:
        if id not in self.state:
            with pytest.raises(DocumentNotFound):
                self.actors[who].call("update", id, partial)
            return
        result, version, _ = self.actors[who].call("update", id, partial)
        merged = merge_objects(self.state[id][0], partial)
        if result == "noop":
            assert merged == self.state[id][0]
        else:
            assert version == self.wrote(id, merged)

    @rule(who=st.integers(0, 3), id=ids)
    def delete(self, who: int, id: str) -> None:
        there = id in self.state
        result, version, _ = self.actors[who].call("delete", id)
        assert result == ("deleted" if there else "not_found")
        assert version == self.wrote(id, None)

    @rule(who=st.integers(0, 3), batch=st.lists(st.tuples(ids, documents), max_size=5))
    def add_many(self, who: int, batch: list[tuple[str, dict[str, Any]]]) -> None:
        docs = [{"_id": id, **source} for id, source in batch]
        assert self.actors[who].call("add_many", docs, chunk=2) == len(batch)
        for id, source in batch:
            self.wrote(id, source)

    @rule(who=st.integers(0, 3), call=st.sampled_from(("refresh", "flush", "force_merge", "compact")))
    def maintain(self, who: int, call: str) -> None:
        self.actors[who].call(call)

    @rule(who=st.integers(0, 3))
    def reopen(self, who: int) -> None:
        self.actors[who].reopen()

    @rule(who=st.integers(0, 1))
    def kill(self, who: int) -> None:
        self.others[who].kill()
        self.agree_on_one_of([*self.possible, (self.state, self.versions)])

    @rule(
        who=st.integers(0, 1),
        id=ids,
        source=documents,
        call=st.sampled_from(("add", "delete", "flush", "force_merge", "compact")),
        delay_ms=st.sampled_from((0.0, 0.3, 1.0, 3.0, 10.0)),
    )
    def kill_in_flight(self, who: int, id: str, source: dict[str, Any], call: str, delay_ms: float) -> None:
        """What was under way is wholly there, or wholly not."""
        other = self.others[who]
        if call == "add":
            other.send("add", source, id=id)
        elif call == "delete":
            other.send("delete", id)
        else:
            other.send(call)
        time.sleep(delay_ms / 1000)
        before = [*self.possible, (self.state, self.versions)]
        if call in ("add", "delete"):
            self.wrote(id, source if call == "add" else None)
        answered = other.answered()
        other.kill()
        after = (self.state, self.versions)
        lossy = self.settings.get("durability") == "async"
        self.agree_on_one_of([after] if answered and not lossy else [*before, after])

    def agree_on_one_of(self, possible: list[tuple[State, dict[str, int]]]) -> None:
        for actor in self.actors:
            actor.call("flush")
        found = self.observed(self.actors[0])
        matching = [one for one in possible if one[0] == found]
        assert matching, f"{found} is none of the {len(possible)} states that a kill may leave"
        self.state, self.versions = matching[-1]
        self.settled()
        if len({str(sorted(versions.items())) for _, versions in matching}) > 1:
            # Which deletes of what was not there took place cannot be seen: ask, by one more of each.
            for id in IDS:
                _, version, _ = self.actors[0].call("delete", id)
                self.versions = {**self.versions, id: version}
            self.state = {}

    @invariant()
    def everybody_sees_the_same(self) -> None:
        if not hasattr(self, "state"):
            return
        for actor in self.actors:
            assert self.observed(actor) == self.state
            assert actor.call("len") == len(self.state)
        by_process = [actor.call("search", None, size=50) for actor in self.actors]
        assert all(one == by_process[0] for one in by_process)
        assert sorted(id for id, _ in by_process[0]) == sorted(self.state)


class AcknowledgedFromMemory(ProcessesAgainstDict):
    """The same with writes that are acknowledged before they are on disk."""

    settings = {"durability": "async", "sync_interval": "20ms"}  # noqa: RUF012 - read only

    @invariant()
    def everybody_sees_the_same(self) -> None:
        """Not after every step: what is in memory alone shall meet what comes next."""

    @rule()
    def look(self) -> None:
        for actor in self.actors:
            actor.call("flush")
        self.settled()
        super().everybody_sees_the_same()


# Each example is a life of its own, in five processes.
FEW = settings(max_examples=max(4, settings().max_examples // 12), stateful_step_count=20)
TestProcessesAgainstDict = ProcessesAgainstDict.TestCase
TestProcessesAgainstDict.settings = FEW
TestAcknowledgedFromMemory = AcknowledgedFromMemory.TestCase
TestAcknowledgedFromMemory.settings = FEW
