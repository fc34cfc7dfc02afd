"""A cluster in this process, over real HTTP and a real NATS server: a master, data nodes, and coordinators."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from quidditch.cluster.connection import Connection, NatsOptions
from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.data_node import DataNode, NodeOptions
from quidditch.cluster.master import Master
from quidditch.cluster.node_app import create_node_app
from quidditch.cluster.state import SPEAKS, Speaks
from quidditch.cluster.transport import Transport
from quidditch.server.app import create_app

from .one_server import OneServer

SECRET = "a secret of this test"


class NodeProcess:
    """A data node and its HTTP, in threads of this process."""

    def __init__(
        self, nats: OneServer, name: str, folder: Path, zone: str = "", speaks: Speaks = SPEAKS
    ) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._connection = Connection(NatsOptions([nats.url], nats.credentials, speaks=speaks))
        self._transport = Transport(self._connection.loop, SECRET)
        try:
            self.node = DataNode(NodeOptions(name, folder, address, zone), self._connection, self._transport)
        except BaseException:
            self._close()
            raise
        config = uvicorn.Config(
            create_node_app(self.node, SECRET), lifespan="off", log_level="error", ws="none", loop="asyncio"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.node.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.node.stop()
        self._close()

    def _close(self) -> None:
        self._socket.close()
        self._transport.close()
        self._connection.close()


class SmallCluster:
    """Some data nodes under one master, until `close`; `speaks` are the protocols of what is started."""

    def __init__(self, nats: OneServer, folder: Path, nodes: int = 3, speaks: Speaks = SPEAKS) -> None:
        self.speaks = speaks
        self._nats = nats
        self._folder = folder
        self._connections = [self._connect()]
        self.master = Master(self._connections[0], forget_s=5.0)
        self.master.start()
        self.nodes = {f"n{number}": self.start_node(f"n{number}") for number in range(nodes)}

    def _connect(self) -> Connection:
        return Connection(NatsOptions([self._nats.url], self._nats.credentials, speaks=self.speaks))

    def start_node(self, name: str, zone: str = "") -> NodeProcess:
        return NodeProcess(self._nats, name, self._folder / name, zone, self.speaks)

    def coordinator(self, replicas: int = 1) -> ClusterDatabase:
        """A database over the cluster, closed by the caller."""
        self._connections.append(self._connect())
        return ClusterDatabase(self._connections[-1], SECRET, replicas)

    def empty(self) -> None:
        """Delete every index."""
        with self.coordinator() as database:
            for name in database.indices():
                database.delete_index(name)

    def stop_node(self, name: str) -> None:
        self.nodes.pop(name).stop()

    def close(self) -> None:
        for node in self.nodes.values():
            node.stop()
        self.master.stop()
        for connection in self._connections:
            connection.close()


@contextmanager
def answering(database: ClusterDatabase) -> Iterator[str]:
    """The address at which it answers OpenSearch's REST API, from a thread of this process."""
    with socket.create_server(("127.0.0.1", 0)) as at:
        config = uvicorn.Config(
            create_app(database), lifespan="off", log_level="error", ws="none", loop="asyncio"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [at]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{at.getsockname()[1]}"
        server.should_exit = True
        thread.join()
