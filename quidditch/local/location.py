"""What people call a directory: paths as strings or Path objects, with ~, and no addresses."""

from __future__ import annotations

import re
from pathlib import Path

from quidditch.errors import RequestError, StorageError


def local_path(location: str | Path) -> Path:
    """The absolute path. raises: RequestError, StorageError   for what is no path"""
    text = str(location)
    if not isinstance(location, str | Path) or not text or "\0" in text:
        raise RequestError(f"connect: a directory's path expected, not {location!r}")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if scheme is not None:
        raise RequestError(
            f"connect: {text}: {scheme[1]}:// is not in this release; a directory's path expected"
        )
    try:
        return Path(text).expanduser().resolve()
    except UnicodeError:
        raise RequestError(f"connect: {text!r} holds a lone surrogate and is no path") from None
    except (OSError, RuntimeError) as error:
        raise StorageError(f"connect: {text}: {error}") from error
