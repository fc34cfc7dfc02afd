"""Who is silent, and who only is not heard because nobody is."""

from __future__ import annotations

from quidditch.cluster.silence import Silence


def test_one_that_others_outlast_is_silent() -> None:
    silence = Silence()
    silence.heard("a", 0.0)
    for second in range(11):
        silence.heard("b", float(second))
    assert silence.of("a", 10.5) == 10.5
    assert silence.of("b", 10.5) == 0.5
    assert silence.of("c", 10.5) == float("inf")


def test_while_nobody_is_heard_nobody_is_silent() -> None:
    silence = Silence()
    silence.heard("a", 0.0)
    silence.heard("b", 1.0)
    assert silence.of("a", 60.0) == 1.0
    assert silence.of("b", 60.0) == 0.0


def test_after_a_hush_all_have_time_to_speak_up() -> None:
    silence = Silence()
    silence.heard("a", 0.0)
    silence.heard("b", 1.0)
    silence.heard("b", 20.0)
    assert silence.of("a", 20.0) == 0.0
    for second in range(21, 30):
        silence.heard("b", float(second))
    assert silence.of("a", 29.0) == 9.0


def test_a_key_that_is_removed_is_not_there() -> None:
    silence = Silence()
    silence.heard("a", 0.0)
    silence.forget("a")
    assert silence.of("a", 0.0) == float("inf")
