"""When a request is sent again, and after how long.

Three things go wrong, and each tells something else about what the server has done:

    no connection      nothing was sent: again, a few times
    429, 503           the server was too busy and did nothing: again after what it says, until `write_timeout_s`
    no answer          it may have been carried out: again only if twice is as good as once; 502 and 504 of something
                       in between are no answer, either

A stream that has had answers waits for a server that goes away, `write_timeout_s` long. What will not be better the
next time, such as a certificate that nobody trusts, is told at once.
"""

from __future__ import annotations

import random
import ssl
import time
from dataclasses import replace

import httpx

from quidditch.errors import Unreachable
from quidditch.remote.exchange import Answer, Request
from quidditch.remote.failures import GATEWAY
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
        self._lost_s: float | None = None
        self._count = 0
        self._unanswered = False

    def answered(self, answer: Answer) -> tuple[Answer, float | None]:
        """The answer, and the seconds to wait before asking again; None when it is final."""
        answer = replace(answer, repeated=self._unanswered)
        if answer.status in GATEWAY and not answer.is_ours and self._may_repeat(unsent=False):
            self._unanswered = True
            return answer, self._backoff_s()
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
        late = isinstance(error, httpx.TimeoutException) and not unsent
        if late or _tls_failure(error) is not None or not self._may_repeat(unsent):
            raise self._unreachable(error, unsent) from error
        self._unanswered = self._unanswered or not unsent
        return self._backoff_s()

    def _may_repeat(self, unsent: bool) -> bool:
        if not unsent and self._request.repeat != "always":
            return False
        now_s = time.monotonic()
        self._lost_s = now_s if self._lost_s is None else self._lost_s
        waits = self._request.patient and now_s < self._lost_s + self._options.write_timeout_s
        return waits or self._count < self._options.retries

    def _backoff_s(self) -> float:
        self._count += 1
        longest: float = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2**self._count)
        return longest * (0.5 + random.random() / 2)

    def _unreachable(self, error: httpx.HTTPError, unsent: bool) -> Unreachable:
        request = self._request
        tls = _tls_failure(error)
        if tls is not None:
            return Unreachable(f"{request.method} {self._options.url}{request.path}: {tls}. Nothing was sent")
        words = f"{request.method} {self._options.url}{request.path}: {type(error).__name__}: {error}"
        if unsent:
            return Unreachable(f"{words}; is a server running there? Nothing was sent")
        doubt = "; whether it was carried out is not known" if request.writes else ""
        return Unreachable(f"{words}{doubt}")


def _tls_failure(error: BaseException) -> str | None:
    """Why no connection will ever be made to this address over TLS; None where that is not what is wrong."""
    cause: BaseException | None = error if isinstance(error, httpx.ConnectError) else None
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the server's certificate is not trusted ({cause.verify_message}); ca_certs of connect names a file "
                "with the certificates to trust"
            )
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return f"it does not speak TLS ({cause.reason}); is it an http:// address?"
        cause = cause.__cause__ or cause.__context__
    return None


def _retry_after_s(answer: Answer) -> float | None:
    """What `Retry-After` says in seconds; None for none, and for a date."""
    try:
        return max(0.0, float(answer.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
