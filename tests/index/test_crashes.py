"""A process that is killed leaves the last commit, and nothing that another does not clear away."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from stored_invariants import check_shard, shard_folder

import quidditch
from quidditch.index.codecs import segment_chunk_key, segment_key
from quidditch.index.commit import Lease, read_leases
from quidditch.index.environment import Environment
from quidditch.index.file_lock import FileLock
from quidditch.index.storage import SHARD_TABLES, Table

LOST = 1000
"""A segment number no test reaches."""

OWNER = "0f" * 16
"""A process that is dead unless a test holds its lock."""


def killed(script: str, *arguments: object, after: int, wait_s: float) -> list[str]:
    """The lines that a program printed before it was killed, some seconds after line number `after`."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(after)]
        time.sleep(wait_s)
        process.kill()
        said += process.stdout.read().split("\n")
    assert said[0], "the program ended by itself"
    return said


@contextmanager
def opened(folder: Path) -> Iterator[Environment]:
    environment = Environment(shard_folder(folder), SHARD_TABLES)
    try:
        yield environment
    finally:
        environment.close()


def leave_rows(folder: Path, lease: Lease) -> None:
    """What a writer leaves that died between its pieces and their publishing."""
    with opened(folder) as environment, environment.write() as transaction:
        transaction.put(Table.PENDING, segment_key(LOST), msgspec.json.encode(lease))
        rows = [(segment_chunk_key(LOST, chunk), b"\0") for chunk in range(50)]
        transaction.put_many(Table.DOC_IDS, rows)
        transaction.put_many(Table.STORED, rows)


def rows_left(folder: Path) -> int:
    with opened(folder) as environment, environment.read() as transaction:
        assert (LOST in read_leases(transaction)) == any(transaction.rows(Table.STORED, segment_key(LOST)))
        return sum(1 for _ in transaction.rows(Table.STORED, segment_key(LOST)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with quidditch.connect(tmp_path) as database:
        index = database.create_index("books")
        index.add_many({"_id": str(n), "title": f"dune {n}"} for n in range(30))
        index.flush()
    return tmp_path


@pytest.mark.parametrize("garbage", [False, True])
def test_rows_of_a_dead_writer_are_swept_by_the_next_merge(folder: Path, garbage: bool) -> None:
    leave_rows(folder, Lease(OWNER, garbage=garbage))
    assert rows_left(folder) == 50
    check_shard(folder)
    with quidditch.connect(folder) as database:
        index = database["books"]
        assert index.count("dune") == 30
        index.force_merge()
        assert index.count("dune") == 30
    assert rows_left(folder) == 0


def test_rows_of_a_living_writer_are_let_be(folder: Path) -> None:
    leave_rows(folder, Lease(OWNER))
    lock = FileLock(shard_folder(folder) / f"writer-{OWNER}.lock")
    assert lock.try_acquire()
    with quidditch.connect(folder) as database:
        index = database["books"]
        index.force_merge()
        assert index.count("dune") == 30
    lock.close()
    assert rows_left(folder) == 50


def test_a_merge_that_died_hinders_no_other(folder: Path) -> None:
    with quidditch.connect(folder) as database:
        index = database["books"]
        index.add({"title": "dune again"}, "again")
        index.flush()
    with opened(folder) as environment, environment.read() as transaction:
        sources = [int.from_bytes(key, "big") for key, _ in transaction.rows(Table.SEGMENTS)]
    leave_rows(folder, Lease(OWNER, sources))
    with quidditch.connect(folder) as database:
        index = database["books"]
        index.force_merge()
        assert index.stats().segments == 1
        assert index.count("dune") == 31


STREAM = """
    import sys, quidditch
    index = quidditch.connect(sys.argv[1])["books"]
    chunk = int(sys.argv[2])
    def docs():
        n = 0
        while True:
            if n % chunk == 0:
                print(n, flush=True)
            yield {"_id": f"many-{n}", "title": "dune", "n": n}
            n += 1
    index.add_many(docs(), chunk=chunk)
"""


@pytest.mark.parametrize("chunk", [40, 1_000, 1_700])
@pytest.mark.parametrize("wait_s", [0.0, 0.07, 0.2])
def test_a_killed_stream_leaves_whole_chunks(folder: Path, chunk: int, wait_s: float) -> None:
    said = killed(STREAM, folder, chunk, after=5, wait_s=wait_s)
    begun = max(int(line) for line in said if line.isdigit()) + chunk
    with quidditch.connect(folder) as database:
        index = database["books"]
        numbers = sorted(hit["n"] for hit in index.scan({"exists": {"field": "n"}}))
        assert len(numbers) % chunk == 0
        assert len(numbers) <= begun
        # One chunk may be on its way while the next is read.
        assert len(numbers) >= begun - 3 * chunk
        assert numbers == list(range(len(numbers)))
        assert index.count("dune") == len(index) == 30 + len(numbers)
    live = check_shard(folder)
    assert len(live) == 30 + len(numbers)


MERGE = """
    import random, sys, quidditch
    index = quidditch.connect(sys.argv[1])["books"]
    chance = random.Random(int(sys.argv[2]))
    print("begin", flush=True)
    while True:
        index.force_merge()
        for _ in range(3):
            index.add_many(({"_id": f"again-{n}", "title": "sand", "n": n} for n in range(400)), chunk=200)
            index.flush()
        index.delete(f"again-{chance.randrange(400)}")
        index.bulk([{"delete": {"_id": f"again-{n}"}} for n in range(0, 400, 7)])
"""


@pytest.mark.parametrize("seed", range(5))
def test_killed_merges_and_replacements_keep_every_invariant(folder: Path, seed: int) -> None:
    killed(MERGE, folder, seed, after=1, wait_s=random.Random(seed).uniform(0.02, 0.5))
    check_shard(folder)
    with quidditch.connect(folder) as database:
        index = database["books"]
        assert index.count("dune") == 30
        assert index.count("sand") == len(index) - 30 <= 400
        index.force_merge()
        assert index.count("sand") == len(index) - 30
    check_shard(folder)
