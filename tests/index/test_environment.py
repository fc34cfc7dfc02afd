"""One LMDB environment: what it refuses to open, its lock, its transactions, and its end."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

import quidditch
from quidditch.errors import (
    CorruptIndex,
    FormatTooNew,
    FormatTooOld,
    InternalError,
    StorageError,
    StoreFull,
    StoreLocked,
)
from quidditch.index.codecs import FORMAT_VERSION, OLDEST_READABLE
from quidditch.index.datafile import _newest_meta, format_record
from quidditch.index.environment import Environment
from quidditch.index.storage import Table

TABLES = (Table.META, Table.STORED, Table.IDS)


def reopened(folder: Path, **options: Any) -> Environment:
    return Environment(folder, TABLES, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An environment with ten rows, closed."""
    environment = reopened(tmp_path / "shard")
    with environment.write() as transaction:
        transaction.put_many(Table.STORED, [(b"%03d" % n, b"x" * n) for n in range(10)])
    environment.close()
    return tmp_path / "shard"


@pytest.fixture
def environment(folder: Path) -> Iterator[Environment]:
    environment = reopened(folder, write_timeout_s=0.2)
    yield environment
    environment.close()


def rows_in(environment: Environment, table: Table = Table.STORED) -> int:
    with environment.read() as transaction:
        return transaction.count(table)


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


# --------------------------------------------------------------------------------------------------- opening


def put_format(folder: Path, record: bytes | None) -> None:
    with lmdb.open(str(folder), max_dbs=30, map_size=1 << 30) as env, env.begin(write=True) as txn:
        meta = env.open_db(b"meta", txn)
        if record is None:
            txn.delete(b"format", db=meta)
        else:
            txn.put(b"format", record, db=meta)


def a_format(version: object, magic: str = "quidditch", **more: object) -> bytes:
    return json.dumps({"magic": magic, "format": version, "writer": "99.5", **more}).encode()


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize(
    ("record", "error", "says"),
    [
        (None, CorruptIndex, "missing"),
        (b"", CorruptIndex, "unreadable"),
        (b"[1]", CorruptIndex, "unreadable"),
        (a_format(FORMAT_VERSION, "quaffle"), CorruptIndex, "unreadable"),
        (a_format("new"), CorruptIndex, "unreadable"),
        (a_format(FORMAT_VERSION), CorruptIndex, "unreadable"),
        (a_format(FORMAT_VERSION, crc32=1), CorruptIndex, "unreadable"),
        (a_format(1, crc32=1), CorruptIndex, "unreadable"),
        (a_format(OLDEST_READABLE - 1), FormatTooOld, str(OLDEST_READABLE)),
        (a_format(FORMAT_VERSION + 1), FormatTooNew, r"99\.5"),
    ],
)
def test_a_format_that_is_not_ours_is_refused(
    folder: Path, record: bytes | None, error: type[Exception], says: str, readonly: bool
) -> None:
    put_format(folder, record)
    with pytest.raises(error, match=says):
        reopened(folder, readonly=readonly)
    put_format(folder, format_record())
    environment = reopened(folder, readonly=readonly)
    assert rows_in(environment) == 10
    environment.close()


@pytest.mark.parametrize("kept", [0, 100, 4096, 5000, 3 * 4096])
@pytest.mark.parametrize("readonly", [True, False])
def test_a_truncated_file_is_refused_before_it_is_mapped(folder: Path, kept: int, readonly: bool) -> None:
    os.truncate(folder / "data.mdb", kept)
    with pytest.raises(CorruptIndex, match="truncated"):
        reopened(folder, readonly=readonly)


@pytest.mark.parametrize("readonly", [True, False])
def test_a_table_that_is_missing_is_damage_and_not_made_anew(folder: Path, readonly: bool) -> None:
    with lmdb.open(str(folder), max_dbs=30, map_size=1 << 30) as env, env.begin(write=True) as txn:
        txn.drop(env.open_db(b"ids", txn, create=False))
    before = (folder / "data.mdb").read_bytes()
    with pytest.raises(CorruptIndex, match="no table ids"):
        reopened(folder, readonly=readonly)
    assert (folder / "data.mdb").read_bytes() == before


def test_a_file_that_is_no_lmdb_file_is_refused(folder: Path) -> None:
    (folder / "data.mdb").write_bytes(b"magic" * 5000)
    with pytest.raises(CorruptIndex, match="not an LMDB file"):
        reopened(folder)


def test_a_foreign_lmdb_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), max_dbs=2) as env, env.begin(write=True) as txn:
        txn.put(b"mine", b"keep", db=env.open_db(b"notes", txn))
    before = (tmp_path / "data.mdb").read_bytes()
    with pytest.raises(CorruptIndex):
        reopened(tmp_path)
    assert (tmp_path / "data.mdb").read_bytes() == before


def test_what_was_being_made_when_its_maker_died_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir(parents=True)
    (tmp_path / "new" / "data.mdb").write_bytes(b"half")
    environment = reopened(tmp_path)
    assert rows_in(environment) == 0
    environment.close()


def test_several_processes_make_one_directory_at_once(tmp_path: Path) -> None:
    script = """
        import sys, quidditch
        print("ready", flush=True)
        sys.stdin.readline()
        with quidditch.connect(sys.argv[1]) as database:
            try:
                database.create_index("books")
            except quidditch.IndexExists:
                pass
            database["books"].add({"title": "dune"})
    """
    started = [python(script, tmp_path / "data") for _ in range(3)]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=60)
        assert process.returncode == 0
    with quidditch.connect(tmp_path / "data") as database:
        assert database["books"].count("dune") == 3


def test_a_file_that_lacks_only_free_pages_at_its_end_is_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LMDB counts pages that a transaction took and gave back; a kill before the file was lengthened leaves this."""
    monkeypatch.setattr(Environment, "_cover_last_page", lambda self: None)
    environment = reopened(tmp_path)
    file = tmp_path / "data.mdb"
    for size in range(1_000, 400_000, 3_000):
        with environment.write() as transaction:
            transaction.put(Table.STORED, b"%d" % size, bytes(size))
            transaction.delete(Table.STORED, b"%d" % size)
            transaction.put(Table.IDS, b"%d" % size, b"")
        page_bytes, last_page, _ = _newest_meta(file)
        if file.stat().st_size < (last_page + 1) * page_bytes:
            break
    else:
        pytest.fail("LMDB always wrote the last page: the test no longer tests anything")
    count = rows_in(environment, Table.IDS)
    environment.close()
    environment = reopened(tmp_path)
    assert rows_in(environment, Table.IDS) == count
    environment.close()
    os.truncate(file, 8 * page_bytes)
    with pytest.raises(CorruptIndex, match="truncated"):
        reopened(tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_was_written_and_deleted_the_file_opens_again(tmp_path: Path, seed: int) -> None:
    """LMDB counts pages at the end that were freed before they were written: the file must not look truncated."""
    chance = random.Random(seed)
    environment = reopened(tmp_path)
    for _ in range(15):
        with environment.write() as transaction:
            if chance.random() < 0.5:
                for _ in range(chance.randrange(1, 600)):
                    key = b"%05d" % chance.randrange(20_000)
                    transaction.put(Table.STORED, key, bytes(chance.choice([10, 100, 1000, 5000])))
            else:
                transaction.delete_prefix(Table.STORED, b"%d" % chance.randrange(2), chance.randrange(3000))
                for key, _ in list(transaction.rows(Table.STORED, b"%02d" % chance.randrange(20))):
                    transaction.delete(Table.STORED, key)
        count = rows_in(environment)
        environment.close()
        environment = reopened(tmp_path)
        assert rows_in(environment) == count
    environment.close()


# ------------------------------------------------------------------------------------------------------ lock

HOLD = """
    import sys
    from pathlib import Path
    from quidditch.index.environment import Environment
    from quidditch.index.storage import Table
    environment = Environment(Path(sys.argv[1]), (Table.META, Table.STORED, Table.IDS))
    with environment.write() as transaction:
        transaction.put(Table.IDS, b"held", b"")
        print("held", flush=True)
        sys.stdin.readline()
    print("done", flush=True)
"""


def test_waiting_for_another_process_names_it_and_ends(environment: Environment) -> None:
    holder = python(HOLD, environment.path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StoreLocked, match=rf"0\.2 s.*process {holder.pid}\b"), environment.write():
        pass
    assert rows_in(environment, Table.IDS) == 0, "an uncommitted write was seen"
    assert holder.communicate("\n", timeout=30)[0] == "done\n"
    with environment.write() as transaction:
        assert transaction.get(Table.IDS, b"held") is not None


def test_the_lock_of_a_killed_process_is_free(environment: Environment) -> None:
    holder = python(HOLD, environment.path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate(timeout=30)
    with environment.write() as transaction:
        assert transaction.get(Table.IDS, b"held") is None


def test_waiting_for_another_thread_ends(environment: Environment) -> None:
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with environment.write():
            held.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    with pytest.raises(StoreLocked, match="another thread"), environment.write():
        pass
    release.set()
    thread.join()
    with environment.write():
        pass


def test_a_thread_may_write_several_times_under_its_lock(environment: Environment) -> None:
    with environment.locked():
        for number in range(2):
            with environment.write() as transaction:
                transaction.put(Table.IDS, b"%d" % number, b"")
    assert rows_in(environment, Table.IDS) == 2


# ------------------------------------------------------------------------------------------------ transactions


def test_a_write_that_raises_is_undone(environment: Environment) -> None:
    def put_and_fail() -> None:
        with environment.write() as transaction:
            transaction.put(Table.IDS, b"half", b"")
            raise KeyError

    with pytest.raises(KeyError):
        put_and_fail()
    assert rows_in(environment, Table.IDS) == 0


def test_rows_out_of_order_are_an_error_and_undone(environment: Environment) -> None:
    with pytest.raises(InternalError, match="order"), environment.write() as transaction:
        transaction.put_many(Table.IDS, [(b"1", b""), (b"3", b""), (b"2", b"")])
    assert rows_in(environment, Table.IDS) == 0


def test_a_full_map_is_an_error_and_nothing_is_half_written(tmp_path: Path) -> None:
    environment = reopened(tmp_path, map_bytes=1 << 20)
    with environment.write() as transaction:
        transaction.put(Table.IDS, b"before", b"")

    def overfill() -> None:
        with environment.write() as transaction:
            for number in range(1000):
                transaction.put(Table.STORED, b"%d" % number, bytes(10_000))

    with pytest.raises(StoreFull, match="no room"):
        overfill()
    assert (rows_in(environment), rows_in(environment, Table.IDS)) == (0, 1)
    with environment.write() as transaction:
        transaction.put(Table.IDS, b"after", b"")
    environment.close()


def test_a_read_only_environment_refuses_writes_by_name(folder: Path) -> None:
    environment = reopened(folder, readonly=True)
    with pytest.raises(StorageError, match="read-only"), environment.write():
        pass
    assert rows_in(environment) == 10
    environment.close()


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no index"):
        reopened(tmp_path / "absent", readonly=True)
    assert not (tmp_path / "absent").exists()


def test_a_reader_sees_the_commit_it_began_with(environment: Environment) -> None:
    with environment.read() as before:
        with environment.write() as transaction:
            transaction.delete_prefix(Table.STORED, b"")
            number = transaction.id
        assert before.count(Table.STORED) == 10
        assert before.id < number
    with environment.read() as after:
        assert (after.count(Table.STORED), after.id) == (0, number)


def test_all_reader_slots_taken_is_a_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lock.mdb").unlink()
    monkeypatch.setattr("quidditch.index.opening.MAX_READERS", 3)
    environment = reopened(folder)
    held = [environment.begin_read() for _ in range(3)]
    with pytest.raises(StorageError, match="as many readers"):
        environment.begin_read()
    environment.end_read(held.pop())
    assert rows_in(environment) == 10
    for one in held:
        environment.end_read(one)
    environment.close()


READ_AND_WAIT = """
    import sys
    from pathlib import Path
    from quidditch.index.environment import Environment
    from quidditch.index.storage import Table
    environment = Environment(Path(sys.argv[1]), (Table.META, Table.STORED, Table.IDS), readonly=True)
    transaction = environment.begin_read()
    print("reads", flush=True)
    sys.stdin.readline()
"""


def test_the_slot_of_a_killed_reader_is_cleared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lock.mdb").unlink()
    monkeypatch.setattr("quidditch.index.opening.MAX_READERS", 3)
    environment = reopened(folder)
    for _ in range(4):
        reader = python(READ_AND_WAIT, folder)
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reads\n"
        reader.kill()
        reader.communicate(timeout=30)
        # The dead one's slot is looked for when there is none left.
    reader = python(READ_AND_WAIT, folder)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "reads\n"
    assert environment.clear_dead_readers() == 0, "a living reader keeps its slot"
    reader.kill()
    reader.communicate(timeout=30)
    assert environment.clear_dead_readers() == 1
    environment.close()


def test_rows_by_prefix_page_and_floor(environment: Environment) -> None:
    with environment.write() as transaction:
        transaction.put_many(Table.IDS, [(key, key) for key in (b"a1", b"a2", b"a3", b"b1", b"c1")])
    with environment.read() as transaction:
        assert [key for key, _ in transaction.rows(Table.IDS, b"a")] == [b"a1", b"a2", b"a3"]
        assert [key for key, _ in transaction.rows(Table.IDS)] == [b"a1", b"a2", b"a3", b"b1", b"c1"]
        assert transaction.page(Table.IDS, b"a", b"", 5) == [(b"a1", b"a1"), (b"a2", b"a2")]
        assert transaction.page(Table.IDS, b"a", b"a2", 5) == [(b"a3", b"a3")]
        assert transaction.page(Table.IDS, b"a", b"a3", 5) == []
        assert len(transaction.page(Table.IDS, b"", b"", 1 << 20)) == 5
        floors = {key: transaction.floor(Table.IDS, key) for key in (b"a", b"a2", b"a9", b"z")}
        found = {key: None if floor is None else floor[0] for key, floor in floors.items()}
        assert found == {b"a": None, b"a2": b"a2", b"a9": b"a3", b"z": b"c1"}
    with environment.write() as transaction:
        assert transaction.delete_prefix(Table.IDS, b"a", 2) == 2
        assert [key for key, _ in transaction.rows(Table.IDS)] == [b"a3", b"b1", b"c1"]
        assert transaction.delete_prefix(Table.IDS, b"c") == 1


# ------------------------------------------------------------------------------------------------------- end


def test_a_closed_environment_says_so(environment: Environment) -> None:
    environment.close()
    environment.close()
    with pytest.raises(StorageError, match="closed"), environment.read():
        pass
    with pytest.raises(StorageError, match="closed"), environment.write():
        pass


def test_closing_waits_for_a_read(environment: Environment) -> None:
    transaction = environment.begin_read()
    closer = threading.Thread(target=environment.close)
    closer.start()
    closer.join(0.1)
    assert closer.is_alive()
    assert transaction.get(Table.STORED, b"003") == b"xxx"
    environment.end_read(transaction)
    closer.join(30)
    assert not closer.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_forked_child_is_refused_by_name_and_harms_nothing(folder: Path) -> None:
    script = """
        import gc, os, sys
        from pathlib import Path
        from quidditch.errors import StorageError
        from quidditch.index.environment import Environment
        from quidditch.index.storage import Table
        environment = Environment(Path(sys.argv[1]), (Table.META, Table.STORED, Table.IDS))
        transaction = environment.begin_read()
        child = os.fork()
        if child == 0:
            for begin in (environment.read, environment.write):
                try:
                    with begin():
                        print("opened")
                except StorageError as error:
                    print("fork" in str(error), flush=True)
            environment.end_read(transaction)
            environment.close()
            del environment, transaction
            gc.collect()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        with environment.write() as writing:
            writing.put(Table.IDS, b"after", b"")
        assert transaction.count(Table.STORED) == 10
        environment.end_read(transaction)
        environment.close()
        print("parent is well")
    """
    process = python(script, folder)
    assert process.communicate(timeout=60)[0].split("\n") == ["True", "True", "parent is well", ""]
    assert process.returncode == 0
