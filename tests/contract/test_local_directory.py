"""What only a directory can do: processes side by side, damage, permissions, formats, views that live on."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import quidditch
from quidditch import FormatTooNew, QuidditchError, RequestError, StorageError, StoreLocked
from quidditch.index.codecs import FORMAT_VERSION
from quidditch.index.file_lock import FileLock
from quidditch.interface import Database, Index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def database(folder: Path) -> Iterator[Database]:
    opened = quidditch.connect(folder)
    yield opened
    opened.close()


def make_books(folder: Path, documents: int = 50) -> None:
    with quidditch.connect(folder) as database:
        index = database.create_index("books")
        index.add_many({"_id": str(number), "title": f"dune {number}"} for number in range(documents))
        index.add({"title": "buffered dune"}, id="buffered")


def python(code: str, *arguments: object) -> str:
    """What a process of its own prints when it runs the code; its traceback fails the test."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stderr}"
    return done.stdout.strip()


# ------------------------------------------------------------------------------------------ several handles


def test_two_handles_on_one_path_are_one_database(folder: Path, database: Database) -> None:
    first = database.create_index("books")
    with quidditch.connect(str(folder)) as other:
        for number in range(5):
            first.add({"n": number}, id=f"first-{number}")
            other["books"].add({"n": number}, id=f"other-{number}")
            assert first.count() == other["books"].count() == 2 * (number + 1)
    assert first.count() == 10


def test_a_directory_is_reopened_as_it_was(folder: Path) -> None:
    make_books(folder)
    with quidditch.connect(folder) as again:
        index = again["books"]
        assert len(index) == 51
        assert index["7"]["title"] == "dune 7"
        assert index.count({"match": {"title": "dune"}}) == 51
        assert index.add({"title": "more"}, id="7").version == 2


def test_another_process_sees_every_acknowledged_write(folder: Path, database: Database) -> None:
    index = database.create_index("books")
    index.add({"title": "ours"}, id="ours")
    seen = python(
        """
        import sys, quidditch
        with quidditch.connect(sys.argv[1]) as database:
            index = database["books"]
            print(index.count({"match": {"title": "ours"}}))
            index.add({"title": "theirs", "fresh": 7}, id="theirs")
            index.add_many({"_id": str(n), "title": "theirs"} for n in range(2000))
            index.delete("ours")
            database.create_index("second").add({"n": 1}, id="1")
        """,
        folder,
    )
    assert seen == "1"
    assert index.count({"match": {"title": "theirs"}}) == 2001
    assert "ours" not in index
    assert index.mappings["properties"]["fresh"]["type"] == "long"
    assert index.count({"term": {"fresh": 7}}) == 1
    assert len(database["second"]) == 1


def test_a_process_that_ends_without_closing_loses_nothing(folder: Path) -> None:
    python(
        """
        import os, sys, quidditch
        index = quidditch.connect(sys.argv[1]).create_index("books")
        for n in range(20):
            index.add({"n": n}, id=str(n))
        os._exit(0)
        """,
        folder,
    )
    with quidditch.connect(folder) as database:
        assert len(database["books"]) == database["books"].count({"range": {"n": {"gte": 0}}}) == 20


def test_threads_share_a_database(database: Database) -> None:
    index = database.create_index("books")
    errors: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for number in range(25):
                index.add({"worker": worker, "n": number}, id=f"{worker}-{number}")
                assert index.count({"term": {"worker": worker}}) == number + 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(index) == 100


def test_a_writer_that_waits_too_long_names_the_holder(folder: Path) -> None:
    make_books(folder)
    with quidditch.connect(folder, write_timeout_s=0.2) as database, ExitStack() as held:
        assert len(database["books"]) == 51
        for path in folder.rglob("write.lock"):
            lock = FileLock(path)
            assert lock.try_acquire()
            held.callback(lock.close)
        with pytest.raises(StoreLocked, match=r"(?s)0\.2.*process"):
            database["books"].add({"title": "dune"})
        assert database["books"].count({"match": {"title": "dune"}}) == 51
        held.close()
        assert database["books"].add({"title": "dune"}).result == "created"


@pytest.mark.parametrize("after_s", [0.05, 0.2, 0.5])
def test_a_killed_writer_loses_nothing_acknowledged(folder: Path, after_s: float) -> None:
    """Killed in the middle of a stream: what `add` acknowledged is there, what is there is whole."""
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITE_UNTIL_KILLED), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip()]
    time.sleep(after_s)
    writer.kill()
    acknowledged += writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    with quidditch.connect(folder) as database:
        index = database["books"]
        singles = {hit.id for hit in index.scan({"term": {"kind": "single"}})}
        # The last line may be cut by the kill.
        assert set(acknowledged[:-1]) <= singles
        assert index.count() == len(index) == sum(1 for _ in index.scan())
        assert index.count({"match": {"title": "dune"}}) == len(index)
        index.force_merge()
        assert index.count({"match": {"title": "dune"}}) == len(index)
        assert index.add({"title": "dune", "kind": "single"}).result == "created"


WRITE_UNTIL_KILLED = """
    import itertools, sys, quidditch
    index = quidditch.connect(sys.argv[1]).create_index(
        "books", mappings={"properties": {"kind": {"type": "keyword"}, "title": {"type": "text"}}}
    )
    for turn in itertools.count():
        for number in range(5):
            index.add({"title": "dune", "kind": "single"}, id=f"single-{turn}-{number}")
            print(f"single-{turn}-{number}", flush=True)
        index.add_many({"_id": f"many-{n}", "title": "dune", "kind": "many"} for n in range(1500))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_forked_child_reopens_or_refuses(folder: Path) -> None:
    make_books(folder)
    said = python(
        """
        import os, sys, quidditch
        database = quidditch.connect(sys.argv[1])
        index = database["books"]
        index.count()
        child = os.fork()
        if child == 0:
            try:
                print("found", index.count(), flush=True)
            except quidditch.QuidditchError as error:
                print("refused", error, flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        assert index.count() == 51
        """,
        folder,
    )
    assert said.startswith(("found 51", "refused"))


def test_a_pickled_handle_reopens_or_refuses(folder: Path, database: Database) -> None:
    database.create_index("books").add({"n": 1}, id="1")
    try:
        copy = pickle.loads(pickle.dumps(database))
    except (QuidditchError, TypeError):
        assert len(database["books"]) == 1
    else:
        assert len(copy["books"]) == 1
        copy.close()


# -------------------------------------------------------------------------------------- views of a snapshot


def test_results_live_on_after_close(folder: Path) -> None:
    """Nothing that left a snapshot may read the file's pages, which are unmapped by then."""
    make_books(folder, documents=300)
    printed = python(
        """
        import gc, sys, quidditch
        database = quidditch.connect(sys.argv[1])
        index = database["books"]
        index.force_merge()
        result = index.search(
            "dune", size=400, sort=[{"title.keyword": "asc"}, "_score"],
            highlight={"fields": {"title": {}}}, explain=True,
        )
        document = index["7"]
        stats = index.stats()
        database.close()
        gc.collect()
        import mmap
        blocks = [mmap.mmap(-1, 1 << 24) for _ in range(8)]  # takes the addresses that became free
        text = repr(result.to_dict()) + repr(document) + repr(stats)
        print(len(result), len(text) > 1000, document["title"])
        """,
        folder,
    )
    assert printed == "301 True dune 7"


def test_closing_under_a_scan_waits_or_ends_it(folder: Path) -> None:
    make_books(folder, documents=300)
    printed = python(
        """
        import sys, threading, quidditch
        database = quidditch.connect(sys.argv[1])
        scan = database["books"].scan()
        seen = [next(scan).id]
        closer = threading.Thread(target=database.close, daemon=True)
        closer.start()
        closer.join(0.3)
        try:
            seen += [hit.id for hit in scan]
            print("read", len(seen))
        except quidditch.QuidditchError as error:
            print("ended", error)
        """,
        folder,
    )
    assert printed.startswith(("read 301", "ended"))


def test_closing_with_a_scan_left_open_ends(folder: Path) -> None:
    """The thread that closes may be the one that holds the scan, and would wait for itself."""
    make_books(folder, documents=3000)
    printed = python(
        """
        import sys, quidditch
        database = quidditch.connect(sys.argv[1])
        scan = database["books"].scan()
        next(scan)
        database.close()
        try:
            print("read", sum(1 for _ in scan))
        except quidditch.QuidditchError as error:
            print("ended", error)
        """,
        folder,
    )
    assert printed.startswith(("read 3000", "ended"))


def test_closing_under_searches_never_crashes(folder: Path) -> None:
    make_books(folder, documents=300)
    python(
        """
        import sys, threading, time, quidditch
        database = quidditch.connect(sys.argv[1])
        index = database["books"]
        wrong = []
        def search():
            try:
                while True:
                    assert index.search("dune", size=100).total == 301
            except quidditch.QuidditchError as error:
                if "closed" not in str(error):
                    wrong.append(error)
            except BaseException as error:
                wrong.append(error)
        threads = [threading.Thread(target=search) for _ in range(4)]
        for thread in threads: thread.start()
        time.sleep(0.3)
        database.close()
        for thread in threads: thread.join()
        assert not wrong, wrong
        """,
        folder,
    )


# --------------------------------------------------------------------------------------- bad directories


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("something of mine")
    with pytest.raises(QuidditchError, match="data"):
        quidditch.connect(tmp_path / "data")
    assert (tmp_path / "data").read_text() == "something of mine"


def test_an_absent_directory_is_made_only_on_request(tmp_path: Path) -> None:
    for options in ({"create": False}, {"readonly": True}):
        with pytest.raises(QuidditchError, match="nowhere"):
            quidditch.connect(tmp_path / "nowhere", **options)
    assert not (tmp_path / "nowhere").exists()
    with quidditch.connect(tmp_path / "a" / "b") as database:
        assert database.indices() == []


@pytest.mark.parametrize("location", ["", "ftp://host/x", "nul\0byte"])
def test_bad_locations_are_refused(location: str) -> None:
    with pytest.raises(QuidditchError):
        quidditch.connect(location)


def data_files(folder: Path) -> list[Path]:
    """The files that hold pages, largest first."""
    return sorted(folder.rglob("data.mdb"), key=lambda file: file.stat().st_size, reverse=True)


OPEN_AND_READ = """
    import sys, quidditch
    try:
        with quidditch.connect(sys.argv[1]) as database:
            print("found", database["books"].count({"match": {"title": "dune"}}))
    except quidditch.QuidditchError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("left", [0, 1, 4096, 0.02])
def test_a_truncated_file_is_an_error_and_no_crash(folder: Path, left: float) -> None:
    make_books(folder, documents=3000)
    for file in data_files(folder):
        whole = file.read_bytes()
        kept = int(len(whole) * left) if isinstance(left, float) else left
        os.truncate(file, kept)
        said = python(OPEN_AND_READ, folder)
        assert said.startswith("CorruptIndex"), said
        file.write_bytes(whole)
        assert python(OPEN_AND_READ, folder) == "found 3001"


def test_a_file_of_noise_is_an_error_and_no_crash(folder: Path) -> None:
    make_books(folder)
    for file in data_files(folder):
        whole = file.read_bytes()
        file.write_bytes(b"\x5a" * len(whole))
        assert python(OPEN_AND_READ, folder).startswith("CorruptIndex")
        file.write_bytes(whole)
    assert python(OPEN_AND_READ, folder) == "found 51"


def test_a_directory_of_a_newer_format_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("quidditch.index.datafile.FORMAT_VERSION", FORMAT_VERSION + 1)
        make_books(folder)
    before = {path: path.read_bytes() for path in data_files(folder)}
    with pytest.raises(FormatTooNew, match=str(FORMAT_VERSION + 1)), quidditch.connect(folder) as database:
        database["books"].count()
    assert {path: path.read_bytes() for path in before} == before


# ----------------------------------------------------------------------------------------- permissions


NOBODY = 65534
ANYONE_READS = 0o555
SET_USER = f"""
import os
if hasattr(os, "geteuid") and os.geteuid() == 0:
    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
"""


@pytest.fixture
def public_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that a user without rights can reach; root itself is stopped by no permission."""
    if not hasattr(os, "geteuid"):
        pytest.skip("this platform has no user ids, so permissions are not enforced the same way")
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    yield tmp_path / "data"
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755)


def make_unwritable(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(ANYONE_READS if path.is_dir() else 0o444)
    folder.chmod(ANYONE_READS)


def as_nobody(code: str, *arguments: object) -> str:
    # Everything is imported before the rights go: the interpreter's own files may be out of nobody's reach.
    return python(
        "import sys, quidditch\nquidditch.connect(':memory:').close()\n" + SET_USER + textwrap.dedent(code),
        *arguments,
    )


def test_no_permission_is_an_error_that_says_so(public_folder: Path) -> None:
    make_books(public_folder)
    public_folder.chmod(0o000)
    said = as_nobody(OPEN_AND_READ, public_folder)
    assert "Error" in said or "Locked" in said or "Index" in said
    assert "ermission" in said
    assert str(public_folder) in said
    public_folder.chmod(0o755)
    assert python(OPEN_AND_READ, public_folder) == "found 51"


def test_a_read_only_directory_is_read(public_folder: Path) -> None:
    make_books(public_folder)
    make_unwritable(public_folder)
    before = sorted(str(path) for path in public_folder.rglob("*"))
    said = as_nobody(
        """
        with quidditch.connect(sys.argv[1], readonly=True) as database:
            index = database["books"]
            print(index.count({"match": {"title": "dune"}}), index["buffered"]["title"])
            for write in (
                lambda: index.add({"n": 1}), lambda: index.delete("1"), lambda: database.create_index("x"),
            ):
                try:
                    write()
                except quidditch.QuidditchError as error:
                    print(type(error).__name__)
        """,
        public_folder,
    )
    lines = said.splitlines()
    assert lines[0] == "51 buffered dune"
    assert len(lines) == 4
    assert sorted(str(path) for path in public_folder.rglob("*")) == before


def test_a_read_only_directory_opened_for_writing_is_an_error(public_folder: Path) -> None:
    make_books(public_folder)
    make_unwritable(public_folder)
    said = as_nobody(
        """
        try:
            with quidditch.connect(sys.argv[1]) as database:
                database["books"].add({"n": 1})
            print("written")
        except quidditch.QuidditchError as error:
            print(type(error).__name__, error)
        """,
        public_folder,
    )
    assert not said.startswith("written")
    assert str(public_folder) in said


def test_readonly_writes_nothing(folder: Path) -> None:
    make_books(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*.mdb") if path.name != "lock.mdb"}
    with quidditch.connect(folder, readonly=True) as database:
        index = database["books"]
        assert index.count("dune") == 51
        writes: list[Any] = [
            lambda: index.add({"n": 1}),
            lambda: index.delete("1"),
            lambda: index.update("1", {"n": 1}),
            lambda: index.put_mappings({"properties": {"n": {"type": "long"}}}),
            lambda: index.force_merge(),
            lambda: database.create_index("other"),
            lambda: database.delete_index("books"),
        ]
        for write in writes:
            with pytest.raises((RequestError, StorageError), match="read"):
                write()
    assert {path: path.read_bytes() for path in before} == before


# -------------------------------------------------------------------------------------------- limits


def test_a_map_that_is_full_loses_nothing(folder: Path) -> None:
    make_books(folder)
    with quidditch.connect(folder, map_size_bytes=4 << 20) as database:
        index: Index = database["books"]
        with pytest.raises(StorageError):
            index.add_many({"_id": f"large-{n}", "body": os.urandom(50_000).hex()} for n in range(400))
    with quidditch.connect(folder) as database:
        index = database["books"]
        assert index.count({"match": {"title": "dune"}}) == 51
        assert index.add({"title": "dune"}, id="after").result == "created"
