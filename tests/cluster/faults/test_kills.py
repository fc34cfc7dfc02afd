"""What is killed, hangs or loses its disk while clients write: nothing acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from quidditch.cluster_torture import campaign, faults
from quidditch.cluster_torture.campaign import make_index
from quidditch.cluster_torture.clients import Recorder, load
from quidditch.cluster_torture.resting import check_at_rest

from ..one_server import need_nats
from .conftest import Start

QUICK = {
    "data node killed",
    "coordinator killed",
    "master killed",
    "NATS server killed",
    "all data nodes killed",
    "data node's disk lost",
    "all killed",
}
"""The most valuable, which the default suite has one after the other."""


def test_whatever_is_killed_no_promise_to_clients_breaks(start: Start) -> None:
    cluster, recorder, chance = start(), Recorder(), random.Random(3)
    make_index(cluster, shards=2, replicas=1)
    with load([cluster.url], recorder, sessions=3, seed=3):
        for fault in faults.FAULTS:
            if fault.name in QUICK:
                before = cluster.kills
                fault.act(cluster, chance)
                assert cluster.kills > before
        cluster.settle()
    found, documents = check_at_rest(cluster, [cluster.url], recorder)
    assert found == []
    assert documents > 0


@pytest.mark.long
@pytest.mark.parametrize("fault", faults.FAULTS, ids=lambda fault: fault.name)
def test_after_each_fault_three_times_no_promise_is_broken(fault: faults.Fault, start: Start) -> None:
    cluster, recorder, chance = start(3, nats=3), Recorder(), random.Random(fault.name)
    make_index(cluster, shards=3, replicas=1)
    with load([cluster.url], recorder, sessions=4, seed=5):
        for _ in range(3):
            fault.act(cluster, chance)
    found, _ = check_at_rest(cluster, [cluster.url], recorder)
    assert found == []


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_a_hundred_random_kills_lose_and_double_nothing(seed: int, tmp_path: Path) -> None:
    need_nats()
    report = campaign.run(tmp_path / "torture", kills=100, seed=seed)
    assert report.findings == ()
    assert report.kills >= 100
