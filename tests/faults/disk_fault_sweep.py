"""A program that carries out one operation again and again while its disk fails at the first call, the second, ...

Runs under the shim. Each time, the operation must raise a StorageError or have done all that it was asked; what was
there before must be there, whole; and when the disk works again, so must the database.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shim import Again, Fault, How, On, Switch

import quidditch
from quidditch.errors import CorruptIndex, QuidditchError, StorageError, StoreFull
from quidditch.local import LocalIndex

Doc = dict[str, Any]
Contents = dict[str, dict[str, Doc]]
"""What is where: index, id, document."""

MAIN = "books"
MAPPINGS: dict[str, Any] = {"properties": {"title": {"type": "text"}, "n": {"type": "integer"}}}
MOST_CALLS = 300
"""More than any operation here makes."""

_WRITES = On.WRITE | On.DURABLE
FAULTS = {
    "full": Fault(_WRITES | On.SIZE | On.CREATE, errno.ENOSPC, again=Again.EVER),
    "full-once": Fault(_WRITES | On.SIZE | On.CREATE, errno.ENOSPC),
    "write": Fault(_WRITES, errno.EIO),
    "short": Fault(_WRITES, errno.EIO, how=How.SHORT),
    "late": Fault(_WRITES | On.SIZE, errno.EIO, how=How.LATE),
    "sync": Fault(On.SYNC | On.DIRECTORY_SYNC, errno.EIO),
    "names": Fault(On.CREATE | On.RENAME | On.REMOVE, errno.EIO),
    "dead": Fault(_WRITES | On.SIZE | On.SYNC | On.DIRECTORY_SYNC, errno.EIO, again=Again.EVER),
}
"""A disk that is full, or was for one call; that loses one write, or half of it, or says so although it did not;
that cannot sync; that cannot change names; that is gone."""


class Bench:
    """A database, what it must hold, and a count that makes every document another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.expected: Contents = {MAIN: {}}
        self._count = 0
        self.database = quidditch.connect(folder)
        self.database.create_index(MAIN, MAPPINGS)
        for _ in range(2):
            docs = {f"base-{self.number()}": self.doc() for _ in range(8)}
            self.index.add_many({"_id": id, **doc} for id, doc in docs.items())
            self.index.flush()
            self.expected[MAIN].update(docs)

    @property
    def index(self) -> LocalIndex:
        return self.database.index(MAIN)

    def number(self) -> int:
        self._count += 1
        return self._count

    def doc(self) -> Doc:
        return {"title": f"dune number {self.number()}", "n": self._count}

    def docs(self, count: int) -> dict[str, Doc]:
        return {f"new-{self.number()}": self.doc() for _ in range(count)}

    def any_id(self) -> str:
        return sorted(self.expected[MAIN])[self.number() % len(self.expected[MAIN])]

    def reopen(self) -> None:
        self.database.close()
        self.database = quidditch.connect(self.folder)

    def observe(self) -> Contents:
        found = {}
        for name in self.database.indices():
            index = self.database.index(name)
            found[name] = {hit.id: hit.source for hit in index.scan()}
            assert len(found[name]) == len(index) == index.count(), name
            assert index.count("dune") == len(found[name]), name
        return found


Operation = Callable[[Bench], tuple[Callable[[], object], list[Contents]]]
"""Prepares, and gives the call with the states it goes through: before, after each part, done."""


def _changed(before: Contents, changes: dict[str, Doc | None]) -> Contents:
    merged = {**before[MAIN], **changes}
    return {**before, MAIN: {id: doc for id, doc in merged.items() if doc is not None}}


def _add(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    ((id, doc),) = bench.docs(1).items()
    return lambda: bench.index.add(doc, id), [bench.expected, _changed(bench.expected, {id: doc})]


def _replace(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    id, doc = bench.any_id(), bench.doc()
    return lambda: bench.index.add(doc, id), [bench.expected, _changed(bench.expected, {id: doc})]


def _update(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    id, doc = bench.any_id(), bench.doc()
    return lambda: bench.index.update(id, doc), [bench.expected, _changed(bench.expected, {id: doc})]


def _delete(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    id = bench.any_id()
    bench.index.add(bench.expected[MAIN][id], id)
    return lambda: bench.index.delete(id), [bench.expected, _changed(bench.expected, {id: None})]


def _new_field(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    ((id, doc),) = bench.docs(1).items()
    doc[f"field_{bench.number()}"] = "extends the mapping"
    return lambda: bench.index.add(doc, id), [bench.expected, _changed(bench.expected, {id: doc})]


def _bulk(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    docs, gone = bench.docs(10), bench.any_id()
    actions = [line for id, doc in docs.items() for line in ({"index": {"_id": id}}, doc)]
    actions.append({"delete": {"_id": gone}})
    return lambda: bench.index.bulk(actions), [bench.expected, _changed(bench.expected, {**docs, gone: None})]


def _chunks(bench: Bench, chunk: int, chunks: int) -> tuple[Callable[[], object], list[Contents]]:
    docs = bench.docs(chunk * chunks)
    stream = [{"_id": id, **doc} for id, doc in docs.items()]
    states = [bench.expected]
    for start in range(0, len(docs), chunk):
        states.append(_changed(states[-1], dict(list(docs.items())[start : start + chunk])))
    return lambda: bench.index.add_many(stream, chunk=chunk), states


def _add_many(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    return _chunks(bench, 4, 3)


def _stream(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    streamed = [id for id in bench.expected[MAIN] if id.startswith("new-")]
    bench.index.bulk([{"delete": {"_id": id}} for id in streamed])
    bench.expected = _changed(bench.expected, dict.fromkeys(streamed))
    return _chunks(bench, 1_000, 2)


def _flush(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    call, states = _bulk(bench)
    call()
    return bench.index.flush, [states[-1]]


def _force_merge(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    call, states = _flush(bench)
    call()
    return bench.index.force_merge, states


def _put_mappings(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    call, states = _bulk(bench)
    call()
    mappings = {"properties": {f"field_{bench.number()}": {"type": "keyword"}}}
    return lambda: bench.index.put_mappings(mappings), [states[-1]]


def _create_index(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    name = f"index-{bench.number()}"
    return lambda: bench.database.create_index(name), [bench.expected, {**bench.expected, name: {}}]


def _delete_index(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    name = f"index-{bench.number()}"
    bench.database.create_index(name, MAPPINGS).add({"title": "dune"}, "1")
    without = bench.expected
    return lambda: bench.database.delete_index(name), [{**without, name: {"1": {"title": "dune"}}}, without]


def _open(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    bench.index.add_many([])
    bench.database.close()

    def opened() -> None:
        with quidditch.connect(bench.folder) as database:
            assert len(database.index(MAIN)) == len(bench.expected[MAIN])

    return opened, [bench.expected]


def _first(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    """A directory that was not there before."""
    folder = bench.folder.parent / f"other-{bench.number()}"

    def made() -> None:
        with quidditch.connect(folder) as database:
            database.create_index(MAIN).add({"title": "dune"}, "1")

    return made, [bench.expected]


def _compact(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    call, states = _bulk(bench)
    call()
    return bench.index.compact, [states[-1]]


def _backup(bench: Bench) -> tuple[Callable[[], object], list[Contents]]:
    """A backup that fails leaves nothing that could be taken for one, unless it is whole."""
    folder = bench.folder.parent / f"copy-{bench.number()}"

    def backed_up() -> None:
        try:
            bench.database.backup(folder)
        except QuidditchError:
            Switch(Path(sys.argv[2])).off()
            with suppress(StorageError):
                _check_backup(folder, bench.expected)
            raise
        _check_backup(folder, bench.expected)

    return backed_up, [bench.expected]


def _check_backup(folder: Path, expected: Contents) -> None:
    with quidditch.connect(folder, create=False) as copy:
        found = {name: {hit.id: hit.source for hit in copy.index(name).scan()} for name in copy}
    assert found == expected, _difference(found, expected)


OPERATIONS: dict[str, Operation] = {
    "add": _add,
    "replace": _replace,
    "update": _update,
    "delete": _delete,
    "new_field": _new_field,
    "bulk": _bulk,
    "add_many": _add_many,
    "stream": _stream,
    "flush": _flush,
    "force_merge": _force_merge,
    "put_mappings": _put_mappings,
    "create_index": _create_index,
    "delete_index": _delete_index,
    "open": _open,
    "first": _first,
    "compact": _compact,
    "backup": _backup,
}


# ------------------------------------------------------------------------------------------------------ the sweep


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call did under a fault: how many of its own calls failed, and what it raised."""

    failures: int
    error: BaseException | None


def attempt(call: Callable[[], object], fault: Fault, switch: Switch) -> Outcome:
    switch.on(fault)
    error: BaseException | None = None
    try:
        call()
    except Exception as raised:
        error = raised
    failures = _failed()
    switch.off()
    return Outcome(failures, error)


def _failed() -> int:
    failed = ctypes.CDLL(None).shim_failed
    failed.restype = ctypes.c_long
    return int(failed())


def check_error(fault: Fault, error: BaseException | None) -> None:
    """The operator is told what happened: no room, or a disk that fails; never that the index is damaged."""
    if error is None:
        return
    assert isinstance(error, StorageError), f"{type(error).__name__} instead of a StorageError: {error}"
    assert not isinstance(error, CorruptIndex), f"the index is whole, and is called corrupt: {error}"
    # Half a write is what a disk does that is about to be full, and LMDB says so.
    if fault.error == errno.EIO and fault.how is not How.SHORT:
        assert not isinstance(error, StoreFull), f"the disk fails, and is called full: {error}"


def check_contents(bench: Bench, states: list[Contents], fault: Fault, outcome: Outcome) -> None:
    """All of a call that returned, and of one that raised nothing but whole parts."""
    found = bench.observe()
    if outcome.error is None:
        allowed = states[-1:]
    elif len(states) > 2 or fault.how is How.LATE:
        allowed = states
    else:
        allowed = states[:1]
    assert found in allowed, _difference(found, allowed[0])
    bench.expected = found


def _difference(found: Contents, expected: Contents) -> str:
    names = f"indices {sorted(found)}, expected {sorted(expected)}"
    docs = [
        f"[{name}] {id}: {found[name].get(id)}, expected {expected[name].get(id)}"
        for name in sorted(found.keys() & expected.keys())
        for id in sorted({*found[name], *expected[name]})
        if found[name].get(id) != expected[name].get(id)
    ]
    return "\n".join([names, *docs[:5]])


def check_life_goes_on(bench: Bench, writes_segments: bool) -> None:
    """The same handle writes and reads again, now that the disk does."""
    call, states = _add(bench)
    call()
    bench.expected = states[-1]
    if writes_segments:
        bench.index.flush()
        assert is_seen_alive(bench), (
            "another process would take this one for dead, and sweep what it is writing"
        )
    assert bench.observe() == bench.expected


def is_seen_alive(bench: Bench) -> bool:
    """Whether the lock that says that a process may be writing segments is held."""
    for file in bench.folder.glob("*/0/writer-*.lock"):
        with file.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def sweep(bench: Bench, operation: Operation, fault: Fault, switch: Switch, stride: int) -> Iterator[Outcome]:
    """Fail the first call, then one `stride` later, and so on, until the operation makes fewer."""
    for nth in range(1, MOST_CALLS, stride):
        call, states = operation(bench)
        failing = replace(fault, nth=nth)
        outcome = attempt(call, failing, switch)
        if operation is _open:
            bench.reopen()
        try:
            check_error(failing, outcome.error)
            check_contents(bench, states, failing, outcome)
            check_life_goes_on(bench, operation is _flush)
            if nth % 5 == 1:
                bench.reopen()
                check_contents(bench, [bench.expected], failing, Outcome(0, None))
        except Exception as error:
            if outcome.error is not None:
                error.add_note("".join(traceback.format_exception(outcome.error)))
            error.add_note(f"with call {nth} failing")
            raise
        yield outcome
        if not outcome.failures:
            return
    raise AssertionError(f"more than {MOST_CALLS} calls failed")


def main(folder: Path, switch: Switch, operation: str, stride: int, faults: list[str]) -> None:
    for name in faults:
        bench = Bench(folder / name / "db")
        try:
            outcomes = list(sweep(bench, OPERATIONS[operation], FAULTS[name], switch, stride))
        except Exception as error:
            error.add_note(f"{operation} on a disk with the fault [{name}]: {FAULTS[name]}")
            raise
        assert bench.database.check().ok
        bench.database.close()
        raised = sum(outcome.error is not None for outcome in outcomes)
        print(f"{name}: {len(outcomes)} times, {raised} raised")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Switch(Path(sys.argv[2])), sys.argv[3], int(sys.argv[4]), sys.argv[5:])
