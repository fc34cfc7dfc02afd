"""Several masters: one is active, another takes over, and one that slept takes nothing back."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quidditch.cluster import machine
from quidditch.cluster.connection import Connection, NatsOptions
from quidditch.cluster.keys import Changed
from quidditch.cluster.master import Master, active_master
from quidditch.cluster.nats_server import free_ports
from quidditch.errors import StorageError

from .one_server import OneServer, need_nats
from .processes import Load, asked, end, wait_until
from .small_cluster import SmallCluster


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A cluster of processes with two masters, and its port."""
    need_nats()
    folder = Path(tmp_path_factory.mktemp("masters")) / "cluster"
    plan = machine.Plan(data_nodes=2, port=free_ports(1)[0], masters=2)
    try:
        machine.up(folder, plan)
        yield folder, plan.port
    finally:
        machine.down(folder)


def active(folder: Path) -> str:
    name: str = machine.status(folder)["master"]
    return name


def create(port: int, name: str) -> int:
    return asked(port, "PUT", f"/{name}", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}})[0]


def test_another_takes_over_from_a_master_that_is_killed(pair: tuple[Path, int]) -> None:
    folder, port = pair
    wait_until(lambda: active(folder))
    first = active(folder)
    assert create(port, "before") == 200
    with Load(port, "before") as load:
        end(folder, first, signal.SIGKILL)
        assert create(port, "after") == 200
    assert load.failed == []
    assert active(folder) not in ("", first)
    machine.up(folder, machine.Plan(data_nodes=2, port=port, masters=2))


def test_a_master_that_slept_through_a_change_takes_nothing_back(pair: tuple[Path, int]) -> None:
    folder, port = pair
    wait_until(lambda: active(folder))
    sleeper = active(folder)
    pid = machine.status(folder)["processes"][sleeper]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert create(port, "meanwhile") == 200
        assert active(folder) not in ("", sleeper)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert create(port, "afterwards") == 200
    for name in ("meanwhile", "afterwards"):
        assert asked(port, "PUT", f"/{name}/_doc/1", {"title": "dune"})[0] == 201
    # It is alive, and takes over again when the other ends.
    end(folder, active(folder))
    wait_until(lambda: active(folder) == sleeper)
    assert create(port, "at-last") == 200
    wait_until(lambda: all(each["state"] == "started" for each in machine.status(folder)["shards"]))


# --------------------------------------------------------------------- in one process, step by step


@pytest.fixture
def cluster(nats_server: OneServer, tmp_path: Path) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path, nodes=1)
    yield made
    made.empty()
    made.close()


@pytest.fixture
def sleeper(nats_server: OneServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Master]:
    """A master that believes to have the lease, and does nothing by itself."""
    with Connection(NatsOptions([nats_server.url], nats_server.credentials)) as connection:
        master = Master(connection, "sleeper")
        monkeypatch.setattr(master, "_check_lease", lambda: None)
        yield master
        master.stop()


def asleep_after(
    master: Master, call: str, meanwhile: Callable[[], object], patch: pytest.MonkeyPatch
) -> None:
    """Have a master sleep behind its next call of the catalogue, while something happens."""
    original = getattr(master._catalogue, call)
    once = threading.Lock()

    def sleeping(*arguments: Any) -> Any:
        answer = original(*arguments)
        if once.acquire(blocking=False):
            meanwhile()
            master._catalogue.wait_for(lambda: "meanwhile" in master._catalogue.entries(), 10.0, "news")
        return answer

    patch.setattr(master._catalogue, call, sleeping)


@pytest.mark.parametrize("call", ["routing_at", "entries", "nodes"])
def test_wherever_a_master_sleeps_what_another_did_stays(
    cluster: SmallCluster, sleeper: Master, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with cluster.coordinator(replicas=0) as database:
        index = database.create_index("first")

        def meanwhile() -> None:
            # Something to do for the sleeper, too: the index that it has seen is gone.
            database.delete_index("first")
            database.create_index("meanwhile").add({"title": "dune"}, id="1")

        asleep_after(sleeper, call, meanwhile, monkeypatch)
        with contextlib.suppress(Changed):
            sleeper.place()
        sleeper.place()
        assert database["meanwhile"].count() == 1
        assert database["meanwhile"].add({"title": "messiah"}, id="2").version == 1
        assert index.name not in database


def test_a_decision_that_is_late_is_not_written(
    cluster: SmallCluster, sleeper: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.master.stop()
    with cluster.coordinator(replicas=0) as database:
        monkeypatch.setattr(database, "_wait_started", lambda name, entry: None)
        database.create_index("wanted")
        sleeper._catalogue.wait_for(lambda: "wanted" in sleeper._catalogue.entries(), 10.0, "news")
        table, revision = sleeper._catalogue.routing_at()
        placed = sleeper.place()
        assert placed.epoch > table.epoch
        with pytest.raises(Changed):
            sleeper._catalogue.put_routing(table, revision)
        monkeypatch.undo()
        database.delete_index("wanted")
        sleeper._catalogue.wait_for(lambda: "wanted" not in sleeper._catalogue.entries(), 10.0, "news")
        with pytest.raises(StorageError, match="the lease is not this master's any more"):
            sleeper.place()


def test_a_master_that_ends_leaves_the_lease(nats_server: OneServer) -> None:
    with Connection(NatsOptions([nats_server.url], nats_server.credentials)) as connection:
        first = Master(connection, "first")
        first.start()
        wait_until(lambda: active_master(connection) == "first")
        second = Master(connection, "second")
        second.start()
        first.stop()
        wait_until(lambda: active_master(connection) == "second")
        second.stop()
        assert active_master(connection) == ""


def test_a_master_that_was_killed_and_started_again_has_the_lease_at_once(nats_server: OneServer) -> None:
    with Connection(NatsOptions([nats_server.url], nats_server.credentials)) as connection:
        killed, other = Master(connection, "first"), Master(connection, "second")
        wait_until(killed._hold_lease)
        assert not other._hold_lease()
        again = Master(connection, "first")
        assert again._hold_lease()
        # Should the one before be there nevertheless, it stands by: two do not take it from each other in turns.
        assert not killed._hold_lease()
        assert again._hold_lease()
        for master in (killed, other, again):
            master.active = master is again
            master.stop()
        assert active_master(connection) == ""
