"""Who gets into a cluster, and who does not: the secret, certificates, and what may listen where."""

from __future__ import annotations

import os
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quidditch.cluster import machine
from quidditch.cluster.beginnings import Incoming
from quidditch.cluster.certificates import Authority
from quidditch.cluster.configuration import read_configuration
from quidditch.cluster.connection import Connection, NatsOptions
from quidditch.cluster.loop import Loop
from quidditch.cluster.nats_server import free_ports
from quidditch.cluster.node_calls import ShardCalls
from quidditch.cluster.node_server import NodeServer
from quidditch.cluster.replica import Replica
from quidditch.cluster.state import NodeReport, ShardId
from quidditch.cluster.tls import Tls
from quidditch.cluster.transport import Request, Transport
from quidditch.errors import RequestError, Unavailable

from .one_server import need_nats
from .processes import all_started, asked, wait_until

SECRET = "what only this cluster knows"


class BareNode:
    """A node without copies."""

    calls = ShardCalls()

    def replica(self, shard: ShardId) -> Replica:
        raise Unavailable("none")

    def incoming(self, shard: ShardId) -> Incoming:
        raise Unavailable("none")

    def report(self) -> NodeReport:
        return NodeReport("bare", "1", "somewhere")

    def sizes(self) -> dict[str, dict[str, int]]:
        return {}


@contextmanager
def served(tls: Tls) -> Iterator[str]:
    """The address of a node that answers with these files of TLS."""
    (port,) = free_ports(1)
    with NodeServer("127.0.0.1", port, tls) as server:
        server.start(BareNode(), SECRET)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop()


def called(address: str, tls: Tls, secret: str = SECRET) -> object:
    """What the node answers to whoever has this secret and these files."""
    loop = Loop()
    transport = Transport(loop, secret, tls)
    try:
        return transport.call(Request(address, "/v1/node", {}, 10.0))["node"]
    finally:
        transport.close()
        loop.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


def test_who_has_the_secret_gets_in_and_nobody_else() -> None:
    with served(Tls()) as address:
        assert called(address, Tls()) == "bare"
        for secret in ("", "what only that cluster knows"):
            with pytest.raises(RequestError, match="not told the cluster's secret"):
                called(address, Tls(), secret)


def test_a_certificate_of_the_cluster_lets_in_and_the_secret_is_asked_for_too(authority: Authority) -> None:
    with served(authority.issue("node")) as address:
        assert called(address, authority.issue("coordinator")) == "bare"
        with pytest.raises(RequestError, match="secret"):
            called(address, authority.issue("coordinator"), "wrong")


def test_nobody_gets_in_by_plain_http_or_without_a_certificate(authority: Authority) -> None:
    with served(authority.issue("node")) as address:
        with pytest.raises(Unavailable):
            called(address, Tls())
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _answered(address, ssl.create_default_context(cafile=authority.ca))


def _answered(address: str, context: ssl.SSLContext) -> None:
    """raises: SSLError, ConnectionError   the node gives no answer"""
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), 10.0) as bare,
        context.wrap_socket(bare, server_hostname=host) as wrapped,
    ):
        wrapped.sendall(b"POST /v1/node HTTP/1.1\r\nhost: node\r\ncontent-length: 0\r\n\r\n")
        # With TLS 1.3 a client learns only now that it was refused.
        if not wrapped.recv(100):
            raise ConnectionError("closed without an answer")


def test_a_certificate_of_another_ca_is_refused_at_either_end(authority: Authority, tmp_path: Path) -> None:
    foreign = Authority(tmp_path / "foreign")
    stranger = Tls(str(authority.ca), *_pair(foreign.issue("stranger")))
    with served(authority.issue("node")) as address, pytest.raises(Unavailable):
        called(address, stranger)
    with served(stranger) as address, pytest.raises(Unavailable, match="certificate verify failed"):
        called(address, authority.issue("coordinator"))


def test_an_expired_certificate_is_refused_at_either_end(authority: Authority) -> None:
    expired = authority.issue("expired", days=-1)
    with served(authority.issue("node")) as address, pytest.raises(Unavailable):
        called(address, expired)
    with served(expired) as address, pytest.raises(Unavailable, match="certificate has expired"):
        called(address, authority.issue("coordinator"))


def test_a_certificate_counts_for_its_names_alone(authority: Authority) -> None:
    with (
        served(authority.issue("elsewhere", hosts=["elsewhere.example"])) as address,
        pytest.raises(Unavailable, match=r"127\.0\.0\.1"),
    ):
        called(address, authority.issue("coordinator"))


def test_beyond_this_machine_a_node_listens_with_tls_alone(authority: Authority) -> None:
    (port,) = free_ports(1)
    with pytest.raises(RequestError, match=r"node\.host '0\.0\.0\.0' is reached from elsewhere.*tls\.ca"):
        NodeServer("0.0.0.0", port, Tls())
    with NodeServer("0.0.0.0", port, authority.issue("node")):
        pass


def test_certificates_that_end_soon_are_made_anew(authority: Authority) -> None:
    lasting = authority.issue("node")
    before = Path(lasting.certificate).read_bytes()
    assert Path(authority.issue("node").certificate).read_bytes() == before
    ending = Path(authority.issue("short", days=3).certificate).read_bytes()
    assert Path(authority.issue("short").certificate).read_bytes() != ending
    for path in (lasting.key, str(Path(lasting.ca).with_suffix(".key"))):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_files_of_tls_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    good = authority.issue("node")
    with pytest.raises(RequestError, match=r"here: tls\.key is missing"):
        Tls(good.ca, good.certificate).check("here")
    with pytest.raises(RequestError, match=r"here: tls\.ca: there is no file"):
        Tls(str(tmp_path / "none"), good.certificate, good.key).check("here")
    other = authority.issue("other")
    with pytest.raises(RequestError, match="a certificate and its key in PEM"):
        Tls(good.ca, good.certificate, other.key).check("here")


def test_a_whole_cluster_by_tls_and_no_secret_in_its_logs(tmp_path: Path) -> None:
    need_nats()
    folder = tmp_path / "cluster"
    plan = machine.Plan(data_nodes=2, port=free_ports(1)[0], nats=3, tls=True)
    try:
        machine.up(folder, plan)
        assert asked(plan.port, "PUT", "/books/_doc/1?refresh=true", {"title": "dune"})[0] == 201
        wait_until(lambda: all_started(folder, 2))
        assert asked(plan.port, "GET", "/books/_search?q=dune")[1]["hits"]["total"]["value"] == 1

        told = read_configuration(folder / "data-0.toml", {})
        options = told.nats_options()
        assert all(url.startswith("tls://") for url in options.urls)
        with pytest.raises(Unavailable, match="NATS does not answer"):
            Connection(NatsOptions(options.urls, options.credentials, connect_s=2.0))
        stranger = Tls(told.tls.ca, *_pair(Authority(tmp_path / "foreign").issue("stranger")))
        with pytest.raises(Unavailable, match="NATS does not answer"):
            Connection(NatsOptions(options.urls, options.credentials, connect_s=2.0, tls=stranger))
        with pytest.raises(Unavailable):
            called(told.node.reached(), Tls(), told.secret)
    finally:
        machine.down(folder)
    for path in folder.rglob("*.log"):
        said = path.read_text(errors="replace")
        assert told.secret not in said, path
        assert told.nats.password not in said, path


def _pair(tls: Tls) -> tuple[str, str]:
    return tls.certificate, tls.key
