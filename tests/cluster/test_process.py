"""Real processes by their configurations: several roles in one, a coordinator of several, and what they log."""

from __future__ import annotations

import base64
import http.client
import json
import logging
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from quidditch.cluster.certificates import Authority
from quidditch.cluster.configuration import (
    Configuration,
    NatsConfiguration,
    NodeConfiguration,
    RestConfiguration,
    write_configuration,
)
from quidditch.cluster.logs import HIDDEN, WithoutSecrets, about
from quidditch.cluster.nats_server import free_ports
from quidditch.cluster.process import run
from quidditch.errors import RequestError
from quidditch.server.runtime.logs import JsonLines
from quidditch.server.security.accounts import User, changing
from quidditch.server.security.secrets import hash_password

from .one_server import OneServer
from .processes import asked, wait_until

SECRET = "what the processes of this test share"


def configured(nats: OneServer, folder: Path, roles: Sequence[str], **parts: Any) -> Path:
    """The file of a process."""
    told = NatsConfiguration((nats.url,), password=nats.credentials.password)
    path = folder / f"{'-'.join(roles)}.toml"
    write_configuration(path, Configuration(tuple(roles), SECRET, 0, told, **parts))
    return path


@contextmanager
def running(path: Path, roles: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process, which must end with 0 when it is told to."""
    log = path.with_suffix(".log")
    with log.open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "quidditch.cluster.process", ",".join(roles), str(path)], stderr=said
        )
    try:
        yield process
        process.terminate()
        assert process.wait(30.0) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return asked(port, "GET", "/")[0] == 200
    except OSError:
        return False


def lines(path: Path) -> list[dict[str, Any]]:
    """What a process has logged."""
    return [json.loads(line) for line in path.with_suffix(".log").read_text().splitlines()]


def test_one_process_may_have_all_roles(nats_server: OneServer, tmp_path: Path) -> None:
    http_port, node_port = free_ports(2)
    roles = ["master", "data", "coordinator"]
    path = configured(
        nats_server,
        tmp_path,
        roles,
        node=NodeConfiguration("solo", str(tmp_path / "solo"), port=node_port),
        rest=RestConfiguration(port=http_port),
    )
    with running(path, roles):
        wait_until(lambda: answers(http_port))
        assert asked(http_port, "PUT", "/books/_doc/1?refresh=true", {"title": "dune"})[0] == 201
        assert asked(http_port, "GET", "/books/_search?q=dune")[1]["hits"]["total"]["value"] == 1
    with running(path, roles):
        wait_until(lambda: answers(http_port))
        wait_until(lambda: asked(http_port, "GET", "/books/_count")[1].get("count") == 1)
        assert asked(http_port, "DELETE", "/books")[0] == 200
    logged = lines(path)
    assert {(line["role"], line["node"]) for line in logged} == {("master,data,coordinator", "solo")}
    epochs = [line["epoch"] for line in logged if "epoch" in line]
    assert epochs
    assert epochs == sorted(set(epochs))
    assert not any(SECRET in json.dumps(line) for line in logged)


def test_a_coordinator_has_accounts_tls_and_workers(nats_server: OneServer, tmp_path: Path) -> None:
    http_port, node_port = free_ports(2)
    tls = Authority(tmp_path / "tls").issue("rest")
    with changing(tmp_path) as accounts:
        accounts.users["ann"] = User(hash_password("a long enough password"), ["admin"])
    node = NodeConfiguration("n0", str(tmp_path / "n0"), port=node_port)
    holder = configured(nats_server, tmp_path, ["master", "data"], node=node)
    rest = RestConfiguration(
        port=http_port, workers=2, accounts=str(tmp_path), tls_cert=tls.certificate, tls_key=tls.key
    )
    coordinator = configured(nats_server, tmp_path, ["coordinator"], rest=rest)
    context = ssl.create_default_context(cafile=tls.ca)

    def status(method: str, path: str, login: str = "", body: bytes | None = None) -> int:
        connection = http.client.HTTPSConnection("127.0.0.1", http_port, timeout=60, context=context)
        headers = {"content-type": "application/json"}
        if login:
            headers["authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        try:
            connection.request(method, path, body, headers)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    login = "ann:a long enough password"
    with running(holder, ["master", "data"]), running(coordinator, ["coordinator"]):
        wait_until(lambda: status("GET", "/") == 401)
        assert status("PUT", "/papers/_doc/1?refresh=true", login, b'{"title": "dune"}') == 201
        # Each connection may come to another worker.
        assert [status("GET", "/papers/_doc/1", login) for _ in range(6)] == [200] * 6
        assert status("GET", "/papers/_doc/1", "ann:wrong password") == 401


def test_workers_are_for_a_coordinator_alone() -> None:
    told = Configuration(("data", "coordinator"), SECRET, rest=RestConfiguration(workers=2))
    with pytest.raises(RequestError, match=r"rest\.workers: .* a process that is a coordinator alone"):
        run(told)


@pytest.mark.parametrize("roles", [(), ("nurse",), ("data", "nurse")])
def test_a_role_that_is_none_is_refused(roles: tuple[str, ...]) -> None:
    with pytest.raises(RequestError, match="some of master, data, coordinator expected"):
        run(Configuration(roles, SECRET))


def test_what_is_wrong_is_said_in_a_sentence_and_the_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("secret = 'x'\n[nodes]\n")
    said = subprocess.run(
        [sys.executable, "-m", "quidditch.cluster.process", "data", str(path)], capture_output=True, text=True
    )
    assert said.returncode == 1
    assert said.stderr == f"data: {path}: unknown key [nodes]; did you mean [node]?\n"


def test_a_secret_in_a_line_is_hidden_wherever_it_comes_from() -> None:
    secrets = ['with "quotes"', "plain"]
    formatter = WithoutSecrets(JsonLines(), secrets)
    try:
        raise ValueError('no: with "quotes"')
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "is %s", ("plain",), sys.exc_info())
    record.__dict__.update(about(url="nats://me:plain@host"))
    line = json.loads(formatter.format(record))
    assert line["message"] == f"is {HIDDEN}"
    assert line["url"] == f"nats://me:{HIDDEN}@host"
    assert "quotes" not in line["stack_trace"]


def test_a_process_loads_what_calls_other_nodes_only_when_it_does() -> None:
    code = (
        "import sys, quidditch.cluster.process, quidditch.cluster.master, quidditch.cluster.data_node, "
        "quidditch.cluster.node_server\n"
        "assert 'aiohttp' not in sys.modules, 'loaded'\n"
        "import aiohttp\n"
        "assert aiohttp.ClientSession"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
