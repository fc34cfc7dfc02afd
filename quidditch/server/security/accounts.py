"""The accounts of a server: a file beside the data, written as a whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from quidditch.errors import RequestError, StorageError
from quidditch.server.security.grants import BUILT_IN, LEVELS, Caller, Level, Role, check_pattern

FILE = "security.json"
VERSION = 1

log = logging.getLogger("quidditch.server.security")


class User(msgspec.Struct, forbid_unknown_fields=True):
    """hash: argon2id, with salt and cost"""

    hash: str
    roles: list[str]


class Key(msgspec.Struct, forbid_unknown_fields=True):
    """hash: SHA-256 of the secret; times in milliseconds since 1970, `expires_ms` 0 for never"""

    name: str
    hash: str
    roles: list[str]
    created_ms: int
    expires_ms: int = 0


class Grants(msgspec.Struct, forbid_unknown_fields=True):
    """A role as the file holds it: a level on the cluster ("" for none), and the level of each pattern."""

    cluster: str = ""
    indices: dict[str, str] = {}


class Accounts(msgspec.Struct, forbid_unknown_fields=True):
    """Everything that the file holds."""

    version: int = VERSION
    users: dict[str, User] = {}
    keys: dict[str, Key] = {}
    roles: dict[str, Grants] = {}

    def role(self, name: str) -> Role:
        """raises: RequestError   no role has this name"""
        if name in BUILT_IN:
            return BUILT_IN[name]
        grants = self.roles.get(name)
        if grants is None:
            known = ", ".join(sorted({*BUILT_IN, *self.roles}))
            raise RequestError(f"role [{name}] is not there; there are {known}")
        cluster = LEVELS[grants.cluster] if grants.cluster else Level.NOTHING
        return Role(cluster, tuple((pattern, LEVELS[word]) for pattern, word in grants.indices.items()))

    def caller(self, name: str, roles: list[str]) -> Caller:
        return Caller.of(name, [self.role(role) for role in roles])

    def check(self) -> None:
        """raises: RequestError   naming what is wrong"""
        if self.version != VERSION:
            raise RequestError(f"version {self.version}; {VERSION} expected")
        for name, grants in self.roles.items():
            check_name("role", name)
            if name in BUILT_IN:
                raise RequestError(f"role [{name}] is built in")
            for word in (*([grants.cluster] if grants.cluster else ()), *grants.indices.values()):
                if word not in LEVELS:
                    raise RequestError(f"role [{name}]: level {', '.join(LEVELS)} expected, not [{word}]")
            for pattern in grants.indices:
                check_pattern(pattern)
        having = {name: user.roles for name, user in self.users.items()}
        having |= {id: key.roles for id, key in self.keys.items()}
        for name, roles in having.items():
            for role in roles:
                try:
                    self.role(role)
                except RequestError as error:
                    raise RequestError(f"account [{name}]: {error}") from None
        for name in self.users:
            check_name("user", name)


def check_name(kind: str, name: str) -> str:
    """raises: RequestError   a name that could not be typed, sent or shown"""
    if re.fullmatch(r"[A-Za-z0-9._@-]{1,100}", name) is None:
        raise RequestError(f"{kind} [{name}]: 1 to 100 letters, digits, and . _ @ - expected as name")
    return name


def expired(key: Key) -> bool:
    return 0 < key.expires_ms <= time.time() * 1000


# -------------------------------------------------------------------------------------------------- the file


def read_accounts(directory: Path) -> Accounts | None:
    """The accounts of a directory; None where there are none.

    raises: StorageError   the file is damaged, cannot be read, or others than its owner may write it
    """
    path = directory / FILE
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StorageError(f"{path}: others may write it (mode {stat.S_IMODE(mode):03o}); chmod 600 expected")
    try:
        accounts = msgspec.json.decode(data, type=Accounts)
        accounts.check()
    except (msgspec.DecodeError, RequestError) as error:
        raise StorageError(f"{path}: {error}") from error
    return accounts


@contextlib.contextmanager
def changing(directory: Path) -> Iterator[Accounts]:
    """The accounts of a directory to be changed; written at the end of the block if it ends well.

    Other processes that change them wait. A reader sees the accounts before or after, never half.
    raises: RequestError   what was changed is not right; StorageError
    """
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise RequestError(f"{directory}: {error.strerror}; the directory of a database expected") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        accounts = read_accounts(directory) or Accounts()
        yield accounts
        accounts.check()
        _replace(directory / FILE, msgspec.json.format(msgspec.json.encode(accounts)) + b"\n")
        os.fsync(handle)
    except OSError as error:
        raise StorageError(f"{directory / FILE}: {error.strerror or error}") from error
    finally:
        os.close(handle)


def _replace(path: Path, data: bytes) -> None:
    # mkstemp makes it readable by its owner alone, from its first byte on.
    handle, written = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(written, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(written)
        raise


class LiveAccounts:
    """The accounts of a directory as they are now, while others change them."""

    def __init__(self, directory: Path) -> None:
        """raises: StorageError"""
        self._directory = directory
        self._seen: object = self._stamp()
        self._accounts = read_accounts(directory)

    def now(self) -> Accounts | None:
        """None as long as there never were any. A file that is damaged or gone changes nothing; nobody gets in by it.

        cost: one look at the file's entry
        """
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                found = read_accounts(self._directory)
            except StorageError as error:
                log.error("%s; what was read before holds", error)
                return self._accounts
            if found is None and self._accounts is not None:
                log.error("%s is gone; what was read before holds", self._directory / FILE)
            else:
                self._accounts = found
        return self._accounts

    def _stamp(self) -> object:
        try:
            found = os.stat(self._directory / FILE)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode
