"""What operators see of a cluster and change in it, as a coordinator does it: it reads what all processes share, asks
nodes how large their copies are, and leaves orders for the master, who alone writes the routing table.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from quidditch.cluster import orders as ordered
from quidditch.cluster.catalogue import Catalogue, Settings
from quidditch.cluster.keys import Keys
from quidditch.cluster.master import FORGET_S, LEASE_S, Lease
from quidditch.cluster.overview import shard_views
from quidditch.cluster.picture import EXCLUDE, EXCLUDE_ZONE, check_setting, excluded, picture
from quidditch.cluster.state import NodeReport, RoutingTable, ShardId, from_bytes
from quidditch.cluster.transport import Request, Transport
from quidditch.errors import QuidditchError, RequestError, Unavailable
from quidditch.topology import NodeView, Order, Placement, Size, Topology, Verdict

SIZES_S = 5.0
"""How long a node may take to say how large its copies are."""

KNOWN_S = 3600.0
"""A node that has been silent for so long is no longer shown."""

POLL_S = 0.1
"""How soon a change is noticed that is waited for."""


class Administration:
    """Of one coordinator. Safe to share between threads."""

    def __init__(self, catalogue: Catalogue, transport: Transport, run: str = "") -> None:
        """run:  of this coordinator, which is not told of: who asks knows of it"""
        self._run = run
        self._catalogue = catalogue
        self._transport = transport
        self._lease_keys = Keys(catalogue.connection, "quidditch_master")
        self._lock = threading.Lock()
        self._lease: tuple[Lease, float] = (Lease(), 0.0)

    # ----------------------------------------------------------------------------------------------- looking

    def topology(self, indices: Collection[str] | None = None, sizes: bool = False) -> Topology:
        """cost: a call to NATS; with `sizes`, one to every data node, at once"""
        entries = self._catalogue.entries()
        wanted = {name: entry for name, entry in entries.items() if indices is None or name in indices}
        alive = self._catalogue.nodes()
        table = self._catalogue.routing()
        found = self._sizes(alive) if sizes else {}
        master = self._master()
        shards = shard_views(wanted, table, alive, found)
        return Topology(self._nodes(alive, table, master), tuple(shards), master or None, table.epoch)

    def _nodes(
        self, alive: Mapping[str, NodeReport], table: RoutingTable, master: str
    ) -> tuple[NodeView, ...]:
        """Data nodes that are heard, silent ones that copies are still kept for, and the master."""
        settings = self._catalogue.settings().effective
        known = self._catalogue.nodes(KNOWN_S)
        out = excluded(known, settings.get(EXCLUDE, ""))
        zones = excluded({report.zone for report in known.values()}, settings.get(EXCLUDE_ZONE, ""))
        held = {copy.node for _, copies in table.shards() for copy in copies}
        found = {
            name: NodeView(
                name,
                report.address,
                ("cluster_manager", "data") if name == master else ("data",),
                report.zone,
                name in alive,
                report.draining or name in out or report.zone in zones,
            )
            for name, report in known.items()
            if name in alive or name in held
        }
        if master:
            found.setdefault(master, NodeView(master, "", ("cluster_manager",)))
        for process in self._catalogue.processes().values():
            if process.role == "master":
                found.setdefault(process.name, NodeView(process.name, "", ("cluster_manager",)))
            elif process.run != self._run:
                name = f"{process.name}-{process.run[:6]}" if process.name in found else process.name
                found[name] = NodeView(name, "", ())
        return tuple(found[name] for name in sorted(found))

    def _sizes(self, alive: Mapping[str, NodeReport]) -> dict[tuple[str, str], Size]:
        """By node and shard; nothing of a node that gives no answer."""
        reports = list(alive.values())
        requests = [Request(report.address, "/v1/node/sizes", {}, SIZES_S) for report in reports]
        found: dict[tuple[str, str], Size] = {}
        for report, answer in zip(reports, self._transport.calls(requests), strict=True):
            if not isinstance(answer, QuidditchError):
                found |= {(report.node, shard): msgspec.convert(size, Size) for shard, size in answer.items()}
        return found

    def _master(self) -> str:
        """The name of the active master; empty while there is none that speaks."""
        try:
            value = self._lease_keys.get("lease")
        except QuidditchError:
            return ""
        lease = Lease() if value is None else from_bytes(value.data, Lease)
        now = time.monotonic()
        with self._lock:
            if lease != self._lease[0]:
                self._lease = (lease, now)
            silent_s = now - self._lease[1]
        return lease.holder.rpartition("-")[0] if silent_s < LEASE_S else ""

    def wait(self, true: Callable[[], object], timeout_s: float) -> bool:
        """Whether it becomes true within that time."""
        deadline = time.monotonic() + timeout_s
        while not true():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(POLL_S, left_s))
        return True

    # ---------------------------------------------------------------------------------------------- ordering

    def placements(self, index: str, shard: int) -> list[Placement]:
        """raises: IndexNotFound; RequestError   the index has no such shard"""
        entry = self._catalogue.entry(index)
        if not 0 <= shard < entry.shards:
            raise RequestError(f"index [{index}]: no shard [{shard}]; there are {entry.shards}, from 0 on")
        table = self._catalogue.routing()
        seen = picture(self._catalogue, table, FORGET_S)
        of = ShardId(entry.generation, shard)
        held = {copy.node for copy in table.copies(of)}
        return [
            Placement(node, node in held, ordered.objections(node, of, table, seen.wanted, seen.situation))
            for node in sorted(seen.situation.nodes)
        ]

    def reroute(self, orders: Sequence[Order], dry_run: bool, timeout_s: float) -> list[Verdict]:
        """Look at the orders one after the other, and leave those that can be carried out for the master.

        raises: IndexNotFound; Unavailable   no master has taken them within that time
        """
        table = self._catalogue.routing()
        seen = picture(self._catalogue, table, FORGET_S)
        asked = [self._asked(order) for order in orders]
        _, refused = ordered.all_carried_out(table, asked, seen.wanted, seen.situation)
        good = tuple(order for order, why in zip(asked, refused, strict=True) if not why)
        if good and not dry_run:
            self._leave(good, timeout_s)
        return [Verdict(order, not why, why) for order, why in zip(orders, refused, strict=True)]

    def _asked(self, order: Order) -> ordered.Order:
        uuid_ = self._catalogue.entry(order.index).generation
        return ordered.Order(order.kind, uuid_, order.shard, order.node, order.target)

    def _leave(self, good: tuple[ordered.Order, ...], timeout_s: float) -> None:
        """Have the master find orders, and wait until it has."""
        id = uuid.uuid4().hex

        def add(now: ordered.Orders) -> ordered.Orders:
            if sum(map(len, now.waiting.values())) + len(good) > ordered.MOST_ORDERS:
                raise Unavailable(
                    f"reroute: more than {ordered.MOST_ORDERS} orders wait for a master: is one running?"
                )
            return ordered.Orders({**now.waiting, id: good})

        self._catalogue.change_orders(add)
        try:
            self._catalogue.wait_for(
                lambda: id not in self._catalogue.orders().waiting,
                timeout_s,
                "reroute: no master has carried it out",
            )
        except Unavailable:
            # What nobody waits for any more shall not be done hours later.
            self._catalogue.change_orders(
                lambda now: ordered.Orders({key: each for key, each in now.waiting.items() if key != id})
            )
            raise

    # ---------------------------------------------------------------------------------------------- settings

    def settings(self) -> dict[str, dict[str, str]]:
        """By name, under `persistent` and `transient`."""
        found = self._catalogue.settings()
        return {"persistent": dict(found.persistent), "transient": dict(found.transient)}

    def change_settings(self, scope: str, changes: Mapping[str, str | None]) -> None:
        """raises: RequestError   a value that the master could not heed"""
        if scope not in ("persistent", "transient"):
            raise RequestError(f"cluster settings: persistent or transient expected, not [{scope}]")
        for name, value in changes.items():
            if value is not None:
                check_setting(name, value)

        def alter(now: Settings) -> Settings:
            kept = {**getattr(now, scope), **changes}
            after = {name: value for name, value in sorted(kept.items()) if value is not None}
            return msgspec.structs.replace(now, **{scope: after})

        self._catalogue.change_settings(alter)
