"""Databases in a directory, in this process."""

from __future__ import annotations

from quidditch.local.database import LocalDatabase, connect
from quidditch.local.index import LocalIndex

__all__ = ["LocalDatabase", "LocalIndex", "connect"]
