"""Scans and points in time: what they see, how many there may be, for how long, and how they are shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

import quidditch
from quidditch import LimitExceeded, RequestError, SnapshotExpired, StorageError
from quidditch.local import LocalDatabase, LocalIndex, views


@pytest.fixture
def database(tmp_path: Path) -> Iterator[LocalDatabase]:
    with quidditch.connect(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def index(database: LocalDatabase) -> LocalIndex:
    made = database.create_index("books")
    made.add_many({"_id": str(number), "title": f"dune {number}"} for number in range(1_500))
    return made


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_point_in_time_sees_what_was_there(index: LocalIndex) -> None:
    index.add({"title": "dune buffered"}, id="buffered")
    before = [(hit.id, hit.score) for hit in index.search("dune", size=2_000)]
    with index.point_in_time() as then:
        index.add({"title": "dune late"}, id="late")
        index.delete("3")
        index.update("4", {"title": "emma"})
        index.force_merge()
        index.compact()
        assert [(hit.id, hit.score) for hit in then.search("dune", size=2_000)] == before
        assert then.count("dune") == len(before) == len(list(then.scan("dune")))
        assert then.explain("3", "dune").value == dict(before)["3"]
        assert then.search({"ids": {"values": ["late"]}}).total == 0
        assert index.count("dune") == len(before) - 1
    with pytest.raises(StorageError, match="closed"):
        then.count()
    then.close()


def test_threads_share_a_point_in_time(index: LocalIndex) -> None:
    counts: list[int] = []
    with index.point_in_time() as then:
        threads = [threading.Thread(target=lambda: counts.append(then.count("dune"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counts == [1_500] * 8


def test_one_that_lies_unused_is_ended(index: LocalIndex) -> None:
    then = index.point_in_time(keep_alive_s=0.05)
    with index._reading() as shard:
        wait_until(lambda: not shard.environment._reads)
    with pytest.raises(SnapshotExpired, match=r"0\.05 s"):
        then.count()
    then.close()
    assert index.stats().open_views == 0


def test_those_that_were_forgotten_do_not_count(index: LocalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_VIEWS", 3)
    forgotten = [index.point_in_time(keep_alive_s=0.05) for _ in range(3)]
    wait_until(lambda: index.stats().open_views == 0)
    with index.point_in_time() as then:
        assert then.count() == 1_500
    for one in forgotten:
        one.close()


def test_the_time_of_the_connection_holds_for_points_in_time(tmp_path: Path) -> None:
    with quidditch.connect(tmp_path / "short", keep_alive_s=0.05) as database:
        then = database.create_index("books").point_in_time()
        wait_until(lambda: database["books"].stats().open_views == 0)
        with pytest.raises(SnapshotExpired):
            then.count()
        then.close()


def test_one_that_is_used_stays(index: LocalIndex) -> None:
    with index.point_in_time(keep_alive_s=0.5) as then:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert then.count() == 1_500
            time.sleep(0.05)


def test_a_scan_that_lies_unused_is_ended(tmp_path: Path) -> None:
    with quidditch.connect(tmp_path / "short", keep_alive_s=0.05) as database:
        index = database.create_index("books")
        index.add_many({"n": number} for number in range(2_500))
        scan = index.scan()
        next(scan)
        with index._reading() as shard:
            wait_until(lambda: not shard.environment._reads)
        with pytest.raises(SnapshotExpired):
            list(scan)


def test_there_may_be_so_many_and_no_more(index: LocalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_VIEWS", 3)
    held = [index.point_in_time(), index.point_in_time()]
    scan = index.scan()
    next(scan)
    assert isinstance(scan, Generator)
    with pytest.raises(LimitExceeded, match="3 scans"):
        index.point_in_time()
    with pytest.raises(LimitExceeded):
        next(index.scan())
    scan.close()
    held.append(index.point_in_time())
    for one in held:
        one.close()
    assert index.search("dune").total == 1_500, "plain searches do not count"


def test_open_ones_are_shown(index: LocalIndex) -> None:
    assert (index.stats().open_views, index.stats().oldest_view_s) == (0, 0.0)
    with index.point_in_time():
        scan = index.scan()
        assert isinstance(scan, Generator)
        next(scan)
        stats = index.stats()
        assert stats.open_views == 2
        assert stats.oldest_view_s > 0
        assert stats.to_dict()["open_views"] == 2
        scan.close()
    assert index.stats().open_views == 0


def test_what_it_keeps_is_reused_after_its_end(index: LocalIndex) -> None:
    """Rewriting the same documents under an open view makes the file grow; without one it does not."""

    def rewrite() -> int:
        for _ in range(3):
            index.add_many({"_id": str(number), "title": f"dune {number}"} for number in range(1_500))
            index.force_merge()
        return index.stats().size_bytes

    rewrite()
    settled = rewrite()
    with index.point_in_time():
        kept = rewrite()
    assert kept > settled
    assert rewrite() <= kept
    assert index.stats().free_bytes > 0


@pytest.mark.parametrize("keep_alive_s", [0, -1, "long", True, float("nan"), float("inf")])
def test_a_bad_time_is_refused(index: LocalIndex, keep_alive_s: object) -> None:
    with pytest.raises(RequestError, match="keep_alive_s"):
        index.point_in_time(keep_alive_s)  # type: ignore[arg-type]


def test_closing_the_database_ends_them(database: LocalDatabase, index: LocalIndex) -> None:
    then = index.point_in_time()
    database.close()
    with pytest.raises(StorageError, match="closed"):
        then.count()
    then.close()
