"""What a verdict says of journals and observations that are made up: what must be found, and what must not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import pytest

from quidditch.torture import model, shared
from quidditch.torture.documents import SHARED, content_of, document, document_id, first_serial, slot_of
from quidditch.torture.expectation import Claim, LaneReplay, Promise
from quidditch.torture.journal import (
    Action,
    DamagedJournal,
    Done,
    Failed,
    Intent,
    Journal,
    JournalWatch,
    Record,
    Result,
    Verb,
    read_journal,
)
from quidditch.torture.model import Known
from quidditch.torture.observation import ASYNC, Observation, Ranking, Seen
from quidditch.torture.verdict import State, judge

LANE = 1
KILLED_AT = 1_000.0
BASE = first_serial(0, LANE)


def action(verb: Verb, slot: int, serial: int = 0) -> Action:
    return Action(verb, LANE, slot, BASE + serial)


def call(number: int, *steps: Sequence[Action], op: str = "index", at: float = 1.0) -> Record:
    return Intent(op, number, at, [list(step) for step in steps])


def told(number: int, *results: Result, at: float = 1.0) -> Record:
    return Done(number, at, list(results))


def added(slot: int, serial: int, number: int, *, version: int = 1, seq_no: int) -> list[Record]:
    """One document written and acknowledged."""
    outcome = model.CREATED if version == 1 else model.UPDATED
    return [
        call(number, [action("index", slot, serial)]),
        told(number, Result(outcome, version, seq_no)),
    ]


def there(slot: int, serial: int, *, patch: int | None = None, version: int = 1, seq_no: int = 0) -> Seen:
    changed = None if patch is None else BASE + patch
    return Seen(document_id(LANE, slot), BASE + serial, changed, version, seq_no, True)


def observed(*documents: Seen, durability: str = "request") -> Observation:
    """An observation in which everything agrees."""
    ordered = sorted(documents, key=lambda seen: seen.seq_no)
    return Observation(
        True,
        durability=durability,
        problems=[],
        documents=list(documents),
        scanned=[(seen.id, seen.serial, seen.patch) for seen in ordered],
        asked=[seen.id for seen in documents],
        contained=[seen.id for seen in documents],
        length=len(documents),
        counted=len(documents),
        in_stats=len(documents),
    )


def found(
    records: Iterable[Record], observation: Observation, known: dict[int, Known] | None = None
) -> list[str]:
    """The kinds of what is found when one writer's journal is held against an observation."""
    promise = Promise(created=True)
    durable = observation.durability != ASYNC
    LaneReplay(LANE, promise, known or {}, durable=durable, killed_at=KILLED_AT).follow(records)
    return [finding.kind for finding in judge(State(created=True), promise, observation).findings]


# ------------------------------------------------------------------------------------------ acknowledged writes


def test_what_was_acknowledged_and_is_there_is_no_finding() -> None:
    records = [*added(5, 1, 1, seq_no=0), *added(5, 2, 2, version=2, seq_no=1)]
    assert found(records, observed(there(5, 2, version=2, seq_no=1))) == []


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        ([], "lost"),
        ([there(5, 1, version=1, seq_no=0)], "lost"),
        ([there(5, 2, version=3, seq_no=1)], "version"),
        ([there(5, 2, version=2, seq_no=7)], "version"),
        ([there(5, 2, patch=9, version=2, seq_no=1)], "lost"),
        ([msgspec.structs.replace(there(5, 2, version=2, seq_no=1), intact=False)], "torn"),
        ([msgspec.structs.replace(there(5, 2, version=2, seq_no=1), serial=first_serial(0, 3))], "foreign"),
        ([there(5, 2, version=2, seq_no=1), there(6, 3, seq_no=2)], "lost"),
    ],
)
def test_anything_else_is_one(seen: list[Seen], kind: str) -> None:
    records = [*added(5, 1, 1, seq_no=0), *added(5, 2, 2, version=2, seq_no=1)]
    assert found(records, observed(*seen)) == [kind]


def test_a_delete_that_was_acknowledged_stays() -> None:
    gone = [call(2, [action("delete", 5)], op="delete"), told(2, Result(model.DELETED, 2, 1))]
    records = [*added(5, 1, 1, seq_no=0), *gone]
    assert found(records, observed()) == []
    assert found(records, observed(there(5, 1))) == ["lost"]


def test_what_a_round_before_left_is_still_promised() -> None:
    known = {5: Known((BASE + 1, None), frozenset({4}), 9)}
    assert found([], observed(there(5, 1, version=4, seq_no=9)), known) == []
    assert found([], observed(), known) == ["lost"]


@pytest.mark.parametrize("id", ["9-5", "visitor", "1-99999", "1-05", "0-99"])
def test_documents_of_nobody(id: str) -> None:
    assert found([], observed(msgspec.structs.replace(there(5, 1), id=id))) == ["foreign"]


def test_an_index_that_is_gone() -> None:
    assert found([], Observation(False)) == ["lost"]
    assert judge(State(), Promise(), Observation(False)).findings == []


# --------------------------------------------------------------------------------------------- under way

CHUNKS = [[action("index", slot, slot)] * 1 + [action("index", slot + 1, slot + 1)] for slot in (10, 12, 14)]


@pytest.mark.parametrize("whole", [0, 1, 2, 3])
def test_whole_chunks_in_order_may_be_there(whole: int) -> None:
    seen = [there(slot, slot, seq_no=slot) for slot in range(10, 10 + 2 * whole)]
    assert found([call(1, *CHUNKS, op="add_many")], observed(*seen)) == []


@pytest.mark.parametrize("slots", [[10], [11], [12, 13], [10, 11, 14, 15], [10, 11, 12]])
def test_parts_of_chunks_and_later_ones_alone_may_not(slots: list[int]) -> None:
    seen = [there(slot, slot, seq_no=slot) for slot in slots]
    kinds = found([call(1, *CHUNKS, op="add_many")], observed(*seen))
    assert kinds
    assert set(kinds) <= {"torn", "lost"}


def test_a_chunk_is_whole_with_what_it_replaces_and_deletes() -> None:
    before = [*added(5, 1, 1, seq_no=0), *added(6, 2, 2, seq_no=1)]
    bulk = call(3, [action("index", 5, 3), action("delete", 6, 4), action("create", 5, 5)], op="bulk")
    old = [there(5, 1, seq_no=0), there(6, 2, seq_no=1)]
    new = [there(5, 3, version=2, seq_no=2)]
    assert found([*before, bulk], observed(*old)) == []
    assert found([*before, bulk], observed(*new)) == []
    assert found([*before, bulk], observed(*new, old[1])) == ["torn"]
    assert found([*before, bulk], observed(old[0])) == ["torn"]


def test_an_id_without_a_document_may_have_either_version_when_a_delete_was_under_way() -> None:
    promise = Promise(created=True)
    replay = LaneReplay(LANE, promise, {}, durable=True, killed_at=KILLED_AT)
    replay.follow([call(1, [action("delete", 5)], op="delete")])
    state = judge(State(created=True), promise, observed()).state
    assert state.lanes[LANE][5].versions == {0, 1}
    for version in (1, 2):
        records = [call(1, [action("index", 5, 1)]), told(1, Result(model.CREATED, version, 3))]
        seen = observed(there(5, 1, version=version, seq_no=3))
        assert found(records, seen, dict(state.lanes[LANE])) == []


# ---------------------------------------------------------------------------------------- what writers are told


@pytest.mark.parametrize(
    ("verb", "right", "wrong"),
    [
        ("update", Result(model.MISSING), Result(model.UPDATED, 1, 1)),
        ("delete", Result(model.NOT_FOUND, 1, 1), Result(model.DELETED, 1, 1)),
        ("create", Result(model.CREATED, 1, 1), Result(model.CONFLICT)),
        ("upsert", Result(model.CREATED, 1, 1), Result(model.CREATED, 2, 1)),
    ],
)
def test_outcomes_and_versions_follow_from_what_was_before(verb: Verb, right: Result, wrong: Result) -> None:
    seen = observed(*([there(5, 1, seq_no=1)] if right.outcome == model.CREATED else []))
    begun = call(1, [action(verb, 5, 1)], op=verb)
    assert found([begun, told(1, right)], seen) == []
    assert "version" in found([begun, told(1, wrong)], seen)


def test_a_version_is_forgotten_a_minute_after_its_delete_and_not_before() -> None:
    deleted = Known(None, frozenset({7}), None, deleted_at=100.0)
    after, outcome = model.carry_out(deleted, action("index", 5), 101.0, 102.0)
    assert outcome == model.CREATED
    assert after.versions == {8}
    assert model.carry_out(deleted, action("index", 5), 161.0, 162.0)[0].versions == {8, 1}


def test_sequence_numbers_rise_and_are_given_once() -> None:
    twice = [*added(5, 1, 1, seq_no=4), *added(6, 2, 2, seq_no=4)]
    assert "version" in found(twice, observed(there(5, 1, seq_no=4), there(6, 2, seq_no=4)))
    taken = State(created=True, highest_seq_no=4)
    promise = Promise(created=True)
    LaneReplay(LANE, promise, {}, durable=True, killed_at=KILLED_AT).follow(added(5, 1, 1, seq_no=4))
    assert [one.kind for one in judge(taken, promise, observed(there(5, 1, seq_no=4))).findings] == [
        "version"
    ]


def test_an_operation_that_failed_is_a_finding() -> None:
    assert found([call(1), Failed(1, 1.0, "CorruptIndex: oh")], observed()) == ["error"]


def test_a_journal_that_tells_what_cannot_be_is_one_too() -> None:
    assert found([told(1)], observed()) == ["journal"]
    assert found([call(1), call(2), told(2)], observed()) == ["journal"]
    assert found([call(1, [action("index", 5)]), told(1)], observed()) == ["journal"]


# --------------------------------------------------------------------------------------------------- async

WAITING = [
    *added(5, 1, 1, seq_no=0),
    call(2, op="flush"),
    told(2),
    *added(6, 2, 3, seq_no=1),
    *added(5, 3, 4, version=2, seq_no=2),
]


def test_async_may_lose_what_came_after_the_last_flush_from_its_end() -> None:
    first, second = there(5, 1, seq_no=0), there(6, 2, seq_no=1)
    third = there(5, 3, version=2, seq_no=2)
    for seen in ([first], [first, second], [third, second]):
        assert found(WAITING, observed(*seen, durability=ASYNC)) == []


def test_async_loses_nothing_from_before_the_flush_and_nothing_from_the_middle() -> None:
    third = there(5, 3, version=2, seq_no=2)
    for seen in ([], [third], [there(6, 2, seq_no=1)]):
        assert found(WAITING, observed(*seen, durability=ASYNC)) != []


def test_request_loses_nothing() -> None:
    assert found(WAITING, observed(there(5, 1, seq_no=0), there(6, 2, seq_no=1))) == ["lost"]


# ----------------------------------------------------------------------------------------- the index against itself

TWO = observed(there(5, 1, seq_no=0), there(6, 2, seq_no=1))
TWO_ADDED = [*added(5, 1, 1, seq_no=0), *added(6, 2, 2, seq_no=1)]
SAME = [("1-5", 1), ("1-6", 2)]


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ({"length": 3}, "disagreement"),
        ({"counted": 1}, "disagreement"),
        ({"in_stats": 1}, "disagreement"),
        ({"contained": ["1-5"]}, "disagreement"),
        ({"scanned": TWO.scanned[:1]}, "disagreement"),
        ({"scanned": TWO.scanned[::-1]}, "disagreement"),
        ({"scanned": [TWO.scanned[0], ("1-6", BASE + 9, None)]}, "disagreement"),
        ({"problems": ["segments: a checksum does not fit"]}, "check"),
        ({"rankings": [Ranking("{}", 2, 2, SAME, [("1-5", 1), ("1-6", 3)])]}, "scores"),
        ({"rankings": [Ranking("{}", 2, 2, SAME, SAME[::-1])]}, "scores"),
        ({"rankings": [Ranking("{}", 2, 3, SAME, SAME)]}, "scores"),
    ],
)
def test_ways_to_read_that_tell_different_things(damage: dict[str, object], kind: str) -> None:
    assert found(TWO_ADDED, TWO) == []
    assert kind in found(TWO_ADDED, msgspec.structs.replace(TWO, **damage))


# ---------------------------------------------------------------------------------------------- shared ids

SLOT = 3
START = Known((10, None), frozenset({1}), 5)


def claim(verb: Verb, serial: int, if_seq_no: int | None, result: Result | None = None) -> Claim:
    base = 10 if verb == "update" else None
    return Claim(Action(verb, SHARED, SLOT, serial, if_seq_no, base), result, certain=False)


def shared_document(serial: int, patch: int | None, version: int, seq_no: int) -> Seen:
    return Seen(document_id(SHARED, SLOT), serial, patch, version, seq_no, True)


def kinds_of(seen: Seen | None, *claims: Claim, durable: bool = True, before: Known = START) -> list[str]:
    present = {} if seen is None else {SLOT: seen}
    _, findings = shared.judge({SLOT: before}, {SLOT: claims}, present, durable)
    return [finding.kind for finding in findings]


WON = claim("update", 20, 5, Result(model.UPDATED, 2, 8))
OLD, CHANGED = shared_document(10, None, 1, 5), shared_document(10, 20, 2, 8)


def test_a_shared_write_that_was_acknowledged_stays() -> None:
    assert kinds_of(CHANGED, WON) == []
    assert kinds_of(OLD, WON) == ["lost"]
    assert kinds_of(None, WON) == ["lost"]
    assert kinds_of(shared_document(10, 20, 3, 8), WON) == ["version"]
    assert kinds_of(shared_document(30, None, 2, 8), WON) == ["lost"]


def test_a_shared_write_under_way_may_have_come_to_be_if_its_condition_allows() -> None:
    assert kinds_of(CHANGED, claim("update", 20, 5)) == []
    assert kinds_of(OLD, claim("update", 20, 5)) == []
    assert kinds_of(shared_document(10, 20, 2, 4), claim("update", 20, 5)) == ["version"]
    assert kinds_of(shared_document(10, 20, 2, 9), claim("update", 20, 3)) == ["lost"]
    assert kinds_of(None, claim("delete", 21, 5)) == []
    assert kinds_of(None, WON, claim("delete", 21, 5)) == ["lost"]
    assert kinds_of(shared_document(30, None, 3, 9), claim("create", 30, None)) == ["lost"]
    assert kinds_of(shared_document(30, None, 3, 9), claim("delete", 29, 5), claim("create", 30, None)) == []


def test_a_condition_is_met_once() -> None:
    rival = claim("index", 21, 5, Result(model.UPDATED, 2, 9))
    assert "conflict" in kinds_of(shared_document(21, None, 2, 9), WON, rival)


def test_async_may_lose_shared_writes_but_invents_none() -> None:
    assert kinds_of(OLD, WON, durable=False) == []
    assert kinds_of(CHANGED, WON, durable=False) == []
    assert kinds_of(None, WON, durable=False) == ["lost"]
    certain = Claim(WON.action, WON.result, certain=True)
    assert kinds_of(OLD, certain, durable=False) == ["lost"]


# ---------------------------------------------------------------------------------------------- the journal


def test_a_line_that_was_cut_short_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lane-1.jsonl"
    with Journal(path) as journal:
        journal.begin("index", [[action("index", 5, 1)]])
        journal.done([Result(model.CREATED, 1, 0)])
        journal.begin("flush")
    whole = path.read_bytes()
    assert len(read_journal(path)) == 3
    path.write_bytes(whole[:-1])
    (begun, done) = read_journal(path)
    assert isinstance(begun, Intent)
    assert begun.steps == [[action("index", 5, 1)]]
    assert isinstance(done, Done)
    path.write_bytes(whole.replace(b"created", b'crea"ted'))
    with pytest.raises(DamagedJournal):
        read_journal(path)


def test_the_watch_tells_what_is_under_way(tmp_path: Path) -> None:
    watch = JournalWatch(tmp_path)
    assert watch.underway() == set()
    with Journal(tmp_path / "lane-1.jsonl") as one, Journal(tmp_path / "lane-2.jsonl") as two:
        one.begin("flush")
        two.begin("index", [[action("index", 5, 1)]])
        assert watch.underway() == {"flush", "index"}
        one.done()
        assert watch.underway() == {"index"}
        two.failed("index", ValueError("oh"))
        one.begin("compact")
        assert watch.underway() == {"compact"}


def test_contents_and_ids_are_told_apart() -> None:
    assert content_of(document(300, 7)) == ((300, 7), True)
    assert content_of({**document(300, 7), "n": -1}) == ((300, 7), False)
    assert content_of({**document(300), "note": "more"}) == ((300, None), False)
    assert content_of({"title": "no serial"})[1] is False
    for lane, slot in ((SHARED, 3), (1, 60), (4, 121)):
        assert slot_of(document_id(lane, slot)) == (lane, slot)
