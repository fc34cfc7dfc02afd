"""How much a server takes upon itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from quidditch.errors import RequestError


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one worker.

    threads:         requests of a kind (reads, single writes, bulks) that run at a time; reads one by one, as long
                     as they are fast
    queue:           requests of a kind that wait for a thread; further ones are refused with 429
    wait_s:          how long one waits before it is refused with 429
    in_flight_bytes: bodies that are held at a time; what would be more is refused with 429
    body_bytes:      of a body that is read as a whole, unpacked; a bulk's is streamed and has no limit
    head_bytes:      of a request's first line and headers
    head_s:          a connection that has not sent a whole head after this long is closed
    body_s:          a body of which nothing comes for this long is refused with 408
    body_rate:       bytes a second that a body must come at on average, once it has been waited for `body_s`
    drain_s:         how long requests that run may go on after SIGTERM
    """

    threads: int = 16
    queue: int = 1_000
    wait_s: float = 30.0
    in_flight_bytes: int = 256 << 20
    body_bytes: int = 100 << 20
    head_bytes: int = 64 << 10
    head_s: float = 30.0
    body_s: float = 30.0
    body_rate: int = 1_000
    drain_s: float = 30.0

    @staticmethod
    def of(changes: Iterable[str]) -> Limits:
        """The defaults with some changed, each given as `name=number`.

        raises: RequestError   naming a limit that is unknown, or a value that is none
        """
        known = {field.name: str(field.type) for field in fields(Limits)}
        limits = Limits()
        for change in changes:
            name, _, text = change.partition("=")
            if name not in known:
                raise RequestError(f"limit [{change}]: one of {', '.join(known)} and =NUMBER expected")
            try:
                number = int(text) if known[name] == "int" else float(text)
            except ValueError:
                number = 0
            if not 0 < number < 1e15:
                raise RequestError(f"limit [{name}]: a number above 0 expected, not {text!r}")
            given: dict[str, Any] = {name: number}
            limits = replace(limits, **given)
        return limits
