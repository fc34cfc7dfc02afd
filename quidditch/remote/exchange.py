"""One request and its answer, apart from whoever carries them: the same for a blocking and an asynchronous client.

A method of the client is a `Flow`: a generator that gives requests away, gets their answers, and returns the result.
What it asks and how it reads is written once; `carriers.py` runs it over either kind of connection.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec

from quidditch.errors import DocumentError, InternalError, RequestError
from quidditch.version import PROTOCOL_HEADER

JSON = "application/json"
NDJSON = "application/x-ndjson"

Repeat: TypeAlias = Literal["always", "unsent"]
"""When a request may be sent again: always, because twice is as good as once; or only while nothing of it was carried
out for certain: no connection was made, or the server said that it is too busy."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent.

    accepts:   statuses of 400 and more that are answers to this request, not errors
    writes:    a read-only handle refuses it
    lasting:   takes as long as it takes: no time limit for the answer
    patient:   the server was there a moment ago: one that has gone is waited for, `write_timeout_s` long
    misfit:    what `mapper_parsing_exception` means here: a document that does not fit, or a mapping
    """

    method: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    content_type: str = JSON
    repeat: Repeat = "always"
    accepts: Collection[int] = ()
    writes: bool = False
    lasting: bool = False
    patient: bool = False
    misfit: type[RequestError] = DocumentError


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    asked:     what was asked, for messages
    repeated:  the request had been sent before, and that time got no answer: it may have been carried out then
    """

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: str = ""
    repeated: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether a Quidditch server gave it, and not something in between or in its place."""
        return PROTOCOL_HEADER in self.headers

    def json(self) -> Any:
        """raises: InternalError   for what is no JSON"""
        try:
            return msgspec.json.decode(self.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            seen = self.content[:80]
            raise InternalError(
                f"the server answered {self.status} and no JSON ({error}): {seen!r}"
            ) from None


Result = TypeVar("Result")

Flow: TypeAlias = Generator[Request, Answer, Result]


def step(name: str) -> str:
    """A name as one step of a path. Steps of dots alone would mean the folder itself, or the one above."""
    quoted = quote(name, safe="")
    return quoted.replace(".", "%2E") if not name.strip(".") else quoted
