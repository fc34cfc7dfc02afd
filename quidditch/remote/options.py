"""How a client reaches its server."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from quidditch.errors import RequestError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Options:
    """Of `quidditch.connect("http://…")`.

    readonly:         refuse writes before anything is sent
    write_timeout_s:  how long a request that the server is too busy for is tried again
    timeout_s:        how long an answer may take; force_merge, check and the like take as long as they take
    connect_timeout_s: how long making a connection may take
    retries:          how often a request is sent again that got no connection, or no answer and may be repeated
    max_connections:  requests that are under way at a time; further ones wait
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
    for name in (
        "write_timeout_s",
        "timeout_s",
        "connect_timeout_s",
        "retries",
        "max_connections",
        "bulk_bytes",
    ):
        value = given.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise RequestError(f"connect: {name}: a number of 0 or more expected, not {value!r}")
    if given.get("api_key") is not None and given.get("basic_auth") is not None:
        raise RequestError("connect: api_key and basic_auth: one of the two expected")
    pairs = given.pop("headers", None) or {}
    headers = tuple((str(name), str(value)) for name, value in dict(pairs).items())
    return Options(_checked_url(url), headers=headers, **given)


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
