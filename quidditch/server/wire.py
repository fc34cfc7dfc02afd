"""Bytes to JSON and back."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from quidditch.server.failures import RestError

JSON_TYPE = "application/json; charset=UTF-8"
YAML_TYPE = "application/yaml"
TEXT_TYPE = "text/plain; charset=UTF-8"
_ACCEPTED = ("application/json", "application/x-ndjson", "application/vnd.opensearch+json")

MAX_DEPTH = 200
"""Objects and arrays within each other in a body: far more than a query or a document needs, far fewer than a parser
or a mapping could be brought to its knees with."""

_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))

_STRETCH = 1 << 18
"""Brackets that are looked at at a time."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def decode(data: bytes) -> Any:
    """The value that the bytes are JSON of.

    raises: RestError   400, saying where they stop to be JSON, or that they are nested too deeply
    """
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise RestError(
            f"request body: nested too deeply, more than {MAX_DEPTH} levels", 400, "parsing_exception"
        )
    try:
        return _decoder.decode(data)
    except RecursionError:
        raise RestError("request body: nested too deeply", 400, "parsing_exception") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RestError(f"request body: {error}", 400, "parsing_exception") from None


def _depth(data: bytes) -> int:
    """How many objects and arrays are open at most at a time, if the bytes are JSON; counted until that is too many.

    cost:  O(len(data)), in a few passes, with some MiB of temporaries beside three copies
    """
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = np.frombuffer(b"".join(plain.split(b'"')[::2]).translate(None, _NOT_BRACKETS), np.uint8)
    deepest = depth = 0
    for start in range(0, len(brackets), _STRETCH):
        stretch = brackets[start : start + _STRETCH]
        opens = (stretch == ord("[")) | (stretch == ord("{"))
        depths = depth + np.cumsum(np.where(opens, 1, -1))
        deepest, depth = max(deepest, int(depths.max())), int(depths[-1])
        if deepest > MAX_DEPTH:
            break
    return deepest


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
