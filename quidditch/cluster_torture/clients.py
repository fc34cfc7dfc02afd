"""Real clients of a cluster, each in a thread and a session of its own, and what they did and were told.

They go on through whatever happens to the cluster: a call that fails is an event like any other.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from quidditch import remote
from quidditch.cluster_torture.history import Event, Read, Verb, Write
from quidditch.errors import (
    DocumentNotFound,
    InternalError,
    Overloaded,
    QuidditchError,
    RequestError,
    Unreachable,
    VersionConflict,
)
from quidditch.interface import BulkItem, Index, WriteResult
from quidditch.torture.report import Finding

INDEX = "torture"

MAPPINGS = {
    "properties": {"serial": {"type": "long"}, "text": {"type": "text"}},
}

SHARED = 24
"""Ids that all sessions meet at; those of even number are never deleted."""

OWN = 200
"""Ids of each session, and of it alone."""

PAUSE_S = 0.01
"""Between two calls of a session; the machine has other things to do."""

CALL_S = 20.0
"""How long a client waits for an answer before it gives the call up."""

UNSENT_S = 0.1
"""Before a client knocks again where nobody opened."""

WORDS = ("quaffle", "bludger", "snitch", "seeker", "keeper", "chaser", "beater", "broom", "hoop", "pitch")


class Recorder:
    """Where all sessions write down what happened. Safe to share between threads.

    counts:  calls by what became of them: `write ok`, `read failed`, ...
    wrong:   answers that no fault excuses
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.counts: Counter[str] = Counter()
        self.wrong: list[Finding] = []
        self._serials = itertools.count(1)
        self._sessions = itertools.count(1)
        self._started_s = time.monotonic()
        self._lock = threading.Lock()

    def now_s(self) -> float:
        return time.monotonic() - self._started_s

    def serial(self) -> int:
        return next(self._serials)

    def session(self) -> int:
        return next(self._sessions)

    def wrote(self, write: Write) -> None:
        self._add(write, f"write {write.outcome}")

    def read(self, read: Read) -> None:
        self._add(read, "read ok")

    def _add(self, event: Event, what: str) -> None:
        with self._lock:
            self.events.append(event)
            self.counts[what] += 1

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def object_to(self, error: QuidditchError, what: str) -> None:
        """An error that a client must not see, whatever happens inside."""
        if isinstance(error, RequestError | InternalError):
            with self._lock:
                self.wrong.append(Finding("error", f"{what}: {type(error).__name__}: {error}"))


class Session:
    """One client: writes and reads until it is told to end. Everything but the clock follows from the seed."""

    def __init__(self, url: str, number: int, recorder: Recorder, seed: int) -> None:
        self.number = number
        self._recorder = recorder
        self._chance = random.Random(f"{seed}/{number}")
        # Nothing is sent twice: what a call has done is to be known from its answer alone.
        self._database = remote.connect(url, retries=0, timeout_s=CALL_S, write_timeout_s=0.0)
        self._index: Index = self._database.index(INDEX)
        self._seen: dict[str, int] = {}
        self._calls: Sequence[tuple[int, Callable[[], None]]] = (
            (30, self._write_one),
            (15, self._write_as_read),
            (6, self._write_many),
            (10, lambda: self._read(self._id())),
            (5, lambda: self._find(self._id())),
            (6, self._search),
        )

    def run(self, ended: threading.Event) -> None:
        weights = [weight for weight, _ in self._calls]
        calls = [call for _, call in self._calls]
        while not ended.wait(PAUSE_S):
            (call,) = self._chance.choices(calls, weights)
            call()
        self._database.close()

    def _id(self) -> str:
        if self._chance.random() < 0.5:
            return f"shared-{self._chance.randrange(SHARED)}"
        return f"own-{self.number}-{self._chance.randrange(OWN)}"

    def _verb(self, id: str) -> Verb:
        mortal = int(id.rpartition("-")[2]) % 2 == 1
        verbs: Sequence[Verb] = ("index", "update", "create", "delete")
        (verb,) = self._chance.choices(verbs, (4, 3, 2, 2 if mortal else 0))
        return verb

    def _document(self, serial: int) -> dict[str, Any]:
        return {"serial": serial, "text": " ".join(self._chance.choices(WORDS, k=12))}

    # --------------------------------------------------------------------------------------------- writing

    def _write_one(self) -> None:
        """A write, and often a look at once whether it is there."""
        id = self._id()
        self._write(id, self._verb(id))
        look = self._chance.choice((self._read, self._find, None))
        if look is not None:
            look(id)

    def _write_as_read(self) -> None:
        """A write that counts only if the document still is what this session has seen last."""
        known = [id for id in self._seen if id.startswith("shared")]
        if known:
            id = self._chance.choice(known)
            verb = self._verb(id)
            self._write(id, "index" if verb == "create" else verb, self._seen[id])

    def _write(self, id: str, verb: Verb, only: int | None = None) -> None:
        serial = 0 if verb == "delete" else self._recorder.serial()
        called_s = self._recorder.now_s()
        told: dict[str, Any]
        try:
            done = self._carry_out(id, verb, serial, only)
            told = {"outcome": "ok", "version": done.version, "seq_no": done.seq_no}
            self._seen[id] = done.seq_no
        except (VersionConflict, DocumentNotFound, Overloaded) as error:
            told = {"outcome": "refused", "error": _refusal(error)}
            self._seen.pop(id, None)
        except QuidditchError as error:
            if self._unsent(error):
                return
            self._recorder.object_to(error, f"{verb} {id}")
            told = {"outcome": "unknown", "error": str(error)}
        self._note(id, verb, serial, called_s, only, told)

    def _unsent(self, error: QuidditchError) -> bool:
        """Whether no coordinator was there to be asked; the next call waits a little then."""
        unsent = isinstance(error, Unreachable) and "Nothing was sent" in str(error)
        if unsent:
            self._recorder.count("write not sent")
            time.sleep(UNSENT_S)
        return unsent

    def _carry_out(self, id: str, verb: Verb, serial: int, only: int | None) -> WriteResult:
        index = self._index
        if verb == "delete":
            return index.delete(id, if_seq_no=only)
        if verb == "update":
            return index.update(id, {"serial": serial}, if_seq_no=only)
        return index.add(
            self._document(serial), id=id, op="create" if verb == "create" else "index", if_seq_no=only
        )

    def _note(
        self, id: str, verb: Verb, serial: int, called_s: float, only: int | None, told: dict[str, Any]
    ) -> None:
        self._recorder.wrote(
            Write(
                session=self.number,
                id=id,
                verb=verb,
                serial=serial,
                called_s=called_s,
                returned_s=self._recorder.now_s(),
                if_seq_no=only,
                **told,
            )
        )

    def _write_many(self) -> None:
        """A bulk of writes to ids of this session, each of them once."""
        numbers = self._chance.sample(range(OWN), self._chance.randint(2, 40))
        asked = [(id, self._verb(id)) for id in (f"own-{self.number}-{number}" for number in numbers)]
        actions = [(id, verb, 0 if verb == "delete" else self._recorder.serial()) for id, verb in asked]
        called_s = self._recorder.now_s()
        try:
            items = self._index.bulk([self._wire(*action) for action in actions]).items
            told = [_told(item) for item in items]
        except Overloaded:
            # Some of them may be in another shard's log.
            told = [{"outcome": "unknown", "error": "overloaded"}] * len(actions)
        except QuidditchError as error:
            if self._unsent(error):
                return
            self._recorder.object_to(error, f"bulk of {len(actions)}")
            told = [{"outcome": "unknown", "error": str(error)}] * len(actions)
        for (id, verb, serial), one in zip(actions, told, strict=True):
            self._note(id, verb, serial, called_s, None, one)

    def _wire(self, id: str, verb: Verb, serial: int) -> dict[str, Any]:
        if verb == "delete":
            return {"_op_type": "delete", "_id": id}
        if verb == "update":
            return {"_op_type": "update", "_id": id, "doc": {"serial": serial}}
        return {"_op_type": verb, "_id": id, "_source": self._document(serial)}

    # --------------------------------------------------------------------------------------------- reading

    def _read(self, id: str) -> None:
        def read() -> tuple[int, int, int] | None:
            try:
                found = self._index.get(id)
            except DocumentNotFound:
                return None
            return found["serial"], found.version, found.seq_no

        self._reading(id, read)

    def _find(self, id: str) -> None:
        def find() -> tuple[int, int, int] | None:
            body = {"query": {"ids": {"values": [id]}}, "version": True, "seq_no_primary_term": True}
            hits = self._index.search_body(body).hits
            if not hits:
                return None
            return hits[0]["serial"], hits[0].version or 0, -1 if hits[0].seq_no is None else hits[0].seq_no

        self._reading(id, find)

    def _reading(self, id: str, read: Callable[[], tuple[int, int, int] | None]) -> None:
        called_s = self._recorder.now_s()
        try:
            found = read()
        except QuidditchError as error:
            self._recorder.object_to(error, f"reading {id}")
            self._recorder.count("read failed")
            return
        serial, version, seq_no = found or (None, 0, -1)
        if found is None:
            self._seen.pop(id, None)
        else:
            self._seen[id] = seq_no
        self._recorder.read(
            Read(
                session=self.number,
                id=id,
                called_s=called_s,
                returned_s=self._recorder.now_s(),
                serial=serial,
                version=version,
                seq_no=seq_no,
            )
        )

    def _search(self) -> None:
        try:
            found = self._index.search_body({"query": {"match": {"text": self._chance.choice(WORDS)}}})
            ids = [hit.id for hit in found.hits]
            if len(set(ids)) < len(ids):
                self._recorder.wrong.append(Finding("disagreement", f"a search shows an id twice: {ids}"))
            self._recorder.count("search partial" if found.shards.failed else "search ok")
        except QuidditchError as error:
            self._recorder.object_to(error, "searching")
            self._recorder.count("search failed")


def _refusal(error: QuidditchError) -> str:
    if isinstance(error, VersionConflict):
        return "conflict"
    return "missing" if isinstance(error, DocumentNotFound) else "overloaded"


def _told(item: BulkItem) -> dict[str, Any]:
    """What became of an action of a bulk."""
    if item.error is None:
        return {
            "outcome": "ok",
            "version": item.version or 0,
            "seq_no": -1 if item.seq_no is None else item.seq_no,
        }
    refused = {404: "missing", 409: "conflict", 429: "overloaded"}.get(item.status)
    if refused is not None:
        return {"outcome": "refused", "error": refused}
    return {"outcome": "unknown", "error": item.error}


@contextmanager
def load(urls: Sequence[str], recorder: Recorder, *, sessions: int, seed: int) -> Iterator[None]:
    """Sessions at work on the coordinators, each on one of them, until the block is left."""
    ended = threading.Event()
    threads = []
    for place in range(sessions):
        session = Session(urls[place % len(urls)], recorder.session(), recorder, seed)
        threads.append(threading.Thread(target=session.run, args=(ended,), name=f"session-{session.number}"))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
