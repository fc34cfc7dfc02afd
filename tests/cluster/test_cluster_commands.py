"""What operators change from the command line, at a coordinator's address."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from quidditch_cli.main import app
from typer.testing import CliRunner

from .one_server import OneServer
from .small_cluster import SmallCluster, answering

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def url(nats_server: OneServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A coordinator's address, over three data nodes."""
    cluster = SmallCluster(nats_server, tmp_path_factory.mktemp("cluster"))
    with cluster.coordinator() as database:
        database.create_index("books", settings={"number_of_shards": 2, "number_of_replicas": 0})
        with answering(database) as url:
            yield url
    cluster.close()


@pytest.fixture
def run(url: str) -> Run:
    """What a command says about the cluster, as JSON; or its words where it is refused."""

    def call(command: str, *words: str, code: int = 0) -> Any:
        done = CliRunner().invoke(app, ["cluster", command, url, *words, "--json"])
        assert done.exit_code == code, (done.stdout, done.stderr)
        return json.loads(done.stdout) if code == 0 else done.stderr

    return call


def holders(run: Run, shard: int) -> set[str]:
    return {row["node"] for row in run("status")["shards"] if row["shard"] == shard}


def test_a_copy_moves_and_status_shows_it(run: Run) -> None:
    (source,) = holders(run, 0)
    target = next(name for name in ("n0", "n1", "n2") if name not in holders(run, 0) | holders(run, 1))
    told = run("move", "books", "0", source, target, "--wait", "30")
    assert told["acknowledged"] is True
    assert told["relocating_shards"] == 0
    assert holders(run, 0) == {target}
    assert run("status")["master"] == "master"
    assert "has a copy already" in run("move", "books", "0", target, target, code=1)


def test_a_node_drains_and_comes_back(run: Run) -> None:
    (node,) = holders(run, 1)
    run("drain", node, "--wait", "30")
    assert node not in holders(run, 0) | holders(run, 1)
    assert any(
        "excluded" in str(each.get("deciders"))
        for each in run("explain", "books", "1")["node_allocation_decisions"]
    )
    run("drain", node, "--undo", "--wait", "30")
    assert "does not drain" in run("drain", node, "--undo", code=1)
    assert "there is no data node n9" in run("drain", "n9", code=1)


def test_rebalancing_is_switched_off_and_on(run: Run) -> None:
    assert run("rebalance", "--off")["acknowledged"] is True
    assert run("rebalance", "--wait", "30")["relocating_shards"] == 0
    assert "unable to find any unassigned shards" in run("explain", code=1)


def test_a_folder_without_a_cluster_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["cluster", "drain", str(tmp_path), "n0"])
    assert done.exit_code == 1
    assert "there is no cluster" in done.stderr


def test_status_is_a_table_for_people(url: str) -> None:
    done = CliRunner().invoke(app, ["cluster", "status", url])
    assert done.exit_code == 0
    assert "books" in done.stdout
    assert "started" in done.stdout
