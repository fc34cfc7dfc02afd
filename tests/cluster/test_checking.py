"""The history checker: histories that a cluster may have, and those that it must not."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from quidditch.cluster_torture.checking import check_history
from quidditch.cluster_torture.history import Event, Outcome, Read, State, Verb, Write


def wrote(
    serial: int,
    at_s: float,
    version: int = 0,
    seq_no: int = -1,
    *,
    verb: Verb = "index",
    session: int = 1,
    outcome: Outcome = "ok",
    only: int | None = None,
    lasted_s: float = 0.5,
    error: str = "",
) -> Write:
    return Write(
        session=session,
        id="a",
        verb=verb,
        serial=serial,
        called_s=at_s,
        returned_s=at_s + lasted_s,
        outcome=outcome,
        if_seq_no=only,
        version=version,
        seq_no=seq_no,
        error=error,
    )


def unknown(serial: int, at_s: float, **more: object) -> Write:
    return wrote(serial, at_s, outcome="unknown", **more)  # type: ignore[arg-type]


def read(serial: int | None, at_s: float, version: int = 0, seq_no: int = -1, session: int = 1) -> Read:
    return Read(
        session=session,
        id="a",
        called_s=at_s,
        returned_s=at_s + 0.5,
        serial=serial,
        version=version,
        seq_no=seq_no,
    )


def kinds(events: Iterable[Event], *end: int) -> list[str]:
    """The kinds of findings; `end` is serial, version, seq_no of the document that is there, or nothing."""
    state = {"a": State(*end)} if end else {}
    return [finding.kind for finding in check_history(events, state)]


def test_writes_one_after_the_other_and_what_is_read_of_them_are_in_order() -> None:
    events: list[Event] = [
        wrote(1, 0, 1, 0, verb="create"),
        read(1, 1, 1, 0),
        wrote(2, 2, 2, 5, verb="update"),
        read(2, 3, 2, 5, session=2),
        wrote(0, 4, 3, 7, verb="delete"),
        read(None, 5),
        wrote(3, 6, 4, 9, verb="create"),
    ]
    assert kinds(events, 3, 4, 9) == []


@pytest.mark.parametrize("end", [(1, 1, 0), (2, 2, 1)])
def test_a_write_of_unknown_outcome_may_be_there_or_not(end: tuple[int, ...]) -> None:
    assert kinds([wrote(1, 0, 1, 0), unknown(2, 1)], *end) == []


def test_a_write_of_unknown_outcome_may_take_effect_long_after_it_was_given_up() -> None:
    assert kinds([wrote(1, 0, 1, 0), unknown(2, 1), wrote(3, 9, 2, 1)], 2, 3, 2) == []


@pytest.mark.parametrize("end", [(), (1, 1, 0)])
def test_an_acknowledged_write_that_is_not_there_at_the_end_is_lost(end: tuple[int, ...]) -> None:
    assert kinds([wrote(1, 0, 1, 0), wrote(2, 1, 2, 1)], *end) == ["lost"]


def test_an_acknowledged_write_that_a_later_one_does_not_count_is_lost() -> None:
    assert kinds([wrote(1, 0, 1, 0), wrote(2, 1, 2, 1), wrote(3, 2, 2, 2)], 3, 2, 2) == ["lost"]


def test_more_versions_than_writes_say_that_one_was_applied_twice() -> None:
    assert kinds([wrote(1, 0, 1, 0), wrote(2, 1, 3, 2)], 2, 3, 2) == ["version"]
    assert kinds([wrote(1, 0, 1, 0), unknown(7, 1), wrote(2, 2, 3, 2)], 2, 3, 2) == []
    assert kinds([wrote(1, 0, 1, 0), unknown(7, 1), wrote(2, 2, 4, 3)], 2, 4, 3) == ["version"]
    assert kinds([wrote(1, 0, 1, 0), unknown(7, 1)], 7, 3, 2) == ["version"]
    assert kinds([wrote(1, 0, 2, 1)], 1, 2, 1) == ["version"]


def test_a_write_that_is_read_at_two_places_was_applied_twice() -> None:
    events: list[Event] = [
        wrote(1, 0, 1, 0),
        unknown(2, 1),
        unknown(3, 1),
        read(2, 2, 2, 1),
        read(2, 3, 3, 2),
    ]
    assert kinds(events, 3, 4, 3) == ["version", "version"]
    assert kinds([wrote(1, 0, 1, 0), unknown(2, 1), read(1, 2, 2, 1)], 2, 2, 1) == ["version"]
    assert kinds([wrote(1, 0, 1, 0)], 1, 2, 1) == ["version"]


def test_a_write_that_returned_before_another_began_stands_before_it() -> None:
    assert kinds([wrote(1, 0, 2, 1), wrote(2, 1, 1, 0)], 1, 2, 1) == ["version"]
    at_once = [wrote(1, 0, 2, 1, lasted_s=2), wrote(2, 1, 1, 0)]
    assert kinds(at_once, 1, 2, 1) == []


def test_no_two_writes_have_one_sequence_number() -> None:
    assert "version" in kinds([wrote(1, 0, 1, 0), wrote(2, 0, 2, 0)], 2, 2, 0)


def test_a_condition_has_one_winner() -> None:
    events: list[Event] = [
        wrote(1, 0, 1, 0),
        wrote(2, 1, 2, 1, only=0),
        wrote(3, 1, 0, outcome="refused", only=0, error="conflict"),
    ]
    assert kinds(events, 2, 2, 1) == []
    assert kinds([wrote(1, 0, 1, 0), wrote(2, 1, 2, 1, only=0), wrote(3, 1, 3, 2, only=0)], 3, 3, 2) == [
        "conflict"
    ]


def test_a_condition_that_nothing_has_broken_is_not_refused() -> None:
    refused = wrote(2, 1, outcome="refused", only=0, error="conflict")
    assert kinds([wrote(1, 0, 1, 0), refused], 1, 1, 0) == ["conflict"]
    assert kinds([wrote(1, 0, 1, 0), unknown(3, 0), refused], 1, 1, 0) == []


def test_a_condition_on_what_was_deleted_is_refused() -> None:
    refused = wrote(2, 2, outcome="refused", only=1, error="conflict")
    assert kinds([wrote(1, 0, 1, 0), wrote(0, 1, 2, 1, verb="delete"), refused]) == []


def test_nothing_is_created_where_something_is() -> None:
    assert kinds([wrote(1, 0, 1, 0), wrote(2, 1, 2, 1, verb="create")], 2, 2, 1) == ["conflict"]
    deleted = unknown(0, 0.5, verb="delete")
    assert kinds([wrote(1, 0, 1, 0), deleted, wrote(2, 1, 3, 2, verb="create")], 2, 3, 2) == []


def test_a_session_reads_its_own_writes_and_never_goes_back() -> None:
    two = [wrote(1, 0, 1, 0), wrote(2, 1, 2, 1)]
    assert kinds([*two, read(1, 2, 1, 0)], 2, 2, 1) == ["version"]
    assert kinds([*two, read(None, 2)], 2, 2, 1) == ["lost"]
    assert kinds([*two, read(2, 2, 2, 1, 2), read(1, 3, 1, 0, 2)], 2, 2, 1) == ["version"]
    assert kinds([read(None, -2), read(None, -1), *two], 2, 2, 1) == []
    # Another session may be behind.
    assert kinds([*two, read(1, 2, 1, 0, 2), read(2, 3, 2, 1, 2)], 2, 2, 1) == []


def test_a_session_that_has_seen_a_deletion_does_not_see_the_document_again() -> None:
    two = [wrote(1, 0, 1, 0), wrote(0, 1, 2, 1, verb="delete")]
    assert kinds([*two, read(None, 2)]) == []
    assert kinds([*two, read(1, 2, 1, 0, 2), read(None, 3, session=2), read(1, 4, 1, 0, 2)]) == ["version"]


def test_what_nobody_wrote_is_foreign() -> None:
    assert kinds([wrote(1, 0, 1, 0), read(9, 1, 2, 1)], 1, 1, 0) == ["foreign"]
    assert kinds([], 1, 1, 0) == ["foreign"]
    assert kinds([wrote(1, 0, 1, 0), wrote(2, 1, outcome="refused")], 2, 2, 1) == ["foreign"]
    # Read before it was called: whatever that is, it is not this write.
    assert kinds([wrote(1, 0, 1, 0), read(2, 1, 2, 1), unknown(2, 5)], 1, 1, 0) == ["foreign"]


def test_what_is_read_is_as_it_was_acknowledged() -> None:
    assert kinds([wrote(1, 0, 1, 0), read(1, 1, 2, 0)], 1, 1, 0) == ["disagreement"]
    assert kinds([wrote(1, 0, 1, 0)], 1, 2, 0) == ["disagreement"]


def test_what_was_deleted_stays_deleted() -> None:
    two = [wrote(1, 0, 1, 0), wrote(0, 1, 2, 1, verb="delete")]
    assert kinds(two, 1, 1, 0) == ["lost"]
    assert kinds([*two, unknown(3, 2)], 3, 3, 2) == []
