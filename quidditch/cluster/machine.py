"""A whole cluster on one machine, NATS included: put up in a folder, told about, taken down.

The folder holds everything: secrets, configurations, logs, the pid of each process, and the data. Put up again it
goes on with what it had.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.configuration import (
    Configuration,
    NatsConfiguration,
    NodeConfiguration,
    read_configuration,
    write_configuration,
)
from quidditch.cluster.connection import Connection
from quidditch.cluster.nats_server import Credentials, Member, NatsProcess, free_ports
from quidditch.errors import RequestError, StorageError, Unavailable

START_S = 30.0
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How many processes of each kind there are, and the port of the coordinator."""

    data_nodes: int = 3
    replicas: int = 1
    port: int = 9200


def up(folder: Path, plan: Plan) -> str:
    """Start a cluster, or what of it does not run; the URL at which it answers OpenSearch's REST API.

    raises: RequestError   there is no nats-server; Unavailable   a process does not start, and what it said
    """
    folder.mkdir(parents=True, exist_ok=True)
    pids = _running(folder)
    layout = _layout(folder, plan)
    if "nats" not in pids:
        member = Member("nats", layout["nats"], folder / "nats")
        process = NatsProcess(member, [member], Credentials(password=layout["password"]))
        process.start()
        _note_pid(folder, "nats", process.popen)
    for role, name in _processes(plan):
        if name not in pids:
            _start(folder, role, name)
    database_url = f"http://127.0.0.1:{layout['coordinator']}"
    _wait_up(folder, plan, layout["coordinator"])
    return database_url


def _layout(folder: Path, plan: Plan) -> dict[str, Any]:
    """Ports and secrets, made once; the configurations of all processes are written by them."""
    path = folder / "layout.json"
    layout: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if not layout:
        layout = {"password": secrets.token_urlsafe(32), "secret": secrets.token_urlsafe(32)}
    names = [name for _, name in _processes(plan)]
    missing = [name for name in ("nats", *names) if name not in layout]
    layout |= dict(zip(missing, free_ports(len(missing)), strict=True))
    layout["coordinator"] = plan.port
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(layout, file)
    nats = NatsConfiguration((f"nats://127.0.0.1:{layout['nats']}",), password=layout["password"])
    for name in names:
        node = NodeConfiguration(name, str(folder / name), port=layout[name])
        configuration = Configuration(nats, node, layout["secret"], plan.replicas)
        write_configuration(folder / f"{name}.toml", configuration)
    return layout


def _processes(plan: Plan) -> list[tuple[str, str]]:
    """Role and name of each of our own."""
    nodes = [("data", f"data-{number}") for number in range(plan.data_nodes)]
    return [("master", "master"), *nodes, ("coordinator", "coordinator")]


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


def _wait_up(folder: Path, plan: Plan, port: int) -> None:
    """raises: Unavailable   naming the process that does not run, and the end of what it said"""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        pids = _running(folder)
        for _, name in _processes(plan):
            if name not in pids:
                said = (folder / f"{name}.log").read_text(errors="replace")[-600:]
                raise Unavailable(f"{name} of the cluster in {folder} has ended: {said}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            if len(status(folder)["nodes"]) >= plan.data_nodes:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise Unavailable(f"the cluster in {folder} did not start within {START_S:g} s; its logs lie there")


def down(folder: Path) -> list[str]:
    """End all processes gracefully, ours before NATS; the names of those that ran.

    raises: StorageError   one did not end in time
    """
    running = _running(folder)
    order = sorted(running, key=lambda name: (name == "nats", name != "coordinator", name))
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
    """The processes that run, the nodes that speak, and each shard with its copies.

    raises: RequestError   there is no cluster in the folder; Unavailable   its NATS does not answer
    """
    path = folder / "coordinator.toml"
    if not path.exists():
        raise RequestError(f"{folder}: there is no cluster; `quidditch cluster up` makes one")
    with Connection(read_configuration(path, {}).nats.options()) as connection:
        catalogue = Catalogue(connection)
        try:
            return {"processes": _running(folder), **told(catalogue)}
        finally:
            catalogue.close()


def told(catalogue: Catalogue) -> dict[str, Any]:
    """Nodes and shards, as plain values."""
    nodes = catalogue.nodes()
    names = {entry.generation: name for name, entry in catalogue.entries().items()}
    shards = []
    for shard, copies in catalogue.routing().shards():
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
                    "failed": "" if said is None else said.failed,
                }
            )
    about = {
        name: {"address": report.address, "zone": report.zone, "draining": report.draining}
        for name, report in sorted(nodes.items())
    }
    return {"nodes": about, "shards": shards}


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
