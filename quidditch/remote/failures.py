"""What a server refused, as the exception that the same call raises in process."""

from __future__ import annotations

from typing import Any

import msgspec

from quidditch import errors
from quidditch.errors import InternalError, QueryError, QuidditchError, RequestError, StorageError
from quidditch.remote.exchange import Answer

SECURITY = errors.AccessDenied.type
"""What two classes share: the status tells them apart."""

_OTHER_NAMES: dict[str, type[QuidditchError]] = {
    "parse_exception": QueryError,
    "x_content_parse_exception": QueryError,
    "content_too_long_exception": errors.LimitExceeded,
    "rejected_execution_exception": errors.Overloaded,
    "mapper_parsing_exception": errors.DocumentError,
    "quidditch_exception": InternalError,
}
"""Types that the REST layer has beside those of the tree, and those that two classes share."""


def _by_type() -> dict[str, type[QuidditchError]]:
    tree = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, QuidditchError)
    ]
    return {each.type: each for each in reversed(tree)} | _OTHER_NAMES


_CLASSES = _by_type()

_OF_A_FIELD = ("parse_exception", "illegal_argument_exception")
"""What OpenSearch's shards call values that do not fit, and sorts that cannot be."""

_BY_STATUS: dict[int, type[RequestError]] = {
    401: errors.AuthenticationFailed,
    403: errors.AccessDenied,
    413: errors.LimitExceeded,
    429: errors.Overloaded,
    431: errors.LimitExceeded,
}
"""What a status alone tells."""

GATEWAY = (502, 504)
"""What something in between says that got no answer from the server itself."""

ABOUT_THE_INDEX = (errors.IndexNotFound, errors.IndexClosed, errors.IndexBlocked, errors.AccessDenied)
"""Refusals that every further document would meet, too."""


def named_error(kind: str | None, reason: str, status: int = 400) -> QuidditchError:
    """The exception of a type on the wire; of one that is not known, by its status."""
    known = _BY_STATUS.get(status) if kind in (None, SECURITY) else _CLASSES.get(kind or "")
    if known is errors.ShardsFailed and status < 500:
        # A server says so too where each shard refuses what was asked.
        known = None
    if known is None:
        known = RequestError if status < 500 else StorageError if status in (502, 503, 504) else InternalError
        reason = f"{reason} ({kind}, status {status})" if kind else reason
    return known(reason)


def error_of(answer: Answer, misfit: type[RequestError] = errors.DocumentError) -> QuidditchError:
    """The exception that an answer of 400 or more stands for; `misfit` as in `Request`."""
    kind, reason = _told(answer)
    error = misfit(reason) if kind == misfit.type else named_error(kind, reason, answer.status)
    if answer.repeated:
        error.add_note("an earlier attempt of this request got no answer, and may have been carried out")
    return error


def foreign(answer: Answer, *, writes: bool) -> QuidditchError:
    """The exception for an answer that is none of a Quidditch server: of what is in between, or in its place."""
    said = f"{answer.asked}: answered {answer.status}: {answer.content[:200].decode(errors='replace')}"
    known = _BY_STATUS.get(answer.status)
    if known is not None:
        return known(said)
    if answer.status in (*GATEWAY, 503):
        doubt = "; whether it was carried out is not known" if writes and answer.status in GATEWAY else ""
        return errors.Unreachable(f"{said}{doubt}")
    return errors.Unreachable(f"{said}; that is no Quidditch server's answer: is the address right?")


def told_cause(error: dict[str, Any]) -> tuple[str | None, str]:
    """Type and reason of an error's object: those of its first cause, where it only says that shards failed."""
    roots = error.get("root_cause")
    if error.get("type") == "search_phase_execution_exception" and isinstance(roots, list) and roots:
        error = roots[0]
        if error.get("type") in _OF_A_FIELD:
            return errors.FieldError.type, str(error.get("reason"))
    return error.get("type"), str(error.get("reason"))


def _told(answer: Answer) -> tuple[str | None, str]:
    """Type and reason of an error."""
    try:
        said: Any = msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None, f"the server answered {answer.status}: {answer.content[:200].decode(errors='replace')}"
    cause = said.get("error") if isinstance(said, dict) else None
    if isinstance(cause, dict):
        return told_cause(cause)
    return None, f"the server answered {answer.status}: {cause or said}"[:500]
