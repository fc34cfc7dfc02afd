"""When a request is sent again, and after how long.

Three things go wrong, and each tells something else about what the server has done:

    no connection      nothing was sent: again, a few times
    429, 503           the server was too busy and did nothing: again after what it says, until `write_timeout_s`
    no answer          it may have been carried out: again only if twice is as good as once
"""

from __future__ import annotations

import random
import time
from dataclasses import replace

import httpx

from quidditch.errors import Unreachable
from quidditch.remote.exchange import Answer, Request
from quidditch.remote.options import Options

_BUSY = (429, 503)
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 5.0


class Attempts:
    """The attempts of one request."""

    def __init__(self, request: Request, options: Options) -> None:
        self._request = request
        self._options = options
        self._busy_until = time.monotonic() + options.write_timeout_s
        self._count = 0
        self._unanswered = False

    def answered(self, answer: Answer) -> tuple[Answer, float | None]:
        """The answer, and the seconds to wait before asking again; None when it is final."""
        answer = replace(answer, repeated=self._unanswered)
        if answer.status not in _BUSY or answer.status in self._request.accepts:
            return answer, None
        told = _retry_after_s(answer)
        if told is None and answer.status != 429:
            return answer, None
        delay_s = self._backoff_s() if told is None else told + random.random() * _FIRST_DELAY_S
        return answer, delay_s if time.monotonic() + delay_s < self._busy_until else None

    def failed(self, error: httpx.HTTPError) -> float:
        """The seconds to wait before trying again.

        raises: Unreachable   there is nothing more to try
        """
        unsent = isinstance(error, _UNSENT)
        again = unsent or (self._request.repeat == "always" and not isinstance(error, httpx.TimeoutException))
        if not again or self._count >= self._options.retries:
            raise self._unreachable(error, unsent) from error
        self._unanswered = self._unanswered or not unsent
        return self._backoff_s()

    def _backoff_s(self) -> float:
        self._count += 1
        longest: float = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2**self._count)
        return longest * (0.5 + random.random() / 2)

    def _unreachable(self, error: httpx.HTTPError, unsent: bool) -> Unreachable:
        request = self._request
        words = f"{request.method} {self._options.url}{request.path}: {type(error).__name__}: {error}"
        if unsent:
            return Unreachable(f"{words}; is a server running there? Nothing was sent")
        doubt = "; whether it was carried out is not known" if request.writes else ""
        return Unreachable(f"{words}{doubt}")


def _retry_after_s(answer: Answer) -> float | None:
    """What `Retry-After` says in seconds; None for none, and for a date."""
    try:
        return max(0.0, float(answer.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
