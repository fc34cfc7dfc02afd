"""The settings of an index: which there are, what they may be, and what they mean to a directory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from quidditch.errors import RequestError
from quidditch.index.single_writes import Durability
from quidditch.local import active_copies
from quidditch.schema.mapping import nearest
from quidditch.types import Json

_SLOW = ("warn", "info", "debug", "trace")

KEPT = (
    "analyze.max_token_count",
    "max_docvalue_fields_search",
    "max_slices_per_scroll",
    "hidden",
    "auto_expand_replicas",
    "codec",
    "flush_threshold_size",
    "gc_deletes",
    "max_inner_result_window",
    "max_refresh_listeners",
    "max_regex_length",
    "max_rescore_window",
    "max_result_window",
    "max_script_fields",
    "merge.policy.max_merged_segment",
    "merge.scheduler.max_thread_count",
    "number_of_routing_shards",
    "priority",
    "query.default_field",
    "requests.cache.enable",
    "routing.allocation.exclude._name",
    "routing_partition_size",
    "search.idle.after",
    "soft_deletes.enabled",
    "store.type",
    "unassigned.node_left.delayed_timeout",
    "write.wait_for_active_shards",
    *(f"search.slowlog.threshold.{phase}.{level}" for phase in ("query", "fetch") for level in _SLOW),
    *(f"indexing.slowlog.threshold.index.{level}" for level in _SLOW),
)
"""Settings of OpenSearch that tune what a directory does not have: they are kept, and shown by a server."""

LIMITS = (
    "analyze.max_token_count",
    "max_docvalue_fields_search",
    "max_result_window",
    "max_slices_per_scroll",
)
"""Of those, the ones that a server heeds: how large one request may be."""

BLOCKS = ("blocks.write", "blocks.read_only")
"""Settings that refuse writes to an index, or changes of any kind."""

NAMES = (
    "number_of_shards",
    "number_of_replicas",
    "refresh_interval",
    "durability",
    "sync_interval",
    *BLOCKS,
    *KEPT,
)

FIXED = ("number_of_shards", "durability", "sync_interval")
"""Settings that an index has from its beginning."""

SHORTEST_INTERVAL_S = 0.01
LONGEST_INTERVAL_S = 3600.0

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def check_settings(settings: dict[str, Json] | None, most_shards: int = 1) -> dict[str, Json]:
    """The settings of an index, flat; OpenSearch's nesting under `index` is taken too.

    most_shards:  how many an index may have: one in a directory
    raises: RequestError   naming a setting that is unknown, or a value that is not in this release
    """
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise RequestError(f"settings: an object expected, not {settings!r}")
    flat = dict(_flat(settings))
    for name, value in flat.items():
        if value is None:
            continue
        if not isinstance(value, str | int | float | bool) or value != value:
            raise RequestError(f"settings: {name}: a string, number or boolean expected, not {value!r}")
        if isinstance(value, str) and not value.isascii():
            raise RequestError(f"settings: {name}: {value!a} is no value of a setting")
        if name not in NAMES:
            raise RequestError(f"settings: unknown setting [{name}]{nearest(name, NAMES)}")
        if name == "number_of_shards":
            _check_shards(value, most_shards)
        if name == "durability" and value not in ("request", "async"):
            raise RequestError(f'settings: durability: "request" or "async" expected, not {value!r}')
        if name == "sync_interval":
            seconds_of(value)
        if name == "refresh_interval" and not re.fullmatch(
            r"-1|\d+(\.\d+)?(nanos|micros|ms|s|m|h|d)|0", str(value)
        ):
            raise RequestError(
                f'settings: refresh_interval: a time such as "1s", or -1, expected, not {value!r}'
            )
        if name in LIMITS and not re.fullmatch(r"[0-9]{1,9}", str(value)):
            raise RequestError(f"settings: {name}: a whole number expected, not {value!r}")
        if name == active_copies.SETTING:
            active_copies.parse_copies(value, f"settings: {name}")
        if name in BLOCKS and value not in (True, False, "true", "false"):
            raise RequestError(f"settings: {name}: true or false expected, not {value!r}")
    return flat


def _check_shards(value: Json, most: int) -> None:
    """raises: RequestError"""
    text = "" if isinstance(value, bool) else str(value)
    if text.isdecimal() and 1 <= int(text) <= most:
        return
    if most == 1:
        raise RequestError(
            f"settings: number_of_shards is {value!r}; a directory's index has 1 in this release"
        )
    raise RequestError(f"settings: number_of_shards: 1 to {most} expected, not {value!r}")


def changed_settings(
    before: Mapping[str, Json], settings: dict[str, Json], preserve: bool = False
) -> dict[str, Json]:
    """The settings of an index after a change; None takes a setting back, `preserve` keeps those that are there.

    raises: RequestError   for one that is unknown, or that an index has from its beginning
    """
    changes = check_settings(settings)
    for name, value in changes.items():
        if name in FIXED and value != before.get(name):
            raise RequestError(f"settings: {name}: cannot be changed once an index is there, to {value!r}")
    after = {**changes, **before} if preserve else {**before, **changes}
    return {name: value for name, value in after.items() if value is not None}


def block_of(settings: Mapping[str, Json]) -> str | None:
    """The name of the setting that refuses writes, if one does."""
    return next((name for name in BLOCKS if settings.get(name) in (True, "true")), None)


def _flat(settings: dict[Any, Json]) -> Iterator[tuple[str, Json]]:
    """Names without OpenSearch's `index` and `translog` above them, be those spelt by dots or by nesting."""
    for key, value in settings.items():
        if not isinstance(key, str):
            raise RequestError(f"settings: a name expected, not {key!r}")
        if key in ("index", "translog", "index.translog") and isinstance(value, dict):
            yield from _flat(value)
        else:
            yield key.removeprefix("index.").removeprefix("translog."), value


def seconds_of(value: Json) -> float:
    """Seconds of a time as OpenSearch spells it: a number and a unit.

    raises: RequestError   for what is no time, or no sensible one
    >>> seconds_of("500ms"), seconds_of("2s")
    (0.5, 2.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value) if isinstance(value, str) else None
    seconds = float(found[1]) * _UNITS_S[found[2]] if found is not None else 0.0
    if not SHORTEST_INTERVAL_S <= seconds <= LONGEST_INTERVAL_S:
        raise RequestError(
            f'settings: sync_interval: a time from "10ms" to "1h" expected, such as "1s", not {value!r}'
        )
    return seconds


def durability_of(settings: Mapping[str, Any]) -> Durability:
    """What checked settings say of single writes."""
    return Durability(settings.get("durability", "request"), seconds_of(settings.get("sync_interval", "1s")))
