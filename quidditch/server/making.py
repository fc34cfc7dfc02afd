"""New indices: after a request, and the template that fits their name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quidditch.interface import Database, Index
from quidditch.server.failures import RestError
from quidditch.server.rendering.settings import for_engine
from quidditch.server.security.guarding import for_making
from quidditch.server.templates import plan_for


def most_shards(database: Database) -> int:
    """How many shards an index of this database may have."""
    return int(getattr(database, "most_shards", 1))


def make_index(database: Database, name: str, body: Mapping[str, Any]) -> Index:
    """An index with the `settings`, `mappings` and `aliases` of a body. All of it, or nothing: an alias that cannot
    be given takes the index back. The aliases of a template are whoever's who put it: a caller who may make the index
    need not be allowed to give them.

    raises: IndexExists, MappingError, RequestError
    """
    aliases = body.get("aliases") or {}
    if not isinstance(aliases, dict) or not all(isinstance(each, dict | None) for each in aliases.values()):
        raise RestError("aliases: an object of objects expected", 400, "parse_exception")
    plan = plan_for(database, name, body)
    below = for_making(database, name, aliases)
    below.create_index(
        name, plan.mappings or None, for_engine(plan.settings, sharded=most_shards(database) > 1)
    )
    if plan.aliases:
        actions = [
            {"add": {"index": name, "alias": alias, **(of or {})}} for alias, of in plan.aliases.items()
        ]
        try:
            below.update_aliases(actions)
        except BaseException:
            below.delete_index(name)
            raise
    return database.index(name)
