"""Requests that a page of the web made a browser send: refused before anything is looked at.

A server on the loopback address trusts whoever reaches it, and a browser reaches it for any page. A page under a name
of its own that it lets point to 127.0.0.1 (DNS rebinding) is told by `Host`, a page elsewhere by `Origin`, or by
`Sec-Fetch-Site` where a browser leaves the origin out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from starlette.datastructures import Headers

from quidditch.errors import RequestError
from quidditch.server.failures import RestError

_LOOKED_AT = frozenset((b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest"))

MOST_KEPT = 1_000
"""Sets of headers of which it is known that they are let in, and the bytes of the longest that is kept."""

KEPT_BYTES = 512

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?")


class Origins:
    """What a server may be called.

    names:     names of hosts beside `localhost`
    loopback:  only this machine reaches it; otherwise every address is as good as a name, for a page cannot have one
    """

    def __init__(self, names: Iterable[str] = (), *, loopback: bool = True) -> None:
        self._names = {"localhost", *(_name(name) for name in names)}
        self._loopback = loopback
        self._passed: set[tuple[object, ...]] = set()

    def check(self, method: str, headers: Headers) -> None:
        """raises: RestError   403; 400 for a `Host` that is none"""
        looked_at = tuple(each for each in headers.raw if each[0] in _LOOKED_AT)
        said = (method, looked_at)
        if said in self._passed:
            return
        self._look(method, headers)
        # A client says the same again and again. Only what passed is kept, which nobody can make many of.
        if len(self._passed) < MOST_KEPT and sum(len(value) for _, value in looked_at) < KEPT_BYTES:
            self._passed.add(said)

    def _look(self, method: str, headers: Headers) -> None:
        given = headers.getlist("host")
        found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if found is None:
            raise RestError("Host header: exactly one, with the name of this server, expected", 400)
        if not self._is_own(found[1].lower()):
            raise _refused(f"Host [{given[0]}] is not a name of this server; serve --allow-host adds one")
        for origin in headers.getlist("origin"):
            if origin.lower() not in (f"http://{given[0].lower()}", f"https://{given[0].lower()}"):
                raise _refused("requests of web pages of other origins are refused")
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not _is_followed_link(method, headers):
            raise _refused("requests of web pages of other sites are refused")

    def _is_own(self, host: str) -> bool:
        if host.removesuffix(".") in self._names:
            return True
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback or not self._loopback


def _is_followed_link(method: str, headers: Headers) -> bool:
    """Somebody followed a link to here: the page that had it sees nothing of the answer."""
    return (
        method in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", name) is None:
        raise RequestError(f"allow-host [{name}]: the name of a host expected, without a port")
    return name.lower().removesuffix(".")


def _refused(reason: str) -> RestError:
    return RestError(reason, 403, "security_exception")
