"""Programs on a machine that fails them: few file handles, no permission, no room, a clock that jumps.

Each runs in a process of its own, because it changes what belongs to a process; it ends well or says what is wrong.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import quidditch
from quidditch.errors import StorageError
from quidditch.interface import Database

NOBODY = 65534
MOST_HANDLES = 24
"""More than any call here needs at once."""


def use_everything(database: Database, name: str) -> None:
    """Every kind of call once, so that no library is left to be imported when the machine turns poor."""
    index = database.create_index(name)
    index.add_many({"_id": str(n), "title": f"dune {n}"} for n in range(20))
    index.flush()
    index.add({"title": "dune again"}, "20")
    index.delete("20")
    index.flush()
    index.force_merge()
    assert index.count("dune") == len(list(index.scan())) == index.search("dune").total == 20


def refused(call: Callable[[], object]) -> bool:
    """Whether the call raised a StorageError; any other error is let through."""
    try:
        call()
    except StorageError:
        return True
    return False


# ------------------------------------------------------------------------------------------- few file handles


def _leave_handles(spare: int) -> None:
    """Let this process open so many files more and no others."""
    limit = 0
    while spare or _is_open(limit):
        spare -= not _is_open(limit)
        limit += 1
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _is_open(handle: int) -> bool:
    try:
        os.fstat(handle)
    except OSError:
        return False
    return True


def _as_many_handles_as_there_are() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def few_handles(folder: Path) -> None:
    """With each number of handles left, calls work or raise a StorageError, and work when there are more again."""
    with quidditch.connect(folder / "warm") as database:
        use_everything(database, "first")
        use_everything(database, "second")
    refusals = [_with_few_handles(folder, spare) for spare in range(MOST_HANDLES)]
    assert any(refusals), "no call ever lacked a handle, so nothing was tried"
    assert not refusals[-1], f"{MOST_HANDLES} handles are too few"


def _with_few_handles(folder: Path, spare: int) -> bool:
    """Whether anything was refused."""
    place = folder / f"with-{spare}"
    wanting = refused(lambda: _make(place, spare))
    with quidditch.connect(place) as database:
        if "books" not in database.indices():
            database.create_index("books")
        index = database.index("books")
        index.add({"title": "dune"}, "kept")
        _leave_handles(spare)
        added = not refused(lambda: index.add({"title": "dune"}, "added"))
        changed = not refused(index.flush) and not refused(index.force_merge)
        searched = not refused(lambda: index.search("dune").total)
        opened = not refused(lambda: quidditch.connect(place / "inner").close())
        _as_many_handles_as_there_are()
        assert ("added" in index) == added
        assert "kept" in index
        index.add({"title": "dune"}, "later")
        index.force_merge()
        assert index.count("dune") == 2 + added
    return wanting or not (added and changed and searched and opened)


def _make(place: Path, spare: int) -> None:
    _leave_handles(spare)
    try:
        with quidditch.connect(place) as database:
            use_everything(database, "made")
    finally:
        _as_many_handles_as_there_are()


# ------------------------------------------------------------------------------------------------- no permission


def no_permission(folder: Path) -> None:
    """A directory that may only be read: it can be searched, and every write is refused by name."""
    with quidditch.connect(folder / "warm") as database:
        use_everything(database, "first")
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    place = folder / "forbidden"
    with quidditch.connect(place, readonly=True) as database:
        index = database.index("books")
        assert index.count("dune") == len(list(index.scan())) == 20
        assert refused(lambda: index.add({"title": "dune"}))
        assert refused(lambda: database.create_index("other"))
        assert refused(lambda: database.delete_index("books"))
    assert refused(lambda: _write(place))
    assert refused(lambda: quidditch.connect(place / "inner"))


def _write(place: Path) -> None:
    with quidditch.connect(place) as database:
        database.index("books").add({"title": "dune"})


# ---------------------------------------------------------------------------------------------- a clock that jumps

YEAR_S = 365 * 86_400.0
MINUTE_S = 60.0
START_S = 1_700_000_000.0


class Clock:
    """What `time.time` says in this process."""

    def __init__(self) -> None:
        self.now_s = START_S
        machine: Any = time
        machine.time = lambda: self.now_s


def jumping_clock(folder: Path) -> None:
    """Years forth and back, to the first seconds of 1970 as well: what is written then is right all the same."""
    clock = Clock()
    with quidditch.connect(folder / "jumps") as database:
        index = database.create_index("books")
        made: list[str] = []
        jumps = [0.0, 10 * YEAR_S, 0.0, -10 * YEAR_S, 1.0, 30 * YEAR_S, 5.0 - START_S, 0.0]
        for round, jump_s in enumerate(jumps, 1):
            clock.now_s = START_S + jump_s
            made += [index.add({"title": "made"}).id for _ in range(50)]
            assert index.add({"title": "always"}, "always").version == round
            assert index.add({"title": "now and then"}, f"gone-{round}").version == 1
            assert index.delete(f"gone-{round}").result == "deleted"
            if round % 2:
                index.flush()
            else:
                index.force_merge()
            assert index.count("made") == len(set(made)) == 50 * round
            assert not any(f"gone-{earlier}" in index for earlier in range(1, round + 1))
            assert len(index) == len(made) + 1
        for round in range(1, len(jumps) + 1):
            index.add({"title": "back"}, f"gone-{round}")
        assert index.count("back") == len(jumps)
        assert index.count("always") == 1


def deletes_after_a_jump(folder: Path) -> None:
    """Deletes are forgotten after a minute, also those that were written while the clock was years ahead."""
    clock = Clock()
    with quidditch.connect(folder / "deletes") as database:
        index = database.create_index("books")
        clock.now_s = START_S + 10 * YEAR_S
        _write_and_delete(index, "ahead")
        clock.now_s = START_S
        sizes, id_sizes = [], []
        for round in range(60):
            _write_and_delete(index, f"round-{round}")
            clock.now_s += 2 * MINUTE_S
            structures = index.stats().structures
            sizes.append(structures["deletes"])
            id_sizes.append(structures["ids"])
    assert max(sizes[30:]) <= max(sizes[:30]), f"deletes are never forgotten: {sizes} bytes"
    assert max(id_sizes[30:]) <= 2 * max(id_sizes[:30]), f"nor are their ids: {id_sizes} bytes"


def _write_and_delete(index: Any, prefix: str) -> None:
    ids = [f"{prefix}-{n}" for n in range(100)]
    index.bulk([line for id in ids for line in ({"index": {"_id": id}}, {"title": "dune"})])
    index.bulk([{"delete": {"_id": id}} for id in ids])


# ----------------------------------------------------------------------------------------- a disk that is full

STEP_BYTES = 4096
MOST_FREE_BYTES = 300 * 1024


def full_disk(folder: Path) -> None:
    """On a small file system with so much room left, from none on: calls work or raise a StorageError. A disk that
    is full in truth has one way to fail more than the shim has: where a file is mapped and has no room, it kills."""
    with quidditch.connect(":memory:") as database:
        use_everything(database, "warm")
    refusals = [_with_little_room(folder, free) for free in range(0, MOST_FREE_BYTES, STEP_BYTES)]
    assert refusals[0], "the disk was never full, so nothing was tried"


def _with_little_room(folder: Path, free_bytes: int) -> bool:
    """Whether anything was refused."""
    print(f"{free_bytes} bytes free", flush=True)
    place, filler = folder / f"with-{free_bytes}", folder / "filler"
    system = os.statvfs(folder)
    filler.write_bytes(bytes(max(0, system.f_bavail * system.f_frsize - free_bytes)))
    was_refused = refused(lambda: _make_in(place))
    filler.unlink()
    _make_in(place)
    shutil.rmtree(place)
    return was_refused


def _make_in(place: Path) -> None:
    with quidditch.connect(place) as database:
        if "books" not in database.indices():
            database.create_index("books")
        index = database.index("books")
        index.add({"title": "dune"}, "1")
        index.flush()
        assert index.count("dune") == 1


PROGRAMS = (few_handles, no_permission, jumping_clock, deletes_after_a_jump, full_disk)

if __name__ == "__main__":
    next(each for each in PROGRAMS if each.__name__ == sys.argv[1])(Path(sys.argv[2]))
