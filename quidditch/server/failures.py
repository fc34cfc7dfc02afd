"""Errors that only HTTP has, and the body that every error is answered with."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from quidditch.errors import QuidditchError, RequestError, ShardsFailed
from quidditch.types import Json


class RestError(RequestError):
    """A request refused by the REST layer, with the status and type that OpenSearch gives it.

    detail:       further keys of the error's object, such as `index` and `resource.id`
    headers:      further headers of the answer
    root_causes:  what lies below it, where it is not its own cause
    """

    def __init__(
        self,
        reason: str,
        status: int = 400,
        type: str = "illegal_argument_exception",
        detail: Mapping[str, Json] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason)
        self.answer_status = status
        self.answer_type = type
        self.detail = dict(detail or {})
        self.headers = dict(headers or {})
        self.root_causes: list[dict[str, Json]] = []


def no_such_index(name: str) -> RestError:
    """404 for an index or alias that is not there."""
    detail: dict[str, Json] = {
        "resource.type": "index_or_alias",
        "resource.id": name,
        "index": name,
        "index_uuid": "_na_",
    }
    return RestError(f"no such index [{name}]", 404, "index_not_found_exception", detail)


def validation_failed(*reasons: str) -> RestError:
    """400 for a request that lacks something, in OpenSearch's numbering."""
    listed = "".join(f"{number}: {reason};" for number, reason in enumerate(reasons, 1))
    return RestError(f"Validation Failed: {listed}", 400, "action_request_validation_exception")


def status_of(error: Exception) -> int:
    if isinstance(error, RestError):
        return error.answer_status
    if isinstance(error, RecursionError):
        return 400
    return error.status if isinstance(error, QuidditchError) else 500


def cause_of(error: Exception) -> dict[str, Json]:
    """The type and reason of an error, as they stand in `error`, `root_cause` and the items of a bulk."""
    if isinstance(error, RestError):
        return {"type": error.answer_type, "reason": str(error), **error.detail}
    if isinstance(error, ShardsFailed):
        failed: list[Json] = [failure.to_dict() for failure in error.failures]
        detail: dict[str, Json] = {"phase": "query", "grouped": True, "failed_shards": failed}
        # Of which shard, and why, is told in `failed_shards`.
        reason = str(error).partition(":")[0] if failed else str(error)
        return {"type": error.type, "reason": reason, **detail}
    if isinstance(error, QuidditchError):
        return {"type": error.type, "reason": str(error)}
    if isinstance(error, RecursionError):
        return {"type": "parsing_exception", "reason": "request: nested too deeply"}
    # What nobody foresaw is told to the log; its words may hold anything.
    return {"type": "internal_error", "reason": f"{type(error).__name__}; the server's log says more"}


def _roots(error: Exception) -> list[dict[str, Json]]:
    """What lies below an error that is not its own cause."""
    failures = error.failures if isinstance(error, ShardsFailed) else ()
    return [{"type": failure.type, "reason": failure.reason} for failure in failures]


def error_body(error: Exception, trace: bool = False) -> dict[str, Any]:
    """The whole body of an answer that says what went wrong."""
    cause = cause_of(error)
    roots = error.root_causes if isinstance(error, RestError) else _roots(error)
    inner: dict[str, Json] = {"root_cause": roots or [dict(cause)], **cause}
    if cause["type"] == "mapper_parsing_exception":
        # What a client looks at for the argument that was wrong.
        inner["caused_by"] = {"type": "illegal_argument_exception", "reason": cause["reason"]}
    if trace:
        inner["stack_trace"] = "".join(traceback.format_exception(error))
    return {"error": inner, "status": status_of(error)}
