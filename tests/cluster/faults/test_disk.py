"""A data node whose disk is full: it says so, its siblings serve, and with room again it catches up."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quidditch.cluster_torture.campaign import make_index
from quidditch.cluster_torture.clients import Recorder, load
from quidditch.cluster_torture.processes import Cluster, wait_for
from quidditch.cluster_torture.resting import check_at_rest

from .conftest import Start

DISK_BYTES = 128 << 20


class SmallDisk:
    """A file system of its own, in memory, which can be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        options = f"size={DISK_BYTES}"
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True)
        if made.returncode:
            pytest.skip(f"no file system may be mounted here: {made.stderr.decode(errors='replace').strip()}")

    def fill(self) -> None:
        """Leave no room at all."""
        with contextlib.suppress(OSError), (self.folder / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)

    def make_room(self) -> None:
        (self.folder / "filler").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.folder], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    made = SmallDisk(tmp_path / "disk")
    yield made
    made.close()


def failures(cluster: Cluster, node: str) -> list[str]:
    return [copy["failed"] for copy in cluster.status()["shards"] if copy["node"] == node and copy["failed"]]


def test_a_full_disk_of_one_node_costs_nothing(disk: SmallDisk, start: Start) -> None:
    cluster, recorder = start(), Recorder()
    cluster.end("data-0")
    cluster.lose_folder("data-0")
    (cluster.folder / "data-0").symlink_to(disk.folder)
    cluster.up()
    make_index(cluster, shards=2, replicas=1)
    with load([cluster.url], recorder, sessions=3, seed=1):
        wait_for(lambda: recorder.counts["write ok"] > 50, 60.0, "writes")
        disk.fill()
        wait_for(lambda: failures(cluster, "data-0") != [], 60.0, "the node to say that its disk is full")
        before = recorder.counts["write ok"]
        wait_for(lambda: recorder.counts["write ok"] > before + 20, 60.0, "writes by the other copies")
        disk.make_room()
        wait_for(lambda: failures(cluster, "data-0") == [], 60.0, "the node to go on")
    found, documents = check_at_rest(cluster, [cluster.url], recorder)
    assert found == []
    assert documents > 0
