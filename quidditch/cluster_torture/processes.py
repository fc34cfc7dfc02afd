"""A cluster of processes in a folder, to be tortured: who runs, and how to end, stop and start them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quidditch.cluster import machine
from quidditch.errors import QuidditchError, Unavailable

END_S = 30.0

SETTLE_S = 90.0
"""How long a cluster may take until all copies serve again."""


class Cluster:
    """The processes of one `quidditch cluster up` folder.

    kills:  processes that were ended with SIGKILL
    """

    def __init__(self, folder: Path, plan: machine.Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.url = f"http://127.0.0.1:{plan.port}"
        self.kills = 0

    def up(self) -> None:
        """Start whatever does not run, and wait until it answers."""
        machine.up(self.folder, self.plan)

    def down(self) -> None:
        machine.down(self.folder)

    def pids(self) -> dict[str, int]:
        """Those that have been started, by name."""
        found = {path.stem: int(path.read_text().strip() or 0) for path in sorted(self.folder.glob("*.pid"))}
        return {name: pid for name, pid in found.items() if not _ended(pid)}

    def names(self, role: str) -> list[str]:
        """Those of a role: `data`, `coordinator`, `master`, or `nats`."""
        return [name for name in self.pids() if name.partition("-")[0] == role]

    def end(self, *names: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End these at once, and wait until they have."""
        pids = [pid for name, pid in self.pids().items() if name in names]
        for pid in pids:
            os.kill(pid, how)
        self.kills += len(pids) if how == signal.SIGKILL else 0
        for pid in pids:
            wait_for(lambda pid=pid: _ended(pid), END_S, f"process {pid} to end")  # type: ignore[misc]

    def start(self, name: str) -> None:
        """Start one of ours that has ended, and wait for nothing."""
        machine.start(self.folder, name)

    def stopped(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Held by SIGSTOP within the block, as a machine that hangs would be."""
        return _stopped(self.pids()[name])

    def lose_folder(self, name: str) -> None:
        """What a data node that has been ended has on its disk is gone."""
        shutil.rmtree(self.folder / name)

    def status(self) -> dict[str, Any]:
        return machine.status(self.folder)

    def settle(self, timeout_s: float = SETTLE_S) -> None:
        """Wait until every copy serves.

        raises: Unavailable   they do not; with what there is
        """
        last: list[dict[str, Any]] = []

        def settled() -> bool:
            with contextlib.suppress(QuidditchError):
                last[:] = self.status()["shards"]
                return all(copy["state"] == "started" for copy in last)
            return False

        try:
            wait_for(settled, timeout_s, "all copies to serve")
        except Unavailable as error:
            raise Unavailable(f"{error}: {last}") from None


@contextlib.contextmanager
def _stopped(pid: int) -> Any:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _ended(pid: int) -> bool:
    """Whether a process has ended, be it a child of this one that nobody has asked after yet or not."""
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for(true: Callable[[], bool], timeout_s: float, what: str) -> None:
    """raises: Unavailable   it is not true within `timeout_s`"""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise Unavailable(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(0.05)
