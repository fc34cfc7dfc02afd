"""Indexes written by every format that is still promised open, and answer as they did when they were written."""

from __future__ import annotations

import importlib.util
import json
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import quidditch
from quidditch.index.catalog import CATALOG_TABLES
from quidditch.index.codecs import FORMAT_VERSION, OLDEST_READABLE
from quidditch.index.copying import ShardCopy
from quidditch.index.environment import Environment
from quidditch.index.storage import SHARD_TABLES, Table

GOLDEN = Path(__file__).parent.parent / "golden"
VERSIONS = range(OLDEST_READABLE, FORMAT_VERSION + 1)
every_version = pytest.mark.parametrize("version", VERSIONS)


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE = maker()


def expected(version: int) -> Any:
    return json.loads((GOLDEN / f"format-{version}.json").read_text(encoding="utf-8"))


def unpacked(version: int, folder: Path) -> Path:
    with tarfile.open(GOLDEN / f"format-{version}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def seen(index: quidditch.Index) -> Any:
    """What the index answers, as it looks after a round through JSON."""
    return json.loads(json.dumps(MAKE.answers(index)))


@every_version
def test_every_readable_version_has_a_golden_index(version: int) -> None:
    for suffix in ("tar.gz", "json"):
        path = GOLDEN / f"format-{version}.{suffix}"
        assert path.is_file(), f"run tests/golden/make.py and keep {path.name}"
        assert path.stat().st_size < 300_000


@every_version
@pytest.mark.parametrize("readonly", [True, False])
def test_a_golden_index_answers_as_it_did(version: int, readonly: bool, tmp_path: Path) -> None:
    folder = unpacked(version, tmp_path)
    with quidditch.connect(folder, readonly=readonly, create=False) as database:
        assert database.indices() == [MAKE.NAME]
        assert seen(database[MAKE.NAME]) == expected(version)


@every_version
def test_a_golden_index_is_read_from_a_directory_that_may_not_be_written(
    version: int, tmp_path: Path
) -> None:
    folder = unpacked(version, tmp_path / "golden")
    directories = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for directory in directories:
        directory.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with quidditch.connect(folder, readonly=True) as database:
            assert seen(database[MAKE.NAME]) == expected(version)
    finally:
        for directory in directories:
            directory.chmod(stat.S_IRWXU)


@every_version
def test_a_golden_index_is_written_and_merged(version: int, tmp_path: Path) -> None:
    folder = unpacked(version, tmp_path)
    before = expected(version)
    with quidditch.connect(folder, create=False) as database:
        index = database[MAKE.NAME]
        index.force_merge()
        stats = index.stats()
        assert (stats.segments, stats.buffered, stats.deleted) == (1, 0, 0)
        assert seen(index)["searches"] == before["searches"]
        assert seen(index)["documents"] == before["documents"]
        last = max(doc[2] for doc in before["documents"] if doc is not None)
        written = index.add({"body": "written by a later release", "tags": ["new"]}, MAKE.LONG_ID)
        assert (written.result, written.version) == ("updated", 3)
        assert written.seq_no > last
        assert index.search({"match": {"body": "later"}}).total == 1
        assert len(index) == before["stats"]["documents"]


@every_version
def test_a_golden_index_fills_every_table(version: int, tmp_path: Path) -> None:
    """Leases excepted: they are there only while something is written."""
    (folder,) = (path.parent for path in unpacked(version, tmp_path).glob("*/0/data.mdb"))
    environment = Environment(folder, SHARD_TABLES, readonly=True)
    with environment.read() as transaction:
        empty = {table for table in SHARD_TABLES if not transaction.count(table)}
    environment.close()
    assert empty == {Table.PENDING}


def test_this_release_makes_the_same_index(tmp_path: Path) -> None:
    with quidditch.connect(tmp_path) as database:
        index = database.create_index(MAKE.NAME, MAKE.MAPPINGS)
        MAKE.write(index)
        assert seen(index) == expected(FORMAT_VERSION)


older_versions = pytest.mark.parametrize("version", [one for one in VERSIONS if one < FORMAT_VERSION])


def formats(folder: Path) -> set[int]:
    """The formats of the environments in a directory."""
    found = set()
    for file in folder.rglob("data.mdb"):
        tables = CATALOG_TABLES if file.parent.name == "catalog" else SHARD_TABLES
        environment = Environment(file.parent, tables, readonly=True)
        found.add(environment.format)
        environment.close()
    return found


@older_versions
def test_an_older_index_is_upgraded_by_its_first_write(version: int, tmp_path: Path) -> None:
    folder = unpacked(version, tmp_path)
    with quidditch.connect(folder, readonly=True) as database:
        assert seen(database[MAKE.NAME]) == expected(version)
    assert formats(folder) == {version}, "reading changes nothing"
    with quidditch.connect(folder) as database:
        index = database[MAKE.NAME]
        assert seen(index) == expected(version)
        index.delete("not there")
        after = seen(index)
        assert {key: value for key, value in after.items() if key != "stats"} == {
            key: value for key, value in expected(version).items() if key != "stats"
        }
        assert index.check().problems == ()
    assert formats(folder) == {FORMAT_VERSION}
    assert len(list(folder.glob("*/0"))) == 1
    assert quidditch.check(folder).ok


@older_versions
def test_a_reader_of_an_older_index_goes_on_while_it_is_upgraded(version: int, tmp_path: Path) -> None:
    folder = unpacked(version, tmp_path)
    upgrade = (
        "import sys, quidditch\n"
        "with quidditch.connect(sys.argv[1]) as database:\n"
        f"    database[{MAKE.NAME!r}].add({{'body': 'common'}}, id='new')\n"
    )
    with quidditch.connect(folder, readonly=True) as database:
        index = database[MAKE.NAME]
        scan = index.scan()
        first = next(scan).id
        subprocess.run([sys.executable, "-c", upgrade, str(folder)], check=True)
        assert len([first, *(hit.id for hit in scan)]) == expected(version)["stats"]["documents"]
        assert index["new"]["body"] == "common"
        assert len(index) == expected(version)["stats"]["documents"] + 1


@older_versions
def test_an_upgrade_that_fails_leaves_the_older_index(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unpacked(version, tmp_path)

    def broken(self: ShardCopy, *_: Any) -> None:
        raise quidditch.StoreFull("no room for a copy")

    with quidditch.connect(folder) as database:
        index = database[MAKE.NAME]
        with monkeypatch.context() as full:
            full.setattr(ShardCopy, "finish", broken)
            with pytest.raises(quidditch.StoreFull):
                index.add({"body": "common"})
        assert seen(index) == expected(version)
        assert index.add({"body": "common"}).result == "created"
