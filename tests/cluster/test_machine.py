"""`quidditch cluster up`: real processes on one machine, from start to end, and what of them may be killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.js import api

from quidditch.cluster import machine
from quidditch.cluster.configuration import read_configuration
from quidditch.cluster.connection import Connection
from quidditch.cluster.nats_server import free_ports
from quidditch.errors import RequestError

from .one_server import need_nats
from .processes import all_started, asked, wait_until


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    need_nats()
    yield tmp_path / "cluster"
    machine.down(tmp_path / "cluster")


def test_a_cluster_goes_up_answers_survives_a_killed_node_and_comes_back(folder: Path) -> None:
    (port,) = free_ports(1)
    plan = machine.Plan(2, 1, port, repositories=(str(folder.with_name("backups")),))
    assert machine.up(folder, plan) == f"http://127.0.0.1:{port}"
    assert asked(port, "PUT", "/books", {"settings": {"number_of_shards": 2}})[0] == 200
    for number in range(20):
        status, said = asked(port, "PUT", f"/books/_doc/{number}", {"title": f"dune {number}"})
        assert (status, said["result"]) == (201, "created")
    wait_until(lambda: all_started(folder, 4))

    os.kill(machine.status(folder)["processes"]["data-0"], signal.SIGKILL)
    for _ in range(10):
        status, said = asked(port, "GET", "/books/_search?q=dune")
        assert (status, said["hits"]["total"]["value"]) == (200, 20)
    assert asked(port, "PUT", "/books/_doc/20", {"title": "dune 20"})[0] == 201

    machine.up(folder, plan)
    wait_until(lambda: all_started(folder, 4))
    assert asked(port, "GET", "/books/_doc/20")[1]["_source"] == {"title": "dune 20"}

    ended = machine.down(folder)
    assert ended[0] == "coordinator"
    assert ended[-1] == "nats-0"
    machine.up(folder, plan)
    wait_until(lambda: asked(port, "GET", "/books/_count")[1].get("count") == 21)
    assert asked(port, "PUT", "/_snapshot/own", {"type": "fs", "settings": {"location": "own"}})[0] == 200
    assert asked(port, "PUT", "/_snapshot/own/first?wait_for_completion=true")[0] == 200
    assert asked(port, "POST", "/_snapshot/own/first/_verify")[1]["damages"] == []


@pytest.fixture
def three_servers(folder: Path) -> tuple[Path, machine.Plan]:
    """A cluster on three NATS servers, with one document in it."""
    plan = machine.Plan(data_nodes=2, port=free_ports(1)[0], nats=3)
    machine.up(folder, plan)
    assert asked(plan.port, "PUT", "/books/_doc/0", {"title": "dune"})[0] == 201
    return folder, plan


def kill_and_write(folder: Path, plan: machine.Plan, member: str, first: int) -> None:
    """Kill a NATS server; write five documents, and count them after each; bring it back."""
    os.kill(machine.status(folder)["processes"][member], signal.SIGKILL)
    for number in range(first, first + 5):
        assert asked(plan.port, "PUT", f"/books/_doc/{number}", {"title": "dune"})[0] == 201
        status, said = asked(plan.port, "GET", "/books/_count")
        assert (status, said.get("count")) == (200, number + 1), said
    machine.up(folder, plan)
    assert member in machine.status(folder)["processes"]
    wait_until(lambda: caught_up(folder), 120.0)


def test_the_server_that_leads_a_log_may_be_killed(three_servers: tuple[Path, machine.Plan]) -> None:
    folder, plan = three_servers
    (leader,) = {stream.cluster.leader for stream in logs(folder) if stream.config.name.startswith("Q_")}
    kill_and_write(folder, plan, leader, 1)
    assert machine.down(folder)[-3:] == ["nats-0", "nats-1", "nats-2"]


@pytest.mark.long
def test_each_of_three_servers_may_be_killed_and_then_all(three_servers: tuple[Path, machine.Plan]) -> None:
    folder, plan = three_servers
    for place, member in enumerate(["nats-0", "nats-1", "nats-2"]):
        kill_and_write(folder, plan, member, 1 + 5 * place)
    machine.down(folder)
    machine.up(folder, plan)
    wait_until(lambda: asked(plan.port, "GET", "/books/_count")[1].get("count") == 16)


def logs(folder: Path) -> list[Any]:
    """What NATS says of all streams, those of keys among them."""
    with Connection(read_configuration(folder / "coordinator.toml", {}).nats_options()) as connection:
        found: list[Any] = connection.call(connection.jetstream.streams_info, "asking for all streams")
        return found


def caught_up(folder: Path) -> bool:
    """Whether every member of NATS has everything of every stream that is on disk."""
    kept = [stream for stream in logs(folder) if stream.config.storage == api.StorageType.FILE]
    followers = [stream.cluster.replicas or [] for stream in kept]
    return all(len(each) == 2 and all(one.current and not one.offline for one in each) for each in followers)


def test_where_there_is_no_cluster_status_says_so(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no cluster"):
        machine.status(tmp_path)
    assert machine.down(tmp_path) == []
