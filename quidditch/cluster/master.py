"""The static master: places the copies of shards, and forgets what every copy has.

It is configured, not elected, and keeps nothing: whatever it decides follows from what it reads, so it may be killed
and started anywhere. While there is none, searches and writes go on, and nothing is created or moved. A standby takes
over when the lease has been silent for a while; a master that was killed takes back its own at once. Two at once do
no harm: a table is written only in the place of the one that it was made of, and whoever finds another there decides
anew.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Mapping

import msgspec

from quidditch.cluster.agreement import differing, said_of
from quidditch.cluster.allocation import allocate
from quidditch.cluster.catalogue import GONE_S, Catalogue
from quidditch.cluster.connection import Connection
from quidditch.cluster.keys import Changed, Keys
from quidditch.cluster.log import JetStreamLog, LogLost
from quidditch.cluster.logs import about
from quidditch.cluster.orders import Orders, all_carried_out
from quidditch.cluster.picture import Picture, picture
from quidditch.cluster.presence import Presence
from quidditch.cluster.reseeding import beginning_of, is_lost, reseed
from quidditch.cluster.state import NodeReport, RoutingTable, ShardId, from_bytes, raised, to_bytes
from quidditch.errors import QuidditchError, StorageError

LEASE_S = 5.0
"""How long the lease may be silent before another master takes it."""

TRIM_S = 5.0
"""How often logs are trimmed."""

MARGIN = 1_000
"""Entries that stay in a log although every copy has them: so that a short absence needs no copy of a peer."""

FORGET_S = 60.0
"""A node that has been silent for so long gets its copies replaced."""

log = logging.getLogger("quidditch.cluster")


class Lease(msgspec.Struct, frozen=True):
    """Who is master, and how often it has said so."""

    holder: str = ""
    beats: int = 0
    version: int = 1


def active_master(connection: Connection) -> str:
    """The name of the master that has the lease; "" while none has."""
    value = _lease_keys(connection).get("lease")
    return "" if value is None else _name_of(from_bytes(value.data, Lease))


def _name_of(lease: Lease) -> str:
    """Of the master that has it; "" of none."""
    return lease.holder.rpartition("-")[0]


def _lease_keys(connection: Connection) -> Keys:
    keys = Keys(connection, "quidditch_master")
    keys.create(in_memory=True)
    return keys


class Master:
    """Does a master's work from `start` to `stop`, while it has the lease."""

    def __init__(self, connection: Connection, name: str = "master", forget_s: float = FORGET_S) -> None:
        self._connection = connection
        self._catalogue = Catalogue(connection)
        # Whoever begins where NATS has lost everything makes another cluster, by which data nodes know that.
        self._catalogue.cluster_id()
        self._presence = Presence(self._catalogue, "master", name)
        self._keys = _lease_keys(connection)
        self._holder = f"{name}-{uuid.uuid4().hex[:8]}"
        self._forget_s = max(forget_s, GONE_S)
        self._name = name
        self._began_s = time.monotonic()
        self._seen: tuple[Lease, float] = (Lease(), self._began_s)
        self._looked = False
        """Whether it has looked who has the lease."""
        self._trimmed_s = 0.0
        self._beats, self._revision, self._held_s = 0, 0, float("-inf")
        self.apart: dict[ShardId, dict[str, int]] = {}
        """As `compare` found it last."""
        self._said: dict[ShardId, str] = {}
        """Why a lost log is not made anew, said once."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="quidditch-master", daemon=True)
        self.active = False
        """Whether it has the lease."""
        self._at_rest: Picture | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, and leave the lease to whoever stands by."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.active:
            with contextlib.suppress(QuidditchError):
                self._keys.replace("lease", to_bytes(Lease("", self._beats + 1)), self._revision)
        self._presence.close()
        self._catalogue.close()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self.active = self._hold_lease()
                if self.active:
                    if self._catalogue.restore():
                        log.warning("master: NATS has lost its state; it is put back as it was seen last")
                    # Copies that have lost their log are not given to other nodes: they are all that there is.
                    if self.reseed_lost():
                        self.place()
                    self._trim_sometimes()
            except QuidditchError as error:
                log.warning("%s", error)
            except Exception:
                # What NATS refuses in a way that nobody foresaw may pass; without a master nothing is ever placed.
                log.exception("master")
            self._catalogue.wait_change(0.25)

    # ---------------------------------------------------------------------------------------------- the lease

    def _hold_lease(self) -> bool:
        """Whether the lease is this master's, taken if nobody has spoken for it for a while; and at once, when this
        process has just begun, if it is that of the process before, which had the same name."""
        value = self._keys.get("lease")
        lease = Lease() if value is None else from_bytes(value.data, Lease)
        now = time.monotonic()
        if lease != self._seen[0]:
            self._seen = (lease, now)
        mine = lease.holder == self._holder or (not self._looked and _name_of(lease) == self._name)
        self._looked = True
        if lease.holder and not mine and now - self._seen[1] < LEASE_S:
            return False
        following = Lease(self._holder, lease.beats + 1)
        try:
            self._revision = self._keys.replace(
                "lease", to_bytes(following), 0 if value is None else value.revision
            )
        except Changed:
            return False
        # Counted from before it was asked for: the lease may have been renewed that early.
        self._beats, self._held_s = following.beats, now
        return True

    def _check_lease(self) -> None:
        """raises: StorageError   the lease was not renewed for so long that another may have it"""
        if time.monotonic() - self._held_s > LEASE_S:
            raise StorageError(
                "the lease is not this master's any more: it has slept, or NATS did not answer"
            )

    # ---------------------------------------------------------------------------------------------- placing

    def place(self) -> RoutingTable:
        """Make the streams of new shards, write the next table, and remove the streams of shards that are gone."""
        if self._catalogue.lost():
            raise StorageError(
                "the list of indices is gone and a routing table is there: nothing is placed or removed"
            )
        # The table first: whatever it names is among the indices that are read after it.
        before, revision = self._catalogue.routing_at()
        orders = self._catalogue.orders()
        seen = picture(self._catalogue, before, self._forget_s, time.monotonic() - self._began_s)
        known, others = self._catalogue.nodes(self._forget_s), self._catalogue.processes(self._forget_s)
        at_rest = seen == self._at_rest and not orders.waiting
        if at_rest and raised(before, known, others.values()) is before:
            return before
        wanted = seen.wanted
        listed = [order for waiting in orders.waiting.values() for order in waiting]
        ordered, refused = all_carried_out(before, listed, wanted, seen.situation)
        for order, why in zip(listed, refused, strict=True):
            log.info("master: %s of shard %s: %s", order.kind, order.of, why or "carried out")
        after = raised(allocate(ordered, wanted, seen.situation, seen.rules), known, others.values())
        if (after.indices, after.version) == (before.indices, before.version):
            self._at_rest = seen
            self._done_with(orders)
            return before
        after = msgspec.structs.replace(after, epoch=before.epoch + 1)
        for index in sorted(set(wanted) - set(before.indices)):
            for number in range(wanted[index].shards):
                JetStreamLog(self._connection, ShardId(index, number)).create()
        self._check_lease()
        # Only in the place of the table that this was decided on: a master that slept while another wrote one would
        # take back what that did, and remove the logs of its indices.
        self._catalogue.put_routing(after, revision)
        for index in sorted(set(before.indices) - set(after.indices)):
            for number in range(len(before.indices[index])):
                JetStreamLog(self._connection, ShardId(index, number)).delete()
            self._catalogue.forget_mappings(index)
        self._done_with(orders)
        log.info("table %d of %d indices", after.epoch, len(after.indices), extra=about(epoch=after.epoch))
        return after

    def _done_with(self, orders: Orders) -> None:
        """Take away the orders that have been carried out or refused: whoever gave them sees it."""
        if orders.waiting:

            def without(now: Orders) -> Orders:
                return Orders(
                    {id: waiting for id, waiting in now.waiting.items() if id not in orders.waiting}
                )

            self._catalogue.change_orders(without)

    # --------------------------------------------------------------------------------------------- lost logs

    def reseed_lost(self) -> bool:
        """Make the logs anew that were lost, where every copy is heard of; whether all logs are there."""
        reports = self._catalogue.nodes()
        there = {entry.generation for entry in self._catalogue.entries().values()}
        known, whole = not self._catalogue.lost(), True
        for shard, copies in self._catalogue.routing().shards():
            if known and shard.uuid not in there:
                # Its index was deleted: what is left of it goes with the next table, which shall not wait for it.
                continue
            nodes = [copy.node for copy in copies]
            if is_lost(nodes, str(shard), reports):
                whole = self._reseed(shard, nodes, reports) and whole
        return whole

    def _reseed(self, shard: ShardId, nodes: list[str], reports: Mapping[str, NodeReport]) -> bool:
        try:
            beginning = beginning_of(nodes, str(shard), reports)
            self._check_lease()
            reseed(self._connection, shard, beginning)
        except StorageError as error:
            if self._said.get(shard) != str(error):
                log.error("master: %s", error)
            self._said[shard] = str(error)
            return False
        self._said.pop(shard, None)
        return True

    # -------------------------------------------------------------------------------------------- agreement

    def compare(self) -> dict[ShardId, dict[str, int]]:
        """The shards whose copies have come apart: for each the nodes, and the sequence at which that shows. What is
        new is logged; which copy is right is for people to say."""
        reports = self._catalogue.nodes()
        found = {
            shard: differing(said_of(str(shard), reports)) for shard, _ in self._catalogue.routing().shards()
        }
        self.apart, before = {shard: nodes for shard, nodes in found.items() if nodes}, self.apart
        for shard in self.apart.keys() - before.keys():
            log.error("master: the copies of shard %s differ: %s", shard, self.apart[shard])
        return self.apart

    # ---------------------------------------------------------------------------------------------- trimming

    def _trim_sometimes(self) -> None:
        if time.monotonic() - self._trimmed_s >= TRIM_S:
            self._trimmed_s = time.monotonic()
            self.compare()
            self.trim()
            self._forget_processes()

    def trim(self, margin: int = MARGIN) -> None:
        """Have each log forget what is durable in every copy, but for a margin."""
        reports = self._catalogue.nodes(float("inf"))
        for shard, copies in self._catalogue.routing().shards():
            upto = trimmable([copy.node for copy in copies], str(shard), reports) - margin
            write_log = JetStreamLog(self._connection, shard)
            with contextlib.suppress(LogLost):
                if upto > 0 and write_log.bounds().first <= upto:
                    self._check_lease()
                    write_log.trim(upto)

    def _forget_processes(self) -> None:
        """Of those that were killed: one that ends has its key removed itself."""
        for run in set(self._catalogue.processes(float("inf"))) - set(
            self._catalogue.processes(self._forget_s)
        ):
            self._catalogue.forget_process(run)


def trimmable(nodes: list[str], shard: str, reports: Mapping[str, NodeReport]) -> int:
    """The last sequence that is durable in the copies on all of these nodes; 0 if one of them is not heard of."""
    applied = [
        reports[node].shards[shard].applied if node in reports and shard in reports[node].shards else 0
        for node in nodes
    ]
    return min(applied, default=0)
