"""Locks between processes, which the system lets go of however their holder ends.

On POSIX they are `flock` locks: they belong to an open file, so a forked child that closes its copy leaves the
parent's alone, and SIGKILL frees them as an orderly end does. macOS gives the same. On Windows they are byte locks.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
import weakref
from pathlib import Path

HOLDER_BYTES = 96
"""What a lock file holds: who took the lock last, in words, padded with spaces."""

_LONGEST_NAP_S = 0.01

if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> bool:
        os.lseek(fd, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(fd: int) -> None:
        os.lseek(fd, 1 << 30, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


class FileLock:
    """A lock on one file, made if it is not there. Its owner guards it against threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held = False
        self._fd: int | None = None
        _inherited.add(self)

    def try_acquire(self) -> bool:
        """Take the lock if it is free. raises: OSError   the file cannot be opened"""
        while True:
            fd = self._open()
            if not _try_lock(fd):
                return False
            if os.fstat(fd).st_nlink or sys.platform == "win32":
                self.held = True
                return True
            # Somebody removed the file: others lock the one that stands in its place.
            self.close()

    def _open(self) -> int:
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        return self._fd

    def release(self) -> None:
        if self._fd is not None and self.held:
            self.held = False
            _unlock(self._fd)

    def close(self) -> None:
        """Let go of the file, and of the lock if this process holds it. In a forked child: of neither but here."""
        fd, self._fd, self.held = self._fd, None, False
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)

    def sign(self) -> None:
        """Name this process as the holder, for those who wait. Only words: the lock is the system's."""
        if self._fd is not None:
            words = f"process {os.getpid()} on {socket.gethostname()}".encode()[:HOLDER_BYTES]
            with contextlib.suppress(OSError):
                os.lseek(self._fd, 0, os.SEEK_SET)
                os.write(self._fd, words.ljust(HOLDER_BYTES))

    def holder(self) -> str:
        """Who signed last."""
        try:
            return self.path.read_bytes()[:HOLDER_BYTES].decode(errors="replace").strip() or "another process"
        except OSError:
            return "another process"


_inherited: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _close_in_child() -> None:
    """A child that kept its parent's files open would keep the parent's locks when the parent is dead."""
    for lock in list(_inherited):
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock on this file."""
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        return not lock.try_acquire()
    finally:
        lock.close()


class WriteLock:
    """The lock of one environment's writers, who take turns.

    Whoever wants the lock holds the turnstile while it waits, so a holder that wants it again at once comes behind
    those that wait already, and can see that there are any.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = FileLock(folder / "write.lock")
        self._turnstile = FileLock(folder / "write.queue")

    @property
    def held(self) -> bool:
        return self._lock.held

    def acquire(self, deadline: float) -> bool:
        """Whether the lock was had before `deadline`, by the monotonic clock. raises: OSError"""
        if not _poll(self._turnstile, deadline):
            return False
        try:
            had = _poll(self._lock, deadline)
        finally:
            self._turnstile.release()
        if had:
            self._lock.sign()
        return had

    def release(self) -> None:
        self._lock.release()

    def wanted(self) -> bool:
        """Whether another process waits for the lock."""
        if self._turnstile.held:
            return False
        try:
            free = self._turnstile.try_acquire()
        except OSError:
            return False
        self._turnstile.release()
        return not free

    def holder(self) -> str:
        return self._lock.holder()

    def close(self) -> None:
        self._lock.close()
        self._turnstile.close()


def _poll(lock: FileLock, deadline: float) -> bool:
    nap_s = 0.0005
    while not lock.try_acquire():
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(nap_s, left_s))
        nap_s = min(2 * nap_s, _LONGEST_NAP_S)
    return True
