"""ASGI around the application: nobody gets in whose request is not his own, or who does not say who he is."""

from __future__ import annotations

import asyncio
import hmac
import math
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quidditch.server import wire
from quidditch.server.failures import RestError, error_body, status_of
from quidditch.server.security.accounts import Accounts, LiveAccounts, expired
from quidditch.server.security.grants import ANYONE, NOBODY, Caller
from quidditch.server.security.heads import check_head
from quidditch.server.security.origins import Origins
from quidditch.server.security.secrets import decode_pair, key_fits, password_fits
from quidditch.server.security.throttle import LONGEST_DELAY_S, Throttle

CALLER = "quidditch.caller"
"""The key of the scope that holds the `Caller`."""

PROBES = frozenset(("/_live", "/_ready"))
"""Paths that a machine looks at which has no account: they say whether the server is well, and nothing else."""

CHALLENGE = 'Basic realm="quidditch", charset="UTF-8", ApiKey'

MOST_ATTEMPTS = 64
"""Passwords that wait to be looked at, or to be looked at again; further ones are refused at once."""

_HEADERS = {"x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin"}
"""On every answer: it is no script, style or page, whatever its bytes look like, and not for other origins."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in.

    accounts:  None for a server without any, which is open to all of this machine
    origins:   what the server may be called
    closed:    nobody comes in as long as there are no accounts, because others than this machine reach the server
    """

    accounts: LiveAccounts | None = None
    origins: Origins = field(default_factory=Origins)
    closed: bool = False


OPEN = Access()


class Gate:
    """The application, for those who may come in; `scope[CALLER]` says who that is."""

    def __init__(
        self,
        application: ASGIApp,
        access: Access = OPEN,
        *,
        throttle: Throttle | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._application = application
        self._access = access
        self._passwords = Passwords()
        self._callers = _Callers()
        self._throttle = throttle or Throttle()
        self._sleep = sleep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = Headers(scope=scope)
        guarded = _with_headers(send)
        try:
            check_head(scope)
            self._access.origins.check(scope["method"], headers)
            scope[CALLER] = NOBODY if scope["path"] in PROBES else await self._caller(scope, headers)
        except RestError as error:
            await _refusal(scope, error)(scope, receive, guarded)
            return
        await self._application(scope, receive, guarded)

    async def _caller(self, scope: Scope, headers: Headers) -> Caller:
        """raises: RestError   401; 429 for who has failed too often"""
        address = (scope.get("client") or ("",))[0]
        accounts = self._access.accounts.now() if self._access.accounts else None
        if accounts is None:
            if self._access.closed:
                raise _unknown("this server has no accounts yet: quidditch users add")
            return ANYONE
        given = headers.get("authorization")
        if given is None:
            raise _unknown("missing authentication credentials")
        scheme, _, text = given.partition(" ")
        pair = decode_pair(text.strip())
        if pair is not None and scheme.lower() == "apikey":
            return await self._with_key(accounts, *pair, address)
        if pair is not None and scheme.lower() == "basic":
            return await self._with_password(accounts, *pair, address)
        raise _unknown("Authorization header: Basic or ApiKey and base64 of name:secret expected")

    async def _with_key(self, accounts: Accounts, id: str, secret: str, address: str) -> Caller:
        """A right key never waits, since nobody guesses one; a wrong one does."""
        key = accounts.keys.get(id)
        if key_fits(key.hash if key else None, secret) and key is not None and not expired(key):
            # No user's name has a slash: what a key has opened is nobody else's.
            return self._callers.get(accounts, f"{key.name}/{id}", key.roles)
        await self._wait(self._throttle.begin((address, "")))
        raise _unknown("API key is not known, revoked or expired")

    async def _with_password(self, accounts: Accounts, name: str, password: str, address: str) -> Caller:
        user = accounts.users.get(name)
        hashed = user.hash if user else None
        who = (address, name)
        if not self._passwords.is_known(name, hashed, password):
            fits = await self._passwords.once(name, hashed, password, lambda: self._wait_for(who))
            if not fits:
                raise _unknown("user name or password is wrong")
            self._throttle.succeeded(who)
        assert user is not None
        return self._callers.get(accounts, name, user.roles)

    async def _wait_for(self, who: tuple[str, str]) -> None:
        await self._wait(self._throttle.begin(who))

    async def _wait(self, seconds: float) -> None:
        if seconds > LONGEST_DELAY_S:
            raise _too_many(seconds)
        if seconds:
            await self._sleep(seconds)


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


class Passwords:
    """Passwords looked at once: a hash that is slow on purpose is not computed for every request."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(32)
        self._known: dict[str, tuple[str, bytes]] = {}
        self._running: dict[bytes, asyncio.Task[bool]] = {}
        self._one = asyncio.Semaphore(1)

    def is_known(self, name: str, hashed: str | None, password: str) -> bool:
        """Whether this password has been found to fit this hash before, in constant time."""
        known_hash, known = self._known.get(name, ("", b""))
        return hmac.compare_digest(known, self._digest(name, password)) and known_hash == hashed

    async def once(
        self, name: str, hashed: str | None, password: str, wait: Callable[[], Awaitable[None]]
    ) -> bool:
        """Whether the password fits, after the wait that the attempt has earned; equal ones at once are one."""
        digest = self._digest(name, password)
        task = self._running.get(digest)
        if task is None:
            if len(self._running) >= MOST_ATTEMPTS:
                raise _too_many(1)
            task = asyncio.ensure_future(self._attempt(name, hashed, password, wait))
            self._running[digest] = task
            task.add_done_callback(lambda done: self._ended(digest, done))
        return await asyncio.shield(task)

    def _ended(self, digest: bytes, task: asyncio.Task[bool]) -> None:
        del self._running[digest]
        if not task.cancelled():
            task.exception()  # Who asked may have gone, and an error that nobody looks at would be logged.

    async def _attempt(
        self, name: str, hashed: str | None, password: str, wait: Callable[[], Awaitable[None]]
    ) -> bool:
        await wait()
        # One at a time: each takes a core and much memory for a while.
        async with self._one:
            fits = await asyncio.to_thread(password_fits, hashed, password)
        if fits and hashed is not None:
            self._known[name] = (hashed, self._digest(name, password))
        return fits

    def _digest(self, name: str, password: str) -> bytes:
        return hmac.digest(self._salt, f"{name}\0{password}".encode("utf-8", "surrogateescape"), "sha256")


def _unknown(reason: str) -> RestError:
    return RestError(reason, 401, "security_exception", headers={"WWW-Authenticate": CHALLENGE})


def _too_many(seconds: float) -> RestError:
    headers = {"Retry-After": str(math.ceil(seconds))}
    return RestError("too many failed attempts to log in", 429, "security_exception", headers=headers)


def _refusal(scope: Scope, error: RestError) -> Response:
    data = wire.encode(error_body(error))
    headers = {**error.headers, "content-length": str(len(data)), "content-type": wire.JSON_TYPE}
    return Response(b"" if scope["method"] == "HEAD" else data, status_of(error), headers)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending
