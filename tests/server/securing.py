"""Servers with accounts, and those who ask them."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trustme

from quidditch.interface import Database
from quidditch.server.security.accounts import Grants, Key, LiveAccounts, User, changing
from quidditch.server.security.gate import Access
from quidditch.server.security.secrets import encode_pair, hash_key, hash_password
from quidditch.server.state import State

from .asking import Server

PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
SECRET = "a secret of the tests"


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"authorization": f"Basic {encode_pair(name, password)}"}


def api_key(id: str, secret: str = SECRET) -> dict[str, str]:
    return {"authorization": f"ApiKey {encode_pair(id, secret)}"}


def add_user(directory: Path, name: str, *roles: str) -> None:
    with changing(directory) as accounts:
        accounts.users[name] = User(HASH, list(roles))


def add_key(directory: Path, id: str, *roles: str, name: str = "key", expires_ms: int = 0) -> None:
    with changing(directory) as accounts:
        accounts.keys[id] = Key(name, hash_key(SECRET), list(roles), 0, expires_ms)


def add_role(directory: Path, name: str, indices: Mapping[str, str], cluster: str = "") -> None:
    with changing(directory) as accounts:
        accounts.roles[name] = Grants(cluster, dict(indices))


@dataclass
class Asker:
    """`ada("GET", "/books/_search")`: requests with one account's header."""

    server: Server
    headers: dict[str, str]

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.server(
            method, path, body, **{**options, "headers": {**options.get("headers", {}), **self.headers}}
        )


class Secured(Server):
    """A server whose accounts are those of a directory."""

    def __init__(self, database: Database, directory: Path, state: State | None = None) -> None:
        self.directory = directory
        super().__init__(database, state, Access(LiveAccounts(directory)))

    def having(self, indices: Mapping[str, str], cluster: str = "", name: str = "someone") -> Asker:
        """Somebody new with these rights, who has an API key."""
        add_role(self.directory, f"role-of-{name}", indices, cluster)
        add_key(self.directory, f"id-of-{name}", f"role-of-{name}", name=name)
        return Asker(self, api_key(f"id-of-{name}"))


COMMAND = [sys.executable, "-m", "quidditch_cli.main"]


@contextmanager
def serving(
    directory: Path, *options: str, scheme: str = "http", verify: ssl.SSLContext | bool = True
) -> Iterator[httpx.Client]:
    """A client of a server in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*COMMAND, "serve", str(directory), "--port", str(port), *options]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"{scheme}://127.0.0.1:{port}", verify=verify, trust_env=False) as client:
            end_s = time.monotonic() + 30
            while True:
                try:
                    client.get("/")
                    break
                except httpx.TransportError:
                    assert process.poll() is None, "the server does not answer"
                    assert time.monotonic() < end_s, "the server does not answer"
                    time.sleep(0.02)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


class Certificate:
    """A certificate of 127.0.0.1 and its key, as files, and who believes it."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        self.cert, self.key = directory / "cert.pem", directory / "key.pem"
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(str(self.cert), append=number > 0)
        issued.private_key_pem.write_to_path(str(self.key))
        self.authority = directory / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self.trust = ssl.create_default_context()
        authority.configure_trust(self.trust)
        self.options = ("--tls-cert", str(self.cert), "--tls-key", str(self.key))
