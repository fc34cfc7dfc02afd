"""Snapshots of a cluster: what is brought back is what was there, or nothing is, and damage is told by name."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server.asking import Server
from server.securing import Secured

import quidditch
from quidditch.cluster.coordinator import ClusterDatabase
from quidditch.cluster.repositories import ClusterSnapshots
from quidditch.cluster.restoring import restore, restore_into_directory
from quidditch.cluster.snapshots import take
from quidditch.errors import CorruptIndex, IndexExists, RequestError, StoreFull
from quidditch.snapshots.repository import (
    LOCK,
    MAKING,
    MANIFEST,
    PackedFile,
    Repository,
    SnapshotExists,
    SnapshotNotFound,
)
from quidditch.snapshots.wish import Wish

from .one_server import OneServer
from .small_cluster import SmallCluster

MAPPINGS: dict[str, Any] = {"properties": {"title": {"type": "text"}, "year": {"type": "integer"}}}
QUERY = {"match": {"title": "dune messiah"}}
SORT = ["_score", {"_id": "asc"}]


@pytest.fixture(scope="module")
def shared(nats_server: OneServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    made = SmallCluster(nats_server, tmp_path_factory.mktemp("nodes"), nodes=2)
    yield made
    made.close()


@pytest.fixture
def database(shared: SmallCluster) -> Iterator[ClusterDatabase]:
    with shared.coordinator() as made:
        yield made
    shared.empty()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository", create=True)


def fill(database: ClusterDatabase, name: str = "books", shards: int = 3) -> Any:
    """An index with updates, deletes, external versions and routings in it."""
    index = database.create_index(name, MAPPINGS, {"number_of_shards": shards, "number_of_replicas": 1})
    words = ("dune", "dune messiah", "messiah", "children of dune")
    documents = [
        {"_id": str(number), "title": f"{words[number % 4]} {number % 7}", "year": 1960 + number}
        for number in range(60)
    ]
    assert index.add_many(documents)
    for number in range(0, 60, 7):
        index.update(str(number), {"title": "dune dune messiah"})
    for number in range(0, 60, 11):
        index.delete(str(number))
    index.add({"title": "dune abroad"}, id="routed", routing="far away")
    index.add({"title": "dune numbered"}, id="external", version=77, version_type="external")
    return index


def seen(index: Any) -> list[tuple[Any, ...]]:
    found = index.search(QUERY, size=100, sort=SORT)
    return [(hit.id, hit.score, hit.source) for hit in found]


def versions(index: Any) -> dict[str, int]:
    found = index.search_body({"size": 100, "version": True})
    return {hit.id: hit.version for hit in found}


def test_an_index_comes_back_as_it_was_and_goes_on(database: ClusterDatabase, repository: Repository) -> None:
    index = fill(database)
    database.update_aliases([{"add": {"index": "books", "alias": "library"}}])
    hits, known, found = seen(index), versions(index), index.get("13")
    manifest = take(database, repository, "monday")
    assert manifest.indices["books"].aliases == {"library": {}}
    database.delete_index("books")

    assert restore(database, repository, "monday") == {"books": 3}

    back = database.index("books")
    assert seen(back) == hits
    assert versions(back) == known
    assert back.get("13") == found
    assert back.get("routed", routing="far away").source == {"title": "dune abroad"}
    assert database.index("books").mappings == index.mappings
    assert database.describe()["books"].aliases == {"library": {}}
    assert back.add({"title": "dune again"}, id="13").version == known["13"] + 1
    assert back.add({"title": "dune new"}, id="new").version == 1
    assert back.add({"title": "new field", "pages": 3}).version == 1
    assert back.count({"range": {"pages": {"gte": 3}}}) == 1
    assert back.check().ok


def test_copies_of_a_restored_index_all_have_it(database: ClusterDatabase, repository: Repository) -> None:
    fill(database)
    take(database, repository, "monday")
    restore(database, repository, "monday", Wish(pattern="(.+)", replacement="$1-back"))
    catalogue = database.catalogue
    ids = catalogue.shards_of("books-back")
    catalogue.wait_for_nodes(lambda: all(len(catalogue.serving(shard)) == 2 for shard in ids), 30.0, "copies")

    index = database.index("books-back")
    counts = [
        {said["documents"] for said in index._tell_all(shard, "stats", {"detail": False})} for shard in ids
    ]

    assert all(len(told) == 1 for told in counts)
    assert sum(min(told) for told in counts) == len(database.index("books")) > 0
    assert index.check().ok


@pytest.mark.parametrize("shards", [1, 5])
def test_restored_into_another_number_of_shards_scores_and_versions_stay(
    database: ClusterDatabase, repository: Repository, shards: int
) -> None:
    index = fill(database)
    take(database, repository, "monday")

    settings: dict[str, Any] = {"number_of_shards": shards, "number_of_replicas": 0}
    restore(database, repository, "monday", Wish(pattern="books", replacement="other", settings=settings))

    other = database.index("other")
    assert len(database.catalogue.shards_of("other")) == shards
    assert seen(other) == seen(index)
    assert versions(other) == versions(index)
    assert other.get("routed", routing="far away").routing == "far away"


def test_a_snapshot_holds_what_was_acknowledged_before_it_and_nothing_later(
    database: ClusterDatabase, repository: Repository, shared: SmallCluster
) -> None:
    index = fill(database)
    index.add({"title": "just before"}, id="before")
    with shared.coordinator() as another:
        take(another, repository, "monday")
    index.add({"title": "after"}, id="after")

    restore(database, repository, "monday", Wish(pattern="books", replacement="then"))

    assert "before" in database.index("then")
    assert "after" not in database.index("then")


def test_shards_that_did_not_change_are_not_copied_again(
    database: ClusterDatabase, repository: Repository
) -> None:
    index = fill(database)
    first = take(database, repository, "monday").indices["books"].shards
    index.add({"title": "one more"}, id="more")
    second = take(database, repository, "tuesday").indices["books"].shards

    same = [one.blake2b == other.blake2b for one, other in zip(first, second, strict=True)]
    inodes = [
        repository.file("monday", one).stat().st_ino == repository.file("tuesday", other).stat().st_ino
        for one, other in zip(first, second, strict=True)
    ]
    assert sorted(same) == sorted(inodes) == [False, True, True]

    repository.delete("monday")
    restore(database, repository, "tuesday", Wish(pattern="books", replacement="then"))
    assert seen(database.index("then")) == seen(index)
    assert repository.names() == ["tuesday"]


def test_damage_is_told_by_name_and_nothing_is_restored(
    database: ClusterDatabase, repository: Repository
) -> None:
    fill(database)
    fill(database, "whole", shards=1)
    shard = take(database, repository, "monday").indices["books"].shards[1]
    path = repository.file("monday", shard)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for name in database.indices():
        database.delete_index(name)

    (told,) = repository.damages("monday")
    assert path.name in told
    assert "[books]" in told
    with pytest.raises(CorruptIndex, match=path.name):
        restore(database, repository, "monday")
    assert database.indices() == []
    assert restore(database, repository, "monday", Wish(["whole"])) == {"whole": 1}

    path.unlink()
    with pytest.raises(CorruptIndex, match=path.name):
        restore(database, repository, "monday", Wish(["books"]))


def test_damage_of_an_earlier_snapshot_is_not_inherited(
    database: ClusterDatabase, repository: Repository
) -> None:
    fill(database, shards=1)
    (shard,) = take(database, repository, "monday").indices["books"].shards
    repository.file("monday", shard).write_bytes(b"rubbish")

    take(database, repository, "tuesday")

    assert len(repository.damages("monday")) == 1
    assert repository.damages("tuesday") == []


def test_a_folder_without_its_manifest_is_no_snapshot(
    database: ClusterDatabase, repository: Repository
) -> None:
    fill(database, shards=1)
    take(database, repository, "monday")
    (repository.path / "monday" / MANIFEST).unlink()

    assert repository.names() == []
    with pytest.raises(SnapshotNotFound, match="monday"):
        restore(database, repository, "monday")
    with pytest.raises(SnapshotNotFound, match="tuesday"):
        repository.delete("tuesday")


@pytest.mark.parametrize("file", ["../../secret", "/etc/passwd", "."])
def test_a_manifest_that_names_other_files_is_refused(
    database: ClusterDatabase, repository: Repository, file: str
) -> None:
    fill(database)
    take(database, repository, "monday")
    path = repository.path / "monday" / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["indices"]["books"]["shards"][0]["file"] = file
    path.write_text(json.dumps(manifest))
    with pytest.raises(CorruptIndex, match="which is no file of a snapshot"):
        repository.damages("monday")
    with pytest.raises(CorruptIndex, match="which is no file of a snapshot"):
        restore(database, repository, "monday", Wish(pattern="(.+)", replacement="old-$1"))


def test_a_manifest_that_cannot_be_read_does_not_stop_other_snapshots(
    database: ClusterDatabase, repository: Repository
) -> None:
    index = fill(database)
    take(database, repository, "monday")
    (repository.path / "monday" / MANIFEST).write_text("{")
    take(database, repository, "tuesday")
    assert repository.names() == ["monday", "tuesday"]
    assert restore(database, repository, "tuesday", Wish(pattern="(.+)", replacement="old-$1")) == {
        "old-books": 3
    }
    assert seen(database.index("old-books")) == seen(index)
    with pytest.raises(CorruptIndex, match="is unreadable"):
        repository.manifest("monday")
    repository.delete("monday")
    assert repository.names() == ["tuesday"]


def test_a_full_disk_leaves_the_earlier_snapshots_and_nothing_else(
    database: ClusterDatabase, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = fill(database)
    take(database, repository, "monday")
    index.add_many([{"_id": f"new {number}", "title": "dune"} for number in range(30)])
    before = sorted(each.name for each in repository.path.iterdir())

    def full(self: PackedFile, packed: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(PackedFile, "_put", full)
        with pytest.raises(StoreFull, match="No space left"):
            take(database, repository, "tuesday")

    assert sorted(each.name for each in repository.path.iterdir()) == before
    assert repository.damages("monday") == []
    assert take(database, repository, "tuesday").name == "tuesday"


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_makes_is_not(
    database: ClusterDatabase, repository: Repository
) -> None:
    fill(database, shards=1)
    left = repository.path / f"{MAKING}left"
    left.mkdir()
    (left / LOCK).touch()
    (left / "part.zst").write_bytes(b"half of it")

    with repository.making("living"):
        take(database, repository, "monday")
        (living,) = repository.path.glob(f"{MAKING}*")

    assert living != left
    assert not left.exists()
    assert not living.exists()
    assert repository.names() == ["monday"]


def test_two_at_once_do_not_write_over_each_other(database: ClusterDatabase, repository: Repository) -> None:
    fill(database, shards=1)
    with repository.making("monday") as slower:
        faster = take(database, repository, "monday")
        with pytest.raises(SnapshotExists, match="monday"):
            slower.publish(faster.__class__("monday", "other", "", "", 0, 0, {}))

    assert repository.manifest("monday").id == faster.id
    with pytest.raises(SnapshotExists):
        take(database, repository, "monday")


def test_an_index_that_is_there_is_not_restored_over(
    database: ClusterDatabase, repository: Repository
) -> None:
    index = fill(database)
    take(database, repository, "monday")
    index.add({"title": "kept"}, id="kept")
    database.update_aliases([{"add": {"index": "books", "alias": "taken"}}])

    with pytest.raises(IndexExists, match="books"):
        restore(database, repository, "monday")
    with pytest.raises(IndexExists, match="taken"):
        restore(database, repository, "monday", Wish(pattern="books", replacement="taken"))
    assert "kept" in index


@pytest.mark.parametrize("name", ["", "Monday", "../up", "making-x", "a/b", ".hidden", "a b", "lock"])
def test_names_that_are_no_folders_are_refused(repository: Repository, name: str) -> None:
    with pytest.raises(RequestError, match="snapshot name"), repository.making(name):
        pass


def test_other_directories_are_no_repositories(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RequestError, match="holds other files"):
        Repository(tmp_path, create=True)
    with pytest.raises(RequestError, match="no repository"):
        Repository(tmp_path / "nowhere")
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "repository.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(quidditch.StorageError, match="format 2"):
        Repository(newer)


@pytest.mark.parametrize("shards", [1, 3])
def test_a_snapshot_becomes_indices_of_a_directory(
    database: ClusterDatabase, repository: Repository, tmp_path: Path, shards: int
) -> None:
    index = fill(database, shards=shards)
    take(database, repository, "monday")

    with quidditch.connect(tmp_path / "alone") as local:
        assert restore_into_directory(local, repository, "monday") == ["books"]
        back = local.index("books")
        assert seen(back) == seen(index)
        assert versions(back) == versions(index)
        assert back.add({"title": "dune"}, id="13").version == versions(index)["13"] + 1
        assert local.check().ok


# ------------------------------------------------------------------------------------------------- REST


@pytest.fixture
def client(shared: SmallCluster, tmp_path: Path) -> Iterator[Server]:
    """OpenSearch's REST API over the cluster, where repositories may lie below `allowed`."""
    with shared.coordinator() as made:
        made.snapshots = ClusterSnapshots(made, [tmp_path / "allowed"])
        yield Server(made)
        for name in made.snapshots.repositories():
            made.snapshots.forget(name)
    shared.empty()


def test_rest_takes_lists_restores_and_deletes(client: Server) -> None:
    assert client("PUT", "/books", {"settings": {"number_of_shards": 2}}).status_code == 200
    assert client("PUT", "/books/_doc/1", {"title": "dune"}).status_code == 201
    repository = {"type": "fs", "settings": {"location": "here"}}
    assert client("PUT", "/_snapshot/backups", repository).json() == {"acknowledged": True}
    assert client("GET", "/_snapshot").json() == {"backups": repository}
    assert client("POST", "/_snapshot/backups/_verify").status_code == 200

    made = client("PUT", "/_snapshot/backups/monday?wait_for_completion=true", {"indices": "boo*"}).json()
    assert made["snapshot"]["state"] == "SUCCESS"
    assert made["snapshot"]["shards"] == {"total": 2, "failed": 0, "successful": 2}
    assert [one["snapshot"] for one in client("GET", "/_snapshot/backups/_all").json()["snapshots"]] == [
        "monday"
    ]
    assert client("GET", "/_snapshot/backups/monday/_status").json()["snapshots"][0]["indices"].keys() == {
        "books"
    }
    assert client("GET", "/_cat/snapshots/backups?h=id,status,total_shards").text.split() == [
        "monday",
        "SUCCESS",
        "2",
    ]
    assert client("GET", "/_cat/repositories").text.split() == ["backups", "fs"]

    taken = client("POST", "/_snapshot/backups/monday/_restore")
    assert (taken.status_code, taken.json()["error"]["type"]) == (400, "resource_already_exists_exception")
    body = {
        "rename_pattern": "(.+)",
        "rename_replacement": "old-$1",
        "index_settings": {"number_of_shards": 3},
    }
    restored = client("POST", "/_snapshot/backups/monday/_restore?wait_for_completion=true", body).json()
    assert restored["snapshot"]["indices"] == ["old-books"]
    assert client("GET", "/old-books/_doc/1").json()["_source"] == {"title": "dune"}

    assert client("DELETE", "/_snapshot/backups/monday").json() == {"acknowledged": True}
    missing = client("GET", "/_snapshot/backups/monday")
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "snapshot_missing_exception")


def test_rest_lets_those_take_snapshots_who_may_look_after_the_cluster(
    shared: SmallCluster, tmp_path: Path
) -> None:
    with shared.coordinator() as made:
        made.snapshots = ClusterSnapshots(made, [tmp_path / "allowed"])
        secured = Secured(made, tmp_path)
        operator = secured.having({"*": "admin"}, cluster="admin", name="operator")
        limited = secured.having({"logs*": "admin"}, cluster="admin", name="limited")
        reader = secured.having({"*": "read"}, name="reader")
        try:
            assert secured("PUT", "/_snapshot/backups", {}).status_code == 401
            body = {"type": "fs", "settings": {"location": "here"}}
            assert reader("PUT", "/_snapshot/backups", body).status_code == 403
            assert operator("PUT", "/_snapshot/backups", body).json() == {"acknowledged": True}
            made.create_index("books").add({"title": "dune"}, id="1")
            made.create_index("logs").add({"title": "one line"}, id="1")
            taken = operator("PUT", "/_snapshot/backups/monday?wait_for_completion=true").json()
            assert taken["snapshot"]["indices"] == ["books", "logs"]
            assert reader("GET", "/_snapshot/backups/monday").status_code == 403
            assert reader("POST", "/_snapshot/backups/monday/_restore").status_code == 403

            # What is not his he neither takes along, nor reads under a name that is his, nor puts in its place.
            assert limited("PUT", "/_snapshot/backups/all").status_code == 403
            assert limited("PUT", "/_snapshot/backups/his", {"indices": "books"}).status_code == 403
            assert limited("PUT", "/_snapshot/backups/his", {"indices": "logs"}).status_code == 200
            for indices, name in (("books", "logs-2"), ("logs", "books-2")):
                wish = {"indices": indices, "rename_pattern": ".+", "rename_replacement": name}
                assert limited("POST", "/_snapshot/backups/monday/_restore", wish).status_code == 403
            wish = {"indices": "logs", "rename_pattern": ".+", "rename_replacement": "logs-2"}
            assert limited("POST", "/_snapshot/backups/monday/_restore", wish).status_code == 200
            assert made.indices() == ["books", "logs", "logs-2"]
        finally:
            for name in made.snapshots.repositories():
                made.snapshots.forget(name)
    shared.empty()


@pytest.mark.parametrize("shards", ["many", 0, {}])
def test_rest_restores_into_no_number_of_shards_that_is_none(client: Server, shards: Any) -> None:
    assert client("PUT", "/books").status_code == 200
    client("PUT", "/_snapshot/backups", {"type": "fs", "settings": {"location": "here"}})
    assert client("PUT", "/_snapshot/backups/monday?wait_for_completion=true").status_code == 200
    body = {"rename_pattern": "(.+)", "rename_replacement": "old-$1"}
    body["index_settings"] = {"number_of_shards": shards}  # type: ignore[assignment]
    refused = client("POST", "/_snapshot/backups/monday/_restore", body)
    assert refused.status_code == 400
    assert "number_of_shards" in refused.json()["error"]["reason"]
    refused = client("POST", "/_snapshot/backups/monday/_restore", {"index_settings": {"index": 5}})
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "parse_exception")


@pytest.mark.parametrize("location", ["/etc", "../outside", "here/../../outside", "null\0"])
def test_rest_takes_no_location_that_the_operator_did_not_allow(client: Server, location: str) -> None:
    body = {"type": "fs", "settings": {"location": location}}
    refused = client("PUT", "/_snapshot/backups", body)
    assert refused.status_code == 400
    assert "location" in refused.json()["error"]["reason"]
    assert client("GET", "/_snapshot/backups/_all").json()["error"]["type"] == "repository_missing_exception"


def test_rest_over_a_directory_says_that_snapshots_are_of_a_cluster(tmp_path: Path) -> None:
    with quidditch.connect(tmp_path / "alone") as local:
        answer = Server(local)("GET", "/_snapshot")
    assert answer.status_code == 400
    assert "quidditch backup" in answer.json()["error"]["reason"]
