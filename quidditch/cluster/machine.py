"""A whole cluster on one machine, NATS included: put up in a folder, told about, taken down.

The folder holds everything: secrets, configurations, logs, the pid of each process, and the data. Put up again it
goes on with what it had.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quidditch.cluster.agreement import differing, said_of
from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.configuration import read_configuration
from quidditch.cluster.connection import Connection
from quidditch.cluster.layout import Layout, lay_out, planned
from quidditch.cluster.layout import Plan as Plan
from quidditch.cluster.master import active_master
from quidditch.cluster.nats_server import NatsProcess
from quidditch.errors import RequestError, StorageError, Unavailable

START_S = 60.0
STOP_S = 30.0


def up(folder: Path, plan: Plan) -> str:
    """Start a cluster, or what of it does not run; the URL at which it answers OpenSearch's REST API.

    raises: RequestError   there is no nats-server; Unavailable   a process does not start, and what it said
    """
    layout = lay_out(folder, plan)
    running = _running(folder)
    _start_nats(layout, running)
    for role, name in plan.processes():
        if name not in running:
            _start(folder, role, name)
    _wait_up(layout)
    return f"http://127.0.0.1:{plan.port}"


def _start_nats(layout: Layout, running: Mapping[str, int]) -> None:
    """Start the members that do not run, all before any is waited for: they look for each other."""
    members = layout.members()
    started = [
        NatsProcess(member, members, layout.credentials()) for member in members if member.name not in running
    ]
    for process in started:
        process.begin()
        _note_pid(layout.folder, process.member.name, process.popen)
    for process in started:
        process.wait()


def start(folder: Path, name: str) -> None:
    """Start one of our own processes, unless it runs; nothing is waited for."""
    if name not in _running(folder):
        (role,) = (role for role, other in planned(folder).processes() if other == name)
        _start(folder, role, name)


def _start(folder: Path, role: str, name: str) -> None:
    with (folder / f"{name}.log").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "quidditch.cluster.process", role, str(folder / f"{name}.toml")],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    _note_pid(folder, name, process)


def _wait_up(layout: Layout) -> None:
    """raises: Unavailable   naming the process that does not run, and the end of what it said"""
    folder, plan = layout.folder, layout.plan
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        running = _running(folder)
        for _, name in plan.processes():
            if name not in running:
                said = (folder / f"{name}.log").read_text(errors="replace")[-600:]
                raise Unavailable(f"{name} of the cluster in {folder} has ended: {said}")
        with contextlib.suppress(OSError, Unavailable):
            connection = http.client.HTTPConnection("127.0.0.1", plan.port, timeout=5)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            if len(status(folder)["nodes"]) >= plan.data_nodes:
                return
        time.sleep(0.1)
    raise Unavailable(f"the cluster in {folder} did not start within {START_S:g} s; its logs lie there")


def down(folder: Path) -> list[str]:
    """End all processes gracefully, ours before NATS; the names of those that ran.

    raises: StorageError   one did not end in time
    """
    running = _running(folder)
    order = sorted(running, key=lambda name: (name.startswith("nats-"), name != "coordinator", name))
    for name in order:
        pid = running[name]
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while _is_ours(folder, pid):
            if time.monotonic() > deadline:
                raise StorageError(f"{name}, process {pid}, did not end within {STOP_S:g} s")
            _reap(pid)
            time.sleep(0.02)
        if pid in _children:
            _children.pop(pid).wait()
        (folder / f"{name}.pid").unlink(missing_ok=True)
    return order


def status(folder: Path) -> dict[str, Any]:
    """The processes that run, the active master, the nodes that speak, and each shard with its copies.

    raises: RequestError   there is no cluster in the folder; Unavailable   its NATS does not answer
    """
    with catalogue_of(folder) as catalogue:
        master = active_master(catalogue.connection)
        return {"processes": _running(folder), "master": master, **told(catalogue)}


@contextlib.contextmanager
def catalogue_of(place: Path) -> Iterator[Catalogue]:
    """What is shared in the cluster of a folder, or of a process's configuration.

    raises: RequestError   there is no cluster; Unavailable   its NATS does not answer
    """
    path, environment = place, None
    if place.is_dir():
        path, environment = place / "coordinator.toml", dict[str, str]()
    if not path.exists():
        raise RequestError(f"{place}: there is no cluster; `quidditch cluster up` makes one")
    with Connection(read_configuration(path, environment).nats_options()) as connection:
        catalogue = Catalogue(connection)
        try:
            yield catalogue
        finally:
            catalogue.close()


def told(catalogue: Catalogue) -> dict[str, Any]:
    """Nodes and shards, as plain values."""
    nodes = catalogue.nodes()
    names = {entry.generation: name for name, entry in catalogue.entries().items()}
    shards = []
    for shard, copies in catalogue.routing().shards():
        differ = differing(said_of(str(shard), nodes))
        for copy in copies:
            said = nodes[copy.node].shards.get(str(shard)) if copy.node in nodes else None
            state = "unassigned" if said is None else "started" if said.started else "initializing"
            shards.append(
                {
                    "index": names.get(shard.uuid, shard.uuid),
                    "shard": shard.number,
                    "node": copy.node,
                    "state": "relocating" if copy.leaving else state,
                    "applied": 0 if said is None else said.applied,
                    "failed": "" if said is None else said.failed or _differs(differ.get(copy.node)),
                }
            )
    about = {
        name: {"address": report.address, "zone": report.zone, "draining": report.draining}
        for name, report in sorted(nodes.items())
    }
    return {"nodes": about, "shards": shards}


def _differs(since: int | None) -> str:
    return "" if since is None else f"it differs from the other copies, since entry {since} or before"


# ------------------------------------------------------------------------------------------------- processes


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Processes that this one has started: who has ended stays in the system's list until its parent has asked."""


def _note_pid(folder: Path, name: str, process: subprocess.Popen[bytes]) -> None:
    _children[process.pid] = process
    (folder / f"{name}.pid").write_text(f"{process.pid}\n")


def _running(folder: Path) -> dict[str, int]:
    """The processes of the cluster in this folder that run, by name."""
    found = {}
    for path in sorted(folder.glob("*.pid")):
        pid = int(path.read_text().strip() or 0)
        _reap(pid)
        if _is_ours(folder, pid):
            found[path.stem] = pid
    return found


def _is_ours(folder: Path, pid: int) -> bool:
    """Whether a process of this number runs, and was started for this folder: numbers are given again."""
    if pid in _children:
        return _children[pid].poll() is None
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return str(folder) in " ".join(_command(pid))


def _command(pid: int) -> Sequence[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        said = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True)
        return said.stdout.split()


def _reap(pid: int) -> None:
    """Ask after a child of this very process."""
    if pid in _children and _children[pid].poll() is not None:
        del _children[pid]
