"""A data node whose network fails: cut off, one-way, slow and lossy, while clients write."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from quidditch.cluster_torture.campaign import make_index
from quidditch.cluster_torture.clients import Recorder, load
from quidditch.cluster_torture.processes import Cluster, wait_for
from quidditch.cluster_torture.resting import check_at_rest

from .conftest import Start
from .wire import Wire


class Wired:
    """A cluster of which one data node, `data-0`, reaches NATS, and is reached, by wires alone."""

    def __init__(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        ports = json.loads((cluster.folder / "layout.json").read_text())["ports"]
        self.cluster = cluster
        self.nats, self.http = Wire(ports["nats-0"]), Wire(ports["data-0"])
        cluster.end("data-0")
        with monkeypatch.context() as patch:
            patch.setenv("QUIDDITCH_CLUSTER_NATS_URLS", f"nats://127.0.0.1:{self.nats.port}")
            patch.setenv("QUIDDITCH_CLUSTER_NODE_ADDRESS", f"127.0.0.1:{self.http.port}")
            cluster.start("data-0")
        wait_for(self._is_wired, 30.0, "the node to be reached by its wire")
        cluster.settle()

    def _is_wired(self) -> bool:
        node = self.cluster.status()["nodes"].get("data-0", {"address": ""})
        return str(node["address"]).endswith(f":{self.http.port}")

    def close(self) -> None:
        self.nats.close()
        self.http.close()


@pytest.fixture
def wired(start: Start, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wired]:
    made = Wired(start(), monkeypatch)
    yield made
    made.close()


def grows(recorder: Recorder, what: str, seconds: float) -> bool:
    """Whether clients are told this still, so long after; on a machine that is slow, a while later."""
    before = recorder.counts[what]
    time.sleep(seconds)
    deadline = time.monotonic() + 60.0
    while recorder.counts[what] == before and time.monotonic() < deadline:
        time.sleep(0.1)
    return recorder.counts[what] > before


def test_a_node_that_is_cut_off_costs_nothing_and_catches_up(wired: Wired) -> None:
    cluster, recorder = wired.cluster, Recorder()
    make_index(cluster, shards=2, replicas=1)
    with load([cluster.url], recorder, sessions=3, seed=1):
        with wired.nats.cut(), wired.http.cut():
            # Its sibling answers; NATS and the coordinator are on the larger side.
            assert grows(recorder, "write ok", 12.0)
            assert grows(recorder, "read ok", 3.0)
        cluster.settle()
        with wired.nats.cut(wired.nats.there):
            assert grows(recorder, "write ok", 4.0)
        with wired.nats.cut(wired.nats.back):
            assert grows(recorder, "write ok", 4.0)
        with wired.nats.slow(0.03, 0.05), wired.http.slow(0.03, 0.05):
            assert grows(recorder, "write ok", 4.0)
        cluster.settle()
    found, documents = check_at_rest(cluster, [cluster.url], recorder)
    assert found == []
    assert documents > 0


@pytest.mark.long
@pytest.mark.parametrize("seconds", [1.0, 6.0, 20.0, 75.0])
@pytest.mark.parametrize("ways", ["both", "there", "back"])
def test_a_link_to_the_log_that_fails_again_and_again(wired: Wired, ways: str, seconds: float) -> None:
    cluster, recorder, wire = wired.cluster, Recorder(), wired.nats
    make_index(cluster, shards=3, replicas=1)
    with load([cluster.url], recorder, sessions=4, seed=2):
        for _ in range(2):
            with wire.cut(*([] if ways == "both" else [getattr(wire, ways)])):
                time.sleep(seconds)
            time.sleep(2.0)
    found, _ = check_at_rest(cluster, [cluster.url], recorder)
    assert found == []


@pytest.mark.long
@pytest.mark.parametrize("seconds", [1.0, 6.0, 20.0])
def test_calls_of_a_node_that_hang_and_come_late(wired: Wired, seconds: float) -> None:
    cluster, recorder, wire = wired.cluster, Recorder(), wired.http
    make_index(cluster, shards=3, replicas=1)
    with load([cluster.url], recorder, sessions=4, seed=2):
        for way in (wire.there, wire.back):
            with wire.cut(way):
                time.sleep(seconds)
            time.sleep(2.0)
    found, _ = check_at_rest(cluster, [cluster.url], recorder)
    assert found == []
