"""`quidditch serve` with TLS, beyond this machine, and with accounts that change while it runs."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import opensearchpy
import pytest

from .securing import COMMAND, PASSWORD, Certificate, add_key, add_user, api_key, basic, serving


def refused(directory: Path, *options: str) -> str:
    """What `serve` says when it does not start."""
    command = [*COMMAND, "serve", str(directory), "--port", "9299", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1, ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    return ended.stderr


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with the user ada, who may do everything."""
    directory = tmp_path / "data"
    directory.mkdir()
    add_user(directory, "ada", "admin")
    return directory


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "search.example"])
def test_beyond_this_machine_it_takes_tls_or_a_word_and_accounts(
    tmp_path: Path, data: Path, certificate: Certificate, host: str
) -> None:
    assert "--tls-cert and --tls-key, or --insecure" in refused(data, "--host", host)
    (tmp_path / "open").mkdir()
    for options in (("--insecure",), certificate.options):
        assert "no accounts" in refused(tmp_path / "open", "--host", host, *options)
    assert list((tmp_path / "open").iterdir()) == []


def test_tls(data: Path, certificate: Certificate) -> None:
    with serving(
        data, "--host", "0.0.0.0", *certificate.options, scheme="https", verify=certificate.trust
    ) as client:
        assert client.get("/").status_code == 401
        made = client.put("/books/_doc/1", json={"title": "Dune"}, headers=basic("ada"))
        assert made.status_code == 201
        plain = httpx.URL(str(client.base_url)).copy_with(scheme="http")
        with pytest.raises(httpx.TransportError):
            httpx.get(plain, trust_env=False)
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as raw:
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
            with old.wrap_socket(raw) as wrapped:
                assert wrapped.version() in ("TLSv1.2", "TLSv1.3")


def test_the_client_of_opensearch_logs_in(data: Path, certificate: Certificate) -> None:
    with serving(data, *certificate.options, scheme="https", verify=certificate.trust) as server:
        options: dict[str, Any] = {
            "ca_certs": str(certificate.authority),
            "use_ssl": True,
            "verify_certs": True,
        }
        with opensearchpy.OpenSearch(str(server.base_url), http_auth=("ada", PASSWORD), **options) as client:
            client.index(index="books", body={"title": "Dune"}, id="1", params={"refresh": "true"})
            assert client.search(index="books", body={})["hits"]["total"]["value"] == 1
        with (
            opensearchpy.OpenSearch(str(server.base_url), http_auth=("ada", "wrong"), **options) as client,
            pytest.raises(opensearchpy.AuthenticationException),
        ):
            client.search(index="books", body={})
        add_user(data, "eve", "monitor")
        with opensearchpy.OpenSearch(str(server.base_url), http_auth=("eve", PASSWORD), **options) as client:
            with pytest.raises(opensearchpy.AuthorizationException) as refused:
                client.search(index="books", body={})
            assert refused.value.error == "security_exception"
            assert client.cluster.health()["active_shards"] == 0


def test_several_workers_know_the_same_accounts(data: Path) -> None:
    with serving(data, "--workers", "2") as client:
        for _ in range(20):
            assert client.get("/", headers={"connection": "close"}).status_code == 401
            assert client.get("/", headers={"connection": "close", **basic("ada")}).status_code == 200
        add_key(data, "k1", "reader")
        for _ in range(20):
            assert client.get("/", headers={"connection": "close", **api_key("k1")}).status_code == 200
        ada = {"connection": "close", **basic("ada")}
        client.put("/books/_doc/1", json={"title": "Dune"}, headers=ada)
        opened = client.post("/books/_search/point_in_time?keep_alive=1m", headers=ada).json()["pit_id"]
        other = {"connection": "close", **api_key("k1")}
        for _ in range(10):
            assert client.post("/_search", json={"pit": {"id": opened}}, headers=other).status_code == 404
            assert client.post("/_search", json={"pit": {"id": opened}}, headers=ada).status_code == 200


def test_without_tls_when_told_so(data: Path) -> None:
    with serving(data, "--host", "0.0.0.0", "--insecure", "--allow-host", "search.example") as client:
        assert client.get("/").status_code == 401
        assert client.get("/", headers=basic("ada")).status_code == 200
        named = {**basic("ada"), "host": "search.example"}
        assert client.get("/", headers=named).status_code == 200
        assert client.get("/", headers={**named, "host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("missing", ["--tls-cert", "--tls-key"])
def test_half_of_tls_is_none(data: Path, certificate: Certificate, missing: str) -> None:
    given = dict(zip(certificate.options[::2], certificate.options[1::2], strict=True))
    del given[missing]
    assert f"{missing} is missing" in refused(data, *[word for pair in given.items() for word in pair])


def test_files_of_tls_that_are_none_are_named(tmp_path: Path, data: Path, certificate: Certificate) -> None:
    none = tmp_path / "none.pem"
    assert "none.pem" in refused(data, "--tls-cert", str(none), "--tls-key", str(certificate.key))
    none.write_text("no certificate")
    assert "none.pem" in refused(data, "--tls-cert", str(none), "--tls-key", str(certificate.key))
    assert "key.pem" in refused(
        data, "--tls-cert", str(certificate.cert), "--tls-key", str(none).replace("none", "key")
    )


def test_accounts_of_the_command_line_hold_at_once(tmp_path: Path) -> None:
    def said(*words: str, stdin: str = "") -> str:
        command = [*COMMAND, words[0], words[1], str(tmp_path / "data"), *words[2:], "--json"]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    with serving(tmp_path / "data") as client:
        assert client.put("/books/_doc/1", json={"title": "Dune"}).status_code == 201
        said("users", "add", "ada", "--role", "reader", stdin="correct horse\n")
        key = json.loads(said("keys", "create", "loader", "--role", "writer"))
        assert client.get("/books/_doc/1").status_code == 401
        assert client.get("/books/_doc/1", headers=basic("ada", "correct horse")).status_code == 200
        header = {"authorization": f"ApiKey {key['encoded']}"}
        assert client.put("/books/_doc/2", json={"title": "x"}, headers=header).status_code == 201
        said("keys", "revoke", key["id"])
        assert client.get("/books/_doc/1", headers=header).status_code == 401
        said("users", "remove", "ada")
        assert client.get("/books/_doc/1", headers=basic("ada", "correct horse")).status_code == 401


# ---------------------------------------------------------------------------------------------- hostile heads


def conversation(client: httpx.Client, *pieces: bytes) -> bytes:
    """What the server answers to bytes before it closes the connection; it may close before it has read them all."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30) as raw:
        try:
            for piece in pieces:
                raw.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        try:
            while data := raw.recv(1 << 16):
                answer += data
        except ConnectionResetError:
            pass
        return answer


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server without accounts."""
    with serving(tmp_path_factory.mktemp("plain") / "data") as client:
        yield client


START = b"POST /books/_doc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET /" + b"a" * 1_000] + [b"a" * 100_000] * 100,
        [b"GET / HTTP/1.1\r\nhost: localhost\r\nx: "] + [b"a" * 100_000] * 100,
        [b"GET / HTTP/1.1\r\nhost: localhost\r\n"] + [b"a: b\r\n" * 10_000] * 100,
        [START + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"] + [b"a: b\r\n" * 10_000] * 100,
        [START + b"transfer-encoding: chunked\r\n\r\n2;"] + [b"a=b;" * 10_000] * 100,
    ],
    ids=["path", "value", "headers", "trailers", "chunk"],
)
def test_a_head_without_end_is_cut_off(plain: httpx.Client, pieces: list[bytes]) -> None:
    answer = conversation(plain, *pieces)
    assert b" 200 " not in answer[:20]
    assert b" 201 " not in answer[:20]
    assert plain.get("/").status_code == 200


def test_no_websocket_is_opened(plain: httpx.Client) -> None:
    wanted = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAA\r\n"
    answer = conversation(
        plain, b"GET / HTTP/1.1\r\nhost: localhost\r\n" + wanted + b"connection: close\r\n\r\n"
    )
    assert b" 101 " not in answer[:20]
