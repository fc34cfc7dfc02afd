"""One process's connection to NATS: made once, kept through the restarts of its servers.

What a call to JetStream may say while its servers elect a leader is sorted out here, once: `asking` repeats what was
not carried out, and turns what was refused into our errors.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import nats
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js import errors as js_errors

from quidditch.cluster.loop import Loop
from quidditch.cluster.nats_server import Credentials, check_version, parse_version
from quidditch.cluster.state import SPEAKS, Speaks
from quidditch.cluster.tls import Tls
from quidditch.errors import Overloaded, StorageError, Unavailable

Result = TypeVar("Result")

CALL_S = 2.0
"""How long one call to JetStream is waited for: while a leader is elected, calls are dropped without a word."""

PAUSE_S = 0.05
"""Between one try and the next."""

UNSETTLED = 10158
"""JetStream's error for a duplicate of a message that is not committed yet."""

FULL = (10077, 10047, 10122)
"""JetStream's errors for a stream, or a store, that has reached its limit."""

log = logging.getLogger("quidditch.cluster")


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """How NATS is reached.

    replicas:  of every stream and key: 3 on three servers or more, else 1
    speaks:    the protocols of the process that the connection is of
    """

    urls: Sequence[str] = ("nats://127.0.0.1:4222",)
    credentials: Credentials = field(default_factory=Credentials)
    replicas: int = 1
    allow_unsafe_log: bool = False
    connect_s: float = 10.0
    tls: Tls = field(default_factory=Tls)
    speaks: Speaks = SPEAKS

    def context(self) -> ssl.SSLContext | None:
        """Of TLS, where the URLs ask for it."""
        return self.tls.client() if self.tls and any(url.startswith("tls://") for url in self.urls) else None


class Connection:
    """A connection to NATS, with the loop that it runs in. A context manager.

    raises: Unavailable    none of the servers answers
            RequestError   the server is of a release that loses writes
    """

    def __init__(self, options: NatsOptions) -> None:
        self.options = options
        self.loop = Loop()
        self.lives = 0
        """How often the connection was made anew: what stood with the server before is gone then."""
        self._longest_s = float("inf")
        self._wrong = ""
        try:
            self.client = self.loop.run(self._connect(), options.connect_s + 1.0)
            check_version(parse_version(str(self.client.connected_server_version)), options.allow_unsafe_log)
        except BaseException:
            self.close()
            raise
        self.jetstream: JetStreamContext = self.client.jetstream(timeout=CALL_S)

    async def _connect(self) -> Client:
        credentials = self.options.credentials
        try:
            return await asyncio.wait_for(
                nats.connect(
                    list(self.options.urls),
                    user=credentials.user if credentials.password else None,
                    password=credentials.password or None,
                    connect_timeout=2,
                    reconnect_time_wait=0.2,
                    max_reconnect_attempts=-1,
                    ping_interval=10,
                    max_outstanding_pings=2,
                    pending_size=64 << 20,
                    tls=self.options.context(),
                    error_cb=self._note,
                    reconnected_cb=self._made_anew,
                ),
                self.options.connect_s,
            )
        except (TimeoutError, OSError, nats_errors.Error) as error:
            why = self._wrong if isinstance(error, TimeoutError) and self._wrong else _spelt(error)
            raise Unavailable(f"NATS does not answer at {', '.join(self.options.urls)}: {why}") from error

    async def _note(self, error: Exception) -> None:
        """The client tries on; if it does so in vain, this is why."""
        if _spelt(error) != self._wrong:
            log.warning("NATS: %s", _spelt(error))
        self._wrong = _spelt(error)

    async def _made_anew(self) -> None:
        self.lives += 1
        self._wrong = ""

    def call(self, work: Callable[[], Awaitable[Result]], what: str, timeout_s: float = 10.0) -> Result:
        """What a call to JetStream returns, repeated until it was carried out.

        raises: Unavailable   it was not within `timeout_s`
                Overloaded    the stream or its store is full
                nats errors   what JetStream refuses otherwise
        """
        timeout_s = min(timeout_s, self._longest_s)
        return self.loop.run(asking(work, what, timeout_s), timeout_s + CALL_S + 1.0)

    def hurry(self, longest_s: float = CALL_S) -> None:
        """Wait no longer than this for any call from now on: the process is ending, and NATS may be away."""
        self._longest_s = longest_s

    def run(self, work: Coroutine[Any, Any, Result], timeout_s: float = 10.0) -> Result:
        return self.loop.run(work, timeout_s)

    def close(self) -> None:
        client = getattr(self, "client", None)
        try:
            if client is not None and not client.is_closed:
                self.loop.run(client.close(), 5.0)
        finally:
            self.loop.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def _spelt(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def asking(work: Callable[[], Awaitable[Result]], what: str, timeout_s: float) -> Result:
    """As `Connection.call`, in the loop."""
    deadline = time.monotonic() + timeout_s
    unsure = False
    while True:
        try:
            return await work()
        except Exception as error:
            # That there is no room for it says nothing of a try before, of which no answer came.
            if not _is_passing(error) and not (unsure and _is_full(error)):
                raise _translated(error, what) from error
            if time.monotonic() + PAUSE_S >= deadline:
                raise Unavailable(
                    f"{what}: NATS did not carry it out within {timeout_s:g} s "
                    f"({_spelt(error)}); a write may yet have happened"
                ) from error
            unsure = unsure or not isinstance(error, _UNHEARD)
        await asyncio.sleep(PAUSE_S)


def _is_passing(error: Exception) -> bool:
    """Whether the same call may succeed a moment later."""
    if isinstance(error, js_errors.APIError):
        return error.err_code not in FULL and (error.code == 503 or error.err_code == UNSETTLED)
    passing = (
        TimeoutError,
        OSError,
        js_errors.NoStreamResponseError,
        nats_errors.NoRespondersError,
        nats_errors.ConnectionReconnectingError,
        nats_errors.StaleConnectionError,
        nats_errors.OutboundBufferLimitError,
        NotCommitted,
    )
    return isinstance(error, passing)


_UNHEARD = (js_errors.NoStreamResponseError, nats_errors.NoRespondersError)
"""Nobody was there to carry it out."""


def _is_full(error: Exception) -> bool:
    return isinstance(error, js_errors.APIError) and error.err_code in FULL


def _translated(error: Exception, what: str) -> Exception:
    if isinstance(error, js_errors.APIError) and error.err_code in FULL:
        return Overloaded(f"{what}: the log has no room until its shards have caught up: {error.description}")
    if isinstance(error, nats_errors.ConnectionClosedError):
        return StorageError(f"{what}: the connection to NATS is closed")
    if isinstance(error, nats_errors.Error) and not isinstance(error, js_errors.APIError):
        return StorageError(f"{what}: {_spelt(error)}")
    return error


class NotCommitted(Exception):
    """JetStream acknowledged a message without a sequence: it is a duplicate of one that is not committed yet."""
