"""A data node: the copies of shards that the routing table gives it, in a directory of its own.

It does what the table says and no more: opens copies, has them follow their logs, takes a copy of a peer where a log
no longer begins at its beginning, and lets go of what is no longer its own. Every second it says that it lives.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from quidditch.cluster.beginnings import Incoming, install
from quidditch.cluster.catalogue import Catalogue, IndexMappings, check_cluster
from quidditch.cluster.connection import Connection
from quidditch.cluster.log import JetStreamLog
from quidditch.cluster.logs import about
from quidditch.cluster.memory import give_back
from quidditch.cluster.node_calls import ShardCalls
from quidditch.cluster.replica import Replica
from quidditch.cluster.state import NodeReport, ShardId, ShardReport
from quidditch.cluster.transport import Request, Transport
from quidditch.errors import QuidditchError, RequestError, Unavailable
from quidditch.local.database import LocalDatabase, connect

BEAT_S = 1.0
"""How often a node says that it lives."""

COPY_S = 3600.0
"""How long a copy of a peer may take."""

HEARD_S = 0.2
"""Until every coordinator has heard that a node leaves, and what it asked before has come in."""

LEAVE_S = 5.0
"""How long a node that leaves waits for searches to end that have a view open here."""

LEAVING = "its node is being stopped"

REST_S = 5.0
"""So long after the last entry was applied a node lets go of the memory that writes take."""

OPENING = 4
"""Copies that are opened, or taken from peers, at once."""

_SIZES = ("documents", "deleted", "segments", "size_bytes")

log = logging.getLogger("quidditch.cluster")


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What a data node is called, where its copies lie, where its HTTP answers, and in which zone it stands."""

    name: str
    folder: Path
    address: str
    zone: str = ""


class DataNode:
    """Holds copies of shards from `start` to `stop`. `replica` and `calls` are what its HTTP is about."""

    def __init__(self, options: NodeOptions, connection: Connection, transport: Transport) -> None:
        """raises: StorageError   the folder belongs to another cluster"""
        self.options = options
        self.calls = ShardCalls()
        self.draining = False
        self._leaving = False
        self._connection = connection
        self._transport = transport
        self._run = uuid.uuid4().hex
        self._catalogue = Catalogue(connection)
        options.folder.mkdir(parents=True, exist_ok=True)
        self._check_cluster()
        for left in options.folder.glob("incoming-*"):
            left.unlink()
        self._database: LocalDatabase = connect(options.folder / "shards")
        self._lock = threading.Lock()
        self._replicas: dict[ShardId, Replica] = {}
        self._opening: dict[ShardId, str] = {}
        self._applied, self._rest_s = 0, float("inf")
        """Entries of all copies, as seen last, and when it is time to rest if there are no more by then."""
        self._openers = ThreadPoolExecutor(OPENING, "quidditch-opening")
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._every, args=(work,), name=name, daemon=True)
            for name, work in (("quidditch-beat", self._beat), ("quidditch-table", self._heed_table))
        ]

    def _check_cluster(self) -> None:
        path = self.options.folder / "cluster"
        known = path.read_text().strip() if path.exists() else ""
        self._cluster = check_cluster(self._catalogue, known)
        path.write_text(self._cluster + "\n")

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def leave(self) -> None:
        """Say that the copies here are to be asked no more, and wait for the searches under way, `LEAVE_S` at most.
        Calls are answered on until `stop`."""
        self._leaving = True
        self._connection.hurry()
        self.say()
        time.sleep(HEARD_S)
        deadline = time.monotonic() + LEAVE_S
        while self.calls.views.searching() and time.monotonic() < deadline:
            time.sleep(0.02)

    def stop(self) -> None:
        """End gracefully: what was begun is carried out and on disk."""
        self._leaving = True
        self._connection.hurry()
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._openers.shutdown(cancel_futures=True)
        self.calls.views.close_all()
        for replica in list(self._replicas.values()):
            replica.begin_stop()
        for replica in list(self._replicas.values()):
            replica.stop()
            with contextlib.suppress(QuidditchError):
                replica.leave_merges()
        # Not forgotten at once: a node that is started again shortly keeps its copies.
        self.say()
        self._database.close()
        self._catalogue.close()

    # --------------------------------------------------------------------------------------------- answering

    def replica(self, shard: ShardId) -> Replica:
        """raises: Unavailable   this node has no copy of the shard that answers"""
        with self._lock:
            found = self._replicas.get(shard)
            why = self._opening.get(shard, "it has none")
        if found is None:
            raise Unavailable(f"node {self.options.name} has no copy of shard {shard} that answers: {why}")
        return found

    def report(self) -> NodeReport:
        """What this node says of itself."""
        with self._lock:
            shards = {str(shard): self._opening_report(shard, why) for shard, why in self._opening.items()}
            shards |= {str(shard): replica.report() for shard, replica in self._replicas.items()}
        if self._leaving:
            shards = {
                shard: msgspec.structs.replace(said, started=False, failed=LEAVING)
                for shard, said in shards.items()
            }
        options = self.options
        speaks = self._connection.options.speaks
        return NodeReport(
            options.name, self._run, options.address, options.zone, self.draining, shards, speaks=speaks
        )

    def _opening_report(self, shard: ShardId, why: str) -> ShardReport:
        """Of a copy that does not answer yet: where nothing lies here, there is nothing to learn from it."""
        return ShardReport(failed=why, log=None if local_name(shard) in self._database else "")

    def sizes(self) -> dict[str, dict[str, int]]:
        """How large each copy here is that serves, by `str(ShardId)`: documents, deleted, segments, size_bytes."""
        with self._lock:
            held = list(self._replicas.items())
        found = {}
        for shard, replica in held:
            # One that is let go of at this moment has no size.
            with contextlib.suppress(QuidditchError):
                stats = replica.index.stats()
                found[str(shard)] = {name: getattr(stats, name) for name in _SIZES}
        return found

    # ----------------------------------------------------------------------------------------------- its work

    def _every(self, work: Callable[[], None]) -> None:
        """Do it again and again until the node stops; what goes wrong is tried again."""
        while not self._stopping.is_set():
            try:
                work()
            except QuidditchError as error:
                log.warning("%s", error)
                self._stopping.wait(0.5)
            except Exception:
                # A node that no longer beats, or heeds no table, must not be for one error that nobody foresaw.
                log.exception("node %s", self.options.name)
                self._stopping.wait(0.5)

    def _beat(self) -> None:
        self._catalogue.report(self.report())
        self._rest_after_writes()
        self._stopping.wait(BEAT_S)

    def _rest_after_writes(self) -> None:
        """Once, when nothing has been applied for a while."""
        with self._lock:
            held = list(self._replicas.values())
        applied, now = sum(replica.applied for replica in held), time.monotonic()
        if applied != self._applied:
            self._applied, self._rest_s = applied, now + REST_S
        elif now >= self._rest_s:
            self._rest_s = float("inf")
            for replica in held:
                # One that is let go of at this moment has nothing left.
                with contextlib.suppress(QuidditchError):
                    replica.rest()
            give_back()

    def say(self) -> None:
        """Report at once: something has changed that others wait for."""
        with contextlib.suppress(QuidditchError):
            self._catalogue.report(self.report())

    def _heed_table(self) -> None:
        """Do what the routing table says, and wait for the next.

        raises: StorageError   it is another cluster's: NATS has lost the state, and somebody began with an empty one,
                               by which all that lies here would be nobody's
        """
        self._catalogue.check_cluster(self._cluster)
        mine = set(self._catalogue.routing().on_node(self.options.name))
        with self._lock:
            behind = [shard for shard, replica in self._replicas.items() if replica.behind]
        for shard in behind:
            self._replicas.pop(shard).stop()
        with self._lock:
            held = {*self._replicas, *self._opening}
            for shard in mine - held:
                self._opening[shard] = "it is being opened"
        for shard in sorted(mine - held):
            self._openers.submit(self._open, shard)
        for shard in sorted(held - mine):
            self._let_go(shard)
        self._catalogue.wait_change(0.5)

    def _let_go(self, shard: ShardId) -> None:
        """Close a copy that is no longer this node's, and remove it unless it could be the last: only of an index
        that is gone, or of which another copy serves, by the table and by what its node says."""
        entries = self._catalogue.entries()
        known = shard.uuid in {entry.generation for entry in entries.values()}
        if known and not self._catalogue.serving(shard):
            return
        with self._lock:
            replica = self._replicas.pop(shard, None)
        if replica is None:
            return
        replica.stop()
        self._database.delete_index(replica.name)
        log.info("let go of shard %s", shard, extra=about(shard=str(shard)))

    def _open(self, shard: ShardId) -> None:
        """Open a copy, by whatever way there is, and have it follow its log."""
        while not self._stopping.is_set():
            try:
                replica = self._opened(shard)
            except Exception as error:
                if not isinstance(error, QuidditchError):
                    log.exception("shard %s", shard)
                with self._lock:
                    self._opening[shard] = str(error)
                if shard not in self._catalogue.routing().on_node(self.options.name):
                    break
                log.warning("shard %s: %s", shard, error, extra=about(shard=str(shard)))
                self._stopping.wait(0.5)
                continue
            with self._lock:
                self._replicas[shard] = replica
                del self._opening[shard]
            replica.start(self.say)
            return
        with self._lock:
            self._opening.pop(shard, None)

    def _opened(self, shard: ShardId) -> Replica:
        """A copy that can go on by its log: the one that lies here, or a new one, or a copy of a peer's.

        raises: Unavailable   there is neither a log from the beginning nor a peer
        """
        name = local_name(shard)
        write_log = JetStreamLog(self._connection, shard)
        mappings = IndexMappings(self._catalogue, shard.uuid)
        if name in self._database:
            replica = Replica(self._database, name, write_log, mappings, self._connection.options.speaks)
            if replica.can_go_on():
                return replica
            log.info("shard %s fell behind its log; a peer is copied", shard, extra=about(shard=str(shard)))
        if write_log.bounds().first > 1:
            self._take_copy(shard, name)
        elif name not in self._database:
            self._database.create_index(name)
        return Replica(self._database, name, write_log, mappings, self._connection.options.speaks)

    def _take_copy(self, shard: ShardId, name: str) -> None:
        """Put a peer's copy in the place of what is here.

        raises: Unavailable   no peer answers
        """
        peers = self._catalogue.serving(shard)
        peers.pop(self.options.name, None)
        for peer in peers.values():
            try:
                self._install(Request(peer.address, shard_path(shard, "copy"), {}, COPY_S), shard, name)
                return
            except Unavailable as error:
                log.warning("copying shard %s: %s", shard, error, extra=about(shard=str(shard)))
        raise Unavailable(f"the log of shard {shard} no longer begins at 1, and no peer hands out a copy")

    def _install(self, request: Request, shard: ShardId, name: str) -> None:
        """The file of a peer's copy as an index of this directory."""
        install(
            self._database, name, shard, self._catalogue, lambda file: self._transport.download(request, file)
        )

    def incoming(self, shard: ShardId) -> Incoming:
        """The beginning of a shard, out of a snapshot, to be written and installed: peers copy it from here.

        raises: RequestError   this node has a copy; Unavailable   the routing table does not give it this shard
        """
        with self._lock:
            if shard in self._replicas:
                raise RequestError(f"node {self.options.name} has a copy of shard {shard}: it takes no other")
            if shard not in self._opening:
                raise Unavailable(
                    f"node {self.options.name} is not to hold shard {shard}, or does not know it yet"
                )
        return Incoming(self._database, local_name(shard), shard, self._catalogue, self.options.folder)


def shard_path(shard: ShardId, call: str) -> str:
    """Where a node answers a call about a shard."""
    return f"/v1/shard/{shard.uuid}/{shard.number}/{call}"


def local_name(shard: ShardId) -> str:
    """The name of a copy in a node's directory."""
    return f"{shard.uuid}-{shard.number}"
