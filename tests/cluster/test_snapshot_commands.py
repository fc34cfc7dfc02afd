"""What an operator types for the worst case: snapshots taken and brought back, and logs made anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from quidditch_cli.main import app
from typer.testing import CliRunner

from quidditch.cluster.configuration import Configuration, NatsConfiguration, write_configuration
from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.repositories import ClusterSnapshots
from quidditch.errors import QuidditchError

from .one_server import OneServer
from .small_cluster import SECRET, SmallCluster, answering

Run = Callable[..., Any]


def said(*words: str, code: int = 0) -> Any:
    """What a command says as JSON, on standard error where it is refused."""
    done = CliRunner().invoke(app, ["cluster", *words, "--json"])
    assert done.exit_code == code, (done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout else done.stderr


# ---------------------------------------------------------------------------------------------- snapshots


@pytest.fixture(scope="module")
def shared(nats_server: OneServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path_factory.mktemp("nodes"), nodes=1)
    yield made
    made.close()


@pytest.fixture
def database(shared: SmallCluster, tmp_path: Path) -> Iterator[ClusterDatabase]:
    """`books` with three documents in two shards, `empty`, and repositories below `allowed`."""
    with shared.coordinator(replicas=0) as made:
        made.snapshots = ClusterSnapshots(made, [tmp_path / "allowed"])
        books = made.create_index("books", settings={"number_of_shards": 2})
        books.add_many([{"_id": str(number), "title": f"dune {number}"} for number in range(3)])
        made.create_index("empty")
        yield made
        for name in made.snapshots.repositories():
            made.snapshots.forget(name)
    shared.empty()


@pytest.fixture
def url(database: ClusterDatabase) -> Iterator[str]:
    with answering(database) as at:
        yield at


def test_a_snapshot_is_taken_listed_and_brought_back(database: ClusterDatabase, url: str) -> None:
    made = said("snapshot", url, "backups", "monday", "--location", "nightly")
    assert (made["snapshot"], made["state"], made["shards"]) == ("monday", "SUCCESS", 3)
    assert sorted(made["indices"]) == ["books", "empty"]
    assert made["size_bytes"] > 0
    assert said("snapshot", url, "backups", "tuesday", "--index", "boo*")["indices"] == ["books"]
    listed = said("snapshots", url, "backups")
    assert [one["snapshot"] for one in listed] == ["monday", "tuesday"]
    assert listed[0] == made

    database.delete_index("books")
    back = said("restore", url, "backups", "monday", "--index", "books")
    assert back == {"snapshot": "monday", "indices": ["books"], "shards": 2}
    assert database.index("books").get("2").source == {"title": "dune 2"}


def test_a_restore_gives_other_names_and_other_numbers(database: ClusterDatabase, url: str) -> None:
    said("snapshot", url, "backups", "monday", "--location", "nightly", "--index", "books")
    names = ("--rename-pattern", "(.+)", "--rename-replacement", "old-$1")
    back = said("restore", url, "backups", "monday", *names, "--shards", "3", "--replicas", "1")
    assert back == {"snapshot": "monday", "indices": ["old-books"], "shards": 3}
    settings = database.describe()["old-books"].settings
    assert [int(str(settings[f"number_of_{kind}"])) for kind in ("shards", "replicas")] == [3, 1]
    assert database.index("old-books").count() == 3


def test_damage_is_named_and_nothing_is_brought_back(
    database: ClusterDatabase, url: str, tmp_path: Path
) -> None:
    said("snapshot", url, "backups", "monday", "--location", "nightly", "--index", "books")
    (one,) = said("snapshots", url, "backups", "--verify")
    assert one["damages"] == []

    file = next((tmp_path / "allowed" / "nightly" / "monday").glob("*.zst"))
    file.write_bytes(b"rubbish")
    (one,) = said("snapshots", url, "backups", "--verify", code=4)
    assert len(one["damages"]) == 1
    assert file.name in one["damages"][0]
    database.delete_index("books")
    refused = CliRunner().invoke(app, ["cluster", "restore", url, "backups", "monday"])
    assert refused.exit_code == 4
    assert file.name in refused.stderr
    assert "books" not in database


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["snapshot", "nowhere", "monday"], "[nowhere] missing"),
        (["snapshot", "backups", "monday", "--location", "/etc"], "rest.repositories"),
        (["snapshot", "backups", "Monday"], "snapshot name"),
        (["snapshot", "backups", "monday", "--index", "boks"], "boks"),
        (["snapshots", "nowhere"], "[nowhere] missing"),
        (["restore", "backups", "sunday"], "no snapshot [sunday]"),
        (["restore", "backups", "monday", "--rename-pattern", "x"], "are given together"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    database: ClusterDatabase, url: str, words: list[str], why: str
) -> None:
    database.snapshots.register("backups", "nightly")
    command, *rest = words
    assert why in said(command, url, *rest, code=1)


def test_the_list_is_a_table_for_people(database: ClusterDatabase, url: str) -> None:
    database.snapshots.register("backups", "nightly")
    empty = CliRunner().invoke(app, ["cluster", "snapshots", url, "backups"])
    assert empty.stdout == "no snapshots in backups\n"
    taken = CliRunner().invoke(app, ["cluster", "snapshot", url, "backups", "monday", "--index", "books"])
    assert taken.stdout.startswith("monday: 1 index in 2 shards, ")
    assert taken.stderr == ""
    heading, row = (
        CliRunner()
        .invoke(app, ["cluster", "snapshots", url, "backups", "--verify"])
        .stdout.strip()
        .split("\n")
    )
    assert heading.split() == ["snapshot", "state", "started", "seconds", "shards", "size", "indices"]
    assert row.split()[:2] == ["monday", "whole"]
    assert row.split()[-1] == "books"


# ------------------------------------------------------------------------------------------------ reseeding


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60.0
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_log_is_made_anew_without_a_node_that_is_gone_for_good(
    nats_server: OneServer, shared: SmallCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quidditch.cluster.lanes.APPEND_S", 2.0)
    # Nodes end gracefully here and take back what they said: nothing is to be waited for.
    monkeypatch.setattr("quidditch.cluster.reseeding.SETTLE_S", 0.0)
    file = tmp_path / "any.toml"
    told = NatsConfiguration((nats_server.url,), password=nats_server.credentials.password)
    write_configuration(file, Configuration((), SECRET, nats=told))
    gone = shared.start_node("gone")
    with shared.coordinator() as database:
        index = database.create_index("books")
        (shard,) = database.catalogue.shards_of("books")
        until(lambda: len(database.catalogue.serving(shard)) == 2)
        index.add({"title": "dune"}, "1")
        assert "log is lost" in said("reseed", str(file), "books", "0", "--without", "gone", "--yes", code=1)
        gone.stop()
        index.add({"title": "emma"}, "2")
        nats_server.lose()

        def takes() -> bool:
            try:
                return index.add({"title": "after"}, "3").version > 0
            except QuidditchError:
                return False

        def refused(*words: str, code: int = 1) -> str:
            return str(said("reseed", str(file), "books", *words, code=code))

        until(
            lambda: (said_of := database.catalogue.serving(shard)) and said_of["n0"].shards[str(shard)].lost
        )
        until(lambda: "books" in database.catalogue.entries())
        assert not takes()
        assert "and no 7" in refused("7", "--yes")
        assert "no copy on n7; its copies are on" in refused("0", "--without", "n7", "--yes")
        assert "n0 is heard of" in refused("0", "--without", "n0", "--yes")
        assert "the copy on gone, which is not heard of" in refused("0", "--yes", code=4)
        assert "say --yes" in refused("0", "--without", "gone", code=2)
        done = said("reseed", str(file), "books", "0", "--without", "gone", "--yes")
        assert (done["index"], done["shard"], done["made"]) == ("books", 0, True)
        assert done["applied"] >= 2

        until(takes)
        index.refresh()
        assert {hit.id: hit.source["title"] for hit in index.scan()} == {
            "1": "dune",
            "2": "emma",
            "3": "after",
        }
        assert index.check().ok
    shared.empty()


def test_a_folder_or_file_without_a_cluster_is_named(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none.toml"):
        assert "there is no cluster" in said("reseed", str(place), "books", "0", "--yes", code=1)
