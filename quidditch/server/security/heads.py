"""How much a client may send before there is a request: paths, parameters and headers are bounded."""

from __future__ import annotations

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from quidditch.server.failures import RestError

MAX_HEAD_BYTES = 64 << 10
MAX_PATH_BYTES = 16 << 10
"""Of a path with its parameters; a longer query is sent as a body."""

MAX_HEADERS = 100
MAX_PARAMETERS = 200

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


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


class BoundedHead(HttpToolsProtocol):
    """HTTP/1.1, of which a part that is no body does not grow without end.

    The parser keeps the beginning of a header until it has its end, and says nothing of it meanwhile. So bytes are
    counted that lead to nothing: to no end of a head, and to no piece of a body.
    """

    _unused_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._unused_bytes += len(data)
        super().data_received(data)
        if self._unused_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._unused_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unused_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unused_bytes = 0
        super().on_message_complete()
