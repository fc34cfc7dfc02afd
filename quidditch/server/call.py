"""What a handler gets and gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from quidditch.interface import Database
from quidditch.server import wire
from quidditch.server.failures import RestError
from quidditch.server.parameters import Parameters
from quidditch.server.runtime.anywhere import ContextsAnywhere
from quidditch.server.security.grants import ANYONE, Caller
from quidditch.server.state import State


@dataclass(frozen=True, slots=True)
class Call:
    """One request: where it goes, what it says, and the database it is about.

    database:  with the indices that the caller may use on this route, and no others
    path:      as it was sent, without the query string
    parts:     of the path, by the names of the route's template
    data:      the body; empty for a streamed route, which reads `chunks`
    """

    database: Database
    state: State
    method: str
    path: str
    parts: Mapping[str, str]
    parameters: Parameters
    data: bytes = b""
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    accept: str = ""
    caller: Caller = ANYONE

    @property
    def contexts(self) -> ContextsAnywhere:
        """The caller's scrolls and points in time."""
        return ContextsAnywhere(self.state, self.caller)

    def json(self) -> Any:
        """The body as JSON; None without one. The parameter `source` stands for a body."""
        data = self.data or self.parameters.text("source").encode()
        return wire.decode(data) if data.strip() else None

    def object(self) -> dict[str, Any]:
        """The body as an object; empty without one."""
        body = self.json()
        if body is None:
            return {}
        if not isinstance(body, dict):
            raise RestError("request body: an object expected", 400, "parsing_exception")
        return body

    def required(self) -> dict[str, Any]:
        """The body as an object, which must be there."""
        if self.json() is None:
            raise RestError("request body is required", 400, "parse_exception")
        return self.object()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `body` is rendered as JSON, or as it is if it is a string or bytes, with their media type."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = wire.TEXT_TYPE


ACKNOWLEDGED = Reply({"acknowledged": True})
