"""One process of a cluster, in one role or several, until it is told to end. By itself:
`python -m quidditch.cluster.process ROLE FILE`.

Each role is a context: what it does begins when it is entered, and has ended gracefully when it is left.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

# First of all: see there.
from quidditch.cluster import nats_alone as nats_alone
from quidditch.cluster.configuration import ROLES, Configuration, read_configuration
from quidditch.cluster.connection import Connection
from quidditch.cluster.logs import start_logging
from quidditch.errors import QuidditchError, RequestError, Unavailable

if TYPE_CHECKING:
    from quidditch.cluster.coordinator import ClusterDatabase
    from quidditch.server.serving import Serving

NATS_S = 60.0
"""How long a process waits for NATS when it starts: after a power failure all come up at once, in any order."""

log = logging.getLogger("quidditch.cluster")


def run(configuration: Configuration) -> int:
    """Be what `roles` says until SIGTERM or SIGINT; then end gracefully. A second signal ends the process at once.

    returns: the exit code, other than 0 when a coordinator's workers would not live
    raises:  RequestError   there is no such role, or an address cannot be had
             Unavailable    NATS does not answer
    """
    roles = configuration.roles
    if not roles or set(roles) - set(ROLES):
        raise RequestError(f"cluster: roles: some of {', '.join(ROLES)} expected, not {list(roles)}")
    if configuration.rest.workers > 1 and "coordinator" in roles:
        return coordinate_workers(configuration)
    told = _told_to_end()
    code = 0
    with ExitStack() as stack:
        connection = stack.enter_context(connected(configuration, told))
        if "master" in roles:
            stack.enter_context(mastering(connection, configuration))
        if "data" in roles:
            stack.enter_context(holding(connection, configuration))
        log.info("started: %s", ", ".join(roles))
        if "coordinator" in roles and not told.is_set():
            code = coordinate(lambda: coordinating(connection, configuration), configuration)
        else:
            told.wait()
        log.info("ending: %s", ", ".join(roles))
    return code


def _told_to_end() -> threading.Event:
    """Set by SIGTERM or SIGINT."""
    told = threading.Event()

    def heed(number: int, frame: FrameType | None) -> None:
        if told.is_set():
            os._exit(128 + number)
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heed)
    return told


def connected(configuration: Configuration, told: threading.Event | None = None) -> Connection:
    """The process's connection, once JetStream answers.

    raises: Unavailable   it does not within `NATS_S`, or the process was told to end
    """
    deadline = time.monotonic() + NATS_S
    while True:
        try:
            connection = Connection(configuration.nats_options())
            break
        except Unavailable as error:
            if time.monotonic() > deadline or (told is not None and told.is_set()):
                raise
            log.warning("waiting for NATS: %s", error)
    try:
        # Servers that have just started elect a leader first.
        connection.call(connection.jetstream.account_info, "asking JetStream", NATS_S)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def mastering(connection: Connection, configuration: Configuration) -> Iterator[None]:
    """The master, or one that stands by."""
    from quidditch.cluster.master import Master

    master = Master(connection, configuration.node.name or "master", configuration.master.forget_after_s)
    master.start()
    try:
        yield
    finally:
        master.stop()


@contextmanager
def holding(connection: Connection, configuration: Configuration) -> Iterator[None]:
    """A data node and its HTTP. At its end it first says that it leaves, and answers until nobody asks.

    raises: RequestError   the configuration lacks something, or the address cannot be had
    """
    from quidditch.cluster.data_node import DataNode, NodeOptions
    from quidditch.cluster.node_server import NodeServer
    from quidditch.cluster.transport import Transport

    node = configuration.node
    if not node.name or not node.folder or not node.port:
        raise RequestError("cluster: a data node needs node.name, node.folder and node.port")
    options = NodeOptions(node.name, Path(node.folder), node.reached(), node.zone)
    with ExitStack() as stack:
        # It listens before anybody hears of it.
        server = stack.enter_context(NodeServer(node.host, node.port, configuration.tls))
        transport = Transport(connection.loop, configuration.secret, configuration.tls)
        stack.callback(transport.close)
        data_node = DataNode(options, connection, transport)
        stack.callback(data_node.stop)
        server.start(data_node, configuration.secret)
        stack.callback(server.stop)
        data_node.start()
        stack.callback(data_node.leave)
        yield


@contextmanager
def coordinating(connection: Connection, configuration: Configuration) -> Iterator[ClusterDatabase]:
    """The cluster as a database."""
    from quidditch.cluster.coordinator import ClusterDatabase

    secret, replicas = configuration.secret, configuration.default_replicas
    name = configuration.node.name or "coordinator"
    roots = [Path(each) for each in configuration.rest.repositories]
    with ClusterDatabase(connection, secret, replicas, configuration.tls, name, roots) as database:
        yield database


def coordinate(
    opened: Callable[[], AbstractContextManager[ClusterDatabase]], configuration: Configuration
) -> int:
    """OpenSearch's REST API over the cluster, as `quidditch serve` has it over a directory, until it is told to end.

    raises: RequestError   as `serving_of`
    """
    from quidditch.server.serving import serve_opened

    return serve_opened(opened, serving_of(configuration))


def coordinate_workers(configuration: Configuration) -> int:
    """A coordinator of several processes, each with a connection of its own.

    raises: RequestError   the process has other roles, whose threads its children could not have
    """
    if configuration.roles != ("coordinator",):
        raise RequestError("cluster: rest.workers: more than one needs a process that is a coordinator alone")

    @contextmanager
    def opened() -> Iterator[ClusterDatabase]:
        with connected(configuration) as connection, coordinating(connection, configuration) as database:
            yield database

    return coordinate(opened, configuration)


def serving_of(configuration: Configuration) -> Serving:
    """raises: RequestError   an address that others reach, without accounts or TLS; files that cannot be used"""
    from quidditch.server.runtime.limits import Limits
    from quidditch.server.security.exposure import expose
    from quidditch.server.serving import Serving

    rest = configuration.rest
    exposure = expose(
        Path(rest.accounts) if rest.accounts else None,
        rest.host,
        tls_cert=Path(rest.tls_cert) if rest.tls_cert else None,
        tls_key=Path(rest.tls_key) if rest.tls_key else None,
        insecure=rest.insecure,
        names=rest.allow_host,
    )
    return Serving(exposure, rest.port, rest.workers, Limits.of(rest.limits))


def main(arguments: list[str]) -> int:
    """The exit code: 0, or 1 with a sentence on standard error."""
    role, file = arguments
    try:
        configuration = replace(read_configuration(Path(file)), roles=tuple(role.split(",")))
        start_logging(configuration)
        return run(configuration)
    except QuidditchError as error:
        print(f"{role}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
