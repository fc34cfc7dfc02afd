"""Databases in a directory, in this process."""

from __future__ import annotations

from quidditch.local.database import LocalDatabase, check_location, connect
from quidditch.local.index import LocalIndex
from quidditch.local.point_in_time import PointInTime

__all__ = ["LocalDatabase", "LocalIndex", "PointInTime", "check_location", "connect"]
