"""Values of a request, and documents, to JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from quidditch.errors import DocumentError, QueryError
from quidditch.index.document import MAX_NESTING, encode_source


def _plain(value: Any) -> Any:
    """NumPy's scalars and arrays, and mappings of other kinds, as JSON has them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, date | Decimal | UUID):
        return str(value)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    raise TypeError(f"a value that JSON can hold expected, not {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_plain, decimal_format="number")


def encode(value: Any) -> bytes:
    """The value as JSON; a query object as its clause.

    raises: QueryError   for what JSON cannot hold, lone surrogates included
    """
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError as error:
        raise QueryError(f"request: holds a lone surrogate ({error.object[error.start]!r})") from None
    except RecursionError:
        raise QueryError("request: nested too deeply") from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise QueryError(f"request: {error}") from None


_SUSPECT = (b"null", b"NaN", b"nfinity")
"""How numbers are written that JSON has no word for."""


def encode_document(doc: Mapping[str, Any]) -> bytes:
    """The document as JSON.

    raises: DocumentError   naming the value that JSON cannot hold, by its path
    """
    try:
        data = encode_source(doc)
    except DocumentError:
        _check(doc, "", 0)
        raise
    if any(mark in data for mark in _SUSPECT):
        _check(doc, "", 0)
    return data


def _check(value: Any, path: str, depth: int) -> None:
    """raises: DocumentError   for a value within `value` that JSON cannot hold"""
    if depth > MAX_NESTING:
        raise DocumentError(f"[{path[:200]}]: nested deeper than {MAX_NESTING} levels")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check(inner, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner, path, depth + 1)
    elif isinstance(value, float | Decimal | np.floating) and not math.isfinite(value):
        raise DocumentError(f"[{path}]: a finite number expected, not {value}")
    else:
        _check_leaf(value, path)


def _check_leaf(value: Any, path: str) -> None:
    try:
        encode_source({"": value})
    except DocumentError as error:
        words = str(error).removeprefix("document: ")
        raise DocumentError(f"[{path.encode(errors='backslashreplace').decode()}]: {words}") from None
