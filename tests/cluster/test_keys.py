"""Shared keys on a real NATS server: compare-and-set, and mirrors that follow."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from quidditch.cluster.connection import Connection, NatsOptions
from quidditch.cluster.keys import Changed, Keys, Value
from quidditch.errors import Unavailable

from .one_server import OneServer

numbers = itertools.count()


@pytest.fixture(scope="module")
def connection(nats_server: OneServer) -> Iterator[Connection]:
    with Connection(NatsOptions([nats_server.url], nats_server.credentials)) as made:
        yield made


@pytest.fixture
def keys(connection: Connection) -> Keys:
    made = Keys(connection, f"bucket{next(numbers)}")
    made.create()
    made.create()
    return made


def test_a_key_is_what_it_was_last_set_to(keys: Keys) -> None:
    assert keys.get("color") is None
    first = keys.put("color", b"red")
    second = keys.put("color", b"blue")
    assert second > first
    assert keys.get("color") == Value(b"blue", second)
    keys.delete("color")
    assert keys.get("color") is None


def test_a_change_of_what_was_changed_meanwhile_is_refused(keys: Keys) -> None:
    first = keys.replace("color", b"red", 0)
    with pytest.raises(Changed, match="key color: no longer at revision 0"):
        keys.replace("color", b"green", 0)
    second = keys.replace("color", b"blue", first)
    with pytest.raises(Changed):
        keys.replace("color", b"green", first)
    assert keys.get("color") == Value(b"blue", second)


def test_the_same_change_by_another_is_a_conflict_too(keys: Keys) -> None:
    keys.replace("color", b"red", 0)
    with pytest.raises(Changed):
        keys.replace("color", b"red", 0)


def test_a_change_whose_answer_is_lost_is_made_once(
    keys: Keys, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, answers = connection.jetstream.publish, itertools.count()

    async def lose_the_first(*arguments: Any, **options: Any) -> Any:
        answer = await publish(*arguments, **options)
        if next(answers) == 0:
            raise TimeoutError
        return answer

    monkeypatch.setattr(connection.jetstream, "publish", lose_the_first)
    revision = keys.replace("color", b"red", 0)
    assert next(answers) == 2
    assert keys.get("color") == Value(b"red", revision)


def test_changes_of_many_at_once_are_all_made(keys: Keys) -> None:
    def count_up() -> None:
        for _ in range(10):
            keys.change("count", lambda now: b"%d" % (int(now or b"0") + 1))

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (keys.get("count") or Value(b"", 0)).data == b"40"


def test_a_mirror_has_what_was_there_and_follows(keys: Keys) -> None:
    keys.put("a.1", b"one")
    keys.put("a.1", b"uno")
    keys.put("b", b"two")
    mirror = keys.mirror()
    assert {key: value.data for key, value in mirror.values().items()} == {"a.1": b"uno", "b": b"two"}
    keys.delete("b")
    revision = keys.put("c", b"three")
    mirror.wait_revision(revision)
    assert set(mirror.values()) == {"a.1", "c"}
    assert set(mirror.values("a.")) == {"a.1"}
    assert mirror.get("c") == Value(b"three", revision)
    assert mirror.silent_s("c") < 60
    assert mirror.silent_s("b") == float("inf")
    with pytest.raises(Unavailable, match=r"the moon: waited 0\.05 s in vain"):
        mirror.wait_for(lambda: mirror.get("moon"), 0.05, "the moon")
    mirror.close()


def test_a_mirror_goes_on_after_its_server_was_killed(nats_server: OneServer, keys: Keys) -> None:
    keys.put("a", b"one")
    mirror = keys.mirror()
    nats_server.kill()
    nats_server.start()
    revision = keys.put("a", b"two")
    mirror.wait_revision(revision, 20.0)
    assert mirror.get("a") == Value(b"two", revision)
    mirror.close()
