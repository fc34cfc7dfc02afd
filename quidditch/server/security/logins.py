"""From an `Authorization` header to its caller: at once for who is known, late for who guesses."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import math
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable

from quidditch.server.failures import RestError
from quidditch.server.security.accounts import Accounts, expired
from quidditch.server.security.grants import Caller
from quidditch.server.security.secrets import decode_pair, key_fits, password_fits
from quidditch.server.security.throttle import LONGEST_DELAY_S, Throttle

CHALLENGES = ('Basic realm="quidditch", charset="UTF-8"', "ApiKey")
"""A header each: browsers take a line with two for one that they do not understand, and ask nobody for a password."""

MOST_QUEUED = 64
MOST_QUEUED_OF_ONE = 32
"""Passwords that wait for their hash to be computed, of all and of one address; further ones are refused at once."""

log = logging.getLogger("quidditch.server.security")


class Logins:
    """Who callers say they are, and whether they are."""

    def __init__(
        self, throttle: Throttle | None = None, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._throttle = throttle or Throttle()
        self._sleep = sleep
        self._passwords = Passwords()
        self._callers = _Callers()

    async def caller(self, accounts: Accounts, authorization: str | None, address: str) -> Caller:
        """raises: RestError   401; 429 for who has failed too often"""
        if authorization is None:
            raise unknown("missing authentication credentials")
        scheme, _, text = authorization.partition(" ")
        pair = decode_pair(text.strip())
        network = _network(address)
        if pair is not None and scheme.lower() == "apikey":
            return await self._with_key(accounts, *pair, network)
        if pair is not None and scheme.lower() == "basic":
            return await self._with_password(accounts, *pair, network)
        raise unknown("Authorization header: Basic or ApiKey and base64 of name:secret expected")

    async def _with_key(self, accounts: Accounts, id: str, secret: str, network: str) -> Caller:
        """A right key never waits, since nobody guesses one; a wrong one does."""
        key = accounts.keys.get(id)
        if key_fits(key.hash if key else None, secret) and key is not None and not expired(key):
            # No user's name has a slash: what a key has opened is nobody else's.
            return self._callers.get(accounts, f"{key.name}/{id}", key.roles)
        await self._wait(self._throttle.begin((network, "")))
        raise _failed("API key is not known, revoked or expired", id, network)

    async def _with_password(self, accounts: Accounts, name: str, password: str, network: str) -> Caller:
        user = accounts.users.get(name)
        hashed = user.hash if user else None
        who = (network, name)
        if self._passwords.is_known(name, hashed, password):
            # While somebody guesses, a right password takes as long as a wrong one: the difference would tell him.
            await self._wait(self._throttle.pending(who))
        elif await self._passwords.fits(name, hashed, password, network, lambda: self._take_turn(who)):
            self._throttle.succeeded(who)
        else:
            raise _failed("user name or password is wrong", name, network)
        assert user is not None
        return self._callers.get(accounts, name, user.roles)

    async def _take_turn(self, who: tuple[str, str]) -> None:
        await self._wait(self._throttle.begin(who))

    async def _wait(self, seconds: float) -> None:
        if seconds > LONGEST_DELAY_S:
            raise _too_many(seconds)
        if seconds:
            await self._sleep(seconds)


class Passwords:
    """Passwords looked at once: a hash that is slow on purpose is not computed for every request."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(32)
        self._known: dict[str, tuple[str, bytes]] = {}
        self._running: dict[bytes, asyncio.Task[bool]] = {}
        self._queued: Counter[str] = Counter()
        self._one = asyncio.Semaphore(1)

    def is_known(self, name: str, hashed: str | None, password: str) -> bool:
        """Whether this password has been found to fit this hash before, in constant time."""
        known_hash, known = self._known.get(name, ("", b""))
        return hmac.compare_digest(known, self._digest(name, password)) and known_hash == hashed

    async def fits(
        self,
        name: str,
        hashed: str | None,
        password: str,
        network: str,
        take_turn: Callable[[], Awaitable[None]],
    ) -> bool:
        """Whether the password fits, when its turn has come. Equal ones at the same time are one attempt.

        raises: RestError   429
        """
        digest = self._digest(network, name, password)
        task = self._running.get(digest)
        if task is None:
            task = asyncio.ensure_future(self._attempt(name, hashed, password, network, take_turn))
            self._running[digest] = task
            task.add_done_callback(lambda done: self._ended(digest, done))
        return await asyncio.shield(task)

    def _ended(self, digest: bytes, task: asyncio.Task[bool]) -> None:
        del self._running[digest]
        if not task.cancelled():
            task.exception()  # Who asked may have gone, and an error that nobody looks at would be logged.

    async def _attempt(
        self,
        name: str,
        hashed: str | None,
        password: str,
        network: str,
        take_turn: Callable[[], Awaitable[None]],
    ) -> bool:
        await take_turn()
        if self._queued[network] >= MOST_QUEUED_OF_ONE or self._queued.total() >= MOST_QUEUED:
            raise _too_many(1)
        self._queued[network] += 1
        try:
            # One at a time: each takes a core and much memory for a while.
            async with self._one:
                fits = await asyncio.to_thread(password_fits, hashed, password)
        finally:
            self._queued[network] -= 1
            self._queued += Counter()  # Drops those at zero.
        if fits and hashed is not None:
            self._known[name] = (hashed, self._digest(name, password))
        return fits

    def _digest(self, *texts: str) -> bytes:
        return hmac.digest(self._salt, "\0".join(texts).encode("utf-8", "surrogateescape"), "sha256")


class _Callers:
    """The callers of some accounts, kept until there are others: what each may do is worked out once."""

    def __init__(self) -> None:
        self._accounts: Accounts | None = None
        self._known: dict[str, Caller] = {}

    def get(self, accounts: Accounts, name: str, roles: list[str]) -> Caller:
        if accounts is not self._accounts:
            self._accounts, self._known = accounts, {}
        if name not in self._known:
            self._known[name] = accounts.caller(name, roles)
        return self._known[name]


def unknown(reason: str) -> RestError:
    """401, and how to say who one is."""
    return RestError(reason, 401, "security_exception", headers={"WWW-Authenticate": CHALLENGES[0]})


def _failed(reason: str, name: str, network: str) -> RestError:
    log.warning("%s: %r from %s", reason, name[:100], network)
    return unknown(reason)


def _too_many(seconds: float) -> RestError:
    headers = {"Retry-After": str(math.ceil(seconds))}
    return RestError("too many failed attempts to log in", 429, "security_exception", headers=headers)


def _network(address: str) -> str:
    """The address, or of IPv6 the network that one customer has: he could use another address for each attempt."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))
