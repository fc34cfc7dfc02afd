"""What a cluster in a folder is made of: decided once, kept, and changed only where that loses nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from quidditch.cluster.configuration import read_configuration
from quidditch.cluster.layout import Plan, joined, lay_out, planned
from quidditch.errors import RequestError


def test_a_cluster_put_up_again_is_what_it_was(tmp_path: Path) -> None:
    first = lay_out(tmp_path, planned(tmp_path, data_nodes=2, port=9321, nats=3, masters=None))
    again = lay_out(tmp_path, planned(tmp_path))
    assert again == first
    assert again.plan == Plan(data_nodes=2, port=9321, nats=3)
    assert len(set(again.ports.values())) == len(again.ports) == 3 + 3 + 2
    assert stat.S_IMODE(os.stat(tmp_path / "layout.json").st_mode) == 0o600


def test_more_nodes_may_come_and_those_that_are_there_keep_their_ports(tmp_path: Path) -> None:
    first = lay_out(tmp_path, planned(tmp_path, data_nodes=1))
    more = lay_out(tmp_path, planned(tmp_path, data_nodes=3, masters=2))
    assert more.ports.items() >= first.ports.items()
    assert [name for _, name in more.plan.processes()] == [
        *("master", "master-1"),
        *("data-0", "data-1", "data-2"),
        "coordinator",
    ]


def test_each_process_is_told_of_every_nats_server_and_to_keep_three_copies(tmp_path: Path) -> None:
    layout = lay_out(tmp_path, planned(tmp_path, nats=3))
    told = read_configuration(tmp_path / "data-1.toml", {})
    assert told.nats.urls == tuple(
        f"nats://127.0.0.1:{layout.ports[f'nats-{number}']}" for number in range(3)
    )
    assert told.nats.replicas == 3
    assert (told.node.name, told.node.port) == ("data-1", layout.ports["data-1"])
    assert read_configuration(lay_out_of_one(tmp_path / "one") / "master.toml", {}).nats.replicas == 1


def test_the_coordinator_is_told_where_snapshots_may_lie(tmp_path: Path) -> None:
    lay_out(tmp_path, planned(tmp_path, repositories=("/backups", "/more")))
    again = lay_out(tmp_path, planned(tmp_path))
    assert again.plan == Plan(repositories=("/backups", "/more"))
    assert read_configuration(tmp_path / "coordinator.toml", {}).rest.repositories == ("/backups", "/more")


def lay_out_of_one(folder: Path) -> Path:
    return lay_out(folder, planned(folder)).folder


@pytest.mark.parametrize("count", [0, 2, 4, 7])
def test_an_even_number_of_nats_servers_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(RequestError, match=rf"1, 3 or 5 servers expected, not {count}"):
        planned(tmp_path, nats=count)


def test_where_the_log_is_kept_stays(tmp_path: Path) -> None:
    lay_out(tmp_path, planned(tmp_path))
    with pytest.raises(RequestError, match="the cluster's NATS servers stay what they were: 1 of its own"):
        planned(tmp_path, nats=3)
    with pytest.raises(RequestError, match="stay what they were"):
        planned(tmp_path, nats_urls=("nats://127.0.0.1:4222",))


def test_nats_servers_that_run_elsewhere_are_joined(tmp_path: Path) -> None:
    urls = tuple(f"nats://me:p%40ss@nats-{number}.example:4333" for number in range(3))
    layout = lay_out(tmp_path, planned(tmp_path, nats_urls=urls))
    assert layout.members() == []
    told = read_configuration(tmp_path / "master.toml", {}).nats
    assert told.urls == tuple(f"nats://nats-{number}.example:4333" for number in range(3))
    assert (told.user, told.password, told.replicas) == ("me", "p@ss", 3)
    assert joined(("nats://one",)).urls == ("nats://one:4222",)


@pytest.mark.parametrize("url", ["http://host", "host:4222", "nats://", "nats://host:port"])
def test_what_is_no_url_of_nats_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(RequestError, match="nats://user:password@host:port expected, not"):
        joined((url,))


def test_a_broken_layout_is_named(tmp_path: Path) -> None:
    (tmp_path / "layout.json").write_text("{}")
    with pytest.raises(RequestError, match=r"layout\.json: no layout of a cluster"):
        planned(tmp_path)
