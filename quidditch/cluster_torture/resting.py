"""A cluster at rest: what every copy of every shard holds, and whether they and the coordinators agree."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from quidditch import remote
from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.configuration import read_configuration
from quidditch.cluster.connection import Connection
from quidditch.cluster.data_node import shard_path
from quidditch.cluster.routing import shard_of
from quidditch.cluster.transport import Request, Transport
from quidditch.cluster_torture.checking import check_history
from quidditch.cluster_torture.clients import INDEX, Recorder
from quidditch.cluster_torture.history import State
from quidditch.cluster_torture.processes import SETTLE_S, Cluster, wait_for
from quidditch.errors import QuidditchError
from quidditch.torture.report import Finding

QUIET_S = 2.0
"""How long nothing may be applied before a cluster is at rest: what clients gave up may still be on its way."""

AT_ONCE = 2_000


def check_at_rest(cluster: Cluster, urls: Sequence[str], recorder: Recorder) -> tuple[list[Finding], int]:
    """Everything that is wrong now that nobody writes, and how many documents were compared."""
    try:
        wait_quiet(cluster)
    except QuidditchError as error:
        return [Finding("hang", str(error))], 0
    ids = sorted({event.id for event in recorder.events})
    found, documents = _compare_copies(cluster, ids)
    found += recorder.wrong
    found += check_history(recorder.events, documents)
    found += _ask_coordinators(urls, len(documents))
    return found, len(documents)


def wait_quiet(cluster: Cluster) -> None:
    """raises: Unavailable   copies do not serve, or do not come to rest at one sequence"""
    cluster.settle()
    quiet_since = time.monotonic()
    before: list[Any] = []

    def quiet() -> bool:
        nonlocal before, quiet_since
        shards = cluster.status()["shards"]
        now = sorted((one["index"], one["shard"], one["applied"]) for one in shards)
        apart = len(set(now)) != len({(index, shard) for index, shard, _ in now})
        if apart or now != before:
            before, quiet_since = now, time.monotonic()
        return time.monotonic() - quiet_since > QUIET_S

    wait_for(quiet, SETTLE_S, "all copies to come to rest at the same sequence")


def _compare_copies(cluster: Cluster, ids: Sequence[str]) -> tuple[list[Finding], dict[str, State]]:
    """What differs between the copies of a shard, and the documents that are there by the first copies."""
    found: list[Finding] = []
    documents: dict[str, State] = {}
    with _calls(cluster) as (catalogue, transport):
        shards = catalogue.shards_of(INDEX)
        for shard in shards:
            own = [id for id in ids if shard_of(id.encode(), len(shards)) == shard.number]
            copies: dict[str, dict[str, Any]] = {}
            for node, report in catalogue.serving(shard).items():
                path = f"{report.address}", shard_path(shard, "get"), shard_path(shard, "count")
                copies[node] = _documents(transport, path[0], path[1], own)
                counted = transport.call(Request(path[0], path[2], {}))
                if counted != len(copies[node]):
                    words = (
                        f"{counted} documents in shard {shard.number} on {node}, {len(copies[node])} known"
                    )
                    found.append(Finding("foreign", words))
            found += _differences(shard.number, copies)
            first = next(iter(copies.values()), {})
            documents |= {
                id: State(one["serial"], one["version"], one["seq_no"]) for id, one in first.items()
            }
    return found, documents


def _documents(
    transport: Transport, address: str, path: str, ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Of one copy: source, version and sequence number of each of these ids that is there."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        body = {"ids": some, "routings": [None] * len(some)}
        for id, said in zip(some, transport.call(Request(address, path, body)), strict=True):
            if said is not None:
                source = msgspec.json.decode(said[0])
                found[id] = {
                    "serial": source["serial"],
                    "version": said[1],
                    "seq_no": said[2],
                    "source": source,
                }
    return found


def _differences(shard: int, copies: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    found = []
    (first, one), *others = copies.items()
    for node, other in others:
        for id in sorted({*one, *other}):
            if one.get(id) != other.get(id):
                words = f"{id} in shard {shard}: {one.get(id)} on {first}, {other.get(id)} on {node}"
                found.append(Finding("disagreement", words))
    return found


def _ask_coordinators(urls: Sequence[str], documents: int) -> list[Finding]:
    """What coordinators say is not what the copies hold."""
    found = []
    for url in urls:
        with remote.connect(url) as database:
            index = database.index(INDEX)
            counts = {"count": index.count(), "scan": len({hit.id for hit in index.scan()})}
            for what, counted in counts.items():
                if counted != documents:
                    words = f"{what} at {url}: {counted} documents, and the copies hold {documents}"
                    found.append(Finding("disagreement", words))
            found += [Finding("check", str(problem)) for problem in index.check().problems]
    return found


@contextmanager
def _calls(cluster: Cluster) -> Iterator[tuple[Catalogue, Transport]]:
    """What is known in a cluster, and calls to its data nodes."""
    configuration = read_configuration(cluster.folder / "coordinator.toml", {})
    with Connection(configuration.nats_options()) as connection:
        catalogue = Catalogue(connection)
        transport = Transport(connection.loop, configuration.secret)
        try:
            yield catalogue, transport
        finally:
            transport.close()
            catalogue.close()
