"""A disk that is full, fails or forgets, and a machine that is short of something else.

A call raises a StorageError or has done what it was asked; nothing that was acknowledged is lost and nothing is half
there; and when the disk works again, so does the same handle. The programs that try it are `disk_fault_sweep.py`
and `poor_machine.py`; each runs in a process of its own, which must not crash.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import disk_fault_sweep
import poor_machine
import pytest
from shim import Switch, failing

import quidditch

TIMEOUT_S = 600.0
"""Far more than anything here takes: what is not done by then hangs."""

QUICK = ("full", "write", "sync", "names")
"""The faults of the default form; the long form has all."""

STRIDES = {"force_merge": 2, "stream": 5, "compact": 5, "backup": 3}
"""Of operations that make many calls the default form lets every so many-th fail."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may look into, in memory where the system offers it."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="quidditch-", dir=memory if os.access(memory, os.W_OK) else None))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def run(module: str, *arguments: object, environment: dict[str, str] | None = None) -> str:
    """What a program printed; it must end well."""
    command = [sys.executable, "-W", "error", module, *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def sweep(folder: Path, operation: str, faults: tuple[str, ...], stride: int = 1) -> None:
    watched, switch = folder / "watched", Switch(folder / "switch")
    watched.mkdir()
    arguments = (watched, switch.path, operation, stride, *faults)
    run(disk_fault_sweep.__file__, *arguments, environment=failing(watched, switch))


@pytest.mark.parametrize("operation", disk_fault_sweep.OPERATIONS)
def test_a_call_fails_as_a_whole_and_the_next_succeeds(folder: Path, operation: str) -> None:
    sweep(folder, operation, QUICK, STRIDES.get(operation, 1))


@pytest.mark.long
@pytest.mark.parametrize("fault", disk_fault_sweep.FAULTS)
@pytest.mark.parametrize("operation", disk_fault_sweep.OPERATIONS)
def test_a_call_fails_as_a_whole_whatever_the_disk_does(folder: Path, operation: str, fault: str) -> None:
    sweep(folder, operation, (fault,))


def test_a_process_without_file_handles_says_so_and_goes_on_when_there_are_some(folder: Path) -> None:
    run(poor_machine.__file__, "few_handles", folder)


def test_a_directory_that_may_not_be_written_is_searched_and_left_as_it_is(folder: Path) -> None:
    place = folder / "forbidden"
    with quidditch.connect(place) as database:
        poor_machine.use_everything(database, "books")
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    # The program becomes another user where this one is root, whom no permission holds back.
    (folder / "warm").mkdir()
    _forbid(place)
    try:
        run(poor_machine.__file__, "no_permission", folder)
    finally:
        _allow(place)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    with quidditch.connect(place) as database:
        database["books"].add({"title": "dune"})
        assert database["books"].count("dune") == 21


def _forbid(place: Path) -> None:
    for path in (*place.rglob("*"), place):
        path.chmod(0o555 if path.is_dir() else 0o444)


def _allow(place: Path) -> None:
    for path in (place, *place.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_what_is_written_through_a_map_has_its_room_from_the_start(folder: Path) -> None:
    """LMDB writes to its table of readers in memory; if the disk had no room for it then, the process would be
    killed by SIGBUS."""
    with quidditch.connect(folder / "db") as database:
        database.create_index("books").add({"title": "dune"})
        for file in (folder / "db").rglob("lock.mdb"):
            assert file.stat().st_blocks * 512 >= file.stat().st_size, file


def test_a_disk_that_is_full_in_truth_is_an_error_too(folder: Path) -> None:
    small = 'mount -t tmpfs -o size=1200k none "$0" && exec "$@"'
    mounted = ["unshare", "--mount", "sh", "-c", small, str(folder)]
    if shutil.which("unshare") is None or subprocess.run([*mounted, "true"], check=False).returncode:
        pytest.skip("a small file system is needed, and this user may not mount one")
    program = [sys.executable, poor_machine.__file__, "full_disk", str(folder)]
    done = subprocess.run(
        [*mounted, *program], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-200:]}{done.stderr}"


def test_a_clock_that_jumps_by_years_does_no_harm(folder: Path) -> None:
    run(poor_machine.__file__, "jumping_clock", folder)


def test_deletes_are_forgotten_although_the_clock_was_ahead(folder: Path) -> None:
    run(poor_machine.__file__, "deletes_after_a_jump", folder)
