"""One writer: it decides, writes down what it is going to do, does it, and writes down what it was told."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast, get_args

from quidditch.errors import DocumentNotFound, VersionConflict
from quidditch.interface import BulkItem, Index, WriteResult
from quidditch.local.bulk import BULK_CHUNK
from quidditch.torture import model
from quidditch.torture.documents import (
    SHARED,
    SHARED_SLOTS,
    TWINS,
    WIDE_LANES,
    change,
    document,
    document_id,
    first_serial,
    refused_document,
    slots_of,
)
from quidditch.torture.journal import Action, Journal, Result, Verb

HOT_SLOTS = 60
"""Ids that half of the single writes go to, so that they meet documents that are there."""

STREAM_CHUNK = 1_000
"""Documents from which on a chunk becomes a segment of its own and does not pass through the buffer."""

_VERBS: Sequence[Verb] = get_args(Verb)
_BULK_WEIGHTS = (8, 2, 4, 2, 4, 1)
_STATUS = {400: model.REFUSED, 404: model.MISSING, 409: model.CONFLICT}


class LaneWriter:
    """Writes to its lane's ids, and on conditions to the shared ones, until something goes wrong.

    twin: the serial that both twins were last acknowledged with; None before the first time
    """

    def __init__(
        self, index: Index, lane: int, round: int, journal: Journal, seed: int, profile: dict[str, int]
    ) -> None:
        self.lane = lane
        self.twin: int | None = None
        self._index = index
        self._journal = journal
        self._chance = random.Random(f"{seed}/{round}/{lane}")
        self._serial = first_serial(round, lane)
        self._doing = ""
        self._names = [name for name in profile if self._can(name)]
        self._weights = [profile[name] for name in self._names]
        self._operations: dict[str, Callable[[], None]] = {
            "add_many": lambda: self._add_many(self._chance.randint(1, 60), self._chance.randint(1, 25)),
            "stream": self._stream,
            "bulk": lambda: self._bulk("bulk", self._chance.randint(1, 40)),
            "large_bulk": lambda: self._bulk("large_bulk", self._chance.randint(900, 2_300)),
            "twins": self._twins,
            "shared": self._shared,
        }

    def _can(self, name: str) -> bool:
        if name == "compact":
            return hasattr(self._index, "compact")
        return self.lane <= WIDE_LANES or name not in ("stream", "large_bulk")

    def run(self) -> None:
        """Write until an exception ends it, which is written down too."""
        try:
            while True:
                (self._doing,) = self._chance.choices(self._names, self._weights)
                self._do(self._doing)
        except BaseException as error:
            self._journal.failed(self._doing, error)

    def _do(self, name: str) -> None:
        if name in _VERBS:
            self._single(name, self._action(cast(Verb, name), self._slot()))
        elif name in self._operations:
            self._operations[name]()
        else:
            self._maintain(name)

    # ------------------------------------------------------------------------------------------ what to do

    def _action(self, verb: Verb, slot: int) -> Action:
        self._serial += 1
        return Action(verb, self.lane, slot, self._serial)

    def _slot(self) -> int:
        most = HOT_SLOTS if self._chance.random() < 0.5 else slots_of(self.lane)
        return self._chance.randrange(len(TWINS), most)

    def _slots(self, length: int) -> list[int]:
        """Neighbouring slots, or else any, of which some come twice."""
        if self._chance.random() < 0.3:
            return [self._slot() for _ in range(length)]
        there = slots_of(self.lane) - len(TWINS)
        first = self._chance.randrange(there)
        return [len(TWINS) + (first + place) % there for place in range(length)]

    # -------------------------------------------------------------------------------------------- the calls

    def _single(self, op: str, action: Action) -> None:
        self._journal.begin(op, [[action]])
        self._journal.done([attempt(lambda: self._carry_out(action))])

    def _carry_out(self, action: Action) -> WriteResult:
        id, only = id_of(action), action.if_seq_no
        if action.verb == "delete":
            return self._index.delete(id, if_seq_no=only)
        if action.verb == "update":
            return self._index.update(id, change(action.serial), if_seq_no=only)
        if action.verb == "upsert":
            return self._index.update(id, change(action.serial), upsert=document(action.serial))
        op: Literal["create", "index"] = "create" if action.verb == "create" else "index"
        return self._index.add(document(action.serial), id=id, op=op, if_seq_no=only)

    def _add_many(self, length: int, chunk: int) -> None:
        self._load("add_many", length, chunk)

    def _stream(self) -> None:
        chunk = self._chance.choice((STREAM_CHUNK, STREAM_CHUNK, None))
        self._load("stream", self._chance.choice((STREAM_CHUNK, 1_040, 2_050)), chunk)

    def _load(self, op: str, length: int, chunk: int | None) -> None:
        actions = [self._action("index", slot) for slot in self._slots(length)]
        self._journal.begin(op, cut(actions, chunk or length))
        done = self._index.add_many(
            ({"_id": id_of(action), **document(action.serial)} for action in actions), chunk=chunk
        )
        if done.errors or done.ok != length:
            raise AssertionError(f"{length} documents were given, {done.ok} went in: {done.errors[:3]}")
        self._journal.done([Result(model.WRITTEN)] * length)

    def _bulk(self, op: str, length: int) -> None:
        verbs = self._chance.choices(_VERBS, _BULK_WEIGHTS, k=length)
        self._send(
            op, [self._action(verb, slot) for verb, slot in zip(verbs, self._slots(length), strict=True)]
        )

    def _twins(self) -> None:
        self._serial += 1
        serial = self._serial
        self._send("twins", [Action("index", self.lane, slot, serial) for slot in TWINS])
        self.twin = serial

    def _send(self, op: str, actions: Sequence[Action]) -> None:
        self._journal.begin(op, cut(actions, BULK_CHUNK))
        done = self._index.bulk([wire(action) for action in actions])
        self._journal.done([result_of(item) for item in done.items])

    def _shared(self) -> None:
        """Change a shared document as it was read, or make it; somebody may have been faster."""
        slot = self._chance.randrange(SHARED_SLOTS)
        (found,) = self._index.mget([document_id(SHARED, slot)])
        self._serial += 1
        if found is None:
            self._single("shared", Action("create", SHARED, slot, self._serial))
            return
        verb: Verb = self._chance.choice(("index", "update", "update", "delete"))
        base = found["serial"] if verb == "update" else None
        self._single("shared", Action(verb, SHARED, slot, self._serial, found.seq_no, base))

    def _maintain(self, name: str) -> None:
        self._journal.begin(name)
        if name == "force_merge":
            self._index.force_merge(self._chance.choice((1, 1, 2, 5)))
        else:
            getattr(self._index, name)()
        self._journal.done()


def id_of(action: Action) -> str:
    return document_id(action.lane, action.slot)


def cut(actions: Sequence[Action], length: int) -> list[Sequence[Action]]:
    """The actions in chunks, as the index is going to cut them."""
    return [actions[start : start + length] for start in range(0, len(actions), length)]


def attempt(write: Callable[[], WriteResult]) -> Result:
    """What became of a single write."""
    try:
        done = write()
    except VersionConflict:
        return Result(model.CONFLICT)
    except DocumentNotFound:
        return Result(model.MISSING)
    return Result(done.result, done.version, done.seq_no)


def wire(action: Action) -> dict[str, Any]:
    """An action as a bulk takes it."""
    id = id_of(action)
    if action.verb == "delete":
        return {"_op_type": "delete", "_id": id}
    if action.verb in ("update", "upsert"):
        upsert = {"upsert": document(action.serial)} if action.verb == "upsert" else {}
        return {"_op_type": "update", "_id": id, "doc": change(action.serial), **upsert}
    source = refused_document(action.serial) if action.verb == "refused" else document(action.serial)
    return {"_op_type": "create" if action.verb == "create" else "index", "_id": id, "_source": source}


def result_of(item: BulkItem) -> Result:
    """What became of an action of a bulk."""
    if item.error is not None:
        return Result(_STATUS.get(item.status, item.error))
    return Result(item.result or "", item.version, item.seq_no)
