"""One process of a cluster, in one role, until it is told to end: `python -m quidditch.cluster.process ROLE FILE`."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn

from quidditch.cluster.configuration import Configuration, read_configuration
from quidditch.cluster.connection import Connection
from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.data_node import DataNode, NodeOptions
from quidditch.cluster.master import Master
from quidditch.cluster.node_app import create_node_app
from quidditch.cluster.transport import Transport
from quidditch.errors import QuidditchError, RequestError
from quidditch.server.security.exposure import expose, is_loopback
from quidditch.server.serving import Serving, serve

ROLES = ("master", "data", "coordinator")


def run(role: str, configuration: Configuration) -> None:
    """Be this until SIGTERM or SIGINT; then end gracefully.

    raises: RequestError   there is no such role, or an address cannot be had
    """
    roles: dict[str, Callable[[Configuration], None]] = {
        "master": run_master,
        "data": run_data_node,
        "coordinator": run_coordinator,
    }
    if role not in roles:
        raise RequestError(f"cluster: a role expected, one of {', '.join(ROLES)}, not {role!r}")
    roles[role](configuration)


def run_master(configuration: Configuration) -> None:
    with Connection(configuration.nats.options()) as connection:
        master = Master(connection, configuration.node.name or "master")
        master.start()
        try:
            _until_told()
        finally:
            master.stop()


def run_data_node(configuration: Configuration) -> None:
    node = configuration.node
    if not node.name or not node.folder or not node.port:
        raise RequestError("cluster: a data node needs node.name, node.folder and node.port")
    if not is_loopback(node.host):
        raise RequestError(
            f"cluster: node.host: an address of this machine alone expected, not {node.host!r}: the calls between "
            "processes are not encrypted in this release"
        )
    with Connection(configuration.nats.options()) as connection:
        transport = Transport(connection.loop, configuration.secret)
        options = NodeOptions(node.name, Path(node.folder), f"{node.host}:{node.port}", node.zone)
        data_node = DataNode(options, connection, transport)
        app = create_node_app(data_node, configuration.secret)
        config = uvicorn.Config(
            app,
            node.host,
            node.port,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            loop="uvloop",
        )
        data_node.start()
        try:
            # It heeds SIGTERM and SIGINT itself, and raises the signal again once it has ended.
            uvicorn.Server(config).run()
        except KeyboardInterrupt:
            pass
        finally:
            data_node.stop()
            transport.close()


def run_coordinator(configuration: Configuration) -> None:
    """OpenSearch's REST API over the cluster, as `quidditch serve` has it over a directory: on loopback alone."""
    node = configuration.node
    with (
        Connection(configuration.nats.options()) as connection,
        ClusterDatabase(connection, configuration.secret, configuration.default_replicas) as database,
    ):
        serve(database, Serving(expose(None, node.host), port=node.port or 9200))


def _until_told() -> None:
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *ignored: told.set())
    told.wait()


def main(arguments: list[str]) -> int:
    """The exit code: 0, or 1 with a sentence on standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # A second look at a signal: uvicorn raises SIGTERM again when it has ended, which is no reason to end at once.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(arguments[0], read_configuration(Path(arguments[1])))
    except QuidditchError as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
