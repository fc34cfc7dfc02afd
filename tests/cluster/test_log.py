"""The write log on a real NATS server: order, once-only, trimming, and what a server that is killed leaves of it."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator

import pytest
from nats import errors as nats_errors
from nats.js import errors as js_errors

from quidditch.cluster.connection import Connection, NatsOptions, asking
from quidditch.cluster.log import Bounds, Entry, JetStreamLog, LogLost, LogReader, LogTrimmed
from quidditch.cluster.state import ShardId
from quidditch.errors import Overloaded, RequestError, Unavailable

from .one_server import OneServer

numbers = itertools.count()


@pytest.fixture(scope="module")
def connection(nats_server: OneServer) -> Iterator[Connection]:
    with Connection(NatsOptions([nats_server.url], nats_server.credentials)) as made:
        yield made


@pytest.fixture
def log(connection: Connection) -> Iterator[JetStreamLog]:
    made = JetStreamLog(connection, ShardId(f"index{next(numbers)}", 0))
    made.create()
    yield made
    made.delete()


def read_all(reader: LogReader, count: int, within_s: float = 20.0) -> list[Entry]:
    """So many entries, however many calls they take."""
    found: list[Entry] = []
    deadline = time.monotonic() + within_s
    while len(found) < count and time.monotonic() < deadline:
        found += reader.read(count - len(found), 0.5)
    return found


def test_entries_come_in_the_order_of_their_sequences(log: JetStreamLog) -> None:
    assert [log.append(f"{place}".encode(), f"b{place}", 10.0) for place in range(200)] == list(range(1, 201))
    reader = log.read_from(1)
    entries = read_all(reader, 200)
    assert [entry.sequence for entry in entries] == list(range(1, 201))
    assert [entry.data for entry in entries] == [f"{place}".encode() for place in range(200)]
    assert reader.read(10, 0.05) == []
    reader.close()


def test_a_batch_goes_in_once(log: JetStreamLog) -> None:
    assert log.append(b"first", "same", 10.0) == 1
    assert log.append(b"first", "same", 10.0) == 1
    assert log.append(b"second", "other", 10.0) == 2
    assert log.bounds() == Bounds(1, 2)


def test_a_reader_begins_where_it_is_told_and_waits_for_what_is_to_come(log: JetStreamLog) -> None:
    for place in range(3):
        log.append(b"%d" % place, f"b{place}", 10.0)
    assert log.bounds() == Bounds(1, 3)
    reader = log.read_from(4)
    assert reader.read(10, 0.05) == []
    threading.Timer(0.2, log.append, (b"late", "late", 10.0)).start()
    (entry,) = read_all(reader, 1)
    assert (entry.sequence, entry.data) == (4, b"late")
    reader.close()


def test_what_was_trimmed_cannot_be_read(log: JetStreamLog) -> None:
    for place in range(10):
        log.append(b"x", f"b{place}", 10.0)
    log.trim(6)
    assert log.bounds() == Bounds(7, 10)
    with pytest.raises(LogTrimmed, match="entry 6 is needed; the log begins at 7"):
        log.read_from(6).read(1, 0.1)
    assert [entry.sequence for entry in read_all(log.read_from(7), 4)] == [7, 8, 9, 10]
    log.trim(10)
    assert log.bounds() == Bounds(11, 10)
    assert log.append(b"y", "next", 10.0) == 11


def test_a_log_that_ends_too_early_or_is_not_there_is_another_log(log: JetStreamLog) -> None:
    log.append(b"x", "b", 10.0)
    with pytest.raises(LogLost, match="entry 3 is needed; the log ends at 1"):
        log.read_from(3).read(1, 0.1)
    gone = log.read_from(1)
    log.delete()
    with pytest.raises(LogLost, match="no such stream"):
        gone.read(1, 0.1)


def test_a_full_log_refuses_and_keeps_what_it_has(connection: Connection) -> None:
    log = JetStreamLog(connection, ShardId("full", 0))
    log.create(max_bytes=4_000)
    log.append(b"x" * 3_000, "one", 10.0)
    with pytest.raises(Overloaded, match="no room"):
        log.append(b"x" * 3_000, "two", 10.0)
    assert log.bounds() == Bounds(1, 1)
    log.trim(1)
    assert log.append(b"x" * 3_000, "two", 10.0) == 2
    log.delete()


def test_an_append_without_a_stream_ends_with_its_deadline(connection: Connection) -> None:
    with pytest.raises(
        Unavailable, match=r"appending to Q_nowhere_0: NATS did not carry it out within 0.3 s"
    ):
        JetStreamLog(connection, ShardId("nowhere", 0)).append(b"x", "b", 0.3)


def test_nobody_comes_in_without_the_password(nats_server: OneServer) -> None:
    with pytest.raises(Unavailable, match="NATS does not answer"):
        Connection(NatsOptions([nats_server.url], connect_s=1.0))


def test_a_server_that_is_killed_loses_nothing_and_doubles_nothing(
    nats_server: OneServer, log: JetStreamLog
) -> None:
    """Two writers go on while the server is killed three times: each batch is in the log once, in each writer's
    order, and a reader sees all of them without being made anew by its user."""
    sequences: dict[str, int] = {}
    reading = log.read_from(1)
    entries: list[Entry] = []
    done = threading.Event()

    def write(writer: int) -> None:
        for place in range(60):
            name = f"w{writer}-{place}"
            sequences[name] = log.append(name.encode(), name, 60.0)

    def read() -> None:
        while not (done.is_set() and len(entries) >= 120):
            try:
                entries.extend(reading.read(64, 0.2))
            except Unavailable:
                continue

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(2)]
    reader = threading.Thread(target=read, daemon=True)
    for thread in (*threads, reader):
        thread.start()
    for _ in range(3):
        time.sleep(0.3)
        nats_server.kill()
        time.sleep(0.2)
        nats_server.start()
    for thread in threads:
        thread.join(60.0)
    done.set()
    reader.join(40.0)
    assert len(sequences) == 120
    assert sorted(sequences.values()) == list(range(1, 121))
    assert [entry.sequence for entry in entries] == list(range(1, 121))
    assert {entry.data.decode(): entry.sequence for entry in entries} == sequences
    reading.close()


def test_a_server_of_an_old_release_is_refused(
    nats_server: OneServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quidditch.cluster.connection.parse_version", lambda text: (2, 9, 10))
    with pytest.raises(RequestError, match=r"2\.9\.10 cannot sync each write"):
        Connection(NatsOptions([nats_server.url], nats_server.credentials))


def test_that_there_is_no_room_says_nothing_of_a_try_before() -> None:
    """Its acknowledgement was lost: it may be in the log, and whoever sent it shall not take it for refused."""
    full = js_errors.APIError(code=503, err_code=10077, description="maximum bytes exceeded")

    def trying(*errors: Exception) -> int:
        left = list(errors)

        async def work() -> int:
            if left:
                raise left.pop(0)
            return 7

        return asyncio.run(asking(work, "appending", 0.3))

    with pytest.raises(Overloaded, match="no room"):
        trying(full)
    with pytest.raises(Overloaded, match="no room"):
        trying(nats_errors.NoRespondersError(), full)
    assert trying(TimeoutError(), full) == 7
    with pytest.raises(Unavailable, match="a write may yet have happened"):
        trying(TimeoutError(), *[full] * 100)
