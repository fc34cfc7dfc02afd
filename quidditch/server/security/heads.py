"""How long a path and how many headers and parameters a request may have."""

from __future__ import annotations

from starlette.types import Scope

from quidditch.server.failures import RestError

MAX_HEAD_BYTES = 64 << 10
MAX_PATH_BYTES = 16 << 10
"""Of a path with its parameters; a longer query is sent as a body."""

MAX_HEADERS = 100
MAX_PARAMETERS = 200


def check_head(scope: Scope) -> None:
    """raises: RestError   414 for a path that is too long, 431 for too many headers, 400 for too many parameters"""
    query = scope["query_string"]
    if len(query) + len(scope.get("raw_path") or b"") > MAX_PATH_BYTES:
        reason = f"an HTTP line is larger than {MAX_PATH_BYTES} bytes"
        raise RestError(reason, 414, "too_long_http_line_exception")
    headers = scope["headers"]
    size_bytes = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > MAX_HEADERS or size_bytes > MAX_HEAD_BYTES:
        raise RestError(
            f"{len(headers)} headers of {size_bytes} bytes; at most {MAX_HEADERS} of {MAX_HEAD_BYTES} bytes expected",
            431,
            "too_long_http_header_exception",
        )
    if query.count(b"&") >= MAX_PARAMETERS:
        raise RestError(f"more than {MAX_PARAMETERS} parameters")
