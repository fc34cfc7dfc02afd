"""The NATS server that is ours: how it is found, which is trusted, and that its configuration syncs each write."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from quidditch.cluster.nats_server import (
    Credentials,
    Member,
    check_version,
    configuration,
    find_server,
    free_ports,
    parse_version,
    write_configuration,
)
from quidditch.errors import RequestError


def test_a_named_program_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("QUIDDITCH_NATS_SERVER", str(program))
    assert find_server() == program


def test_a_named_program_that_is_none_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIDDITCH_NATS_SERVER", str(tmp_path / "nothing"))
    with pytest.raises(RequestError, match=r"\$QUIDDITCH_NATS_SERVER is .*nothing.*no program"):
        find_server()


def test_versions_that_lose_writes_are_refused() -> None:
    with pytest.raises(RequestError, match=r"nats-server 2\.9\.10 cannot sync each write"):
        check_version((2, 9, 10))
    check_version((2, 9, 10), allow_unsafe_log=True)
    check_version((2, 10, 0))
    with pytest.raises(RequestError, match="no version of a nats-server: 'hello'"):
        parse_version("hello")


def test_each_write_is_synced_and_nobody_comes_in_without_a_password(tmp_path: Path) -> None:
    credentials = Credentials.new()
    members = [Member(f"n{place}", 4222 + place, tmp_path / f"n{place}", 6222 + place) for place in range(3)]
    found = configuration(members[0], members, credentials)
    assert found["jetstream"]["sync_interval"] == "always"
    assert found["host"] == "127.0.0.1"
    assert len(found["authorization"]["password"]) >= 32
    assert len(found["cluster"]["routes"]) == 2
    path = write_configuration(members[0], members, credentials)
    assert json.loads(path.read_text()) == found
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_one_server_alone_is_no_cluster(tmp_path: Path) -> None:
    member = Member("n0", 4222, tmp_path)
    assert "cluster" not in configuration(member, [member], Credentials())


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(5))) == 5
