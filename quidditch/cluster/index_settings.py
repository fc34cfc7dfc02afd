"""The settings of a cluster's index that say how many shards and copies it has: pure."""

from __future__ import annotations

from quidditch.errors import RequestError
from quidditch.local.settings import check_settings
from quidditch.types import Json

DEFAULT_SHARDS = 1
"""Of an index that says nothing about it."""

MOST_SHARDS = 1_024

MOST_REPLICAS = 1_000


def sharded_settings(settings: dict[str, Json] | None, default_replicas: int) -> tuple[int, dict[str, Json]]:
    """How many shards an index has, and its settings.

    raises: RequestError   naming the setting
    """
    flat = check_settings(settings, most_shards=MOST_SHARDS)
    flat.setdefault("number_of_replicas", default_replicas)
    check_replicas(flat)
    return int(flat.get("number_of_shards") or DEFAULT_SHARDS), flat


def check_replicas(settings: dict[str, Json]) -> None:
    """raises: RequestError   flat settings hold a number of replicas that no master could heed"""
    replicas = settings.get("number_of_replicas")
    if replicas is None:
        return
    if not (str(replicas).isascii() and str(replicas).isdecimal() and int(str(replicas)) <= MOST_REPLICAS):
        raise RequestError(f"settings: number_of_replicas: 0 to {MOST_REPLICAS} expected, not {replicas!r}")
