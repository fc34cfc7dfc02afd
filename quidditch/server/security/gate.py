"""ASGI around the application: nobody gets in whose request is not his own, or who does not say who he is."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quidditch.server import wire
from quidditch.server.failures import RestError, error_body, status_of
from quidditch.server.security.accounts import LiveAccounts
from quidditch.server.security.grants import ANYONE, Caller
from quidditch.server.security.heads import check_head
from quidditch.server.security.logins import CHALLENGES, Logins, unknown
from quidditch.server.security.origins import Origins

CALLER = "quidditch.caller"
"""The key of the scope that holds the `Caller`."""

_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin")]
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

    def __init__(self, application: ASGIApp, access: Access = OPEN, logins: Logins | None = None) -> None:
        self._application = application
        self._access = access
        self._logins = logins or Logins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        guarded = _with_headers(send)
        try:
            scope[CALLER] = await self._caller(scope)
        except RestError as error:
            await _refusal(scope, error)(scope, receive, guarded)
            return
        await self._application(scope, receive, guarded)

    async def _caller(self, scope: Scope) -> Caller:
        """raises: RestError   401, 403, 429, or the request is too large"""
        check_head(scope)
        headers = Headers(scope=scope)
        self._access.origins.check(scope["method"], headers)
        accounts = self._access.accounts.now() if self._access.accounts else None
        if accounts is None:
            if self._access.closed:
                raise unknown("this server has no accounts yet: quidditch users add")
            return ANYONE
        address = (scope.get("client") or ("",))[0]
        return await self._logins.caller(accounts, headers.get("authorization"), address)


def _refusal(scope: Scope, error: RestError) -> Response:
    data = wire.encode(error_body(error))
    headers = {**error.headers, "content-length": str(len(data)), "content-type": wire.JSON_TYPE}
    response = Response(b"" if scope["method"] == "HEAD" else data, status_of(error), headers)
    if "WWW-Authenticate" in error.headers:
        for challenge in CHALLENGES[1:]:
            response.headers.append("WWW-Authenticate", challenge)
    return response


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_HEADERS]
        await send(message)

    return sending
