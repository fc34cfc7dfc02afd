"""Checking: silent on every sound index, and naming each fault that a checksum cannot see.

The faults are written as rows are, with a checksum that fits, so that only what checks them against other rows, or
against the sources, can find them.
"""

from __future__ import annotations

import random
import shutil
import struct
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import pytest
from field_faults import FAULTS
from shard_faults import GOLDEN, MAKE, Shard, damage, shard_file

import quidditch
from quidditch.index.checking import Finding, check_directory, check_file, check_rows
from quidditch.index.checking.findings import LIMIT
from quidditch.index.checking.layout import Page, PageFile
from quidditch.index.codecs import FORMAT_VERSION, OLDEST_READABLE, segment_chunk_key
from quidditch.index.environment import Environment
from quidditch.index.storage import SHARD_TABLES, Table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with quidditch.connect(folder) as database:
        MAKE.write(database.create_index(MAKE.NAME, MAKE.MAPPINGS))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that the test may damage."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def found(folder: Path, *, deep: bool = True) -> list[Finding]:
    return list(check_directory(folder, deep=deep))


# ----------------------------------------------------------------------------------------------- sound indices


def golden(version: int, folder: Path) -> Path:
    with tarfile.open(GOLDEN / f"format-{version}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("version", range(OLDEST_READABLE, FORMAT_VERSION + 1))
def test_nothing_is_found_in_a_golden_index(version: int, tmp_path: Path) -> None:
    assert found(golden(version, tmp_path)) == []


def test_checking_changes_no_byte_of_what_is_checked(folder: Path) -> None:
    before = {file: file.read_bytes() for file in folder.rglob("data.mdb")}
    assert found(folder) == []
    assert {file: file.read_bytes() for file in folder.rglob("data.mdb")} == before


def test_nothing_is_found_in_an_index_that_is_merged_emptied_and_filled_again(folder: Path) -> None:
    for step in (
        lambda index: index.flush(),
        lambda index: index.force_merge(),
        lambda index: index.bulk([{"delete": {"_id": hit.id}} for hit in list(index.scan())]),
        lambda index: index.force_merge(),
        MAKE.write,
    ):
        with quidditch.connect(folder) as database:
            step(database[MAKE.NAME])
        assert found(folder) == []


def test_nothing_is_found_in_a_directory_without_an_index_and_in_an_empty_index(tmp_path: Path) -> None:
    with quidditch.connect(tmp_path) as database:
        pass
    assert found(tmp_path) == []
    with quidditch.connect(tmp_path) as database:
        database.create_index("empty")
    assert found(tmp_path) == []


WORDS = ("ash", "bee", "日本語の本", "ভাষা", "ภาษาไทย", "straße", "the", "", "c'est", "x" * 300, "7")


def any_document(chance: random.Random) -> dict[str, Any]:
    """Arrays, nulls, objects, dotted keys, several numbers, texts of all scripts, fields of chance names."""

    def some(values: Callable[[], Any]) -> Any:
        return chance.choice(
            [values(), [values() for _ in range(chance.randrange(4))], None, [None, values()]]
        )

    def text() -> str:
        return " ".join(chance.choices(WORDS, k=chance.randrange(5)))

    doc = {
        "title": some(text),
        "french": some(text),
        "tag": some(lambda: chance.choice(WORDS)),
        "n": some(lambda: chance.randrange(-(2**40), 2**40)),
        "x": some(chance.random),
        "day": some(lambda: f"20{chance.randrange(10, 30)}-01-02"),
        "yes": some(lambda: chance.random() < 0.5),
        f"new{chance.randrange(5)}": some(text),
        "a.b": some(lambda: chance.randrange(9)),
        "owner": some(lambda: {"name": some(text)}),
    }
    return {key: value for key, value in doc.items() if chance.random() < 0.7}


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_found_whatever_is_written(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    mappings = {"properties": {"french": {"type": "text", "analyzer": "french"}, "x": {"type": "double"}}}
    ids = [f"d{number}" for number in range(150)] + [f"{number}" * 170 + "é" for number in range(100, 110)]
    with quidditch.connect(tmp_path) as database:
        index = database.create_index("any", mappings)
        for _ in range(5):
            index.add_many(
                {"_id": chance.choice(ids), **any_document(chance)} for _ in range(chance.choice((9, 1100)))
            )
            for _ in range(30):
                index.delete(chance.choice(ids))
                index.add(any_document(chance), chance.choice(ids))
            chance.choice((index.flush, index.force_merge, lambda: None))()
    assert found(tmp_path) == [], f"seed {seed}"


def test_nothing_is_found_where_windows_and_chunks_are_many(tmp_path: Path) -> None:
    docs = ({"_id": str(n), "t": f"common w{n % 900}", "k": str(n % 7), "n": n} for n in range(70_000))
    with quidditch.connect(tmp_path) as database:
        index = database.create_index("many", {"properties": {"k": {"type": "keyword"}}})
        index.add_many(docs)
        index.bulk([{"delete": {"_id": str(n)}} for n in (3, 69_000)])
    assert found(tmp_path, deep=False) == []


def test_fields_that_came_after_their_documents_are_no_fault(tmp_path: Path) -> None:
    with quidditch.connect(tmp_path) as database:
        index = database.create_index("late", {"dynamic": False, "properties": {"title": {"type": "text"}}})
        doc = {"title": "dune", "year": 1965, "tag": ["a", "bb"]}
        index.add_many([doc, doc])
        late = {"title": {"type": "text", "fields": {"raw": {"type": "keyword"}}}, "year": {"type": "long"}}
        index.put_mappings({"properties": {**late, "tag": {"type": "keyword"}}})
        index.add_many([doc, doc])
        index.force_merge()
    assert found(tmp_path) == []


@pytest.mark.parametrize("steps", [(2, 4), (4, 2), (2, 4, 1), (3, 9)])
def test_another_ignore_above_is_no_fault(steps: tuple[int, ...], tmp_path: Path) -> None:
    doc = {"tag": ["a", "bb", "ccc", "dddd", "eeeee"]}
    for longest in steps:
        with quidditch.connect(tmp_path) as database:
            index = database["tags"] if "tags" in database else database.create_index("tags")
            index.put_mappings({"properties": {"tag": {"type": "keyword", "ignore_above": longest}}})
            index.add_many([doc, {"tag": "ccc"}, {"tag": "a"}])
            index.flush()
        assert found(tmp_path) == []
    with quidditch.connect(tmp_path) as database:
        database["tags"].force_merge()
    assert found(tmp_path) == []


# ------------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name: str, folder: Path) -> None:
    fault = FAULTS[name]
    damage(folder, fault.do)
    findings = found(folder)
    named = [
        one
        for one in findings
        if one.what == fault.what and fault.where in one.where and fault.words in one.words
    ]
    assert named, findings
    assert all(one.where.startswith(f"index [{MAKE.NAME}], shard 0") for one in findings)
    assert not {"file", "page", "checksum"} & {one.what for one in findings}
    if fault.what in ("source", "mapping"):
        assert found(folder, deep=False) == []


@pytest.mark.parametrize(
    "name", ["ids_that_are_missing", "terms_out_of_order", "a_length_above_the_frequencies", "an_empty_id"]
)
def test_a_fault_is_named_where_no_row_has_a_checksum(name: str, tmp_path: Path) -> None:
    """Before format 2 there were none, and what is damaged reaches the codecs."""
    damage(golden(1, tmp_path), FAULTS[name].do)
    assert FAULTS[name].what in {one.what for one in found(tmp_path)}


def test_each_segment_is_looked_at_whatever_is_wrong_with_another(folder: Path) -> None:
    def both(shard: Shard) -> None:
        shard.change_field(1, "brief", sum_length_tokens=113)
        shard.change_field(2, "brief", sum_length_tokens=13)
        shard.delete(Table.IDS, b"doc-020")

    damage(folder, both)
    assert [(one.what, one.where.partition(": ")[2]) for one in found(folder)] == [
        ("id map", "segment 1, document 'doc-020' of write 20"),
        ("lengths", "segment 1, field [brief]"),
        ("lengths", "segment 2, field [brief]"),
    ]


def test_what_is_found_a_thousand_times_is_listed_a_hundred_times(tmp_path: Path) -> None:
    with quidditch.connect(tmp_path) as database:
        database.create_index("many").add_many({"_id": f"{n:04}", "n": n} for n in range(1_050))

    def forget_all(shard: Shard) -> None:
        for n in range(1_050):
            shard.delete(Table.IDS, b"%04d" % n)

    damage(tmp_path, forget_all)
    findings = found(tmp_path)
    assert [one.what for one in findings] == ["id map"] * (LIMIT + 1)
    assert "950 more of this kind" in findings[-1].words


def test_a_broken_checksum_is_all_that_is_said(folder: Path) -> None:
    def break_seal(shard: Shard) -> None:
        key = segment_chunk_key(1, 0)
        value = bytearray(shard.transaction.handle.get(key, None, shard.transaction._tables[Table.DOC_IDS]))
        value[40] ^= 1
        shard.transaction.handle.put(key, bytes(value), db=shard.transaction._tables[Table.DOC_IDS])
        shard.delete(Table.IDS, b"doc-020")

    damage(folder, break_seal)
    (finding,) = found(folder)
    assert finding.what == "checksum"
    assert finding.where.endswith(f"table doc_ids, key {segment_chunk_key(1, 0).hex()}")


def test_a_table_that_there_should_not_be_is_named(folder: Path) -> None:
    with lmdb.open(str(shard_file(folder).parent), max_dbs=len(SHARD_TABLES) + 1) as env:
        env.open_db(b"indices")
    (finding,) = found(folder)
    assert (finding.what, finding.words) == ("table", "is no table of this environment")
    assert finding.where.endswith("table indices")


def test_progress_rises_to_the_whole(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    assert not list(check_directory(folder, progress=lambda done, total: told.append((done, total))))
    assert len({total for _, total in told}) == 1
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1] == shard_file(folder).stat().st_size


def test_progress_of_one_shard_rises_to_the_whole_even_if_it_ends_early(folder: Path) -> None:
    damage(folder, lambda shard: shard.delete(Table.DOC_IDS, segment_chunk_key(1, 0)))
    environment = Environment(shard_file(folder).parent, SHARD_TABLES, readonly=True)
    told: list[tuple[int, int]] = []
    with environment.read() as transaction:
        assert list(check_rows(transaction, None, progress=lambda done, total: told.append((done, total))))
    environment.close()
    assert told
    assert told[-1][0] == told[-1][1]


# --------------------------------------------------------------------------------------------------- the file


@contextmanager
def bytes_of(file: Path) -> Iterator[bytearray]:
    """A file's bytes to be changed in place."""
    data = bytearray(file.read_bytes())
    yield data
    file.write_bytes(data)


def kinds(folder: Path) -> set[str]:
    return {one.what for one in found(folder)}


def test_a_missing_and_a_truncated_file_are_named(folder: Path) -> None:
    file = shard_file(folder)
    with bytes_of(file) as data:
        del data[20_000:]
    (finding,) = found(folder)
    assert finding.what == "file"
    assert "truncated" in finding.words
    file.unlink()
    (finding,) = found(folder)
    assert (finding.what, finding.where) == ("file", f"index [{MAKE.NAME}], shard 0")
    assert "missing" in finding.words


@pytest.mark.parametrize("content", [b"", b"\0" * 9000, b"no LMDB file" * 1000])
def test_what_is_no_lmdb_file_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "data.mdb"
    file.write_bytes(content)
    (finding,) = check_file(file)
    assert finding.what == "file"


def test_a_zeroed_page_is_named(folder: Path) -> None:
    with shard_file(folder).open("rb") as stream:
        file = PageFile(stream)
        number = next(
            page.number for tree in file.trees() if tree.name == "stored" for page in file.pages(tree)
        )
    with bytes_of(shard_file(folder)) as data:
        data[number * file.page_bytes :][: file.page_bytes] = b""
        data[number * file.page_bytes : number * file.page_bytes] = bytes(file.page_bytes)
    assert kinds(folder) == {"page"}


def branch(folder: Path, name: str) -> tuple[int, Page]:
    """(place in the file, page) of a tree's root, which must be a branch."""
    with shard_file(folder).open("rb") as stream:
        file = PageFile(stream)
        page = next(page for tree in file.trees() if tree.name == name for page in file.pages(tree))
    assert page.is_branch
    return page.number * file.page_bytes, page


def test_a_separator_that_keys_are_beyond_is_named(folder: Path) -> None:
    """Its order is right, so that scans are; a look-up would go to the wrong page."""
    start, page = branch(folder, "ids")
    node = page.nodes[1]
    with bytes_of(shard_file(folder)) as data:
        last = start + node.start + 8 + len(node.key) - 1
        data[last] += 1
    (finding,) = found(folder)
    assert (finding.what, "outside of the separators" in finding.words) == ("page", True)
    assert "tree [ids]" in finding.where


def test_nodes_that_overlap_are_named(folder: Path) -> None:
    """LMDB would move too few or too many bytes when it writes to this page."""
    start, page = branch(folder, "ids")
    with bytes_of(shard_file(folder)) as data:
        data[start + page.nodes[1].start + 6] += 2
    findings = found(folder)
    assert {one.what for one in findings} == {"page"}
    assert "its nodes do not lie end to end" in [one.words for one in findings]


@pytest.mark.parametrize("flags", [0x02, 0x40])
def test_a_value_that_passes_for_something_else_is_named(flags: int, folder: Path) -> None:
    """LMDB reads it as before, and refuses to delete it."""
    with shard_file(folder).open("rb") as stream:
        file = PageFile(stream)
        pages = [page for tree in file.trees() if tree.name == "term_blocks" for page in file.pages(tree)]
    leaves = ((page, node) for page in pages if not page.is_branch for node in page.nodes)
    page, node = next((page, node) for page, node in leaves if node.child)
    with bytes_of(shard_file(folder)) as data:
        data[page.number * file.page_bytes + node.start + 4] |= flags
    (finding,) = found(folder)
    assert (finding.what, node.key.hex() in finding.words) == ("page", True)


def test_a_table_with_flags_is_named(folder: Path) -> None:
    """Of an empty table they change nothing yet; what is written to it would be out of order."""
    with shard_file(folder).open("rb") as stream:
        file = PageFile(stream)
        (root,) = file.pages(file.newest.main)
    node = next(node for node in root.nodes if node.key == b"pending")
    with bytes_of(shard_file(folder)) as data:
        data[root.number * file.page_bytes + node.start + 8 + len(node.key) + 4] = 2
    (finding,) = found(folder)
    assert (finding.what, finding.words) == ("page", "flags 0x2, 0x0 expected")


@pytest.mark.parametrize(("of_the_newest", "by"), [(True, -2), (True, -4), (False, 2), (False, 64)])
def test_a_meta_page_that_takes_lmdb_back_to_an_older_commit_is_named(
    of_the_newest: bool, by: int, folder: Path
) -> None:
    with shard_file(folder).open("rb") as stream:
        file = PageFile(stream)
    meta = file.newest if of_the_newest else file.older
    with bytes_of(shard_file(folder)) as data:
        struct.pack_into("<Q", data, (meta.transaction & 1) * file.page_bytes + 144, meta.transaction + by)
    findings = found(folder)
    assert {(one.what, one.where.partition(": ")[2]) for one in findings} == {("page", "meta page")}


@pytest.mark.parametrize("root", [None, 1 << 40, 1 << 62])
def test_damage_to_the_commit_before_the_last_is_no_fault(root: int | None, folder: Path) -> None:
    """Nobody reads it any more: a page of its own, or what its meta page says."""
    with shard_file(folder).open("rb") as stream:
        file = PageFile(stream)
    assert file.older.free.root != file.newest.free.root
    with bytes_of(shard_file(folder)) as data:
        if root is None:
            start = file.older.free.root * file.page_bytes
            data[start : start + file.page_bytes] = b"\xff" * file.page_bytes
        else:
            struct.pack_into("<Q", data, (file.older.transaction & 1) * file.page_bytes + 80, root)
    assert found(folder) == []


# ----------------------------------------------------------------------------------------------- the catalogue


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (b"a b", "{}", "must hold no"),
        (b"\xff", "{}", "decode"),
        (b"two", "{", "truncated"),
        (b"two", '{"generation":"../x","mappings":{}}', "32 hexadecimal digits"),
        (b"two", '{"generation":"%s","mappings":{},"shards":2}', "2 shards"),
        (b"two", '{"generation":"%s","mappings":{"properties":{"a":{"type":"no"}}}}', "unknown type"),
        (b"two", '{"generation":"%s","mappings":{}}', f"as index [{MAKE.NAME}] does"),
    ],
)
def test_an_entry_of_the_catalogue_that_cannot_be_is_named(
    key: bytes, value: str, words: str, folder: Path
) -> None:
    generation = shard_file(folder).parent.parent.name
    environment = Environment(folder / "catalog", (Table.META, Table.INDICES))
    with environment.write() as transaction:
        transaction.put(Table.INDICES, key, value.replace("%s", generation).encode())
    environment.close()
    (finding,) = found(folder)
    assert finding.what == "catalogue"
    assert words in finding.words
    assert finding.where == f"catalogue: index [{key.decode(errors='replace')}]"


# -------------------------------------------------------------------------------------------------- the report


def test_a_report_is_ok_without_problems_and_plain_as_json() -> None:
    problem = quidditch.Problem("ids", "index [a], shard 0: segment 1", "are missing")
    assert quidditch.CheckReport().ok
    assert not quidditch.CheckReport([problem]).ok
    assert str(problem) == "ids: index [a], shard 0: segment 1: are missing"
    assert quidditch.CheckReport([problem]).to_dict() == {
        "ok": False,
        "problems": [{"what": "ids", "where": "index [a], shard 0: segment 1", "words": "are missing"}],
    }
