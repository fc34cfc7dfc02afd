"""Logs that were lost, made anew from what the copies have: the copies are the second line of durability.

A log is lost with the disks of most NATS servers. Its copies then serve what they have, apply no more, and say so.
The one that is furthest has everything that any of them has; the new log begins after it, and the others copy it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping

from quidditch.cluster.catalogue import GONE_S, Catalogue
from quidditch.cluster.connection import Connection
from quidditch.cluster.log import Beginning, JetStreamLog, LogLost
from quidditch.cluster.state import NodeReport, ShardId, ShardReport
from quidditch.errors import RequestError, StorageError

LEAP = 1_000_000
"""Sequences that a new log leaves out, more than could have been given and not been carried out by any copy."""

SETTLE_S = GONE_S + 1.0
"""Who has just come, and listens for so long, knows which nodes are silent."""

log = logging.getLogger("quidditch.cluster")


def is_lost(nodes: Collection[str], shard: str, reports: Mapping[str, NodeReport]) -> bool:
    """Whether a copy on one of these nodes says that it has lost its log."""
    return any(said.lost for said in _said(nodes, shard, reports).values())


def beginning_of(
    nodes: Collection[str], shard: str, reports: Mapping[str, NodeReport], *, missing: bool = False
) -> Beginning:
    """Where the new log of a shard is to begin, by what its copies on these nodes say.

    missing:  do without the copies that are not heard of, and with them whatever they alone have
    raises:   StorageError   it cannot be known yet, and why
    """
    said = _said(nodes, shard, reports)
    silent = [node for node in nodes if node not in said or said[node].log is None]
    if silent and not missing:
        raise StorageError(
            f"the log of shard {shard} is lost, and the copy on {', '.join(silent)}, which is not heard of, may have "
            "what no other has: nothing is done without it, until an operator says so"
        )
    found = [each for each in said.values() if each.log]
    if not found:
        raise StorageError(f"the log of shard {shard} is lost, and no copy has followed it")
    if not all(each.lost for each in found):
        raise StorageError(f"the log of shard {shard} is lost, and not all of its copies have noticed yet")
    furthest = max(found, key=lambda each: each.applied)
    if any(each.log != furthest.log for each in found):
        raise StorageError(
            f"the log of shard {shard} is lost, and its copies have followed different ones: "
            + "; ".join(f"{node} {each.log} up to {each.applied}" for node, each in sorted(said.items()))
        )
    return Beginning(str(furthest.log), furthest.applied, furthest.applied + LEAP + 1)


def planned(
    catalogue: Catalogue, index: str, number: int, without: Collection[str] = ()
) -> tuple[ShardId, Beginning]:
    """The shard, and where its new log is to begin when an operator does without the copies on some nodes. It
    takes `SETTLE_S`.

    raises: IndexNotFound
            RequestError   there is no such shard or copy; its log is not lost; a node that was to be done without is
                           heard of
            StorageError   as `beginning_of`
    """
    shards = catalogue.shards_of(index)
    if number >= len(shards):
        raise RequestError(f"index [{index}] has shards 0 to {len(shards) - 1}, and no {number}")
    shard = shards[number]
    nodes = [copy.node for copy in catalogue.routing().copies(shard)]
    for node in without:
        if node not in nodes:
            there = ", ".join(nodes) or "no node"
            raise RequestError(
                f"shard {number} of [{index}] has no copy on {node}; its copies are on {there}"
            )
    # What a node said last is there after its death, too.
    time.sleep(SETTLE_S)
    reports = catalogue.nodes()
    if not is_lost(nodes, str(shard), reports):
        raise RequestError(f"no copy of shard {number} of [{index}] says that its log is lost")
    for node in _said(without, str(shard), reports):
        raise RequestError(f"{node} is heard of: what its copy has counts, and it is not done without")
    left = [node for node in nodes if node not in without]
    return shard, beginning_of(left, str(shard), reports)


def reseed(connection: Connection, shard: ShardId, beginning: Beginning, *, replace: bool = False) -> bool:
    """Make the log anew; False if that has been done already.

    replace:  remove a log that is there in its place. Without it one is left alone: it is shorter than it was, as
              after a machine lost what it said was synced, or somebody has made it, and it may hold entries that were
              acknowledged since and that no copy takes. So that is for an operator to say, and never done unasked
    raises:   StorageError   there is one
    """
    write_log = JetStreamLog(connection, shard)
    try:
        there = write_log.beginning()
        if there is not None and there.follows == beginning.follows:
            return False
        if not replace:
            raise StorageError(
                f"{write_log.stream}: another log is in the place of the one that the copies have followed up to "
                f"{beginning.applied}; an operator may have it replaced"
            )
        write_log.delete()
    except LogLost:
        pass
    write_log.create(beginning=beginning)
    log.warning("the log of shard %s is made anew, from the copies that were at %d", shard, beginning.applied)
    return True


def _said(nodes: Collection[str], shard: str, reports: Mapping[str, NodeReport]) -> dict[str, ShardReport]:
    return {
        node: reports[node].shards[shard]
        for node in nodes
        if node in reports and shard in reports[node].shards
    }
