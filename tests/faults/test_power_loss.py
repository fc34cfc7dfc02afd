"""After a loss of power at any moment, every acknowledged write is there, and nothing is half there.

A program's writes are recorded by the shim, call by call. Then the power goes out at a moment of the record, and
what a disk could hold after it is opened, checked and searched. `power_loss.py` says what a disk could hold.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import power_loss_workload as workload
import pytest
from power_loss import PAGE, Disk, Kept
from power_loss_recording import (
    DATABASE,
    SEED,
    Recording,
    choose_cuts,
    images,
    kill_and_succeed,
    matters,
    record,
    scratch,
)
from power_loss_verdict import (
    Allowed,
    Promises,
    check_life_goes_on,
    check_pages,
    damages,
    differences,
    observe,
    survive,
)
from power_loss_workload import State
from shim import Action, Again, Fault, How, On, Record

import quidditch
from quidditch.errors import QuidditchError, RequestError


@pytest.fixture(scope="module", autouse=True)
def _no_scratch_left() -> Iterator[None]:
    yield
    shutil.rmtree(scratch())
    scratch.cache_clear()
    record.cache_clear()


def test_the_record_is_complete() -> None:
    """The disk of the last record is the directory as the program left it, so nothing was written past the shim."""
    recorded = record(lanes=1, count=120)
    disk = Disk()
    for one in recorded.records:
        disk.begin(one)
        disk.complete(one)
    folder = scratch() / "whole"
    disk.write_image(folder, Kept())
    modelled, real = _contents(folder), _contents(recorded.watched)
    assert modelled.keys() == real.keys()
    for name, content in real.items():
        assert modelled[name] == content, name


def _contents(folder: Path) -> dict[str, bytes]:
    """Every file but LMDB's tables of readers, which processes share by memory and nobody needs after a crash."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock.mdb")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_whatever_the_disk_kept_nothing_acknowledged_is_lost() -> None:
    assert survive(record(lanes=1, count=120), 320) == 320


def test_writes_of_several_threads_survive_too() -> None:
    assert survive(record(lanes=4, count=40), 120) == 120


def test_an_asynchronous_index_is_a_past_state_and_holds_all_up_to_its_last_flush() -> None:
    try:
        quidditch.connect(":memory:").create_index("probe", settings={"durability": "async"})
    except RequestError as error:
        pytest.skip(str(error))
    assert survive(record(lanes=1, count=60, durability="async"), 70) == 70


FAILING = {
    "sync": Fault(On.SYNC, errno.EIO, nth=13, again=Again.PERIODIC),
    "meta page": Fault(On.DURABLE, errno.EIO, nth=13, again=Again.PERIODIC),
    "meta page, although it was written": Fault(
        On.DURABLE, errno.EIO, nth=13, again=Again.PERIODIC, how=How.LATE
    ),
    "directory": Fault(On.DIRECTORY_SYNC, errno.EIO, nth=7, again=Again.PERIODIC),
    "another directory": Fault(On.DIRECTORY_SYNC, errno.EIO, nth=11, again=Again.PERIODIC),
}


@pytest.mark.parametrize("fault", FAILING)
@pytest.mark.parametrize("lanes", [1, 3])
def test_what_a_failed_sync_left_in_doubt_is_never_taken_for_durable(lanes: int, fault: str) -> None:
    # LMDB takes a commit back by writing the number of an older one into its meta page; check cannot tell this page
    # from one that was damaged, until the next commit overwrites it.
    tolerated = "meta page" if FAILING[fault].how is How.LATE else ""
    assert survive(record(lanes, 40, fault=FAILING[fault]), 20, tolerated=tolerated) == 20


def interesting_kills(recorded: Recording) -> list[int]:
    """While the first directories are made, and whenever the catalogue changes hands."""
    early = [place for place, one in enumerate(recorded.records[:60]) if matters(one)][::6]
    commits = [
        place
        for place, one in enumerate(recorded.records)
        if one.action is Action.WRITE and one.durable and one.path == f"{DATABASE}/catalog/data.mdb"
    ]
    return sorted({*early, *commits})


@pytest.mark.parametrize("part", range(3))
def test_the_power_may_go_out_after_a_kill_too(part: int) -> None:
    """What a killed process left in the system's cache is seen by the next one, and may still be lost."""
    recorded = record(lanes=1, count=120)
    for place in interesting_kills(recorded)[part::3]:
        try:
            _survive_succession(recorded, place)
        except Exception as error:
            error.add_note(f"after a kill at {place}, {recorded.records[place].path}, seed {SEED}")
            raise


def _survive_succession(recorded: Recording, place: int) -> None:
    after = kill_and_succeed(recorded, place)
    promises = Promises(recorded)
    folder = scratch() / "image"
    for cut, log_bytes in images(after.disk, after.records, choose_cuts(after.records, 12), folder):
        try:
            check_pages(folder)
            with quidditch.connect(folder / DATABASE) as database:
                found = observe(database)
            told = log_bytes >= after.acknowledged_at
            assert not told or workload.SUCCESSOR in found[workload.MAIN]
            # The successor makes the index where there is none, so it may be there, and empty.
            allowed = promises.allowed(after.killed_at)
            wrong = differences(found, promises.lanes, _or_new(allowed))
            assert not wrong, "\n".join(wrong)
        except Exception as error:
            error.add_note(
                f"{cut}: {after.records[cut.place].action.name} of {after.records[cut.place].path}"
            )
            raise
        finally:
            shutil.rmtree(folder)


def _or_new(allowed: Allowed) -> Allowed:
    """The same, and an empty index wherever there may be none."""

    def states(index: str, lane: int) -> list[State]:
        found = allowed(index, lane)
        missing = [state for state in found if workload.MAIN not in state]
        return [*found, *({**state, workload.MAIN: {}} for state in missing)]

    return states


@pytest.mark.long
@pytest.mark.parametrize("lanes", [1, 4])
def test_every_prefix_and_many_reorderings(lanes: int) -> None:
    recorded = record(lanes, count=200 // lanes)
    moments = sum(map(matters, recorded.records))
    assert survive(recorded, max(2_500, moments)) >= 2_500


# ---------------------------------------------------------------------------------------- what the tests rest on


def test_a_file_may_end_before_pages_that_nobody_reaches() -> None:
    """LMDB counts pages that a transaction took and gave back without writing them. If the power goes out before
    the file is made longer, it is shorter than its meta page says, and whole all the same."""
    folder = scratch() / "short"
    with quidditch.connect(folder) as database:
        index = database.create_index(workload.MAIN, workload.MAPPINGS)
        index.add_many({"_id": str(n), "title": "dune"} for n in range(50))
        index.flush()
    (file,) = folder.glob("*/0/data.mdb")
    _take_pages_and_give_them_back(file)
    assert damages(file) == []
    with quidditch.connect(folder) as database:
        assert database.index(workload.MAIN).count("dune") == 50
        check_life_goes_on(database)


def _take_pages_and_give_them_back(file: Path) -> None:
    import lmdb

    with lmdb.open(str(file.parent), map_size=1 << 28, max_dbs=32) as environment:
        # As long as it must be and no longer: this is what is left when what makes it longer was lost.
        os.truncate(file, (environment.info()["last_pgno"] + 1) * PAGE)
        with environment.begin(write=True) as transaction:
            stored = environment.open_db(b"stored", transaction)
            for key in (b"\xff" * 8, b"\xff" * 9):
                transaction.put(key, bytes(1 << 20), db=stored)
                transaction.delete(key, db=stored)
        pages = environment.info()["last_pgno"] + 1
    assert file.stat().st_size < pages * PAGE, "the file is not short, so nothing is tried"


@pytest.mark.parametrize(
    ("forgotten", "after"),
    [
        pytest.param(lambda one: one.action is Action.DATA_SYNC, 300, id="data"),
        pytest.param(lambda one: one.action is Action.SYNC, 0, id="directories"),
    ],
)
def test_a_forgotten_sync_would_be_noticed(forgotten: Callable[[Record], bool], after: int) -> None:
    whole = record(lanes=1, count=120)
    records = [one for place, one in enumerate(whole.records) if place < after or not forgotten(one)]
    without = replace(whole, records=records)
    with pytest.raises((AssertionError, QuidditchError)):
        survive(without, 400)
