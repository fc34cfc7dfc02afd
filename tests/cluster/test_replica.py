"""A copy of a shard follows its log: the same entries make the same copy, each entry once, whatever happens."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quidditch.cluster.connection import Connection, NatsOptions
from quidditch.cluster.log import Entry, JetStreamLog
from quidditch.cluster.replica import Replica
from quidditch.cluster.state import ShardId
from quidditch.errors import StorageError, Unavailable, VersionConflict
from quidditch.index.operations import Applied, Operation
from quidditch.local.database import LocalDatabase, connect

from .following import NOW_MS, entry, everything, put, replica_in
from .memory_log import MemoryLog, MemoryReader
from .one_server import OneServer


def outcomes(replica: Replica, sequence: int) -> list[str]:
    return [each.outcome or each.error for each in replica.results(sequence, 5.0).results]


def test_a_copy_does_what_the_log_says_and_tells_what_became_of_it(tmp_path: Path) -> None:
    log = MemoryLog()
    database, replica = replica_in(tmp_path, log)
    replica.start()
    first = log.append(entry("a", put("1", {"title": "dune"}), put("2", {"title": "emma"})), "a")
    second = log.append(
        entry(
            "b",
            put("1", {"title": "dune messiah"}),
            Operation("create", b"1", {"title": "again"}),
            Operation("delete", b"3"),
            Operation("update", b"2", {"year": 1815}),
            mapping=2,
        ),
        "b",
    )
    assert outcomes(replica, first) == ["created", "created"]
    assert outcomes(replica, second) == ["updated", "VersionConflict", "not_found", "updated"]
    results = replica.results(second, 1.0)
    assert results.batch == "b"
    assert results.results[0].applied(b"1") == Applied(b"1", 2, 2, "updated")
    conflict = results.results[1].applied(b"1")
    assert isinstance(conflict, VersionConflict)
    assert str(conflict) == "[1]: version conflict, document already exists (current version [2])"
    assert [hit.id for hit in database.index("copy").search("messiah").hits] == ["1"]
    assert database.index("copy").mappings["properties"]["year"] == {"type": "integer"}
    assert replica.report().applied == 2
    assert replica.report().started
    replica.stop()
    database.close()


def test_a_batch_that_is_in_the_log_twice_is_carried_out_once(tmp_path: Path) -> None:
    log = MemoryLog()
    database, replica = replica_in(tmp_path, log)
    data = entry("same", put("1", {"title": "dune"}))
    replica.apply([Entry(1, data), Entry(2, data)])
    replica.apply([Entry(3, data)])
    database.close()
    database, replica = replica_in(tmp_path, log)
    replica.apply([Entry(4, data)])
    assert everything(database) == [("1", {"title": "dune"}, 1, 0)]
    assert {tuple(outcomes(replica, sequence)) for sequence in (1, 2, 3, 4)} == {("created",)}
    database.close()


def test_entries_out_of_order_are_refused_and_change_nothing(tmp_path: Path) -> None:
    database, replica = replica_in(tmp_path, MemoryLog())
    replica.apply([Entry(1, entry("a", put("1", {"title": "dune"})))])
    for sequence in (1, 3):
        with pytest.raises(StorageError, match=f"entry 2 expected, not {sequence}"):
            replica.apply([Entry(sequence, entry("b", put("1", {"title": "other"})))])
    assert [found[1] for found in everything(database)] == [{"title": "dune"}]
    database.close()


operations = st.one_of(
    st.builds(put, st.sampled_from("abcd"), st.fixed_dictionaries({"title": st.sampled_from(["x", "y z"])})),
    st.builds(Operation, st.just("delete"), st.sampled_from([b"a", b"b", b"c"])),
    st.builds(Operation, st.just("create"), st.sampled_from([b"a", b"b"]), st.just({"title": "made"})),
    st.builds(
        Operation,
        st.just("update"),
        st.sampled_from([b"a", b"b"]),
        st.sampled_from([{"title": "new"}, {"year": 3}]),
        doc_as_upsert=st.booleans(),
    ),
    st.builds(
        put, st.just("a"), st.just({"title": "if"}), if_seq_no=st.integers(0, 4), if_primary_term=st.just(1)
    ),
)
batches = st.lists(
    st.tuples(st.lists(operations, max_size=5), st.integers(-90_000, 90_000), st.integers(1, 2)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40)
@given(batches, st.integers(0, 8), st.integers(1, 8))
def test_copies_that_follow_differently_are_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    told: list[Any],
    cut: int,
    at_once: int,
) -> None:
    """One takes the entries one by one, and is flushed, merged and opened anew halfway; the other takes them in
    groups. Clocks of coordinators run apart by more than a deleted id is remembered."""
    entries = [
        Entry(place + 1, entry(f"b{place}", *some, now_ms=NOW_MS + shift, mapping=mapping))
        for place, (some, shift, mapping) in enumerate(told)
    ]
    folder = tmp_path_factory.mktemp("copies")
    first_database, first = replica_in(folder / "first", MemoryLog())
    for number, each in enumerate(entries):
        if number == cut:
            first_database.index("copy").force_merge()
            first_database.close()
            first_database, first = replica_in(folder / "first", MemoryLog())
        first.apply([each])
    second_database, second = replica_in(folder / "second", MemoryLog())
    for start in range(0, len(entries), at_once):
        second.apply(entries[start : start + at_once])
    assert everything(first_database) == everything(second_database)
    for sequence in range(1, len(entries) + 1):
        assert first.results(sequence, 0.0) == second.results(sequence, 0.0)
    assert first_database.check().ok
    for database in (first_database, second_database):
        database.close()
    shutil.rmtree(folder)


plain = st.one_of(
    st.builds(
        put,
        st.sampled_from(["a", "b", "c", "d", "long" * 128]),
        st.one_of(
            st.fixed_dictionaries({"title": st.sampled_from(["x", "y z"]), "year": st.integers(0, 3)}),
            st.just({"title": "x", "year": "none"}),
        ),
        routing=st.sampled_from([None, "r", "s"]),
    ),
    st.builds(Operation, st.just("create"), st.sampled_from([b"e", b"f"]), st.just({"title": "made"})),
)
mixed_batches = st.lists(
    st.tuples(
        st.one_of(st.lists(plain, max_size=6), st.lists(plain, min_size=2), st.lists(operations, max_size=2)),
        st.integers(-90_000, 90_000),
    ),
    min_size=1,
    max_size=10,
)


def seen(database: LocalDatabase) -> Any:
    """What a reader sees of a copy beside its documents: hits with their scores, and routings."""
    index = database.index("copy")
    hits = index.search_body({"query": {"match": {"title": "x y"}}, "size": 100}).hits
    routings = {hit.id: getattr(index.get(hit.id), "routing", None) for hit in index.scan()}
    years = index.search_body({"query": {"range": {"year": {"gte": 1}}}, "sort": ["_doc"]}).hits
    return [(hit.id, hit.score) for hit in hits], routings, [hit.id for hit in years]


GONE = ([Operation("delete", b"a"), Operation("delete", b"b")], 0)


@settings(max_examples=40)
@given(mixed_batches, st.integers(1, 10))
@example([([put("a", {"title": "x"})], 0), GONE, ([put("a", {}), put("b", {})], 70_000)], 1)
@example([([put("a", {"title": "x"})], 0), GONE, ([put("a", {}), put("b", {})], 50_000)], 1)
def test_documents_put_in_place_as_a_segment_or_singly_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, told: list[Any], at_once: int
) -> None:
    entries = [
        Entry(place + 1, entry(f"b{place}", *some, now_ms=NOW_MS + shift, mapping=2))
        for place, (some, shift) in enumerate(told)
    ]
    folder = tmp_path_factory.mktemp("loads")
    copies: list[tuple[LocalDatabase, Replica]] = []
    for worth_a_segment in (1_000, 2):
        database, replica = replica_in(folder / str(worth_a_segment), MemoryLog())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("quidditch.index.loads.BUFFER_DOCS", worth_a_segment)
            for start in range(0, len(entries), at_once):
                replica.apply(entries[start : start + at_once])
        copies.append((database, replica))
    (singly, first), (loaded, second) = copies
    assert everything(singly) == everything(loaded)
    assert seen(singly) == seen(loaded)
    for sequence in range(1, len(entries) + 1):
        assert first.results(sequence, 0.0).results == second.results(sequence, 0.0).results
    assert first.report().marks == second.report().marks
    assert loaded.check().ok
    for database, _ in copies:
        database.close()
    shutil.rmtree(folder)


def test_many_documents_of_a_log_become_one_segment_with_their_results(tmp_path: Path) -> None:
    database, replica = replica_in(tmp_path, MemoryLog())
    batches = [[put(f"{number}-{place}", {"title": "x"}) for place in range(600)] for number in range(3)]
    replica.apply([Entry(number + 1, entry(f"b{number}", *some)) for number, some in enumerate(batches)])
    stats = database.index("copy").stats()
    assert (stats.segments, stats.buffered, stats.documents) == (1, 0, 1_800)
    assert [result.seq_no for result in replica.results(2, 0.0).results] == list(range(600, 1_200))
    database.close()
    database, replica = replica_in(tmp_path, MemoryLog())
    assert replica.applied == 3
    assert replica.results(3, 0.0).results[599].applied(b"2-599") == Applied(b"2-599", 1, 1_799, "created")
    database.close()


def test_a_copy_whose_log_was_made_anew_serves_and_applies_no_more(tmp_path: Path) -> None:
    log = MemoryLog("first")
    database, replica = replica_in(tmp_path, log)
    replica.start()
    log.append(entry("a", put("1", {"title": "dune"})), "a")
    replica.wait_applied(1, 5.0)
    replica.stop()
    log.rename("second")
    database.close()
    database, replica = replica_in(tmp_path, log)
    replica.start()
    with pytest.raises(
        Unavailable, match=r"is at 1, not yet at 2: .*followed the log first up to 1.*made anew"
    ):
        replica.wait_applied(2, 0.5)
    with replica.snapshot() as view:
        assert view is not None
    replica.stop()
    database.close()


def test_a_copy_that_fell_behind_what_is_kept_says_so(tmp_path: Path) -> None:
    log = MemoryLog()
    for place in range(3):
        log.append(entry(f"b{place}", put("1", {"title": "x"})), f"b{place}")
    log.trim(2)
    database, replica = replica_in(tmp_path, log)
    replica.start()
    with pytest.raises(Unavailable, match="entry 1 is needed; the log begins at 3"):
        replica.wait_applied(1, 0.5)
    assert not replica.report().started
    replica.stop()
    database.close()


def test_the_results_of_long_ago_are_forgotten_by_name(tmp_path: Path) -> None:
    database, replica = replica_in(tmp_path, MemoryLog())
    for place in range(260):
        replica.apply([Entry(place + 1, entry(f"b{place}"))])
    assert replica.results(260, 0.0).batch == "b259"
    with pytest.raises(Unavailable, match="the results of entry 4 are no longer kept"):
        replica.results(4, 0.0)
    with pytest.raises(Unavailable, match="is at 260, not yet at 261"):
        replica.results(261, 0.0)
    database.close()


CHILD = """
import sys
from cluster.following import replica_in
from quidditch.cluster.connection import Connection, NatsOptions
from quidditch.cluster.log import JetStreamLog
from quidditch.cluster.nats_server import Credentials
from quidditch.cluster.state import ShardId
folder, url, password = sys.argv[1:]
connection = Connection(NatsOptions([url], Credentials(password=password)))
_, replica = replica_in(folder, JetStreamLog(connection, ShardId("killed", 0)))
replica.start()
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_copy_that_is_killed_again_and_again_applies_everything_once(
    nats_server: OneServer, tmp_path: Path
) -> None:
    """Writes go on while the process that applies them is killed at random moments: afterwards each document has as
    many versions as it was written, and each sequence number was given once."""
    choose = random.Random(7)
    writes = 0
    counts: Counter[str] = Counter()
    with Connection(NatsOptions([nats_server.url], nats_server.credentials)) as connection:
        log = JetStreamLog(connection, ShardId("killed", 0))
        log.create()
        for life in range(6):
            arguments = [str(tmp_path), nats_server.url, nats_server.credentials.password]
            child = subprocess.Popen(
                [sys.executable, "-c", CHILD, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parent.parent,
            )
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == b"ready\n"
                until = time.monotonic() + choose.uniform(0.05, 0.4)
                while time.monotonic() < until:
                    # Now some that are written singly, now so many that they become a segment.
                    size = choose.choice([20, 20, 1_200])
                    ids = [str(choose.randrange(2 * size)) for _ in range(size)]
                    batch = [put(id, {"title": f"write {writes + place}"}) for place, id in enumerate(ids)]
                    log.append(entry(f"{life}-{writes}", *batch), f"{life}-{writes}", 30.0)
                    counts.update(ids)
                    writes += len(ids)
            finally:
                child.send_signal(signal.SIGKILL)
                child.communicate()
        database, replica = replica_in(tmp_path, log)
        replica.start()
        replica.wait_applied(log.bounds().last, 30.0)
        replica.stop()
        assert writes > 200
        assert {id: version for id, _, version, _ in everything(database)} == dict(counts)
        assert database.index("copy").add({"title": "last"}).seq_no == writes
        assert database.check().ok
        database.close()
        log.delete()


def test_a_copied_file_carries_up_to_where_it_is(tmp_path: Path) -> None:
    database, replica = replica_in(tmp_path / "source", MemoryLog())
    replica.apply([Entry(1, entry("a", put("1", {"title": "dune"})))])
    database.backup(tmp_path / "target")
    database.close()
    with connect(tmp_path / "target") as copied:
        assert copied.check().ok
    database, replica = replica_in(tmp_path / "target", MemoryLog())
    assert replica.applied == 1
    assert outcomes(replica, 1) == ["created"]
    database.close()


class SilentReader(MemoryReader):
    """One whose server has died, and nobody says so."""

    def read(self, limit: int, wait_s: float) -> list[Entry]:
        return []


def test_who_waits_for_what_is_in_the_log_has_a_deaf_copy_look_again(tmp_path: Path) -> None:
    class Log(MemoryLog):
        readers = 0

        def read_from(self, sequence: int) -> MemoryReader:
            self.readers += 1
            return SilentReader(self, sequence) if self.readers == 1 else MemoryReader(self, sequence)

    log = Log()
    database, replica = replica_in(tmp_path, log)
    with database:
        replica.start()
        sequence = log.append(entry("a", put("1", {"title": "Dune"})), "a")
        replica.wait_applied(sequence, 30.0)
        assert log.readers == 2
        replica.stop()


def test_an_error_that_nobody_foresaw_is_reported_and_following_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Log(MemoryLog):
        broken = True

        def read_from(self, sequence: int) -> MemoryReader:
            if self.broken:
                raise RuntimeError("a cable was eaten")
            return super().read_from(sequence)

    log = Log()
    database, replica = replica_in(tmp_path, log)
    sequence = log.append(entry("a", put("1", {"title": "Dune"})), "a")
    with database:
        replica.start()
        with pytest.raises(Unavailable, match="a cable was eaten"):
            replica.wait_applied(sequence, 1.0)
        assert "a cable was eaten" in replica.report().failed
        log.broken = False
        replica.wait_applied(sequence, 30.0)
        assert outcomes(replica, sequence) == ["created"]
        assert replica.report().failed == ""
        replica.stop()
