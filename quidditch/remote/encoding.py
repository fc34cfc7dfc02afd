"""Values of a request to JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from quidditch.errors import QueryError


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
