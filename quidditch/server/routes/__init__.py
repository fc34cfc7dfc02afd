"""The groups of routes that a server has."""

from __future__ import annotations

from quidditch.server.routes import documents, info
from quidditch.server.routing import Routes

GROUPS: tuple[Routes, ...] = (info.routes, documents.routes)
