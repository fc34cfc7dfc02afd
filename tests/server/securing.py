"""Servers with accounts, and those who ask them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

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
