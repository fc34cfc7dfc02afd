"""The routing table of a large cluster: its size, and the time to place its copies when something changes."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from quidditch.cluster.allocation import Node, Situation, Wanted, allocate
from quidditch.cluster.catalogue import GONE_S, Settings
from quidditch.cluster.master import Master
from quidditch.cluster.orders import Orders
from quidditch.cluster.state import (
    NodeReport,
    ProcessReport,
    RoutingTable,
    ShardReport,
    from_bytes,
    to_bytes,
)
from quidditch.index.catalog import IndexEntry

MOST_ROUNDS = 100_000


@dataclass(frozen=True, slots=True)
class Scale:
    """So many nodes in zones, and shards in indices, each shard with so many copies."""

    nodes: int = 100
    zones: int = 3
    shards: int = 3_000
    shards_each: int = 10
    copies: int = 2

    def all_nodes(self) -> dict[str, Node]:
        return {f"node-{number:03}": Node(f"zone-{number % self.zones}") for number in range(self.nodes)}

    def wanted(self) -> dict[str, Wanted]:
        each = Wanted(self.shards_each, self.copies)
        # Drawn as uuids are: in order they would pack much better than they do.
        draw = random.Random(self.shards)
        return {f"{draw.getrandbits(128):032x}": each for _ in range(self.shards // self.shards_each)}


def serving(table: RoutingTable, nodes: Mapping[str, Node]) -> Situation:
    """Every copy on a node that is there serves."""
    held = {(shard, copy.node) for shard, copies in table.shards() for copy in copies if copy.node in nodes}
    return Situation(nodes, held)


def change(
    table: RoutingTable, wanted: Mapping[str, Wanted], nodes: Mapping[str, Node]
) -> tuple[dict[str, Any], RoutingTable]:
    """What it takes until nothing is left to do: the first table, and all that follow as copies begin to serve.

    returns: seconds of the first table and of the slowest, tables, copies made, and the last table
    """
    started = table
    times: list[float] = []
    while len(times) < MOST_ROUNDS:
        situation = serving(table, nodes)
        begun = time.perf_counter()
        following = allocate(table, wanted, situation)
        times.append(time.perf_counter() - begun)
        if following is table:
            break
        table = following
    before = {(shard, copy.node) for shard, copies in started.shards() for copy in copies}
    after = {(shard, copy.node) for shard, copies in table.shards() for copy in copies}
    load = Counter(dict.fromkeys(nodes, 0))
    load.update(node for _, node in after if node in nodes)
    found = {
        "first_ms": round(times[0] * 1000, 1),
        "slowest_ms": round(max(times) * 1000, 1),
        "at_rest_ms": round(times[-1] * 1000, 1),
        "tables": len(times) - 1,
        "copies_made": len(after - before),
        "least": min(load.values()),
        "most": max(load.values()),
    }
    return found, table


def changes(scale: Scale) -> dict[str, Any]:
    """An empty cluster that gets all its shards; then a node lost, one added, and a zone lost."""
    nodes, wanted = scale.all_nodes(), scale.wanted()
    found: dict[str, Any] = {}
    found["empty start"], table = change(RoutingTable(), wanted, nodes)
    without_one = {name: node for name, node in nodes.items() if name != "node-000"}
    found["a node lost"], _ = change(table, wanted, without_one)
    found["a node added"], _ = change(table, wanted, {**nodes, "late": Node("zone-0")})
    without_zone = {name: node for name, node in nodes.items() if node.zone != "zone-0"}
    found["a zone lost"], _ = change(table, wanted, without_zone)
    return found


def sizes(scale: Scale, table: RoutingTable) -> dict[str, Any]:
    """Bytes of what is written and followed. Every process follows every heartbeat."""
    reports = [to_bytes(report) for report in reports_of(scale, table).values()]
    each = sum(map(len, reports)) / len(reports)
    return {
        "routing_table_bytes": len(msgspec.msgpack.encode(table)),
        "routing_table_packed_bytes": len(to_bytes(table)),
        "heartbeat_bytes": round(each),
        "heartbeats_bytes_s": round(each * scale.nodes),
        "heartbeats_to_all_bytes_s": round(each * scale.nodes * (scale.nodes + 5)),
    }


def reports_of(scale: Scale, table: RoutingTable) -> dict[str, NodeReport]:
    """What each node would say, all copies serving, with the marks that copies are compared by."""
    draw = random.Random(3)
    shards: dict[str, dict[str, ShardReport]] = {name: {} for name in scale.all_nodes()}
    for shard, copies in table.shards():
        log = f"Q_{shard.uuid}_{shard.number}@{draw.getrandbits(64)}"
        applied = draw.randrange(1_000_000)
        marks = tuple((applied - 64 * mark, draw.getrandbits(32)) for mark in range(4))
        for copy in copies:
            shards[copy.node][str(shard)] = ShardReport(applied, True, log=log, marks=marks)
    found = {}
    for number, (name, node) in enumerate(scale.all_nodes().items()):
        run, address = f"{draw.getrandbits(128):032x}", f"10.0.0.{number}:9301"
        found[name] = NodeReport(name, run, address, node.zone, shards=shards[name])
    return found


PLACES_A_BEAT = 4
"""How often a master looks in the time in which every node says once that it lives."""


class StubCatalogue:
    """The shared state in this process's memory, as bytes. As the catalogue does, it reads a heartbeat once, and in
    the time between two looks of the master a quarter of them is new."""

    def __init__(self, scale: Scale, table: RoutingTable) -> None:
        self._table = to_bytes(table)
        self._reports = {name: to_bytes(report) for name, report in reports_of(scale, table).items()}
        self._read: dict[str, NodeReport] = {}
        self._looks = 0
        self._entries = {
            f"index-{place}": IndexEntry(uuid, {}, {"number_of_replicas": each.copies - 1}, each.shards)
            for place, (uuid, each) in enumerate(scale.wanted().items())
        }
        self.gone: set[str] = set()
        self.silent: set[str] = set()

    def lost(self) -> bool:
        return False

    def routing_at(self) -> tuple[RoutingTable, int]:
        self._looks += 1
        for place, name in enumerate(self._reports):
            if place % PLACES_A_BEAT == self._looks % PLACES_A_BEAT:
                self._read.pop(name, None)
        return from_bytes(self._table, RoutingTable), 1

    def put_routing(self, table: RoutingTable, revision: int) -> None:
        self._table = to_bytes(table)

    def entries(self) -> dict[str, IndexEntry]:
        return self._entries

    def orders(self) -> Orders:
        return Orders()

    def settings(self) -> Settings:
        return Settings()

    def processes(self, gone_s: float = GONE_S) -> dict[str, ProcessReport]:
        return {}

    def nodes(self, gone_s: float = GONE_S) -> dict[str, NodeReport]:
        missing = self.gone if gone_s > GONE_S else self.gone | self.silent
        for name, data in self._reports.items():
            if name not in self._read:
                self._read[name] = from_bytes(data, NodeReport)
        return {name: report for name, report in self._read.items() if name not in missing}


class StubMaster(Master):
    """A master that has the lease for good, and no network."""

    def __init__(self, catalogue: StubCatalogue) -> None:
        self._catalogue = catalogue  # type: ignore[assignment]
        self._forget_s = 60.0
        self._at_rest = None

    def _check_lease(self) -> None:
        """It has it."""


def master_times(scale: Scale, table: RoutingTable) -> dict[str, float]:
    """Milliseconds of `place`: reading all that is shared, deciding, writing; without the network's."""
    catalogue = StubCatalogue(scale, table)
    master = StubMaster(catalogue)
    master.place()
    found = {"nothing has changed": _ms(master.place, 10)}
    catalogue.silent = {"node-001"}
    found["a node falls silent"] = _ms(master.place, 1)
    catalogue.gone = {"node-001"}
    found["a node is given up"] = _ms(master.place, 1)
    return found


def _ms(work: Callable[[], object], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return round((time.perf_counter() - begun) * 1000 / times, 1)


def settled(scale: Scale) -> RoutingTable:
    """The table of a cluster of that scale at rest."""
    return change(RoutingTable(), scale.wanted(), scale.all_nodes())[1]
