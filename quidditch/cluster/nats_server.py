"""NATS servers that are ours: where the program is, whether it is one to trust, its configuration, its process."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quidditch.cluster.tls import Tls
from quidditch.errors import RequestError, StorageError, Unavailable

PROGRAM = "QUIDDITCH_NATS_SERVER"
"""The variable that names the program, before it is looked for elsewhere."""

OLDEST = (2, 10)
"""Releases before it cannot be told to sync each write, and lose what they acknowledged when the power fails."""

RECOMMENDED = (2, 12)

MAX_MESSAGE_BYTES = 8 << 20
"""A batch is 1 MB or one document; a document may be larger than that."""

START_S = 10.0

_warned: set[tuple[int, ...]] = set()
"""Releases that a warning was written about: once is enough."""

log = logging.getLogger("quidditch.cluster")


def find_server() -> Path:
    """The program: by `$QUIDDITCH_NATS_SERVER`, in `PATH`, or in /usr/sbin.

    raises: RequestError   it is nowhere
    """
    named = os.environ.get(PROGRAM)
    if named:
        if not os.access(named, os.X_OK):
            raise RequestError(f"${PROGRAM} is {named!r}, which is no program")
        return Path(named)
    found = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RequestError(
            f"a cluster needs the program nats-server 2.10 or newer, which is neither in PATH nor in /usr/sbin; "
            f"install it, or name it in ${PROGRAM}"
        )
    return Path(found)


def version_of(program: Path) -> tuple[int, ...]:
    """The release of the program. raises: RequestError   it does not say"""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=START_S).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise RequestError(f"{program} cannot be run: {error}") from error
    return parse_version(said)


def parse_version(text: str) -> tuple[int, ...]:
    """raises: RequestError
    >>> parse_version("nats-server: v2.10.27")
    (2, 10, 27)
    """
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    if found is None:
        raise RequestError(f"no version of a nats-server: {text[:80]!r}")
    return tuple(map(int, found.groups()))


def check_version(version: tuple[int, ...], allow_unsafe_log: bool = False) -> None:
    """raises: RequestError   a release that loses acknowledged writes when the power fails"""
    shown = ".".join(map(str, version))
    if version < OLDEST and not allow_unsafe_log:
        raise RequestError(
            f"nats-server {shown} cannot sync each write (sync_interval: always) and loses acknowledged writes when "
            "the power fails: 2.10 or newer expected; allow_unsafe_log takes it nevertheless"
        )
    if version < RECOMMENDED and version not in _warned:
        _warned.add(version)
        log.warning("nats-server %s works; 2.12 or newer is recommended", shown)


@dataclass(frozen=True, slots=True)
class Member:
    """One NATS server of a cluster of them: its name, where clients and other servers reach it, where it stores."""

    name: str
    port: int
    folder: Path
    route_port: int = 0
    host: str = "127.0.0.1"
    tls: Tls = field(default_factory=Tls)

    @property
    def url(self) -> str:
        return f"{'tls' if self.tls else 'nats'}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What NATS clients log in with, and its servers among each other."""

    user: str = "quidditch"
    password: str = ""

    @classmethod
    def new(cls) -> Credentials:
        return cls(password=secrets.token_urlsafe(32))


def configuration(member: Member, members: Sequence[Member], credentials: Credentials) -> dict[str, Any]:
    """The configuration of a member, which NATS reads as JSON. Every write is synced before it is acknowledged."""
    login = {"user": credentials.user, "password": credentials.password}
    found: dict[str, Any] = {
        "server_name": member.name,
        "host": member.host,
        "port": member.port,
        "authorization": login,
        "max_payload": MAX_MESSAGE_BYTES,
        "max_pending": 8 * MAX_MESSAGE_BYTES,
        "jetstream": {"store_dir": str(member.folder / "store"), "sync_interval": "always"},
        "log_file": str(member.folder / "nats.log"),
        "pid_file": str(member.folder / "nats.pid"),
    }
    tls = {
        "cert_file": member.tls.certificate,
        "key_file": member.tls.key,
        "ca_file": member.tls.ca,
        "verify": True,
    }
    if member.tls:
        found["tls"] = tls
    if len(members) > 1:
        routes = [
            f"nats://{credentials.user}:{credentials.password}@{other.host}:{other.route_port}"
            for other in members
            if other != member
        ]
        found["cluster"] = {
            "name": "quidditch",
            "host": member.host,
            "port": member.route_port,
            "authorization": login,
            "routes": routes,
            **({"tls": tls} if member.tls else {}),
        }
    return found


def write_configuration(member: Member, members: Sequence[Member], credentials: Credentials) -> Path:
    """The file of a member's configuration, which only its owner may read: there is a password in it."""
    member.folder.mkdir(parents=True, exist_ok=True)
    path = member.folder / "nats.conf"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(configuration(member, members, credentials), file, indent=1)
    return path


class NatsProcess:
    """A member that this process starts and ends, by its pid."""

    def __init__(self, member: Member, members: Sequence[Member], credentials: Credentials) -> None:
        self.member = member
        self._program = find_server()
        check_version(version_of(self._program))
        self._path = write_configuration(member, members, credentials)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        """raises: StorageError   it does not run"""
        if self._process is None:
            raise StorageError(f"nats-server {self.member.name} does not run")
        return self._process

    def start(self) -> None:
        """Start it, and wait until it takes connections.

        raises: Unavailable   it does not within ten seconds; with the end of what it said
        """
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it: one of several takes part once it has found the others."""
        self._process = subprocess.Popen(
            [self._program, "-c", self._path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Wait until it takes connections. raises: Unavailable   as `start`"""
        deadline = time.monotonic() + START_S
        while not _answers(self.member):
            if self.popen.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Unavailable(f"nats-server {self.member.name} did not start: {self._said()}")
            time.sleep(0.02)

    def _said(self) -> str:
        with contextlib.suppress(OSError):
            return (self.member.folder / "nats.log").read_text(errors="replace")[-500:]
        return f"it says nothing in {self.member.folder / 'nats.log'}"

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it has; with SIGKILL, as a machine that fails would."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        try:
            self._process.wait(START_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _answers(member: Member) -> bool:
    try:
        socket.create_connection((member.host, member.port), 0.5).close()
    except OSError:
        return False
    return True


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody has at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]
