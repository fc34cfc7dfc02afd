"""Settings of an index between OpenSearch's names and the engine's."""

from __future__ import annotations

import time
from typing import Any

from quidditch.interface import IndexInfo
from quidditch.server.failures import RestError
from quidditch.types import Json

COMPATIBLE = "2.11.0"
"""The version of OpenSearch whose clients and answers this follows."""

CREATED_BY = "136327827"
"""OpenSearch 2.11.0 as it numbers itself in `index.version.created`."""

_TRANSLOG = ("durability", "sync_interval")
DEFAULTS = {"index.refresh_interval": "1s", "index.max_result_window": "10000", "index.hidden": "false"}


def flat(settings: Any) -> dict[str, Json]:
    """Dotted names without `index.`, from any nesting.

    >>> flat({"index": {"translog": {"durability": "async"}}, "index.number_of_replicas": 0})
    {'translog.durability': 'async', 'number_of_replicas': 0}
    """
    if not isinstance(settings, dict):
        raise RestError("settings: an object expected", 400, "parse_exception")
    found = {}
    for key, value in settings.items():
        inner = (
            {f"{key}.{name}": each for name, each in flat(value).items()}
            if isinstance(value, dict)
            else {key: value}
        )
        found.update(inner)
    return {name.removeprefix("index."): value for name, value in found.items()}


def for_engine(settings: Any, *, sharded: bool = False) -> dict[str, Json]:
    """The settings as the engine takes them. A directory's index has one shard, however many are asked for.

    sharded:  the index is to be a cluster's, which has as many as it is told

    raises: RestError   no number of shards, or of replicas
    """
    known = {}
    for name, value in flat(settings).items():
        if name in ("number_of_shards", "number_of_replicas") and value is not None:
            _check_count(name, value, least=1 if name == "number_of_shards" else 0)
        known[name.removeprefix("translog.") if name.startswith("translog.") else name] = value
    if known.get("number_of_shards") is not None and not sharded:
        known["number_of_shards"] = 1
    return known


def _check_count(name: str, value: Json, least: int) -> None:
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise RestError(f"Failed to parse value [{value}] for setting [index.{name}]") from None
    if number < least:
        raise RestError(f"Failed to parse value [{value}] for setting [index.{name}] must be >= {least}")


def settings_body(info: IndexInfo, *, as_flat: bool, human: bool = False) -> dict[str, Any]:
    """The settings of an index as GET shows them: every value a string; `human` adds what people read."""
    named: dict[str, Json] = {"number_of_shards": "1", "number_of_replicas": "1", **info.settings}
    shown = {
        f"index.{'translog.' if name in _TRANSLOG else ''}{name}": _text(value)
        for name, value in named.items()
    }
    shown |= {
        "index.creation_date": str(info.created_ms),
        "index.provided_name": info.name,
        "index.uuid": uuid_of(info),
        "index.version.created": CREATED_BY,
    }
    if human:
        shown |= {
            "index.creation_date_string": date_text(info.created_ms),
            "index.version.created_string": COMPATIBLE,
        }
    return shown if as_flat else nested(shown)


def date_text(milliseconds: int) -> str:
    """A moment as OpenSearch spells it.

    >>> date_text(1_500)
    '1970-01-01T00:00:01.500Z'
    """
    seconds, rest = divmod(milliseconds, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03}Z"


def uuid_of(info: IndexInfo) -> str:
    """22 characters, as OpenSearch has them."""
    return info.uuid[:22]


def _text(value: Json) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def nested(settings: dict[str, Json]) -> dict[str, Any]:
    """Dotted names as objects within one another."""
    found: dict[str, Any] = {}
    for name, value in sorted(settings.items()):
        *path, last = name.split(".")
        place = found
        for step in path:
            inner = place.setdefault(step, {})
            place = inner if isinstance(inner, dict) else place
        place[last] = value
    return found
