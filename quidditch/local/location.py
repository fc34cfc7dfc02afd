"""What people call a directory: paths as strings or Path objects, with ~, and no addresses."""

from __future__ import annotations

import re
from pathlib import Path

from quidditch.errors import RequestError, StorageError


def local_path(location: str | Path, what: str = "connect") -> Path:
    """The absolute path; `what` is the call, for messages.

    raises: RequestError, StorageError   for what is no path
    """
    text = str(location)
    if not isinstance(location, str | Path) or not text or "\0" in text or text == ":memory:":
        raise RequestError(f"{what}: a directory's path expected, not {location!r}")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if scheme is not None:
        raise RequestError(
            f"{what}: {text}: {scheme[1]}:// is not in this release; a directory's path expected"
        )
    try:
        return Path(text).expanduser().resolve()
    except UnicodeError:
        raise RequestError(f"{what}: {text!r} holds a lone surrogate and is no path") from None
    except (OSError, RuntimeError) as error:
        raise StorageError(f"{what}: {text}: {error}") from error
