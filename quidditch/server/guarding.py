"""Who may ask: a server at the loopback answers those who meant it, and no page of the web."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from quidditch.server.failures import RestError

LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


def check_origin(host: str | None, origin: str | None, allowed: Collection[str] = LOOPBACK) -> None:
    """Refuse a request that was not meant for this server.

    host:    of the request; a name of the web may have been made to mean this machine
    origin:  of the page that a browser sends it for; None where no browser does
    raises: RestError   403
    """
    if _name(f"//{host or ''}") not in allowed:
        raise RestError(f"Host [{host}] is not this server's", 403, "security_exception")
    if origin is not None and _name(origin) not in allowed:
        raise RestError(f"Origin [{origin}] may not ask this server", 403, "security_exception")


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
