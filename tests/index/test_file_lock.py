"""Locks between processes: who gets them, in which order, and what is left of a dead owner's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quidditch.index.file_lock import FileLock, WriteLock, is_held

HOLD = """
    import sys, time
    from pathlib import Path
    from quidditch.index.file_lock import WriteLock
    lock = WriteLock(Path(sys.argv[1]))
    assert lock.acquire(time.monotonic() + 30)
    print("held", flush=True)
    sys.stdin.readline()
    lock.release()
    print("free", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def program(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def soon() -> float:
    return time.monotonic() + 0.1


def test_a_lock_is_held_by_one_process_and_names_it(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path)
    with program(HOLD, tmp_path) as other:
        assert line(other) == "held"
        assert not lock.acquire(soon())
        assert f"process {other.pid}" in lock.holder()
        go_on(other)
        assert line(other) == "free"
        assert lock.acquire(soon())
        assert f"process {os.getpid()}" in lock.holder()
    lock.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_owner_keeps_nothing(tmp_path: Path, how: signal.Signals) -> None:
    lock = WriteLock(tmp_path)
    with program(HOLD, tmp_path) as other:
        assert line(other) == "held"
        assert is_held(tmp_path / "write.lock")
        other.send_signal(how)
        other.wait(30)
        assert not is_held(tmp_path / "write.lock")
        assert lock.acquire(soon())
    lock.close()


def test_who_waits_is_seen_and_comes_before_a_holder_that_wants_it_again(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path)
    assert lock.acquire(soon())
    assert not lock.wanted()
    with program(HOLD, tmp_path) as other:
        deadline = time.monotonic() + 30
        while not lock.wanted():
            assert time.monotonic() < deadline, "nobody came to wait"
            time.sleep(0.01)
        lock.release()
        # The other stands before us, however quick we are.
        assert not lock.acquire(time.monotonic())
        assert line(other) == "held"
        assert not lock.acquire(soon())
    lock.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_forked_child_holds_nothing_of_its_parents(tmp_path: Path) -> None:
    script = """
        import os, sys, time
        from pathlib import Path
        from quidditch.index.file_lock import FileLock
        lock = FileLock(Path(sys.argv[1]) / "own.lock")
        assert lock.try_acquire()
        child = os.fork()
        if child == 0:
            os.write(1, f"child holds {lock.held}\\n".encode())
            time.sleep(60)
        os.write(1, f"parent {child}\\n".encode())
        sys.stdin.readline()
    """
    with program(script, tmp_path) as parent:
        said = sorted((line(parent), line(parent)))
        assert said[0] == "child holds False"
        child = int(said[1].split()[1])
        try:
            assert is_held(tmp_path / "own.lock")
            parent.kill()
            parent.wait(30)
            assert not is_held(tmp_path / "own.lock"), "the child keeps what its dead parent held"
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_removed_file_is_made_anew_and_locked_there(tmp_path: Path) -> None:
    one, two = FileLock(tmp_path / "a.lock"), FileLock(tmp_path / "a.lock")
    assert one.try_acquire()
    one.release()
    (tmp_path / "a.lock").unlink()
    assert two.try_acquire()
    assert not one.try_acquire()
    two.close()
    assert one.try_acquire()
    one.close()


def test_a_lock_in_a_directory_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        WriteLock(tmp_path / "gone").acquire(soon())
