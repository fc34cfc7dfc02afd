"""What a master decides by: what indices want, what nodes there are and serve, and what the operator lets be done.

Coordinators make the same picture, to say what the master would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from quidditch.cluster.allocation import MOVES_AT_ONCE, Node, Rules, Situation, Wanted
from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.state import NodeReport, RoutingTable, ShardId
from quidditch.errors import RequestError
from quidditch.index.catalog import IndexEntry
from quidditch.patterns import matches

ENABLE = "cluster.routing.allocation.enable"
REBALANCE = "cluster.routing.rebalance.enable"
EXCLUDE = "cluster.routing.allocation.exclude._name"
EXCLUDE_ZONE = "cluster.routing.allocation.exclude.zone"
MOVES = "cluster.routing.allocation.cluster_concurrent_rebalance"
INDEX_EXCLUDE = "routing.allocation.exclude._name"

CHOICES = {
    ENABLE: ("all", "primaries", "new_primaries", "none"),
    REBALANCE: ("all", "primaries", "replicas", "none"),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """All that the next routing table follows from."""

    table: RoutingTable
    wanted: dict[str, Wanted]
    situation: Situation
    rules: Rules


def picture(
    catalogue: Catalogue, table: RoutingTable, forget_s: float, heard_s: float = float("inf")
) -> Picture:
    """As things are now. A node is there until it has been silent for `forget_s`.

    heard_s:  for how long it has been listened; after a power failure nodes come one after the other
    """
    there, alive = catalogue.nodes(forget_s), catalogue.nodes()
    settings = catalogue.settings().effective
    situation = situation_of(there, alive, settings)
    if heard_s < forget_s:
        situation = replace(situation, awaited=frozenset(holders(table) - set(catalogue.nodes(float("inf")))))
    return Picture(table, wanted_of(catalogue.entries(), there), situation, rules_of(settings))


def holders(table: RoutingTable) -> set[str]:
    """The nodes that the table names."""
    return {copy.node for _, copies in table.shards() for copy in copies}


def wanted_of(entries: Mapping[str, IndexEntry], nodes: Iterable[str] = ()) -> dict[str, Wanted]:
    """What the indices want, by uuid."""
    return {
        entry.generation: Wanted(
            entry.shards,
            1 + int(entry.settings.get("number_of_replicas", 1)),
            excluded(nodes, str(entry.settings.get(INDEX_EXCLUDE) or "")),
        )
        for entry in entries.values()
    }


def situation_of(
    there: Mapping[str, NodeReport], alive: Mapping[str, NodeReport], settings: Mapping[str, str]
) -> Situation:
    """The nodes that are not given up, which of them drain, and what those that speak serve."""
    out = excluded(there, settings.get(EXCLUDE, ""))
    zones = excluded({report.zone for report in there.values()}, settings.get(EXCLUDE_ZONE, ""))
    nodes = {
        name: Node(report.zone, report.draining or name in out or report.zone in zones)
        for name, report in there.items()
    }
    serving = {
        (shard_id(shard), name)
        for name, report in alive.items()
        for shard, said in report.shards.items()
        if said.started
    }
    return Situation(nodes, serving)


def excluded(names: Iterable[str], patterns: str) -> frozenset[str]:
    """The names that a list of patterns with commas fits.

    >>> sorted(excluded(["n1", "n2", "m1"], "n*, x"))
    ['n1', 'n2']
    """
    if not patterns:
        return frozenset()
    listed = [part.strip() for part in patterns.split(",") if part.strip()]
    return frozenset(name for name in names if any(matches(name, pattern) for pattern in listed))


def rules_of(settings: Mapping[str, str]) -> Rules:
    """What the settings of the cluster let the master do."""
    enable = settings.get(ENABLE, "all")
    return Rules(
        "all" if enable == "all" else "none" if enable == "none" else "primaries",
        settings.get(REBALANCE, "all") != "none",
        int(settings.get(MOVES, MOVES_AT_ONCE)),
    )


def check_setting(name: str, value: str) -> None:
    """raises: RequestError   the master could not heed this value of a setting of its own"""
    if name in CHOICES and value not in CHOICES[name]:
        raise RequestError(f"{name}: one of {', '.join(CHOICES[name])} expected, not [{value}]")
    if name == MOVES and not (value.isdecimal() and len(value) < 5):
        raise RequestError(f"{name}: a number of moves from 0 on expected, not [{value}]")


@lru_cache(1 << 16)
def shard_id(text: str) -> ShardId:
    """What `str(ShardId)` was of."""
    uuid, _, number = text.rpartition(".")
    return ShardId(uuid, int(number))
