"""The groups of routes that a server has."""

from __future__ import annotations

from quidditch.server.routes import (
    aliases,
    bulk,
    by_query,
    cat_more,
    cluster,
    console,
    documents,
    indices,
    info,
    mappings,
    metrics,
    native,
    native_searches,
    openapi,
    points_in_time,
    scrolling,
    search,
    snapshots,
    stats,
    tasks,
    templates,
)
from quidditch.server.routing import Routes

GROUPS: tuple[Routes, ...] = (
    info.routes,
    documents.routes,
    bulk.routes,
    by_query.routes,
    indices.routes,
    mappings.routes,
    aliases.routes,
    templates.routes,
    search.routes,
    scrolling.routes,
    points_in_time.routes,
    stats.routes,
    tasks.routes,
    snapshots.routes,
    cluster.routes,
    cat_more.routes,
    console.routes,
    metrics.routes,
    native.routes,
    native_searches.routes,
    openapi.routes,
)
