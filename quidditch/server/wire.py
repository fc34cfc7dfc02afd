"""Bytes to JSON and back."""

from __future__ import annotations

from typing import Any

import msgspec

from quidditch.server.failures import RestError

JSON_TYPE = "application/json; charset=UTF-8"
YAML_TYPE = "application/yaml"
TEXT_TYPE = "text/plain; charset=UTF-8"
_ACCEPTED = ("application/json", "application/x-ndjson", "application/vnd.opensearch+json")

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def decode(data: bytes) -> Any:
    """The value that the bytes are JSON of.

    raises: RestError   400, saying where they stop to be JSON
    """
    try:
        return _decoder.decode(data)
    except RecursionError:
        raise RestError("request body: nested too deeply", 400, "parsing_exception") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RestError(f"request body: {error}", 400, "parsing_exception") from None


def encode(body: Any, pretty: bool = False) -> bytes:
    """The value as JSON, with a line for each key if it is to be pretty."""
    data = _encoder.encode(body)
    return msgspec.json.format(data, indent=2) + b"\n" if pretty else data


def check_content_type(header: str | None) -> None:
    """A body says that it is JSON: a page of the web can then not send one without being asked first.

    raises: RestError   406
    """
    kind = (header or "").split(";")[0].strip().lower()
    if kind in _ACCEPTED:
        return
    if not kind:
        raise RestError(
            "Content-Type header is missing; application/json expected", 406, "media_type_exception"
        )
    raise RestError(
        f"Content-Type header [{header}] is not supported; application/json expected",
        406,
        "media_type_exception",
    )
