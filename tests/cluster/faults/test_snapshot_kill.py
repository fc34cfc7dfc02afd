"""A coordinator is killed while it takes a snapshot: that one is not there, and those before it are whole."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from quidditch.cluster.configuration import (
    Configuration,
    NatsConfiguration,
    NodeConfiguration,
    RestConfiguration,
    write_configuration,
)
from quidditch.cluster.nats_server import free_ports
from quidditch.cluster.replica import Replica
from quidditch.cluster.restoring import restore
from quidditch.cluster.snapshots import take
from quidditch.snapshots.repository import MAKING, Repository, SnapshotNotFound
from quidditch.snapshots.wish import Wish

from ..one_server import OneServer
from ..processes import wait_until
from ..small_cluster import SECRET, SmallCluster


@contextmanager
def coordinator(nats: OneServer, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """One in a process of its own, that may be killed; repositories may lie in its folder."""
    told = NatsConfiguration((nats.url,), password=nats.credentials.password)
    rest = RestConfiguration(port=port, repositories=(str(folder),))
    file = folder / "coordinator.toml"
    write_configuration(
        file, Configuration(("coordinator",), SECRET, 0, told, NodeConfiguration("killed"), rest)
    )
    with (folder / "coordinator.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "quidditch.cluster.process", "coordinator", str(file)], stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=60).status_code == 200
    except httpx.TransportError:
        return False


class Held:
    """Copies of shards that are handed out half, and go on only when they may."""

    def __init__(self, after: int) -> None:
        self._whole = after
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def of(self, copy_to: Any) -> Any:
        def held(replica: Replica, descriptor: int) -> None:
            if self._whole > 0:
                self._whole -= 1
            else:
                self.begun.set()
                self.go_on.wait(60.0)
            copy_to(replica, descriptor)

        return held


def test_a_coordinator_killed_while_it_takes_a_snapshot_leaves_the_earlier_ones_and_none_of_its_own(
    nats_server: OneServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = SmallCluster(nats_server, tmp_path / "nodes", nodes=1)
    (port,) = free_ports(1)
    url, held = f"http://127.0.0.1:{port}", Held(after=1)
    repository = Repository(tmp_path / "backups", create=True)
    try:
        with cluster.coordinator(replicas=0) as database:
            index = database.create_index("books", settings={"number_of_shards": 3})
            index.add_many([{"_id": str(number), "title": f"dune {number}"} for number in range(50)])
            take(database, repository, "monday")
            index.add_many([{"_id": f"new {number}", "title": "emma"} for number in range(50)])
            monkeypatch.setattr(Replica, "copy_to", held.of(Replica.copy_to))

            with coordinator(nats_server, tmp_path, port) as process:
                wait_until(lambda: ready(url), 60.0)
                location = {"type": "fs", "settings": {"location": "backups"}}
                httpx.put(f"{url}/_snapshot/backups", json=location, trust_env=False, timeout=60)
                asking = threading.Thread(target=asked_in_vain, args=(f"{url}/_snapshot/backups/tuesday",))
                asking.start()
                assert held.begun.wait(60.0)
                (half,) = repository.path.glob(f"{MAKING}*")
                assert list(half.glob("*.zst"))
                process.kill()
                process.wait()
                asking.join()
            held.go_on.set()

            assert half.exists()
            assert repository.names() == ["monday"]
            assert repository.damages("monday") == []
            with pytest.raises(SnapshotNotFound):
                repository.manifest("tuesday")

            take(database, repository, "tuesday")
            assert not list(repository.path.glob(f"{MAKING}*"))
            assert repository.names() == ["monday", "tuesday"]
            assert repository.damages("tuesday") == []
            for name, count in (("monday", 50), ("tuesday", 100)):
                restore(database, repository, name, Wish(pattern="books", replacement=name))
                assert database.index(name).count() == count
    finally:
        held.go_on.set()
        cluster.close()


def asked_in_vain(url: str) -> None:
    """Ask, and be left without an answer."""
    with pytest.raises(httpx.TransportError):
        httpx.put(url, trust_env=False, timeout=60)
