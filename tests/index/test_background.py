"""The thread of upkeep: it does each thing once, at its time, and ends."""

from __future__ import annotations

import logging
import os
import threading
import time

import pytest

from quidditch.index import background
from quidditch.index.background import Background


def test_no_thread_before_there_is_work_and_none_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "IDLE_S", 0.05)
    before = threading.active_count()
    upkeep = Background("test")
    assert threading.active_count() == before
    done = threading.Event()
    upkeep.ask("it", done.set)
    assert done.wait(30)
    for _ in range(1000):
        if threading.active_count() == before:
            break
        time.sleep(0.01)
    assert threading.active_count() == before
    done.clear()
    upkeep.ask("it", done.set)
    assert done.wait(30), "a later call starts another"
    upkeep.close()


def test_asked_often_before_it_began_it_is_done_once() -> None:
    upkeep = Background("test")
    began, go = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        began.set()
        go.wait(30)

    upkeep.ask("first", first)
    assert began.wait(30)
    for _ in range(5):
        upkeep.ask("second", lambda: done.append("second"))
    upkeep.ask("third", lambda: done.append("third"))
    go.set()
    upkeep.wait()
    assert done == ["second", "third"]
    upkeep.close()


def test_what_is_due_later_waits_and_can_be_forgotten() -> None:
    upkeep = Background("test")
    done: list[str] = []
    upkeep.ask("far", lambda: done.append("far"), 3600)
    upkeep.ask("near", lambda: done.append("near"), 0.05)
    upkeep.ask("gone", lambda: done.append("gone"), 0.05)
    upkeep.forget("gone")
    upkeep.ask("sooner", lambda: done.append("sooner"), 3600)
    upkeep.ask("sooner", lambda: done.append("sooner"), 0)
    for _ in range(1000):
        if len(done) == 2:
            break
        time.sleep(0.01)
    assert done == ["sooner", "near"]
    upkeep.close()
    upkeep.ask("late", lambda: done.append("late"))
    assert done == ["sooner", "near"], "a closed one takes no more"


def test_what_fails_is_logged_and_hinders_nothing(caplog: pytest.LogCaptureFixture) -> None:
    upkeep = Background("test")
    done = threading.Event()

    def fails() -> None:
        raise OSError("no disk today")

    with caplog.at_level(logging.WARNING, "quidditch"):
        upkeep.ask("fails", fails)
        upkeep.ask("goes on", done.set)
        assert done.wait(30)
    assert "no disk today" in caplog.text
    upkeep.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_begins_anew() -> None:
    upkeep = Background("test")
    upkeep.ask("far", lambda: None, 3600)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        upkeep.ask("it", lambda: (os.write(writing, b"done"), None)[1])
        time.sleep(10)
        os._exit(1)
    assert os.read(reading, 4) == b"done"
    os.kill(child, 9)
    os.waitpid(child, 0)
    upkeep.close()
