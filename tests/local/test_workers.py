"""`add_many` with worker processes: the index that one process would make, and nothing left of those that died."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from other_processes import TIMEOUT_S, companion, run

import quidditch
from quidditch import RequestError, StorageError
from quidditch.index import loading
from quidditch.interface import BulkResult, Database, Index

FIELDS = {"properties": {"title": {"type": "text"}, "text": {"type": "text", "analyzer": "english"}}}
WORDS = (
    "sand",
    "spice",
    "worm",
    "Worm",
    "naïve",
    "Straße",
    "砂の惑星",
    "emperor's",
    "running",
    "ran",
    "runs",
)


@pytest.fixture
def database() -> Iterator[Database]:
    with quidditch.connect(":memory:") as opened:
        yield opened


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "BATCH_DOCS", 50)
    monkeypatch.setattr(loading, "BUFFER_DOCS", 10)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The worker processes that were started."""
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    return started


def document(number: int) -> dict[str, Any]:
    """Ids come again after 700 documents, and some documents cannot be indexed or bring fields."""
    words = [WORDS[(number * step) % len(WORDS)] for step in range(1, 2 + number % 11)]
    doc: dict[str, Any] = {"_id": str(number % 700), "title": f"own{number}", "text": " ".join(words)}
    if number % 5 == 0:
        doc["text"] = [doc["text"], "second value", ""]
    if number % 7 == 0:
        doc |= {"year": number, "kind": ["a", "b"][number % 2], f"late{number // 300}": f"new {number}"}
    if number % 97 == 0:
        doc["title"] = {"no": "text"}
    return doc


def facts(index: Index) -> Any:
    """Everything a reader can see."""
    hits = [(hit.id, hit.source) for hit in index.scan()]
    got = [index.get(id) for id, _ in hits]
    queries: list[Any] = [{"match": {"text": word}} for word in WORDS] + ["own12 own450", "year:>100", "new"]
    found = [
        [(hit.id, hit.score) for hit in index.search(query, size=1_000)]
        for query in [*queries, {"match_phrase": {"text": "second value"}}]
    ]
    stats = index.stats()
    return hits, [(one.id, one.version, one.seq_no) for one in got], found, stats.documents, index.mappings


def outcome(result: BulkResult) -> Any:
    return result.ok, [(item.position, item.id, item.error) for item in result.errors]


@pytest.mark.parametrize("chunk", [None, 180])
@pytest.mark.parametrize("memory_bytes", [512 << 20, 1 << 20])
def test_workers_make_the_index_that_one_process_makes(
    tmp_path: Path, memory_bytes: int, chunk: int | None
) -> None:
    # With little memory vocabularies are forgotten between batches, here and in the workers.
    with quidditch.connect(tmp_path, memory_bytes=memory_bytes) as database:
        alone, shared = database.create_index("alone", FIELDS), database.create_index("shared", FIELDS)
        first = [outcome(alone.add_many(map(document, range(1_000)), chunk=chunk)) for _ in range(2)]
        second = [
            outcome(shared.add_many(map(document, range(1_000)), chunk=chunk, workers=3)) for _ in range(2)
        ]
        assert first == second
        assert first[0][1]
        assert facts(alone) == facts(shared)
        assert shared.check().ok


def test_more_workers_than_batches_and_none_for_a_few_documents(
    database: Database, processes: list[subprocess.Popen[bytes]]
) -> None:
    index = database.create_index("books", FIELDS)
    assert index.add_many(map(document, range(1, 6)), workers=8).ok == 5
    assert not processes
    assert index.add_many(map(document, range(1, 61)), workers=4).ok == 60
    assert len(index) == 60


@pytest.mark.parametrize("chunk", [None, 200])
def test_a_killed_worker_is_named_and_whole_chunks_stay(
    database: Database, processes: list[subprocess.Popen[bytes]], chunk: int | None
) -> None:
    index = database.create_index("books", FIELDS)

    def documents() -> Iterator[dict[str, Any]]:
        for number in range(1_000):
            if number == 520:
                processes[1].send_signal(signal.SIGKILL)
            yield {"_id": str(number), "title": "all"}

    with pytest.raises(StorageError, match=r"worker process \d+ was killed by signal 9") as raised:
        index.add_many(documents(), chunk=chunk, workers=2)
    assert str(processes[1].pid) in str(raised.value)
    assert all(process.poll() is not None for process in processes)
    there = len(index)
    assert raised.value.partial.ok == there == index.count({"match": {"title": "all"}})
    assert there in ((200, 400) if chunk else (0,))
    assert index.add_many(map(document, range(1, 90)), workers=2).ok == 89
    assert index.check().ok


def test_an_interrupt_ends_all_workers(database: Database, processes: list[subprocess.Popen[bytes]]) -> None:
    index = database.create_index("books", FIELDS)

    def documents() -> Iterator[dict[str, Any]]:
        yield from map(document, range(1, 95))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.add_many(documents(), workers=2)
    assert len(processes) == 2
    assert all(process.poll() is not None for process in processes)
    # What a stream gave before it ended so is kept, as without workers.
    assert len(index) == 94


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    # At the top level of a program, without a guard: workers do not import it.
    code = """
        import subprocess, sys, quidditch
        from quidditch.index import loading
        loading.BATCH_DOCS = 50
        pids = []
        class Recorded(subprocess.Popen):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                pids.append(self.pid)
        subprocess.Popen = Recorded
        def documents():
            for number in range(1_000):
                if number == 600:
                    print(*pids, flush=True)
                    sys.stdin.readline()
                yield {"_id": str(number), "title": "all"}
        with quidditch.connect(sys.argv[1]) as database:
            database.create_index("books").add_many(documents(), chunk=200, workers=2)
    """
    with companion(code, tmp_path) as parent:
        pids = list(map(int, parent.says().split()))
    assert len(pids) == 2
    deadline = time.monotonic() + TIMEOUT_S
    while any(map(_runs, pids)):
        assert time.monotonic() < deadline, f"of the workers {pids} one outlives its parent"
        time.sleep(0.01)
    with quidditch.connect(tmp_path) as database:
        index = database["books"]
        assert len(index) in (200, 400)
        assert index.add_many(map(document, range(1, 90))).ok == 89
        assert index.check().ok


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # Who adopts an orphan may leave it unreaped for a while.
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_program_without_a_guard_may_use_workers(tmp_path: Path) -> None:
    code = """
        import sys, quidditch
        with quidditch.connect(sys.argv[1]) as database:
            docs = ({"_id": str(number), "title": "all"} for number in range(3_000))
            print(database.create_index("books").add_many(docs, workers=2).ok)
    """
    assert run(code, tmp_path) == "3000"


@pytest.mark.parametrize("value", [0, -1, True, 2.0, "2", None, 65])
def test_what_is_no_number_of_workers_is_refused_by_name(database: Database, value: Any) -> None:
    index = database.create_index("books", FIELDS)
    with pytest.raises(RequestError, match="add_many: workers: a number of processes from 1 to 64 expected"):
        index.add_many([{"_id": "1"}], workers=value)
    assert len(index) == 0
