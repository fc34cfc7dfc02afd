"""Processes that end when they are told to: nobody who searches or writes notices."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from quidditch.cluster import machine
from quidditch.cluster.nats_server import free_ports

from .one_server import need_nats
from .processes import Load, all_started, asked, end, wait_until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, machine.Plan]]:
    """Three data nodes, an index of three shards with two copies each."""
    need_nats()
    folder = Path(tmp_path_factory.mktemp("rolling")) / "cluster"
    plan = machine.Plan(data_nodes=3, replicas=1, port=free_ports(1)[0])
    try:
        machine.up(folder, plan)
        assert asked(plan.port, "PUT", "/books", {"settings": {"number_of_shards": 3}})[0] == 200
        wait_until(lambda: all_started(folder, 6))
        yield folder, plan
    finally:
        machine.down(folder)


def test_all_data_nodes_are_restarted_one_by_one_under_load_and_nothing_fails(
    cluster: tuple[Path, machine.Plan],
) -> None:
    folder, plan = cluster
    with Load(plan.port, "books") as load:
        for name in ("data-0", "data-1", "data-2"):
            before = load.searches, len(load.written)
            end(folder, name)
            # Searched and written in while it is away, too.
            wait_until(lambda: load.searches > before[0] + 20 and len(load.written) > before[1] + 20)  # noqa: B023
            machine.up(folder, plan)
            wait_until(lambda: all_started(folder, 6))
    assert load.failed == []
    asked(plan.port, "POST", "/books/_refresh")
    assert asked(plan.port, "GET", "/books/_count")[1]["count"] == len(load.written)


def test_the_master_is_restarted_under_load_and_nothing_fails(cluster: tuple[Path, machine.Plan]) -> None:
    folder, plan = cluster
    with Load(plan.port, "magazines") as load:
        wait_until(lambda: len(load.written) > 10)
        load.failed.clear()  # Searches of an index that was not there yet.
        end(folder, "master")
        before = load.searches, len(load.written)
        wait_until(lambda: load.searches > before[0] + 20 and len(load.written) > before[1] + 20)
        machine.up(folder, plan)
    assert load.failed == []


def test_a_coordinator_that_ends_answers_what_it_was_asked(cluster: tuple[Path, machine.Plan]) -> None:
    folder, plan = cluster
    body = json.dumps({"title": "sent in two halves"}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", plan.port, timeout=60)
    connection.putrequest("PUT", "/books/_doc/halves")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(len(body)))
    connection.endheaders()
    connection.send(body[:5])
    wait_until(lambda: asked(plan.port, "GET", "/")[0] == 200)

    os.kill(machine.status(folder)["processes"]["coordinator"], signal.SIGTERM)
    wait_until(lambda: refused(plan.port))
    connection.send(body[5:])
    answer = connection.getresponse()
    assert answer.status == 201
    answer.read()
    connection.close()
    wait_until(lambda: "coordinator" not in machine.status(folder)["processes"])
    machine.up(folder, plan)
    assert asked(plan.port, "GET", "/books/_doc/halves")[1]["_source"] == {"title": "sent in two halves"}


def refused(port: int) -> bool:
    """Whether nobody listens there any more."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.connect()
    except OSError:
        return True
    finally:
        connection.close()
    return False
