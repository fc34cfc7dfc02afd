"""How a client reaches its server."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from quidditch.errors import RequestError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Options:
    """Of `quidditch.connect("http://…")`.

    readonly:         refuse writes before anything is sent
    write_timeout_s:  how long a request that the server is too busy for is tried again, and how long a stream waits
                      for a server that went away
    timeout_s:        how long an answer may take; force_merge, check and the like take as long as they take
    connect_timeout_s: how long making a connection may take
    retries:          how often a request is sent again that got no connection, or no answer and may be repeated
    max_connections:  requests that are under way at a time; further ones wait `timeout_s` at most
    api_key:          sent as `Authorization: ApiKey …`
    basic_auth:       (user, password)
    ca_certs:         a file with the certificates to trust, instead of the system's
    verify_certs:     False trusts any certificate: whoever sits in between can read and change everything
    compress:         gzip, both ways; None is: unless the server is on this machine
    bulk_bytes:       of one request of `add_many` and `bulk`
    headers:          further ones, sent with every request
    transport:        an httpx transport instead of sockets, for tests; blocking or asynchronous as the handle is
    """

    url: str
    readonly: bool = False
    write_timeout_s: float = 60.0
    timeout_s: float = 60.0
    connect_timeout_s: float = 5.0
    retries: int = 3
    max_connections: int = 64
    api_key: str | None = None
    basic_auth: tuple[str, str] | None = None
    ca_certs: str | None = None
    verify_certs: bool = True
    compress: bool | None = None
    bulk_bytes: int = 4 << 20
    headers: tuple[tuple[str, str], ...] = ()
    transport: Any = None

    @property
    def compresses(self) -> bool:
        return urlsplit(self.url).hostname not in LOOPBACK if self.compress is None else self.compress


def is_url(location: object) -> bool:
    """Whether a location is a server's address, not a path."""
    return isinstance(location, str) and location.lower().startswith(("http://", "https://"))


def checked(url: str, given: dict[str, Any]) -> Options:
    """raises: RequestError   naming the option, or what is wrong with the address"""
    known = {each.name for each in fields(Options)} - {"url"}
    for name in given:
        if name not in known:
            raise RequestError(
                f"connect: unknown option [{name}] of a server; there are {', '.join(sorted(known))}"
            )
    for name, lowest in _LOWEST.items():
        _check_number(name, given.get(name, lowest), lowest)
    _check_credentials(given)
    _check_certificates(given)
    pairs = given.pop("headers", None) or {}
    headers = tuple((str(name), str(value)) for name, value in dict(pairs).items())
    return Options(_checked_url(url), headers=headers, **given)


_LOWEST: dict[str, int | float] = {
    "write_timeout_s": 0.0,
    "timeout_s": 0.0,
    "connect_timeout_s": 0.0,
    "retries": 0,
    "max_connections": 1,
    "bulk_bytes": 0,
}
"""What each number is at least; whole numbers where that is one."""


def _check_number(name: str, value: object, lowest: float) -> None:
    """raises: RequestError"""
    whole = isinstance(lowest, int)
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not fits or not lowest <= value < float("inf"):  # type: ignore[operator]
        kind = "whole number" if whole else "number"
        raise RequestError(f"connect: {name}: a {kind} of {lowest:g} or more expected, not {value!r}")


def _check_credentials(given: dict[str, Any]) -> None:
    """raises: RequestError   without the secret in its words"""
    if given.get("api_key") is not None and given.get("basic_auth") is not None:
        raise RequestError("connect: api_key and basic_auth: one of the two expected")
    key, pair = given.get("api_key"), given.get("basic_auth")
    if key is not None and not isinstance(key, str):
        raise RequestError(f"connect: api_key: a string expected, not {type(key).__name__}")
    if pair is not None and not (
        isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)
    ):
        raise RequestError("connect: basic_auth: (user, password) expected, two strings")
    given["basic_auth"] = pair and tuple(pair)


def _check_certificates(given: dict[str, Any]) -> None:
    """raises: RequestError"""
    verify, path = given.get("verify_certs", True), given.get("ca_certs")
    if not isinstance(verify, bool):
        raise RequestError(f"connect: verify_certs: True or False expected, not {verify!r}; see ca_certs")
    if path is not None:
        try:
            ssl.create_default_context(cafile=path)
        except (OSError, TypeError) as error:
            raise RequestError(f"connect: ca_certs: [{path}]: certificates expected: {error}") from None


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RequestError(f"connect: [{url}]: {error}") from None
    if not parts.hostname or parts.query or parts.fragment:
        raise RequestError(f"connect: an address such as http://127.0.0.1:9200 expected, not [{url}]")
    if parts.username or parts.password:
        raise RequestError("connect: name and password belong into basic_auth, not into the address")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme.lower()}://{host}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"
